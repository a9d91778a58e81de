//! Asking a person for more than policy grants at once: an ask, its answer, and the one grant that comes of it.
//!
//! **Invariant:** what is granted is exactly what was asked for and shown, once, for a short while, to the run that asked or
//! to one that begins with it. Whoever asks, for whom it is, and who owns the agent do not answer; and what one person
//! alone could answer is not asked.

mod answer;
mod approvers;
mod collect;
pub mod record;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use remit_core::id::{PrincipalId, RunId};
use remit_core::jws::Jwk;
use remit_core::rejection::{Code, Rejection};
use remit_core::target::Target;

use crate::authority::{Core, State};
use crate::change::{AgentRecord, Change, Run};
use crate::error::AuthorityError;
use crate::grant::{Asked, Granted, beyond, is_askable};
use crate::random;
use crate::request::{offers, over};
use crate::socket::wire::{Request, Requested};
use crate::standing::may_act;
use crate::store::Store;
use crate::{known, separation};
use record::{AskEnded, AskRecord, AskShown, AskState, Asking};

/// How long an ask waits for its answer, in seconds; one of a run no longer than the run.
pub const ASK_SECONDS: i64 = 3_600;
/// How long what was allowed waits for whoever asked, in seconds.
pub const COLLECT_SECONDS: i64 = 600;
/// Most asks of one run that wait at once, and most that it ever has: prompts that nobody reads any more protect nobody.
pub const ASKS_OF_RUN_OPEN_MAX: usize = 4;
/// Most asks that one run ever has.
pub const ASKS_OF_RUN_MAX: usize = 16;
/// Most asks on behalf of one person that wait at once.
pub const ASKS_OF_PERSON_MAX: usize = 16;
/// Most asks that wait at once.
pub const ASKS_MAX: usize = 256;

/// What is wished for.
struct Wish {
    agent: AgentRecord,
    run: Option<Run>,
    principal: PrincipalId,
    by: PrincipalId,
    asked: Asked,
    key: Option<Jwk>,
}

impl State {
    /// Grants what is asked for from outside every run, or asks a person.
    pub(crate) fn ask(
        self: &Arc<Self>,
        request: &Request,
        name: &str,
        by: &PrincipalId,
    ) -> Result<Asking, AuthorityError> {
        let why = match self.launch(request, name, None) {
            Err(AuthorityError::Refused(why)) if is_askable(&why) => why,
            given => return given.map(given_at_once),
        };
        let mut core = self.core();
        let agent = core.journal.store().agent_named(&request.agent)?.ok_or(AuthorityError::Refused(why.clone()))?;
        let principal = self.principal(&mut core, request.principal.as_deref().unwrap_or(name))?;
        let (asked, key) = (request.asked.clone(), request.key.clone());
        let wish = Wish { agent, run: None, principal, by: by.clone(), asked, key };
        self.open(&mut core, wish, &why)
    }

    /// The same from inside a run.
    pub(crate) fn ask_within(&self, run: &RunId, asked: &Asked) -> Result<Asking, AuthorityError> {
        let why = match self.narrow(run, asked) {
            Err(AuthorityError::Refused(why)) if is_askable(&why) => why,
            given => return given.map(given_at_once),
        };
        let now = self.config.clock.now();
        let mut core = self.core();
        let store = core.journal.store();
        let run = store.live_run(run, now)?.ok_or_else(|| over(run))?;
        let agent = store.agent(&run.agent)?.ok_or_else(|| over(&run.id))?;
        let (principal, by) = (run.principal.clone(), run.principal.clone());
        let wish = Wish { agent, run: Some(run), principal, by, asked: asked.clone(), key: None };
        self.open(&mut core, wish, &why)
    }

    fn open(&self, core: &mut Core, wish: Wish, why: &Rejection) -> Result<Asking, AuthorityError> {
        let now = self.config.clock.now();
        let store = core.journal.store();
        may_act(core, &wish.agent, now)?;
        let (granted, targets) = self.may_be_asked(store, &wish)?;
        let until = ends(&wish, granted.seconds, now)?;
        let (role, gate) = approvers::role(self, store, &wish.agent.id, &targets)?;
        let people =
            approvers::enough(store, &role, &approvers::barred(store, &wish.agent.id, &wish.by, &wish.principal)?)?;
        let mut ask = AskRecord {
            id: random::user_code()?,
            digest: String::new(),
            agent: wish.agent.id,
            run: wish.run.as_ref().map(|run| (run.id.clone(), run.root.clone())),
            principal: wish.principal,
            by: wish.by,
            asked: wish.asked,
            details: granted.details,
            pins: pins(store, &targets)?,
            seconds: granted.seconds,
            beyond: why.message.clone(),
            role,
            gate,
            key: wish.key,
            state: AskState::Open,
            grant: None,
            answered_by: None,
            until,
            at: now,
        };
        ask.digest = ask.digest_with(&ask.pins);
        let open = store.open_asks()?;
        // Whoever asks twice for the same thing waits for one answer.
        let same = open.iter().find(|other| other.digest == ask.digest && other.state == AskState::Open);
        if let Some(same) = same {
            ask = same.clone();
        } else {
            room(store, &open, &ask)?;
            core.journal.record(&Change::Ask(Box::new(ask.clone())))?;
        }
        let shown = shown(core.journal.store(), ask, people)?;
        Ok(Asking { granted: None, ask: Some(shown) })
    }

