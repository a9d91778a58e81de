//! Token exchange (RFC 8693): a run gives a token for one that says less, or begins a run of another agent by it.
//!
//! **Invariant:** whatever comes out is within the token that was shown, on every axis: tools, arguments, prompts, resources,
//! features, audience, time, depth, and what has to be proved to use it. And it ends with it: whoever revokes the one
//! revokes the other.

use std::sync::Arc;
use std::time::Instant;

use remit_core::claims::{Claims, EXCHANGES_MAX};
use remit_core::grant::Detail;
use remit_core::id::{AgentId, RunId};
use remit_core::jws::Jwk;
use remit_core::manifest;
use remit_core::rejection::{Code, Rejection};

use crate::asks::since;
use crate::authority::{Core, State};
use crate::change::{AgentRecord, Grant, Run};
use crate::error::AuthorityError;
use crate::grant::{Asked, Granted, Stated, narrow, stated};
use crate::mint::{Minted, Refusal, Wanted, narrowed};
use crate::random;
use crate::request::{fits, may_begin, offers, over, state_grant};
use crate::spawn::{no_looser, room};

/// What is wanted of the token that is shown. Where nothing is said, all of it.
#[derive(Debug, Default)]
pub(crate) struct Less {
    /// The gateway's URLs that shall accept the new token.
    pub(crate) resources: Vec<String>,
    /// What may be done.
    pub(crate) details: Option<Vec<Detail>>,
}

/// To whom it is delegated.
#[derive(Debug)]
pub(crate) struct Heir {
    /// The agent.
    pub(crate) agent: AgentId,
    /// The key of its run, which it keeps itself.
    pub(crate) key: Jwk,
    /// Why, in words of which nobody knows who worded them.
    pub(crate) why: String,
    /// For how long its run shall be, such as `15m`.
    pub(crate) duration: Option<String>,
}

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It was refused.
    Refused(Refusal, Rejection),
    /// It was not decided.
    Authority(AuthorityError),
}

impl From<AuthorityError> for Failed {
    fn from(error: AuthorityError) -> Self {
        Self::Authority(error)
    }
}

impl From<(Refusal, Rejection)> for Failed {
    fn from((refusal, rejection): (Refusal, Rejection)) -> Self {
        Self::Refused(refusal, rejection)
    }
}

impl State {
    /// A token of the same run that says less.
    pub(crate) fn exchange(&self, run: &RunId, subject: &str, less: Less, bound: bool) -> Result<Minted, Failed> {
        let mut core = self.core();
        let subject = self.shown(&core, run, subject)?;
        let grant = Some(subject.gid.clone());
        let wanted = Wanted {
            grant,
            resources: less.resources,
            details: less.details,
            bound,
            of: Some(subject),
            ..Wanted::default()
        };
        Ok(self.mint_in(&mut core, run, &wanted)??)
    }

    /// Begins a child of a run by a token of that run, and gives the child's first token.
    ///
    /// The child's key is its own, kept wherever it runs. That is why the parent's must be too: of a run whose key the
    /// authority holds, nothing can be used outside the machine that it was launched on, and a child with a key from elsewhere would
    /// carry a credential away. Whoever launched a run with a key of its own has allowed that already, and what is handed on here is
    /// never more than the parent can do with that key by itself.
    pub(crate) fn delegate_to(
        self: &Arc<Self>,
        parent: &RunId,
        subject: &str,
        less: Less,
        heir: Heir,
    ) -> Result<Minted, Failed> {
        let (now, began) = (self.config.clock.now(), Instant::now());
        let mut core = self.core();
        let subject = self.shown(&core, parent, subject)?;
        let parent = core.journal.store().live_run(parent, now)?.ok_or_else(|| over(parent))?;
        let agent = may_inherit(&core, &parent, &heir, now)?;
        let wanted = Wanted { resources: less.resources, details: less.details, ..Wanted::default() };
        let (_, details) = narrowed(&subject.authorization_details, &wanted)?;
        let (granted, why) = self.judged(&core, &agent, &subject, (&details, &heir), now)?;
        let ceiling = ceiling(&core, &parent, &subject)?;
        let until = narrow(&ceiling, &granted, now).map_err(of(Refusal::Details))?;
        let run = child(parent, agent, heir, &subject, until, now)?;
        may_begin(&core, &run, now).or_else(refused(Refusal::Actor))?;
        let id = run.id.clone();
        let mut ceiling = state_grant(&run, granted, &why, until, true, now)?;
        ceiling.took_us = since(began);
        self.begin(&mut core, run, ceiling, None)?;
        let wanted = Wanted { bound: true, until: Some(subject.exp), ..Wanted::default() };
        Ok(self.mint_in(&mut core, &id, &wanted)??)
    }

