//! What a gateway decides by: bundle, keys and revocations as one consistent value, swapped whole.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::call::Action;
use crate::claims::Claims;
use crate::hash::sha256_text;
use crate::id::{AgentId, ServerName};
use crate::input::Facts;
use crate::policy::Compiled;
use crate::registry::Environment;
use crate::revoked::{Kind, Revoked};

/// One consistent view.
#[derive(Clone)]
pub struct Snapshot {
    /// The bundle, ready to decide by.
    pub bundle: Arc<Compiled>,
    /// What was taken back.
    pub revoked: Arc<Revoked>,
    /// When the authority last vouched for the revocations, in seconds since 1970.
    pub as_of: i64,
}

/// Which snapshot a verdict was given by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotId {
    /// The bundle's version.
    pub bundle: u64,
    /// The bundle's digest, `sha256:<hex>`.
    pub digest: String,
    /// Position in the revocation feed.
    pub revocations: u64,
}

impl Snapshot {
    /// Which snapshot this is.
    pub fn id(&self) -> SnapshotId {
        SnapshotId {
            bundle: self.bundle.versioned.version,
            digest: sha256_text(&self.bundle.versioned.digest),
            revocations: self.revoked.seq(),
        }
    }

    /// Seconds since the authority was last heard, or since the bundle ended: never negative, so that a clock that
    /// goes backwards makes nothing fresher.
    pub fn age(&self, now: i64) -> i64 {
        let silent = now.saturating_sub(self.as_of);
        let ended = now.saturating_sub(self.bundle.versioned.not_after);
        if ended >= 0 { i64::MAX } else { silent.max(0) }
    }

    /// What took a token back, if anything did: itself or what it depends on was revoked, or a version of production in its
    /// lineage is vetoed.
    pub fn taken(&self, claims: &Claims) -> Option<Kind> {
        let vetoed = |agent: &AgentId| {
            self.revoked.has_veto(agent)
                && self.bundle.agent(agent).is_none_or(|agent| agent.environment == Environment::Production)
        };
        let vetoed = || claims.lineage().any(|link| vetoed(&link.agent)).then_some(Kind::Veto);
        self.revoked.token(claims).or_else(vetoed)
    }

    /// What is known beside the bundle of a token and of what it asks for.
    pub fn facts(&self, claims: Option<&Claims>, server: &ServerName, action: &Action, drifted: bool) -> Facts {
        Facts {
            revoked: claims.and_then(|claims| self.taken(claims)),
            locked: self.revoked.is_locked(server, action.tool()),
            drifted,
        }
    }
}
