//! What comes of an ask that a person allowed: one grant, once.

use std::sync::Arc;

use remit_core::id::{PrincipalId, RunId};
use remit_core::rejection::Code;

use super::record::{AskRecord, AskState, Asking};
use super::{named, refused, shown, unknown, with_people};
use crate::authority::{Core, State};
use crate::change::{Change, Grant, Run};
use crate::error::AuthorityError;
use crate::random;
use crate::request::{key, may_begin, over};
use crate::socket::wire::Requested;

impl State {
    /// How an ask stands, for whoever is outside every run. Whoever asked gets the run that begins with it.
    pub(crate) fn asked(self: &Arc<Self>, typed: &str, by: &PrincipalId) -> Result<Asking, AuthorityError> {
        let mut core = self.core();
        let ask = named(core.journal.store(), typed)?.ok_or_else(|| unknown(typed))?;
        if ask.state == AskState::Allowed && ask.run.is_none() && ask.by == *by {
            let granted = self.begin_asked(&mut core, &ask)?;
            return Ok(Asking { granted: Some(granted), ask: None });
        }
        let granted = self.holds_of(&core, &ask)?;
        let shown = with_people(core.journal.store(), ask)?;
        Ok(Asking { granted, ask: Some(shown) })
    }

    /// The same inside a run, of its own asks.
    pub(crate) fn asked_within(&self, typed: &str, run: &RunId) -> Result<Asking, AuthorityError> {
        let core = self.core();
        let ask = own(&core, typed, run)?;
        let granted = self.holds_of(&core, &ask)?;
        Ok(Asking { granted, ask: Some(shown(core.journal.store(), ask, Vec::new())?) })
    }

    /// Takes back an ask of this run.
    pub(crate) fn withdraw_within(&self, typed: &str, run: &RunId) -> Result<AskRecord, AuthorityError> {
        let ask = own(&self.core(), typed, run)?;
        self.withdraw(&ask.id, &ask.by)
    }

    /// What an ask gave, as long as that holds.
    fn holds_of(&self, core: &Core, ask: &AskRecord) -> Result<Option<Requested>, AuthorityError> {
        let now = self.config.clock.now();
        let store = core.journal.store();
        let grant = ask.grant.as_ref().map(|grant| store.grant(grant)).transpose()?.flatten();
        let Some(grant) = grant.filter(|grant| grant.until > now) else { return Ok(None) };
        let Some(run) = store.live_run(&grant.run, now)? else { return Ok(None) };
        self.requested(core, run, grant).map(Some)
    }

    /// Gives a run what was allowed: beside its ceiling, and no longer than the run.
    pub(super) fn give_within(&self, core: &mut Core, id: &str) -> Result<(), AuthorityError> {
        let now = self.config.clock.now();
        let store = core.journal.store();
        let ask = allowed(core, id)?;
        let (id, _) = ask.run.as_ref().ok_or_else(|| unknown(&ask.id))?;
        let run = store.live_run(id, now)?.ok_or_else(|| over(id))?;
        let until = now.saturating_add(ask.seconds).min(run.until);
        let grant = stated(&run, &ask, until, false, now)?;
        core.journal.record(&Change::Granted(Box::new(grant)))?;
        Ok(())
    }

    /// Begins the run that was allowed. All of it is judged again: what a person allows does not outlive what they saw.
    fn begin_asked(self: &Arc<Self>, core: &mut Core, ask: &AskRecord) -> Result<Requested, AuthorityError> {
        let now = self.config.clock.now();
        if ask.until <= now {
            let message = format!("the time of `{}` is over", ask.id);
            return Err(refused(Code::TokenExpired, message, "ask again".into()));
        }
        self.still_fits(core, ask)?;
        let id = random::run()?;
        let (key, held) = key(ask.key.as_ref())?;
        let run = Run {
            root: id.clone(),
            id,
            parent: None,
            agent: ask.agent.clone(),
            principal: ask.principal.clone(),
            key,
            key_held: held.is_some(),
            process: None,
            until: now.saturating_add(ask.seconds),
            golden: false,
            lin: Vec::new(),
            via: Vec::new(),
            at: now,
        };
        may_begin(core, &run, now)?;
        let ceiling = stated(&run, ask, run.until, true, now)?;
        self.begin(core, run, ceiling, held)
    }
}

fn own(core: &Core, typed: &str, run: &RunId) -> Result<AskRecord, AuthorityError> {
    let ask = named(core.journal.store(), typed)?;
    ask.filter(|ask| ask.run.as_ref().is_some_and(|(own, _)| own == run)).ok_or_else(|| unknown(typed))
}

fn allowed(core: &Core, id: &str) -> Result<AskRecord, AuthorityError> {
    let ask = core.journal.store().ask(id)?.filter(|ask| ask.state == AskState::Allowed);
    ask.ok_or_else(|| unknown(id))
}

fn stated(run: &Run, ask: &AskRecord, until: i64, ceiling: bool, now: i64) -> Result<Grant, AuthorityError> {
    let waited = u64::try_from(now.saturating_sub(ask.at)).unwrap_or(0);
    Ok(Grant {
        id: random::grant()?,
        run: run.id.clone(),
        root: run.root.clone(),
        agent: run.agent.clone(),
        principal: run.principal.clone(),
        details: ask.details.clone(),
        why: ask.asked.why.clone(),
        until,
        by: ask.answered_by.as_ref().map_or_else(String::new, ToString::to_string),
        ceiling,
        wildcard: false,
        ask: Some(ask.id.clone()),
        took_us: Some(waited.saturating_mul(1_000_000)),
        at: now,
    })
}
