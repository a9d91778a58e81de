//! The leaves of asks and renewals: who asked whom for what, by digest; the words lie in the frame.

use remit_core::event::{self, Head, Kind};

use super::{Frame, Leaf};
use crate::asks::record::{AskAnswered, AskRecord, AskState};
use crate::change::{Change, Extension};

/// What is asked for, in each of these leaves.
const SCOPE: &str = "scope";

pub(super) fn asked(change: &Change, sealed: Frame<'_>, head: &Head) -> Leaf {
    match change {
        Change::Extended(extension) => extended(extension, sealed, head),
        Change::Ask(ask) => opened(ask, sealed, head),
        Change::AskAnswered(answer) => answered(answer, sealed, head),
        Change::AskEnded(ended) => event::Change {
            what: if ended.state == AskState::Withdrawn { "withdraw" } else { "expire" },
            object: SCOPE,
            id: &ended.id,
            by: ended.by.as_ref().map(remit_core::id::PrincipalId::as_str),
            sealed,
            ..event::Change::default()
        }
        .write(Kind::ApprovalAnswered, head),
        _ => Err(event::EventError::Seal),
    }
}

fn opened(ask: &AskRecord, sealed: Frame<'_>, head: &Head) -> Leaf {
    event::Change {
        what: "ask",
        object: SCOPE,
        id: &ask.id,
        digest: Some(&ask.digest),
        by: Some(ask.by.as_str()),
        run: ask.run.as_ref().map(|(run, root)| (run.as_str(), root.as_str())),
        agent: Some(&ask.agent.to_string()),
        until: Some(ask.until),
        inside: ask.run.is_some(),
        sealed,
        ..event::Change::default()
    }
    .write(Kind::ApprovalAsked, head)
}

fn answered(answer: &AskAnswered, sealed: Frame<'_>, head: &Head) -> Leaf {
    event::Change {
        what: if answer.allowed { "allow" } else { "deny" },
        object: SCOPE,
        id: &answer.id,
        digest: Some(&answer.digest),
        by: Some(answer.by.as_str()),
        agent: Some(&answer.agent.to_string()),
        until: answer.allowed.then_some(answer.until),
        sealed,
        ..event::Change::default()
    }
    .write(Kind::ApprovalAnswered, head)
}

fn extended(extension: &Extension, sealed: Frame<'_>, head: &Head) -> Leaf {
    event::Change {
        what: "renew",
        object: "grant",
        id: extension.grant.as_str(),
        by: Some(&extension.by),
        run: Some((extension.run.as_str(), extension.root.as_str())),
        agent: Some(&extension.agent.to_string()),
        grant: Some(extension.grant.as_str()),
        until: Some(extension.until),
        sealed,
        ..event::Change::default()
    }
    .write(Kind::Grant, head)
}
