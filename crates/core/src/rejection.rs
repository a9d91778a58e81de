//! The one error that users, clients and models see: what happened, and the one next step.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal, $status:literal;)+) => {
        /// Why a call was refused: a closed list, stable for callers, documented in `docs/errors.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Code {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $variant,)+
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            /// The code as it is written.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $text),+ }
            }

            /// The HTTP status that carries it; 200 where it is the answer of a JSON-RPC call.
            pub fn status(self) -> u16 {
                match self { $(Code::$variant => $status),+ }
            }

            /// What it means, as the documentation says it.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => concat!($($doc),+).trim_ascii()),+ }
            }
        }
    };
}

codes! {
    /// The request carries no access token.
    TokenMissing = "token_missing", 401;
    /// The token is not one of ours: malformed, badly signed, of another version, or its claims contradict each other.
    TokenInvalid = "token_invalid", 401;
    /// The token's time is over.
    TokenExpired = "token_expired", 401;
    /// The token is for another server.
    TokenAudience = "token_audience", 401;
    /// The token is bound to a key, and the request does not prove that the caller holds it.
    ProofInvalid = "proof_invalid", 401;
    /// The proof of possession was used before.
    ProofReplayed = "proof_replayed", 401;
    /// The token, or something it depends on, was revoked.
    Revoked = "revoked", 401;
    /// The agent, in this version, is not registered.
    AgentUnregistered = "agent_unregistered", 403;
    /// There is no such tool, prompt, resource or method for this run.
    Unknown = "unknown", 200;
    /// The agent's manifest names the tool, but this run was not granted it.
    InsufficientScope = "insufficient_scope", 403;
    /// The server or the tool is locked down for everybody.
    LockedDown = "locked_down", 200;
    /// The tool's description or schema is not the one that was reviewed.
    PinChanged = "pin_changed", 200;
    /// The arguments are not those of the reviewed schema.
    ArgumentsInvalid = "arguments_invalid", 200;
    /// An argument lies outside what the grant allows.
    ArgumentsOutsideGrant = "arguments_outside_grant", 200;
    /// A number that a policy or a constraint reads cannot be compared exactly.
    NumberInexact = "number_inexact", 200;
    /// No policy permits the call, or one forbids it.
    PolicyForbid = "policy_forbid", 200;
    /// A policy could not be evaluated, so the call is forbidden.
    PolicyError = "policy_error", 200;
    /// The call passes once the named gates are lifted.
    GatePending = "gate_pending", 200;
    /// The root has made all the calls that its agent's budget allows.
    BudgetSpent = "budget_spent", 200;
    /// The root makes more calls a minute than its agent may.
    RateLimited = "rate_limited", 200;
    /// The same call was repeated too often in a row.
    LoopDetected = "loop_detected", 200;
    /// The request is not a message that the gateway understands.
    RequestInvalid = "request_invalid", 400;
    /// The request is larger than the limit.
    RequestTooLarge = "request_too_large", 413;
    /// A header says something else than the body.
    HeaderMismatch = "header_mismatch", 400;
    /// The protocol revision is not supported.
    VersionUnsupported = "version_unsupported", 400;
    /// The request comes from a web page of another origin.
    OriginForbidden = "origin_forbidden", 403;
    /// No such server, for this caller.
    ServerUnknown = "server_unknown", 404;
    /// The session is not one of this run's.
    SessionUnknown = "session_unknown", 404;
    /// The gateway has not heard from the authority for too long.
    PolicyStale = "policy_stale", 503;
    /// The call could not be recorded, so it was not made; or what became of it could not, so its answer is withheld.
    AuditUnavailable = "audit_unavailable", 503;
    /// More requests than the gateway can carry.
    Overloaded = "overloaded", 503;
    /// The upstream server cannot be reached, or closed the connection.
    UpstreamUnreachable = "upstream_unreachable", 502;
    /// The upstream server did not answer in time.
    UpstreamTimeout = "upstream_timeout", 504;
    /// The upstream server's answer is malformed or too large.
    UpstreamInvalid = "upstream_invalid", 502;
    /// The gateway has no credential for the upstream server, so nothing was sent.
    CredentialUnavailable = "credential_unavailable", 503;
    /// The gateway is not registered with the authority, or does not prove that it is the one that is.
    GatewayUnknown = "gateway_unknown", 403;
    /// What was asked lies beyond what the agent's manifest declares.
    ScopeUndeclared = "scope_undeclared", 403;
    /// The request gives no reason, or no end, or a longer time than the manifest allows.
    GrantIncomplete = "grant_incomplete", 400;
    /// The agent may not act now: its registration is over, nobody owns it, its version is vetoed, or a rule of separation stands against it.
    AgentFrozen = "agent_frozen", 403;
    /// What was asked belongs to a role that whoever asks does not hold.
    RoleRequired = "role_required", 403;
    /// The command is for an administrator, from outside every run.
    AdminRequired = "admin_required", 403;
    /// Something that should not happen; refused because nothing else is safe.
    Internal = "internal", 500;
}

/// A refusal: for the person and the model that read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Which kind.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// The one next step, with the command to type.
    pub help: String,
    /// Index of the log entry that holds the whole reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<u64>,
}

impl Rejection {
    /// A refusal that is not in the log, or not yet.
    pub fn new(code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: help.into(), decision: None }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.code.name())
    }
}

impl std::error::Error for Rejection {}
