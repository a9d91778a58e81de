//! Taking back: one entry of the feed, after which no gateway that follows it accepts what it names.
//!
//! **Invariant:** with a run all runs end that it began, and those that these began.

use std::cmp::Reverse;

use remit_audit::note;
use remit_core::bundle::FeedPage;
use remit_core::chain;
use remit_core::id::{PrincipalId, RunId, ServerName, ToolId};
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::{Kind, Revocation};

use crate::authority::{Core, State};
use crate::change::{Change, Run};
use crate::error::AuthorityError;

impl State {
    /// Records a revocation, a lockdown or its end, and wakes every gateway. Returns the feed's entry.
    pub(crate) fn revoke(
        &self,
        kind: Kind,
        id: &str,
        why: &str,
        by: &PrincipalId,
    ) -> Result<Revocation, AuthorityError> {
        self.revoke_in(&mut self.core(), kind, id, why, by)
    }

    /// The same, together with what was looked up before.
    pub(crate) fn revoke_in(
        &self,
        core: &mut Core,
        kind: Kind,
        id: &str,
        why: &str,
        by: &PrincipalId,
    ) -> Result<Revocation, AuthorityError> {
        let now = self.config.clock.now();
        let id = named(core, kind, id, now)?;
        let over = ended(core, kind, &id, now)?;
        if matches!(kind, Kind::Key | Kind::Grant) {
            // The tokens of what such a run began name neither its key nor its ceiling, but all of them name the run.
            for run in &over {
                self.take(core, Kind::Run, run.to_string(), why, by)?;
            }
        }
        let revocation = self.take(core, kind, id, why, by)?;
        for run in over {
            self.end(core, &run)?;
        }
        Ok(revocation)
    }

    /// One entry of the feed.
    fn take(
        &self,
        core: &mut Core,
        kind: Kind,
        id: String,
        why: &str,
        by: &PrincipalId,
    ) -> Result<Revocation, AuthorityError> {
        let revocation =
            Revocation { seq: core.revoked.seq().saturating_add(1), kind, id, at: self.config.clock.now() };
        core.journal.record(&Change::Revoked {
            revocation: revocation.clone(),
            why: why.to_owned(),
            by: by.to_string(),
        })?;
        core.follow_feed()?;
        let seq = core.revoked.seq();
        self.followers.made(seq);
        self.feed.send_replace(seq);
        Ok(revocation)
    }

    /// Forgets a person: all that they hold is taken back, then the key under which their data are sealed is destroyed.
    pub(crate) fn erase(&self, who: &str, ground: &str, by: &PrincipalId) -> Result<PrincipalId, AuthorityError> {
        let revoked = self.revoke(Kind::Principal, who, ground, by)?;
        let principal = PrincipalId::new(revoked.id).map_err(|_| AuthorityError::Crypto)?;
        self.forget_pin(&principal)?;
        let change = Change::Erased { principal: principal.clone(), ground: ground.to_owned(), by: by.to_string() };
        let mut core = self.core();
        core.journal.record(&change)?;
        self.sweep_secrets(&core)?;
        Ok(principal)
    }

    /// Ends a run and all below it: nothing is minted for them any more, and their sockets are closed.
    pub(crate) fn end(&self, core: &mut Core, run: &RunId) -> Result<(), AuthorityError> {
        let at = self.config.clock.now();
        // The deepest first: whenever this is interrupted, no run outlives its parent.
        for run in below(core, run)?.into_iter().chain([run.clone()]) {
            core.journal.record(&Change::Ended { run: run.clone(), at })?;
            core.held.remove(&run);
            self.sockets.close(&run);
        }
        Ok(())
    }

    /// The owner of what a revocation would take back, where it is one person's.
    pub(crate) fn owner(&self, kind: Kind, id: &str) -> Result<Option<PrincipalId>, AuthorityError> {
        let core = self.core();
        let store = core.journal.store();
        Ok(match kind {
            Kind::Run | Kind::Root => run(&core, id)?.map(|run| run.principal),
            Kind::Grant => match id.parse() {
                Ok(id) => store.grant(&id)?.map(|grant| grant.principal),
                Err(_) => None,
            },
            Kind::Token => match store.token_grant(id)? {
                Some(grant) => Some(grant.principal),
                None => delegated(&core, id, self.config.clock.now())?.pop().map(|run| run.principal),
            },
            _ => None,
        })
    }

    /// A signed page of the feed.
    pub(crate) fn feed_page(&self, after: u64) -> Result<String, AuthorityError> {
        let feed = self.core().journal.store().feed(after)?;
        let page = FeedPage { seq: feed.seq, at: self.config.clock.now(), entries: feed.entries };
        let text = page.write(&self.config.trust_domain);
        Ok(note::sign(&text.ok_or(AuthorityError::Crypto)?, &self.root))
    }
}

