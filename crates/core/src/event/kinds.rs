//! The other kinds, each a plain value whose members stand in the leaf as they are named here.

use super::canon::{Map, Node, map};
use super::intent::{label_node, sealed_node};
use super::{Event, EventError, Head, Kind, person, plain};
use crate::label::{Label, Trust};
use crate::revoked;

/// A sealed frame that goes with a leaf: whose key, and its bytes.
pub type Sealed<'a> = Option<(&'a str, &'a [u8])>;

fn write(kind: Kind, remit: Map, sealed: Sealed<'_>, head: &Head) -> Result<Vec<u8>, EventError> {
    write_by(kind, None, remit, sealed, head)
}

fn write_by(
    kind: Kind,
    actor: Option<Node>,
    mut remit: Map,
    sealed: Sealed<'_>,
    head: &Head,
) -> Result<Vec<u8>, EventError> {
    if let Some((subject, frame)) = sealed {
        remit.insert("sealed".into(), sealed_node(subject, frame).into());
    }
    Event { kind, ocsf: map([("status_id", Some(1_i64.into())), ("actor", actor)]), remit }.leaf(head)
}

/// A call of which nobody knows what became: written at start for every intent without an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeUnknown<'a> {
    /// Index of the intent, in the epoch that `epoch` names where it is not this log's own.
    pub intent: u64,
    /// The epoch of the intent.
    pub epoch: u64,
    /// The intent's run and root.
    pub run: Option<(&'a str, &'a str)>,
}

impl OutcomeUnknown<'_> {
    /// The leaf. The budget counts as spent and the label is the worst.
    pub fn write(&self, head: &Head) -> Result<Vec<u8>, EventError> {
        let remit = map([
            ("intent", Some(self.intent.into())),
            ("epoch", Some(self.epoch.into())),
            ("run", self.run.map(|(run, _)| run.into())),
            ("root", self.run.map(|(_, root)| root.into())),
            ("labels_after", Some(label_node(Label::UNKNOWN))),
        ]);
        write(Kind::OutcomeUnknown, remit, None, head)
    }
}

/// A change at the authority: what it is about, and a sealed frame with the whole of it.
#[derive(Debug, Clone, Default)]
pub struct Change<'a> {
    /// What was done: `add`, `pin`, `update`, `retire`, `mint`, `give`, `deny`, …
    pub what: &'a str,
    /// To which kind of thing: `agent`, `server`, `tool`, `key`, `principal`, …
    pub object: &'a str,
    /// Its id, where that is no person's name.
    pub id: &'a str,
    /// Digest of the thing as it is now, `sha256:<hex>`.
    pub digest: Option<&'a str>,
    /// Pseudonym of who did it, or `admin`.
    pub by: Option<&'a str>,
    /// The run that is concerned, and its root.
    pub run: Option<(&'a str, &'a str)>,
    /// The agent that is concerned.
    pub agent: Option<&'a str>,
    /// The grant that is concerned.
    pub grant: Option<&'a str>,
    /// The gateway that is concerned, by its name.
    pub gateway: Option<&'a str>,
    /// The version that is concerned, of a thing that has more than one.
    pub version: Option<u64>,
    /// Until when, in seconds since 1970.
    pub until: Option<i64>,
    /// Whether a wildcard exception is used.
    pub wildcard: bool,
    /// Whether it was asked for from inside a run, so that its reason and texts are a model's.
    pub inside: bool,
    /// The frame.
    pub sealed: Sealed<'a>,
}

impl Change<'_> {
    /// The leaf, of one of the kinds token, grant, registration, approval asked or answered, endorsement.
    pub fn write(&self, kind: Kind, head: &Head) -> Result<Vec<u8>, EventError> {
        let remit = map([
            ("what", plain(self.what)),
            ("object", plain(self.object)),
            ("id", Some(self.id.into())),
            ("digest", self.digest.map(Into::into)),
            ("by", self.by.and_then(plain)),
            ("run", self.run.map(|(run, _)| run.into())),
            ("root", self.run.map(|(_, root)| root.into())),
            ("agent", self.agent.map(Into::into)),
            ("grant", self.grant.map(Into::into)),
            ("gateway", self.gateway.and_then(plain)),
            ("version", self.version.map(Into::into)),
            ("until", self.until.map(Into::into)),
            ("wildcard", self.wildcard.then(|| Node::from(1_i64))),
            ("why_trust", self.inside.then(|| Trust::Untrusted.name().into())),
        ]);
        write_by(kind, self.by.and_then(person), remit, self.sealed, head)
    }
}

