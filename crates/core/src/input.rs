//! The whole input of a decision, as one value: what is decided by is what is recorded, so it can be replayed.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::call::{Action, Call};
use crate::claims::Claims;
use crate::feature::Feature;
use crate::id::ServerName;
use crate::label::Label;
use crate::revoked::Kind;

/// Everything by which a call is decided, beside the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The clock, in seconds since 1970.
    pub now: i64,
    /// What the caller presented.
    pub presented: Presented,
    /// What is known of it and of the tool beside the bundle.
    pub facts: Facts,
    /// The server that is asked.
    pub server: ServerName,
    /// What is asked.
    pub action: Action,
    /// The exact text of the arguments.
    pub arguments: String,
    /// What the call answers on its way, of what the server asked before.
    #[serde(default, skip_serializing_if = "Answers::is_empty")]
    pub answers: Answers,
    /// What the root has done and read so far, this call included in the counts.
    pub state: State,
}

/// Answers to what a server asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// The features by which it asked.
    pub features: BTreeSet<Feature>,
    /// The exact text of all answers.
    pub text: String,
}

impl Answers {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty() && self.text.is_empty()
    }
}

/// What a caller presented. A token stands here only after its signature was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presented {
    /// No token.
    Nothing,
    /// A token that is not one of ours.
    Invalid,
    /// A token without the proof that it needs, or with one that does not hold.
    BadProof,
    /// A proof that was used before.
    Replayed,
    /// A token, with how its possession was shown.
    Token(Token),
}

/// A verified token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub(crate) claims: Arc<Claims>,
    pub(crate) credential: Credential,
}

/// How possession of a token was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Credential {
    /// By a proof (RFC 9449).
    Dpop,
    /// By nothing but the token.
    Bearer,
}

impl Token {
    /// Its claims.
    pub fn claims(&self) -> &Arc<Claims> {
        &self.claims
    }
}

impl Credential {
    /// The kind's name, as policies and events write it.
    pub fn name(self) -> &'static str {
        match self {
            Credential::Dpop => "dpop",
            Credential::Bearer => "bearer",
        }
    }
}

/// Facts that stand beside the bundle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// What took the token back, if anything did.
    pub revoked: Option<Kind>,
    /// Whether the server or the tool is locked down.
    pub locked: bool,
    /// Whether the upstream now describes the tool otherwise than it was pinned, or does not offer it.
    pub drifted: bool,
}

/// What a root has done and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Its high-water mark.
    pub label: Label,
    /// Calls in all.
    pub calls: u64,
    /// Calls in the last minute.
    pub calls_in_minute: u64,
    /// Equal calls in a row.
    pub repeats: u64,
    /// What it spent, in micro-units of its budget.
    pub spend: u64,
}

impl State {
    /// A root of which nothing is known: its label is the most restrictive.
    pub const UNKNOWN: State = State { label: Label::UNKNOWN, calls: 1, calls_in_minute: 1, repeats: 1, spend: 0 };
    /// The first call of a root that has read nothing.
    pub const FRESH: State = State { label: Label::FRESH, calls: 1, calls_in_minute: 1, repeats: 1, spend: 0 };
}

impl Input {
    /// The input of a call's decision. The arguments of a call are text, or its parsing had failed before.
    pub fn new(now: i64, presented: Presented, facts: Facts, call: &Call, state: State) -> Self {
        Self {
            now,
            presented,
            facts,
            server: call.server().clone(),
            action: call.action().clone(),
            arguments: String::from_utf8_lossy(call.arguments()).into_owned(),
            answers: Answers {
                features: call.answers().clone(),
                text: String::from_utf8_lossy(call.answer_bytes()).into_owned(),
            },
            state,
        }
    }

    /// The verified claims, where there are any.
    pub fn claims(&self) -> Option<&Arc<Claims>> {
        match &self.presented {
            Presented::Token(token) => Some(&token.claims),
            _ => None,
        }
    }

    /// How possession was shown, where a token was.
    pub fn credential(&self) -> Option<Credential> {
        match &self.presented {
            Presented::Token(token) => Some(token.credential),
            _ => None,
        }
    }
}
