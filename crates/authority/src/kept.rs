//! Tokens of the runs whose private keys are kept here.
//!
//! **Invariant:** nothing is minted, and no key made, for a run that brought its own key or that is over.

use remit_core::id::{GrantId, RunId, ServerName};
use remit_core::rejection::{Code, Rejection};

use crate::authority::{Core, State};
use crate::error::AuthorityError;
use crate::grant::location;
use crate::mint::{Minted, Wanted};
use crate::request::over;

/// Whether a token is bound to the run's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Unless the manifest says that its clients cannot prove possession.
    AsDeclared,
    /// Whatever the manifest says: who sends it here can.
    Always,
}

impl State {
    /// A token of a run for one server.
    pub(crate) fn mint_kept(
        &self,
        core: &mut Core,
        run: &RunId,
        server: &ServerName,
        grant: Option<GrantId>,
        bound: Bound,
    ) -> Result<Minted, AuthorityError> {
        let record = core.journal.store().live_run(run, self.config.clock.now())?.ok_or_else(|| over(run))?;
        if !record.key_held {
            return Err(not_held(run));
        }
        self.rekey(core, run)?;
        let bound = bound == Bound::Always || !declares_bearer(core, run)?;
        let resources = vec![location(&self.config.gateway, server)];
        let minted = self.mint_in(core, run, &Wanted { grant, resources, bound, ..Wanted::default() })?;
        minted.map_err(|(_, rejection)| AuthorityError::Refused(rejection))
    }
}

/// Whether the manifest of a run's agent says that its clients cannot prove possession of a key.
pub(crate) fn declares_bearer(core: &Core, run: &RunId) -> Result<bool, AuthorityError> {
    let store = core.journal.store();
    let agent = store.run(run)?.map(|run| store.agent(&run.agent)).transpose()?.flatten();
    Ok(agent.is_some_and(|agent| agent.manifest.agent.bearer))
}

pub(crate) fn not_held(run: &RunId) -> AuthorityError {
    let message = format!("the key of `{run}` is kept elsewhere");
    let help = "ask /token, with an assertion signed by that key";
    AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help))
}