/// Something was taken back, or locked down.
#[derive(Debug, Clone, Copy)]
pub struct Revoked<'a> {
    /// The entry of the feed.
    pub entry: &'a revoked::Revocation,
    /// Pseudonym of who did it, or `admin`.
    pub by: &'a str,
    /// The frame.
    pub sealed: Sealed<'a>,
}

impl Revoked<'_> {
    /// The leaf.
    pub fn write(&self, head: &Head) -> Result<Vec<u8>, EventError> {
        let lockdown = matches!(self.entry.kind, revoked::Kind::Lockdown | revoked::Kind::Lift);
        let remit = map([
            ("seq", Some(self.entry.seq.into())),
            ("what", Some(self.entry.kind.name().into())),
            ("id", Some(self.entry.id.as_str().into())),
            ("at", Some(self.entry.at.into())),
            ("by", plain(self.by)),
        ]);
        write_by(if lockdown { Kind::Lockdown } else { Kind::Revocation }, person(self.by), remit, self.sealed, head)
    }
}

/// A bundle was published or loaded, or one was refused.
#[derive(Debug, Clone, Copy)]
pub struct BundleSeen<'a> {
    /// `published`, `loaded` or `refused`.
    pub what: &'a str,
    /// Its version.
    pub version: u64,
    /// Its digest.
    pub digest: &'a str,
    /// Why it was refused.
    pub why: Option<&'a str>,
    /// The frame.
    pub sealed: Sealed<'a>,
}

impl BundleSeen<'_> {
    /// The leaf.
    pub fn write(&self, head: &Head) -> Result<Vec<u8>, EventError> {
        let remit = map([
            ("what", plain(self.what)),
            ("version", Some(self.version.into())),
            ("digest", Some(self.digest.into())),
            ("why", self.why.and_then(plain)),
        ]);
        write(Kind::Bundle, remit, self.sealed, head)
    }
}

/// A subject's key was destroyed: its frames can never be opened again.
#[derive(Debug, Clone, Copy)]
pub struct KeyDestroyed<'a> {
    /// The subject's pseudonym.
    pub subject: &'a str,
    /// The ground, such as `erasure-request`.
    pub ground: &'a str,
    /// Who asked for it.
    pub by: &'a str,
}

impl KeyDestroyed<'_> {
    /// The leaf.
    pub fn write(&self, head: &Head) -> Result<Vec<u8>, EventError> {
        let remit = map([("subject", plain(self.subject)), ("ground", plain(self.ground)), ("by", plain(self.by))]);
        write_by(Kind::KeyDestroyed, person(self.by), remit, None, head)
    }
}

/// The first entry of an epoch.
#[derive(Debug, Clone, Copy)]
pub struct Epoch<'a> {
    /// The epoch's number.
    pub epoch: u64,
    /// The signed checkpoint with which the previous epoch ended, where there was one.
    pub previous: Option<&'a str>,
}

impl Epoch<'_> {
    /// The leaf.
    pub fn write(&self, head: &Head) -> Result<Vec<u8>, EventError> {
        let remit = map([("epoch", Some(self.epoch.into())), ("previous", self.previous.map(Into::into))]);
        write(Kind::Epoch, remit, None, head)
    }
}

/// The log is alive, and what a reader must go back to.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    /// Entries before this one are not needed to rebuild any live root.
    pub low_water: u64,
    /// Intents that have no outcome yet.
    pub open: u64,
    /// The highest version of a bundle that was ever loaded; 0 where none was.
    pub bundle: u64,
}

impl Heartbeat {
    /// The leaf.
    pub fn write(&self, head: &Head) -> Result<Vec<u8>, EventError> {
        let remit = map([
            ("low_water", Some(self.low_water.into())),
            ("open", Some(self.open.into())),
            ("bundle", Some(self.bundle.into())),
        ]);
        write(Kind::Heartbeat, remit, None, head)
    }
}

/// Refusals of unknown callers from one source, beyond the rate at which each gets its own entry.
#[derive(Debug, Clone, Copy)]
pub struct Refusals<'a> {
    /// Keyed digest of the source: an address is personal data.
    pub source: &'a str,
    /// How many, by code.
    pub counts: &'a [(crate::rejection::Code, u64)],
    /// From and to, in seconds since 1970.
    pub span: (i64, i64),
}

impl Refusals<'_> {
    /// The leaf.
    pub fn write(&self, head: &Head) -> Result<Vec<u8>, EventError> {
        let counts =
            self.counts.iter().map(|(code, n)| map([("code", Some(code.name().into())), ("n", Some((*n).into()))]));
        let remit = map([
            ("source", plain(self.source)),
            ("counts", Some(counts.collect())),
            ("from", Some(self.span.0.into())),
            ("to", Some(self.span.1.into())),
        ]);
        write(Kind::Refusals, remit, None, head)
    }
}
