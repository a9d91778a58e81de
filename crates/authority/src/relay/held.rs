//! The token of each run and server that the relay uses: minted when it is first needed, and anew before it ends.
//!
//! **Invariant:** whoever needs a token while it is renewed waits for that one renewal: all of it happens under one lock.

use std::collections::HashMap;

use remit_core::claims::Claims;

use super::value::Of;
use crate::authority::{Core, State};
use crate::error::AuthorityError;
use crate::grant::location;
use crate::kept::{Bound, not_held};
use crate::mint::{Minted, revoked};
use crate::proof;

/// The longest before its end that a token is renewed, in seconds: as much as the gateway's clock may be ahead of ours.
const AHEAD_S_MAX: i64 = 60;
/// Of a short one, as a part of its life.
const AHEAD_SHARE: i64 = 2;

/// Tokens in use. They exist in this process's memory alone.
pub(crate) type Held = HashMap<Of, Minted>;

/// What one request goes to the gateway with. No `Debug`.
pub(super) struct Proven {
    pub(super) url: String,
    pub(super) token: String,
    pub(super) proof: String,
}

impl State {
    /// The run's token, and a proof for one request of this method.
    pub(super) fn prove_for(&self, of: &Of, method: &str) -> Result<Proven, AuthorityError> {
        let url = location(&self.config.gateway, &of.server);
        let mut core = self.core();
        let token = self.current(&mut core, of)?;
        let key = core.held.get(&of.run).ok_or_else(|| not_held(&of.run))?;
        let proof = proof::make(key, method, &url, &token, self.config.clock.now())?;
        Ok(Proven { url, token, proof })
    }

    /// A token that is good now and for a while.
    pub(super) fn current(&self, core: &mut Core, of: &Of) -> Result<String, AuthorityError> {
        let now = self.config.clock.now();
        let good = still_good(core, of, now)?;
        if let Some(minted) = good.and_then(|()| core.relayed.get(of)).filter(|minted| is_fresh(&minted.claims, now)) {
            return Ok(minted.token.clone());
        }
        core.relayed.retain(|_, minted| minted.claims.exp > now);
        match self.mint_kept(core, &of.run, &of.server, of.grant.clone(), Bound::Always) {
            Ok(minted) => {
                let token = minted.token.clone();
                core.relayed.insert(of.clone(), minted);
                Ok(token)
            }
            // A token that is good stays in use while no other can be recorded.
            Err(AuthorityError::Unavailable(error)) => {
                let kept = good.and_then(|()| core.relayed.get(of)).map(|minted| minted.token.clone());
                kept.ok_or(AuthorityError::Unavailable(error))
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the token in use is good: it has not ended, and its run has not. What took it back is said.
fn still_good(core: &Core, of: &Of, now: i64) -> Result<Option<()>, AuthorityError> {
    let Some(minted) = core.relayed.get(of).filter(|minted| minted.claims.exp > now) else { return Ok(None) };
    if let Some(kind) = core.taken(&minted.claims)? {
        return Err(AuthorityError::Refused(revoked(kind).1));
    }
    Ok(core.journal.store().live_run(&of.run, now)?.map(drop))
}

/// Whether a token is used as it is: it does not end soon, or none would end later.
fn is_fresh(claims: &Claims, now: i64) -> bool {
    let life = claims.exp.saturating_sub(claims.iat);
    let ahead = (life / AHEAD_SHARE).clamp(1, AHEAD_S_MAX);
    claims.exp.saturating_sub(now) > ahead || claims.exp >= claims.grant.until
}
