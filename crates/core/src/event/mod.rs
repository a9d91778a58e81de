//! The event: what a leaf of the log is. A leaf is the exact canonical bytes (RFC 8785) of an OCSF 1.9 API Activity
//! event; what OCSF has no word for stands in `unmapped.remit`, versioned by `remit.v`.
//!
//! In clear: identity, decision, labels, and everything by which the log is searched and a root is rebuilt. Never in
//! clear: arguments, reasons, and names of people; of these the leaf holds commitments.

pub mod canon;
pub mod commitment;
mod intent;
mod kinds;
mod outcome;
mod result;
mod scan;
mod statement;

pub use intent::{Intent, IntentContext, NOBODY, hook_call, intent};
pub use kinds::*;
pub use outcome::{Outcome, Status};
pub use result::{OpenedOutcome, OutcomeStatement};
pub use scan::Scalar;
pub use statement::{DecidedBy, Opened, Statement, StatementError, check_entry};

use canon::{Map, Node, map};

/// The version of `unmapped.remit`.
pub const EVENT_VERSION: i64 = 1;
/// Largest leaf, in bytes (C2SP tlog-tiles: entries have a length of 16 bits). A larger one is refused, never cut.
pub const LEAF_BYTES_MAX: usize = 65_535;
/// Longest text that a stranger chose and that stands in a leaf in clear, in bytes.
pub const CLEAR_TEXT_BYTES_MAX: usize = 128;

/// Why there is no leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Larger than [`LEAF_BYTES_MAX`].
    #[error("the event is larger than {LEAF_BYTES_MAX} bytes")]
    TooLarge,
    /// What must not stand in clear could not be sealed.
    #[error("the event's disclosures could not be sealed")]
    Seal,
}

/// What every event says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The event's id, unique for ever.
    pub uid: String,
    /// When it was written, in milliseconds since 1970.
    pub at_ms: i64,
    /// The log's name without its epoch: `<trust domain>/log/<instance>`.
    pub log: String,
}

/// Which event it is: `remit.kind`, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A decided call, before its effect.
    CallIntent,
    /// What became of a call.
    CallOutcome,
    /// A call of which nobody knows what became.
    OutcomeUnknown,
    /// Another MCP method, before it is forwarded.
    Method,
    /// A use of an agent runtime's built-in tool.
    HookCall,
    /// A token was minted.
    Token,
    /// A grant was decided.
    Grant,
    /// An agent, a server or a tool was registered or changed.
    Registration,
    /// An approval was asked for.
    ApprovalAsked,
    /// An approval was given or denied.
    ApprovalAnswered,
    /// A person vouched for a value.
    Endorsement,
    /// Something was taken back.
    Revocation,
    /// A bundle was loaded, or published.
    Bundle,
    /// A server or a tool was locked down, or a lockdown was lifted.
    Lockdown,
    /// A subject's key was destroyed.
    KeyDestroyed,
    /// A log's epoch began.
    Epoch,
    /// The log is alive.
    Heartbeat,
    /// Refusals of unknown callers beyond a rate.
    Refusals,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 18] = [
        Kind::CallIntent,
        Kind::CallOutcome,
        Kind::OutcomeUnknown,
        Kind::Method,
        Kind::HookCall,
        Kind::Token,
        Kind::Grant,
        Kind::Registration,
        Kind::ApprovalAsked,
        Kind::ApprovalAnswered,
        Kind::Endorsement,
        Kind::Revocation,
        Kind::Bundle,
        Kind::Lockdown,
        Kind::KeyDestroyed,
        Kind::Epoch,
        Kind::Heartbeat,
        Kind::Refusals,
    ];

    /// The kind's name in the leaf.
    pub fn name(self) -> &'static str {
        match self {
            Kind::CallIntent => "call_intent",
            Kind::CallOutcome => "call_outcome",
            Kind::OutcomeUnknown => "outcome_unknown",
            Kind::Method => "method",
            Kind::HookCall => "hook_call",
            Kind::Token => "token",
            Kind::Grant => "grant",
            Kind::Registration => "registration",
            Kind::ApprovalAsked => "approval_asked",
            Kind::ApprovalAnswered => "approval_answered",
            Kind::Endorsement => "endorsement",
            Kind::Revocation => "revocation",
            Kind::Bundle => "bundle",
            Kind::Lockdown => "lockdown",
            Kind::KeyDestroyed => "key_destroyed",
            Kind::Epoch => "epoch",
            Kind::Heartbeat => "heartbeat",
            Kind::Refusals => "refusals",
        }
    }

    /// The kind with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// OCSF `activity_id` and `activity_name` of API Activity.
    fn activity(self) -> (i64, &'static str) {
        match self {
            Kind::Token | Kind::Grant | Kind::Registration | Kind::Bundle | Kind::Epoch => (1, "Create"),
            Kind::Revocation | Kind::KeyDestroyed => (4, "Delete"),
            Kind::Lockdown => (3, "Update"),
            Kind::CallIntent | Kind::Method | Kind::HookCall => (99, "Invoke"),
            Kind::CallOutcome | Kind::OutcomeUnknown => (99, "Outcome"),
            Kind::ApprovalAsked | Kind::ApprovalAnswered | Kind::Endorsement => (99, "Approval"),
            Kind::Heartbeat => (99, "Heartbeat"),
            Kind::Refusals => (99, "Refusals"),
        }
    }
}

