//! A person's word on an ask.

use remit_core::id::PrincipalId;
use remit_core::rejection::Code;

use super::record::{AskAnswered, AskEnded, AskRecord, AskState};
use super::{COLLECT_SECONDS, approvers, named, pins, refused, unknown, with_people};
use crate::authority::{Core, State};
use crate::change::Change;
use crate::error::AuthorityError;
use crate::grant::beyond;
use crate::request::offers;
use crate::separation;
use crate::socket::wire::{Answered, Approval, Word};
use crate::standing::may_act;

impl State {
    /// The ask that is meant, as a person types it, whatever became of it.
    pub(crate) fn ask_named(&self, typed: &str) -> Result<Option<AskRecord>, AuthorityError> {
        named(self.core().journal.store(), typed)
    }

    /// Takes a person's word on an ask. It is recorded before anything comes of it.
    pub(crate) fn answer_ask(&self, id: &str, word: &Word, by: &PrincipalId) -> Result<Answered, AuthorityError> {
        let now = self.config.clock.now();
        let mut core = self.core();
        let store = core.journal.store();
        let ask = store.ask(id)?.ok_or_else(|| unknown(id))?;
        still_open(&ask, now)?;
        let barred = approvers::barred(store, &ask.agent, &ask.by, &ask.principal)?;
        approvers::may_answer(store, &ask.role, &barred, by)?;
        if word.digest.as_ref().is_some_and(|digest| *digest != ask.digest) {
            let message = format!("`{id}` is not what was shown: its digest is {}", ask.digest);
            return Err(refused(Code::RequestInvalid, message, "look at it again: remit approvals".into()));
        }
        if word.allow {
            self.may_be_allowed(&core, &ask, word)?;
        }
        core.journal.record(&Change::AskAnswered(AskAnswered {
            id: ask.id.clone(),
            digest: ask.digest.clone(),
            agent: ask.agent.clone(),
            allowed: word.allow,
            why: word.why.clone(),
            until: now.saturating_add(COLLECT_SECONDS),
            by: by.clone(),
            at: now,
        }))?;
        if word.allow && ask.run.is_some() {
            self.give_within(&mut core, id)?;
        }
        let asked = word.allow.then(|| ask.asked.clone());
        let after = core.journal.store().ask(id)?.unwrap_or(ask);
        let shown = with_people(core.journal.store(), after)?;
        Ok(Answered { approval: Approval::Scope(Box::new(shown)), asked })
    }

    /// Whoever allows it hears now what would stand in the way later.
    fn may_be_allowed(&self, core: &Core, ask: &AskRecord, word: &Word) -> Result<(), AuthorityError> {
        if word.why.trim().is_empty() {
            return Err(refused(Code::GrantIncomplete, "no reason is given".into(), "say why: --why \"…\"".into()));
        }
        if !word.duration.is_empty() {
            let message = "what is allowed is exactly what was asked for, also for how long".into();
            return Err(refused(Code::RequestInvalid, message, "leave --for out, or have it asked for anew".into()));
        }
        self.still_fits(core, ask)
    }

    /// Whether what was shown is still what would be granted: the agent, the menus, the rules and the tools as reviewed.
    pub(super) fn still_fits(&self, core: &Core, ask: &AskRecord) -> Result<(), AuthorityError> {
        let store = core.journal.store();
        let gone = || {
            let message = format!("the agent {} is not registered any more", ask.agent.short());
            refused(Code::AgentUnregistered, message, "register it: remit agent register agent.toml".into())
        };
        let agent = store.agent(&ask.agent)?.ok_or_else(gone)?;
        may_act(core, &agent, self.config.clock.now())?;
        let (granted, targets) = beyond(&agent.manifest, &offers(store)?, &self.config.gateway, &ask.asked)?;
        separation::may_hold(&self.rules()?, &agent.manifest, &granted.details)?;
        if ask.digest_with(&pins(store, &targets)?) == ask.digest && granted.details == ask.details {
            return Ok(());
        }
        let message = format!("a tool of `{}` was reviewed anew since it was asked for", ask.id);
        Err(refused(Code::PinChanged, message, "have it asked for again".into()))
    }

    /// Takes an ask back.
    pub(crate) fn withdraw(&self, id: &str, by: &PrincipalId) -> Result<AskRecord, AuthorityError> {
        let now = self.config.clock.now();
        let mut core = self.core();
        let ask = core.journal.store().ask(id)?.ok_or_else(|| unknown(id))?;
        let waits = matches!(ask.state, AskState::Open | AskState::Allowed);
        if !waits {
            return Err(over(&ask));
        }
        let state = AskState::Withdrawn;
        core.journal.record(&Change::AskEnded(AskEnded {
            id: ask.id.clone(),
            state,
            by: Some(by.clone()),
            at: now,
        }))?;
        Ok(AskRecord { state, ..ask })
    }
}

fn still_open(ask: &AskRecord, now: i64) -> Result<(), AuthorityError> {
    if ask.state == AskState::Open && ask.until > now { Ok(()) } else { Err(over(ask)) }
}

fn over(ask: &AskRecord) -> AuthorityError {
    let message = match ask.state {
        AskState::Open | AskState::Expired => format!("the time of `{}` is over", ask.id),
        state => format!("`{}` was answered already: {}", ask.id, state.name()),
    };
    refused(Code::RequestInvalid, message, "see what waits: remit approvals".into())
}
