//! Child runs: from inside a run, another run of its tree begins.
//!
//! **Invariant:** a child has the root and the principal of its parent, never more than its parent's ceiling, and ends
//! with it. What it is for was worded inside the tree, so it is never trusted.

use std::sync::Arc;
use std::time::Instant;

use remit_core::id::RunId;
use remit_core::rejection::{Code, Rejection};

use crate::asks::since;
use crate::authority::{Core, State};
use crate::change::{AgentRecord, Process, Run};
use crate::error::AuthorityError;
use crate::grant::narrow;
use crate::mint::{DELEGATION_LINKS, Wanted};
use crate::random;
use crate::request::{judge, key, may_begin, over, state_grant};
use crate::socket::wire::{Requested, Spawn};

/// Live runs below one root. Each has a socket, and all that ask are told from each other by looking at all of them.
pub(crate) const CHILD_RUNS_MAX: usize = 32;

impl State {
    /// Begins a child of a run. It needs no PIN: within its tree it widens nothing.
    ///
    /// The child's key is always one that stays here. Its parent must not be able to give away what can be used
    /// elsewhere, and it could if the key came from it.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        parent: &RunId,
        spawn: &Spawn,
        process: Option<Process>,
    ) -> Result<Requested, AuthorityError> {
        let (now, began) = (self.config.clock.now(), Instant::now());
        let mut core = self.core();
        let store = core.journal.store();
        let parent = store.live_run(parent, now)?.ok_or_else(|| over(parent))?;
        let ceiling = store.ceiling(&parent.id)?.ok_or_else(|| over(&parent.id))?;
        let agent = store.agent_named(&spawn.agent)?.ok_or_else(|| unknown(&spawn.agent))?;
        room(&core, &parent, now)?;
        no_looser(&core, &parent, &agent)?;
        let granted = judge(self, &core, &agent.manifest, &spawn.asked)?;
        let until = narrow(&ceiling, &granted, now)?;
        let (key, held) = key(None)?;
        let mut run = Run {
            id: random::run()?,
            root: parent.root.clone(),
            parent: Some(parent.id.clone()),
            agent: agent.id,
            principal: parent.principal.clone(),
            key,
            key_held: held.is_some(),
            process,
            until,
            // The prescribed way begins outside. What happens inside a run was not looked at.
            golden: false,
            lin: Vec::new(),
            via: Vec::new(),
            at: now,
        };
        may_begin(&core, &run, now)?;
        (run.lin, run.via) = (self.delegate(&mut core, &parent)?, parent.via.clone());
        let mut ceiling = state_grant(&run, granted, &spawn.asked, until, true, now)?;
        ceiling.took_us = since(began);
        self.begin(&mut core, run, ceiling, held)
    }

    /// The tokens from the root's to one of the parent's that was minted for this delegation and that nobody is given:
    /// whoever revokes it revokes the delegation. There is none where the parent, or anything above it, was revoked.
    fn delegate(&self, core: &mut Core, parent: &Run) -> Result<Vec<String>, AuthorityError> {
        let wanted = Wanted { bound: true, ..Wanted::default() };
        let minted = self.mint_in(core, &parent.id, &wanted)?;
        let claims = minted.map_err(|(_, rejection)| AuthorityError::Refused(rejection))?.claims;
        Ok(claims.lin.into_iter().chain([claims.jti]).collect())
    }
}

/// Neither deeper than a run may be, nor more than a tree may have.
pub(crate) fn room(core: &Core, parent: &Run, now: i64) -> Result<(), AuthorityError> {
    if parent.lin.len() >= DELEGATION_LINKS as usize {
        let message = format!("`{}` is {DELEGATION_LINKS} links below its root, and no run is deeper", parent.id);
        let help = "do it in this run: remit request SERVER/TOOL --for 15m --why \"…\"";
        return Err(refused(Code::InsufficientScope, message, help));
    }
    if core.journal.store().live_below(&parent.root, now)? >= CHILD_RUNS_MAX {
        let message = format!("there are {CHILD_RUNS_MAX} live runs below `{}`, and there may be no more", parent.root);
        return Err(refused(Code::Overloaded, message, "wait until one ends, and ask for shorter ones: --for 2m"));
    }
    Ok(())
}

/// A bearer token works for whoever has it. A run whose own tokens are bound to a key that it never sees must not get
/// one by way of a child, and give it to somebody.
pub(crate) fn no_looser(core: &Core, parent: &Run, agent: &AgentRecord) -> Result<(), AuthorityError> {
    let own = core.journal.store().agent(&parent.agent)?.ok_or_else(|| over(&parent.id))?;
    if own.manifest.agent.bearer || !agent.manifest.agent.bearer {
        return Ok(());
    }
    let message = format!("tokens of {} are bearer tokens, and those of this run are bound to a key", agent.id.short());
    Err(refused(Code::PolicyForbid, message, "begin it from outside: remit request SERVER/TOOL --for 15m --why \"…\""))
}

fn unknown(agent: &str) -> AuthorityError {
    let message = format!("no agent `{agent}` is registered");
    refused(Code::AgentUnregistered, message, "name one that is: --agent TEAM/NAME or TEAM/NAME@VERSION")
}

fn refused(code: Code, message: String, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