    /// The claims of the token that a run shows. One of another run is as good as none, whoever shows it.
    fn shown(&self, core: &Core, run: &RunId, subject: &str) -> Result<Claims, Failed> {
        let claims = self.live(core, subject)?.filter(|claims| claims.run == *run);
        let claims = claims.ok_or_else(|| invalid("the subject token is not a live one of this run"))?;
        if claims.via.len() >= EXCHANGES_MAX {
            return Err(invalid("the subject token was exchanged too often"));
        }
        Ok(claims)
    }

    /// What the child is granted: within its manifest, its servers' menus, and no longer than the grant that is handed on.
    fn judged(
        &self,
        core: &Core,
        agent: &AgentRecord,
        subject: &Claims,
        (details, heir): (&[Detail], &Heir),
        now: i64,
    ) -> Result<(Granted, Asked), Failed> {
        let seconds = match heir.duration.as_deref().map(manifest::seconds) {
            None => None,
            Some(Some(seconds)) if seconds > 0 && now.saturating_add(seconds) <= subject.grant.until => Some(seconds),
            Some(_) => return Err(invalid("`for` is no time, or longer than what is handed on")),
        };
        let seconds_max = subject.exp.saturating_sub(now);
        let asked = Stated { details, seconds, seconds_max, why: &heir.why };
        let offers = offers(core.journal.store())?;
        let granted = stated(&agent.manifest, &offers, &self.config.gateway, &asked).map_err(|rejection| {
            let refusal = match rejection.code {
                Code::GrantIncomplete => Refusal::Request,
                Code::RequestInvalid => Refusal::Details,
                // Its manifest, or a server's menu, does not let this agent have it.
                _ => Refusal::Actor,
            };
            (refusal, rejection)
        })?;
        fits(self, &agent.manifest, &granted).or_else(refused(Refusal::Actor))?;
        let why = Asked { tools: vec![], constraints: vec![], duration: String::new(), why: heir.why.clone() };
        Ok((granted, why))
    }
}

/// Whether a run may hand something to this agent and this key; the agent's registration.
fn may_inherit(core: &Core, parent: &Run, heir: &Heir, now: i64) -> Result<AgentRecord, Failed> {
    let actor = |message: &str| Failed::from((Refusal::Actor, rejection(Code::PolicyForbid, message)));
    if parent.key_held {
        return Err(actor(
            "the key of this run is kept by the authority, and it hands nothing to a key from elsewhere",
        ));
    }
    let store = core.journal.store();
    let agent = store.agent(&heir.agent)?.ok_or_else(|| actor("no such agent is registered"))?;
    room(core, parent, now).or_else(refused(Refusal::Request))?;
    no_looser(core, parent, &agent).or_else(refused(Refusal::Actor))?;
    // Else a run could act as another agent, and nobody could tell which of the two it was.
    let jkt = heir.key.thumbprint();
    let mut above = vec![parent.key.thumbprint()];
    for instance in store.spawned_by(parent)? {
        above.extend(store.run(&instance.run)?.map(|run| run.key.thumbprint()));
    }
    if above.contains(&jkt) { Err(actor("the actor's key is that of a run above it")) } else { Ok(agent) }
}

/// The parent's ceiling. What is handed on must be of it: whoever revokes a ceiling ends its run and all below, and
/// of what a run was granted within its ceiling nothing below would be heard of.
fn ceiling(core: &Core, parent: &Run, subject: &Claims) -> Result<Grant, Failed> {
    let ceiling = core.journal.store().ceiling(&parent.id)?.ok_or_else(|| over(&parent.id))?;
    if ceiling.id == subject.gid { Ok(ceiling) } else { Err(invalid("the subject token states less than a ceiling")) }
}

fn child(
    parent: Run,
    agent: AgentRecord,
    heir: Heir,
    subject: &Claims,
    until: i64,
    now: i64,
) -> Result<Run, AuthorityError> {
    Ok(Run {
        id: random::run()?,
        root: parent.root,
        parent: Some(parent.id),
        agent: agent.id,
        principal: parent.principal,
        key: heir.key,
        key_held: false,
        process: None,
        until,
        // The prescribed way begins outside.
        golden: false,
        lin: subject.lin.iter().chain([&subject.jti]).cloned().collect(),
        via: subject.via.clone(),
        at: now,
    })
}

fn of(refusal: Refusal) -> impl FnOnce(Rejection) -> (Refusal, Rejection) {
    move |rejection| (refusal, rejection)
}

/// A refusal as this kind of refusal; whatever else went wrong stays what it is, and so does one that time mends.
fn refused<T>(refusal: Refusal) -> impl FnOnce(AuthorityError) -> Result<T, Failed> {
    move |error| match error {
        AuthorityError::Refused(rejection) if rejection.code != Code::Overloaded => {
            Err(Failed::Refused(refusal, rejection))
        }
        other => Err(other.into()),
    }
}

fn invalid(message: &str) -> Failed {
    (Refusal::Request, rejection(Code::RequestInvalid, message)).into()
}

fn rejection(code: Code, message: &str) -> Rejection {
    Rejection::new(code, message, "see docs/delegation.md")
}

#[cfg(test)]
mod tests;