/// An event before it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    kind: Kind,
    /// Members of OCSF beside those that every event has.
    ocsf: Map,
    /// Members of `unmapped.remit` beside `v` and `kind`.
    remit: Map,
}

impl Event {
    /// The leaf: canonical bytes.
    pub fn leaf(self, head: &Head) -> Result<Vec<u8>, EventError> {
        let Event { kind, ocsf, mut remit } = self;
        let (activity, activity_name) = kind.activity();
        remit.insert("v".into(), EVENT_VERSION.into());
        remit.insert("kind".into(), kind.name().into());
        let product = map([
            ("name", Some("Remit".into())),
            ("vendor_name", Some("Remit".into())),
            ("version", Some(env!("CARGO_PKG_VERSION").into())),
        ]);
        let profiles: Node = ["ai_operation", "security_control", "record_integrity"].into_iter().collect();
        let metadata = map([
            ("version", Some("1.9.0".into())),
            ("uid", Some(head.uid.as_str().into())),
            ("log_name", Some(head.log.as_str().into())),
            ("profiles", Some(profiles)),
            ("product", Some(product.into())),
        ]);
        let mut event = map([
            ("class_uid", Some(6003_i64.into())),
            ("category_uid", Some(6_i64.into())),
            ("activity_id", Some(activity.into())),
            ("activity_name", Some(activity_name.into())),
            ("type_uid", Some((600_300_i64.saturating_add(activity)).into())),
            ("severity_id", Some(1_i64.into())),
            ("time", Some(head.at_ms.into())),
            ("metadata", Some(metadata.into())),
            ("unmapped", Some(map([("remit", Some(remit.into()))]).into())),
        ]);
        event.extend(ocsf);
        for (name, value) in required(kind, head) {
            event.entry(name).or_insert(value);
        }
        let leaf = Node::from(event).write();
        if leaf.len() > LEAF_BYTES_MAX { Err(EventError::TooLarge) } else { Ok(leaf) }
    }
}

/// Members that every API Activity event must have (OCSF class 6003), for events in which no caller takes part: the log
/// speaks for itself.
fn required(kind: Kind, head: &Head) -> Map {
    let service = map([("name", Some("remit".into()))]);
    let api = map([("operation", Some(kind.name().into())), ("service", Some(service.into()))]);
    let log = || Some(head.log.as_str().into());
    map([
        ("actor", Some(map([("app_uid", log())]).into())),
        ("api", Some(api.into())),
        ("src_endpoint", Some(map([("uid", log())]).into())),
    ])
}

/// The actor that a pseudonym names.
fn person(uid: &str) -> Option<Node> {
    let user = map([("uid", Some(plain(uid)?))]);
    Some(map([("user", Some(user.into()))]).into())
}

/// Reads a leaf: its kind and its whole content. `None` where it is not one of ours, to the last byte.
pub fn read(leaf: &[u8]) -> Option<(Kind, Node)> {
    let node = Node::read(leaf)?;
    let version = node.int(&["unmapped", "remit", "v"])?;
    let kind = Kind::named(node.text(&["unmapped", "remit", "kind"])?)?;
    (version == EVENT_VERSION).then_some((kind, node))
}

/// Reads a leaf as [`read`] does, and `None` where that gives none, but builds nothing: `each` gets what stands at each path
/// of member names. For whoever reads a whole log.
pub fn skim<'a>(leaf: &'a [u8], mut each: impl FnMut(&[&'a str], Scalar<'a>)) -> Option<Kind> {
    let (mut version, mut kind) = (None, None);
    scan::scan(leaf, |path, scalar| match path {
        ["unmapped", "remit", "v"] => version = scalar.int(),
        ["unmapped", "remit", "kind"] => kind = scalar.text().and_then(|name| Kind::named(&name)),
        _ => each(path, scalar),
    })?;
    kind.filter(|_| version == Some(EVENT_VERSION))
}

/// A text that a stranger chose: kept where it is short and plain, else left out.
fn plain(text: &str) -> Option<Node> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b);
    (!text.is_empty() && text.len() <= CLEAR_TEXT_BYTES_MAX && text.bytes().all(ok)).then(|| text.into())
}