    /// What stands as it does for everybody, whoever is asked.
    fn may_be_asked(&self, store: &Store, wish: &Wish) -> Result<(Granted, Vec<Target>), AuthorityError> {
        let (manifest, gateway) = (&wish.agent.manifest, &self.config.gateway);
        if wish.run.is_none() {
            known::registered(store, &wish.asked)?;
        }
        let (granted, targets) = beyond(manifest, &offers(store)?, gateway, &wish.asked)?;
        known::arguments(store, &wish.asked)?;
        separation::may_hold(&self.rules()?, manifest, &granted.details)?;
        Ok((granted, targets))
    }

    /// Ends asks whose time, or whose run, is over.
    pub(crate) fn end_asks(&self, now: i64) -> Result<(), AuthorityError> {
        let mut core = self.core();
        for ask in core.journal.store().open_asks()? {
            let run = ask.run.as_ref().map(|(run, _)| core.journal.store().live_run(run, now)).transpose()?;
            if ask.until <= now || run.is_some_and(|run| run.is_none()) {
                core.journal.record(&Change::AskEnded(AskEnded {
                    id: ask.id,
                    state: AskState::Expired,
                    by: None,
                    at: now,
                }))?;
            }
        }
        Ok(())
    }

    /// What waits for a person's word, the oldest first.
    pub(crate) fn asks_waiting(&self, store: &Store) -> Result<Vec<AskShown>, AuthorityError> {
        let now = self.config.clock.now();
        let mut open = store.open_asks()?;
        open.retain(|ask| ask.state == AskState::Open && ask.until > now);
        open.into_iter().map(|ask| with_people(store, ask)).collect()
    }
}

/// How long the request took until it was decided, in microseconds.
pub(crate) fn since(began: Instant) -> Option<u64> {
    u64::try_from(began.elapsed().as_micros()).ok()
}

fn given_at_once(granted: Requested) -> Asking {
    Asking { granted: Some(granted), ask: None }
}

/// Until when the ask waits. What would hold longer than its run is not asked for.
fn ends(wish: &Wish, seconds: i64, now: i64) -> Result<i64, AuthorityError> {
    let until = now.saturating_add(ASK_SECONDS);
    let Some(run) = &wish.run else { return Ok(until) };
    let left = run.until.saturating_sub(now);
    if seconds > left {
        let message = format!("the run ends in {left}s, before what is asked for would");
        return Err(refused(Code::InsufficientScope, message, format!("ask for at most that: --for {left}s")));
    }
    Ok(until.min(run.until))
}

/// Neither a run nor a person fills the list that others read.
fn room(store: &Store, open: &[AskRecord], ask: &AskRecord) -> Result<(), AuthorityError> {
    let full = |message: String| refused(Code::Overloaded, message, "wait for an answer: remit approvals".into());
    if open.len() >= ASKS_MAX {
        return Err(full(format!("{ASKS_MAX} asks wait for an answer, and there may be no more")));
    }
    if open.iter().filter(|other| other.principal == ask.principal).count() >= ASKS_OF_PERSON_MAX {
        return Err(full(format!("{ASKS_OF_PERSON_MAX} asks for this person wait for an answer")));
    }
    let Some((run, _)) = &ask.run else { return Ok(()) };
    let own = open.iter().filter(|other| other.run == ask.run).count();
    if own >= ASKS_OF_RUN_OPEN_MAX {
        return Err(full(format!("{own} asks of this run wait for an answer")));
    }
    if store.asks_of(run)? >= ASKS_OF_RUN_MAX {
        return Err(full(format!("this run has asked {ASKS_OF_RUN_MAX} times, and asks no more")));
    }
    Ok(())
}

/// Digests of the tools as they are reviewed now.
fn pins(store: &Store, targets: &[Target]) -> Result<BTreeMap<String, String>, AuthorityError> {
    let mut pins = BTreeMap::new();
    for target in targets {
        if let Target::Tool(server, Some(name)) = target {
            let tool = store.tools(server)?.into_iter().find(|tool| tool.name == *name);
            pins.extend(tool.map(|tool| (target.to_string(), tool.pin)));
        }
    }
    Ok(pins)
}

/// The ask that is meant, as a person types it.
fn named(store: &Store, typed: &str) -> Result<Option<AskRecord>, AuthorityError> {
    let letters = typed.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_uppercase());
    let mut id: String = letters.take(16).collect();
    if id.len() != 8 {
        return Ok(None);
    }
    id.insert(4, '-');
    store.ask(&id)
}

/// An ask as people see it.
pub(crate) fn with_people(store: &Store, ask: AskRecord) -> Result<AskShown, AuthorityError> {
    let barred = approvers::barred(store, &ask.agent, &ask.by, &ask.principal)?;
    let people = approvers::people(store, &ask.role, &barred)?;
    shown(store, ask, people)
}

fn shown(store: &Store, ask: AskRecord, people: Vec<String>) -> Result<AskShown, AuthorityError> {
    let asker = store.principal_by_id(&ask.by)?.map_or_else(|| ask.by.to_string(), |person| person.name);
    // What a model reads names nobody.
    let people = if ask.run.is_some() { Vec::new() } else { people };
    Ok(AskShown { ask, asker, people })
}

fn unknown(typed: &str) -> AuthorityError {
    let typed: String = typed.chars().filter(char::is_ascii_graphic).take(32).collect();
    refused(
        Code::RequestInvalid,
        format!("nothing was asked for under `{typed}`"),
        "see what waits: remit approvals".into(),
    )
}

fn refused(code: Code, message: String, help: String) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
