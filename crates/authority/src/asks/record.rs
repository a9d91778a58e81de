//! What was asked for beyond what is granted at once, as it is recorded and shown.

use std::collections::BTreeMap;

use remit_core::grant::Detail;
use remit_core::hash::{sha256, sha256_text};
use remit_core::id::{AgentId, GrantId, PrincipalId, RunId};
use remit_core::jws::Jwk;
use remit_core::role::OrgRole;
use serde::{Deserialize, Serialize};

use crate::grant::Asked;
use crate::socket::wire::Requested;

/// How far an ask is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskState {
    /// Nobody has answered.
    Open,
    /// A person said yes, and whoever asked has not come for it.
    Allowed,
    /// It was granted.
    Granted,
    /// A person said no.
    Denied,
    /// Whoever asked wants it no more.
    Withdrawn,
    /// Its time is over, or its run is.
    Expired,
}

impl AskState {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Allowed => "allowed",
            Self::Granted => "granted",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

/// An ask. What is asked for never changes: whoever wants something else asks again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskRecord {
    /// What is typed to answer it.
    pub id: String,
    /// Digest of what is asked for, `sha256:<hex>`: what is allowed is this.
    pub digest: String,
    /// The agent.
    pub agent: AgentId,
    /// The run that wants it, with its root; nothing where a run begins with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<(RunId, RunId)>,
    /// On whose behalf.
    pub principal: PrincipalId,
    /// Who asked; inside a run, for whom it acts.
    pub by: PrincipalId,
    /// In the words of whoever asked.
    pub asked: Asked,
    /// What that is.
    pub details: Vec<Detail>,
    /// Digests of the tools as they were reviewed, by `<server>/<tool>`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<String, String>,
    /// For how long, in seconds.
    pub seconds: i64,
    /// What stands in the way of its being granted at once.
    pub beyond: String,
    /// Who answers.
    pub role: OrgRole,
    /// The gate that names them; nothing where it is the usual role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// The public key of the run that begins with it, where its private half is kept elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Jwk>,
    /// How far it is.
    pub state: AskState,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<PrincipalId>,
    /// Until when it can be answered, or come for, in seconds since 1970.
    pub until: i64,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// A person's word on an ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskAnswered {
    /// What was typed to answer it.
    pub id: String,
    /// Digest of what was asked for.
    pub digest: String,
    /// The agent.
    pub agent: AgentId,
    /// Whether it was allowed.
    pub allowed: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Until when whoever asked can come for it, in seconds since 1970.
    pub until: i64,
    /// Who answered.
    pub by: PrincipalId,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// An ask that nobody answers any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskEnded {
    /// What was typed to answer it.
    pub id: String,
    /// How it ended.
    pub state: AskState,
    /// Who ended it; nobody where its time was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PrincipalId>,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// An ask as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskShown {
    /// The ask.
    pub ask: AskRecord,
    /// The name of whoever asked.
    pub asker: String,
    /// Names of who can answer it; nobody is named inside a run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<String>,
}

/// What became of asking: what was granted, or the ask that a person answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    /// What was granted, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<Requested>,
    /// The ask, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<AskShown>,
}

/// What the digest is of: everything that a person allows.
#[derive(Serialize)]
struct Bound<'a> {
    agent: &'a AgentId,
    run: Option<&'a RunId>,
    principal: &'a PrincipalId,
    details: &'a [Detail],
    pins: &'a BTreeMap<String, String>,
    seconds: i64,
    why: &'a str,
    key: Option<String>,
}

impl AskRecord {
    /// Digest of what is asked for, with the tools as they are reviewed now.
    pub(crate) fn digest_with(&self, pins: &BTreeMap<String, String>) -> String {
        let bound = Bound {
            agent: &self.agent,
            run: self.run.as_ref().map(|(run, _)| run),
            principal: &self.principal,
            details: &self.details,
            pins,
            seconds: self.seconds,
            why: &self.asked.why,
            key: self.key.as_ref().map(Jwk::thumbprint),
        };
        let text = serde_json::to_vec(&bound).unwrap_or_default();
        sha256_text(&sha256(&[b"remit-ask/v1", &text]))
    }
}