/// The id as the feed states it; refuses what names nothing.
fn named(core: &Core, kind: Kind, id: &str, now: i64) -> Result<String, AuthorityError> {
    let store = core.journal.store();
    let found = match kind {
        // The authority never heard of what links begin: their ids stand in the logs of gateways.
        Kind::Run => run(core, id)?.is_some() || chain::is_linked(id),
        Kind::Root => run(core, id)?.is_some_and(|run| run.root == run.id),
        Kind::Grant => match id.parse() {
            Ok(grant) => store.grant(&grant)?.is_some(),
            Err(_) => false,
        },
        // One that has expired still stands for what was begun by it.
        Kind::Token => {
            store.token_grant(id)?.is_some() || !delegated(core, id, now)?.is_empty() || chain::is_linked(id)
        }
        Kind::Agent | Kind::Veto => store.agent_named(id)?.is_some(),
        Kind::VetoLift => core.revoked.vetoed().any(|vetoed| vetoed == id),
        Kind::Team => store.agents()?.iter().any(|agent| agent.id.team.as_str() == id),
        Kind::Principal => {
            if let Some(principal) = store.principal_named(id)? {
                return Ok(principal.into());
            }
            match PrincipalId::new(id) {
                Ok(principal) => store.principal_by_id(&principal)?.is_some(),
                Err(_) => false,
            }
        }
        Kind::Key => store.run_of_key(id)?.is_some() || chain::is_thumbprint(id),
        Kind::Lockdown => offered(core, id)?,
        Kind::Lift => core.revoked.locked().any(|locked| locked == id),
    };
    if found {
        return Ok(id.to_owned());
    }
    let (message, help) = unknown(kind, id);
    Err(AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help)))
}

/// Whether a server, or one of its tools, is registered. What it no longer offers counts: it may offer it again.
fn offered(core: &Core, id: &str) -> Result<bool, AuthorityError> {
    let store = core.journal.store();
    if let Ok(tool) = id.parse::<ToolId>() {
        return Ok(store.tools(&tool.server)?.iter().any(|offered| offered.name == tool.tool));
    }
    match ServerName::new(id) {
        Ok(server) => Ok(store.server(&server)?.is_some()),
        Err(_) => Ok(false),
    }
}

/// What is said of an id that names nothing, and where the ids stand.
fn unknown(kind: Kind, id: &str) -> (String, &'static str) {
    let message = match kind {
        Kind::Lockdown => format!("no server or tool `{id}` is registered"),
        Kind::Lift => format!("`{id}` is not locked down"),
        _ => format!("there is no {} `{id}`", kind.name()),
    };
    let help = match kind {
        Kind::Lockdown => "see which servers are: remit server list; and their tools: remit server show SERVER",
        Kind::Lift => "see what is: remit status",
        Kind::Agent | Kind::Team | Kind::Veto | Kind::VetoLift => "see which are registered: remit agent list",
        Kind::Token => "see which were minted: remit log tail --log authority --kind token",
        Kind::Principal | Kind::Key => "see those of live runs: remit status --json",
        Kind::Run | Kind::Root | Kind::Grant => "see which are live: remit status",
    };
    (message, help)
}

/// Live runs that a revocation ends; those below them end with them.
fn ended(core: &Core, kind: Kind, id: &str, now: i64) -> Result<Vec<RunId>, AuthorityError> {
    let store = core.journal.store();
    let ceiling = match (kind, id.parse()) {
        (Kind::Grant, Ok(grant)) => store.grant(&grant)?.filter(|grant| grant.ceiling).map(|grant| grant.run),
        _ => None,
    };
    let one = |run: Option<&RunId>| run.map_or(Ok(None), |run| store.live_run(run, now));
    // Only what names no run is looked for in all of them.
    let all = |hit: &dyn Fn(&Run) -> bool| {
        let mut live = store.live_runs(now)?;
        live.retain(hit);
        Ok::<_, AuthorityError>(live)
    };
    let agent = |run: &Run| run.agent.short() == id || format!("{}/{}", run.agent.team, run.agent.name) == id;
    let mut live = match kind {
        Kind::Run => one(RunId::new(id).ok().as_ref())?.into_iter().collect(),
        Kind::Root => RunId::new(id).map_or(Ok(Vec::new()), |root| store.live_tree(&root, now))?,
        // All that a run may do is within its ceiling. Without that, nothing is left of it.
        Kind::Grant => one(ceiling.as_ref())?.into_iter().collect(),
        Kind::Key => store.live_runs_of_key(id, now)?,
        Kind::Agent => all(&agent)?,
        Kind::Team => all(&|run| run.agent.team.as_str() == id)?,
        Kind::Principal => all(&|run| run.principal.as_str() == id)?,
        Kind::Token => all(&|run| began_by(run, id))?,
        // A vetoed version keeps its runs, which get no token until it is lifted.
        Kind::Lockdown | Kind::Lift | Kind::Veto | Kind::VetoLift => Vec::new(),
    };
    // The deepest first: what was ended with its parent is not ended again.
    live.sort_by_key(|run| Reverse(run.lin.len()));
    Ok(live.into_iter().map(|run| run.id).collect())
}

/// Live runs that exist by this token.
fn delegated(core: &Core, jti: &str, now: i64) -> Result<Vec<Run>, AuthorityError> {
    let mut live = core.journal.store().live_runs(now)?;
    live.retain(|run| began_by(run, jti));
    Ok(live)
}

/// Whether a run was begun by a token, by what it was exchanged for, or below a run that was.
fn began_by(run: &Run, jti: &str) -> bool {
    run.lin.iter().chain(&run.via).any(|by| by == jti)
}

/// Runs below this one that were not ended, the deepest first.
fn below(core: &Core, of: &RunId) -> Result<Vec<RunId>, AuthorityError> {
    let mut found = Vec::new();
    let mut next = vec![of.clone()];
    while let Some(parent) = next.pop() {
        for child in core.journal.store().began(&parent)? {
            next.push(child.id.clone());
            found.push(child);
        }
    }
    found.sort_by_key(|run| Reverse(run.lin.len()));
    Ok(found.into_iter().map(|run| run.id).collect())
}

fn run(core: &Core, id: &str) -> Result<Option<Run>, AuthorityError> {
    match RunId::new(id) {
        Ok(id) => core.journal.store().run(&id),
        Err(_) => Ok(None),
    }
}
