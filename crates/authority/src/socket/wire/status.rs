//! How the authority is, at a glance.

use serde::{Deserialize, Serialize};

use crate::times::Times;

/// How the authority is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its URL.
    pub issuer: String,
    /// The gateway's URL.
    pub gateway: String,
    /// The relay's URL, for clients on this machine.
    #[serde(default)]
    pub relay: Option<String>,
    /// The domain of trust.
    pub trust_domain: String,
    /// The verifier key that gateways pin.
    pub root_vkey: String,
    /// Origin of its log.
    pub log: String,
    /// Entries of its log.
    pub log_size: u64,
    /// Version of the bundle, where there is one.
    pub bundle: Option<u64>,
    /// Why what is registered now could not become a bundle.
    pub bundle_error: Option<String>,
    /// Position of the last revocation.
    pub revocations: u64,
    /// What is locked down.
    pub locked: Vec<String>,
    /// Live runs.
    pub runs: usize,
    /// Whether a PIN is set.
    pub pin_set: bool,
    /// How long grants took, from the request to the decision.
    #[serde(default)]
    pub request_to_grant: Times,
}
