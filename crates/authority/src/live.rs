//! Whether a token that somebody shows is one of ours that still counts, and whose business it is.

use remit_core::claims::Claims;
use remit_core::id::RunId;
use remit_core::identify::{CLOCK_SKEW_S, verify};

use crate::authority::{Core, State};
use crate::error::AuthorityError;

impl State {
    /// The claims of a token that we minted, that has not ended, of which nothing was revoked, and whose run is live.
    pub(crate) fn live(&self, core: &Core, token: &str) -> Result<Option<Claims>, AuthorityError> {
        let now = self.config.clock.now();
        let Some(authentic) = verify(&core.keys.public(), token) else {
            return Ok(None);
        };
        let claims = authentic.claims();
        let ours = claims.iss == self.config.issuer && claims.iat <= now.saturating_add(CLOCK_SKEW_S);
        if !ours || claims.exp <= now || core.taken(claims)?.is_some() {
            return Ok(None);
        }
        let run = core.journal.store().live_run(&claims.run, now)?;
        Ok(run.map(|_| Claims::clone(claims)))
    }
}

/// Whether a token is a run's own, or of a run below it.
pub(crate) fn own_or_below(claims: &Claims, run: &RunId) -> bool {
    claims.lineage().any(|instance| instance.run == *run)
}
