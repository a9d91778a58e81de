//! The outcome: what became of a call, recorded before its reply.

use super::canon::{Map, map};
use super::commitment::{Purpose, Random, Seal, commit};
use super::intent::{label_node, sealed_node};
use super::{Event, EventError, Head, Kind};
use crate::hash::b64;
use crate::label::Label;

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The upstream answered with a result.
    Ok,
    /// The upstream asks something before it answers.
    Asked,
    /// The upstream answered that the tool failed.
    ToolError,
    /// The upstream answered with a JSON-RPC error.
    RpcError,
    /// The upstream could not be reached, or closed the connection.
    Unreachable,
    /// The upstream did not answer in time.
    Timeout,
    /// The upstream's answer was malformed or too large.
    Invalid,
    /// The client went away or cancelled.
    Cancelled,
    /// The run was revoked while the call was in flight.
    Revoked,
    /// Nothing was sent.
    NotSent,
}

impl Status {
    /// The status's name in the leaf.
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Asked => "asked",
            Status::ToolError => "tool_error",
            Status::RpcError => "rpc_error",
            Status::Unreachable => "upstream_unreachable",
            Status::Timeout => "upstream_timeout",
            Status::Invalid => "upstream_invalid",
            Status::Cancelled => "cancelled",
            Status::Revoked => "revoked",
            Status::NotSent => "not_sent",
        }
    }
}

/// An outcome before it is written.
#[derive(Debug, Clone)]
pub struct Outcome<'a> {
    /// Index of the intent in the same log.
    pub intent: u64,
    /// The intent's run and root, where the caller was known.
    pub run: Option<(&'a str, &'a str)>,
    /// What became of it.
    pub status: Status,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The root's label from now on.
    pub label_after: Label,
    /// The exact bytes of the result, where there is one.
    pub result: Option<&'a [u8]>,
    /// The subject under whose key the frame is sealed.
    pub subject: &'a str,
}

impl Outcome<'_> {
    /// The leaf and its sealed frame.
    pub fn write(&self, head: &Head, random: Random<'_>, seal: Seal<'_>) -> Result<(Vec<u8>, Vec<u8>), EventError> {
        let key = random();
        let mut sealed = Vec::new();
        let mut remit = self.members();
        if let Some(result) = self.result {
            // The key alone, never the result: what came back is the upstream's to keep.
            let frame = serde_json::json!({ "v": 1, "result_key": b64(&key) }).to_string();
            sealed = seal(self.subject, frame.as_bytes()).ok_or(EventError::Seal)?;
            remit.extend(map([
                ("result_commit", Some(commit(Purpose::Result, &key, result).into())),
                ("result_bytes", Some((result.len() as u64).into())),
                ("sealed", Some(sealed_node(self.subject, &sealed).into())),
            ]));
        }
        let code: i64 = if matches!(self.status, Status::Ok | Status::Asked) { 1 } else { 2 };
        let session = self.run.map(|(run, _)| map([("uid", Some(run.into()))]));
        let actor = session.map(|session| map([("session", Some(session.into()))]).into());
        let event =
            Event { kind: Kind::CallOutcome, ocsf: map([("status_id", Some(code.into())), ("actor", actor)]), remit };
        Ok((event.leaf(head)?, sealed))
    }

    fn members(&self) -> Map {
        map([
            ("intent", Some(self.intent.into())),
            ("run", self.run.map(|(run, _)| run.into())),
            ("root", self.run.map(|(_, root)| root.into())),
            ("status", Some(self.status.name().into())),
            ("duration_us", Some(self.duration_us.into())),
            ("labels_after", Some(label_node(self.label_after))),
        ])
    }
}
