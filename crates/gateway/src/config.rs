//! What a gateway must be told. Nothing that grants trust has a default.

use std::path::PathBuf;
use std::time::Duration;

use remit_core::id::TrustDomain;

/// A gateway's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the gateway keeps its log, its vault and its last good bundle. Who writes here can stop the gateway;
    /// who reads here has the subjects' keys.
    pub home: PathBuf,
    /// The domain whose agents it serves.
    pub trust_domain: TrustDomain,
    /// The gateway's name among its siblings: part of its log's origin.
    pub instance: String,
    /// Its own URL as clients see it, without a slash at the end: audience of tokens, `htu` of proofs.
    pub url: String,
    /// The authority's URL, for bundles and the feed. Who controls it can withhold both, never forge either.
    pub authority: String,
    /// The root key that signs bundles and the feed, as a C2SP vkey. Who holds its private half decides everything.
    pub root: String,
    /// How long the gateway goes on without hearing from the authority.
    pub snapshot_age_max: Duration,
    /// Web origins that may call, beside none at all.
    pub origins: Vec<String>,
    /// Calls in flight at once; more are refused.
    pub calls_max: usize,
}
