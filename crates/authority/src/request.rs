//! Requests: from outside one begins a root run with its ceiling, from inside one narrows the run that it comes from, or
//! begins a child of it ([`crate::spawn`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use remit_core::claims::TEXT_BYTES_MAX;
use remit_core::id::{PrincipalId, RunId, ServerName};
use remit_core::jws::Jwk;
use remit_core::rejection::{Code, Rejection};

use crate::asks::since;
use crate::authority::{Core, State};
use crate::change::{Change, Grant, Principal, Process, Run};
use crate::error::AuthorityError;
use crate::grant::{Asked, Granted, Offer, grant, narrow};
use crate::hygiene::still_needed;
use crate::known;
use crate::random;
use crate::separation;
use crate::signing::PrivateKey;
use crate::socket;
use crate::socket::wire::{Request, Requested};
use crate::standing::{ends_soon, may_act};
use crate::store::Store;

/// What decided a grant that the rules alone decided.
const BY_POLICY: &str = "policy";

impl State {
    /// Begins a new root run.
    pub(crate) fn launch(
        self: &Arc<Self>,
        request: &Request,
        asker: &str,
        process: Option<Process>,
    ) -> Result<Requested, AuthorityError> {
        let (now, began) = (self.config.clock.now(), Instant::now());
        let mut core = self.core();
        let agent = core.journal.store().agent_named(&request.agent)?.ok_or_else(|| {
            let message = format!("no agent `{}` is registered", request.agent);
            refused(Code::AgentUnregistered, message, "register it: remit agent register agent.toml")
        })?;
        known::registered(core.journal.store(), &request.asked)?;
        let granted = judge(self, &core, &agent.manifest, &request.asked)
            .map_err(|error| self.with_ways(&core, &agent, &request.asked, None, error))?;
        let narrower = self.enough(&core, &agent, &request.asked, None, false)?;
        let principal = self.principal(&mut core, request.principal.as_deref().unwrap_or(asker))?;
        let id = random::run()?;
        let (key, held) = key(request.key.as_ref())?;
        let run = Run {
            root: id.clone(),
            id,
            parent: None,
            agent: agent.id,
            principal,
            key,
            key_held: held.is_some(),
            process,
            until: now.saturating_add(granted.seconds),
            golden: request.golden,
            lin: Vec::new(),
            via: Vec::new(),
            at: now,
        };
        may_begin(&core, &run, now)?;
        let mut ceiling = state_grant(&run, granted, &request.asked, run.until, true, now)?;
        ceiling.took_us = since(began);
        let given = self.begin(&mut core, run, ceiling, held)?;
        Ok(Requested { narrower, ..given })
    }

    /// Records a run with its ceiling, and serves its socket where its key stays here.
    pub(crate) fn begin(
        self: &Arc<Self>,
        core: &mut Core,
        run: Run,
        ceiling: Grant,
        held: Option<PrivateKey>,
    ) -> Result<Requested, AuthorityError> {
        let socket = self.home.run_socket(run.id.as_str());
        // The socket first: a path that is too long, say, must not leave a run that nobody can use.
        let listener = held.is_some().then(|| socket::bind_run(&self.home, &run.id)).transpose()?;
        core.journal.record(&Change::Launched { run: Box::new(run.clone()), grant: Box::new(ceiling.clone()) })?;
        if let Some(private) = held {
            core.held.insert(run.id.clone(), private);
        }
        // Before anything else can end the run: its end closes the socket.
        if let Some(listener) = listener {
            socket::serve_run(self, run.id.clone(), listener)?;
        }
        let spawned_by = core.journal.store().spawned_by(&run)?;
        let days = ends_soon(core.journal.store(), &run.agent, self.config.clock.now())?;
        let name = format!("{}/{}", run.agent.team, run.agent.name);
        let warning = days
            .map(|days| format!("the registration of {name} ends in {days} days; renew it: remit agent renew {name}"));
        let narrower = None;
        Ok(Requested { run, grant: ceiling, socket, spawned_by, warning, narrower })
    }

    /// Grants a run something within its ceiling.
    pub(crate) fn narrow(&self, run: &RunId, asked: &Asked) -> Result<Requested, AuthorityError> {
        let (now, began) = (self.config.clock.now(), Instant::now());
        let mut core = self.core();
        let store = core.journal.store();
        let run = store.live_run(run, now)?.ok_or_else(|| over(run))?;
        let ceiling = store.ceiling(&run.id)?.ok_or_else(|| over(&run.id))?;
        let agent = store.agent(&run.agent)?.ok_or_else(|| over(&run.id))?;
        may_act(&core, &agent, now)?;
        let judged = judge(self, &core, &agent.manifest, asked);
        let judged = judged.and_then(|granted| Ok((narrow(&ceiling, &granted, now)?, granted)));
        let (until, granted) = judged.map_err(|error| self.with_ways(&core, &agent, asked, Some(&ceiling), error))?;
        let narrower = self.enough(&core, &agent, asked, Some(&ceiling), false)?;
        let mut grant = state_grant(&run, granted, asked, until, false, now)?;
        grant.took_us = since(began);
        core.journal.record(&Change::Granted(Box::new(grant.clone())))?;
        let given = self.requested(&core, run, grant)?;
        Ok(Requested { narrower, ..given })
    }

    /// The pseudonym of a person or workload, made when it is met for the first time.
    pub(crate) fn principal(&self, core: &mut Core, name: &str) -> Result<PrincipalId, AuthorityError> {
        if name.trim().is_empty() || name.len() > TEXT_BYTES_MAX {
            let message = format!("a principal's name is empty or longer than {TEXT_BYTES_MAX} bytes");
            return Err(refused(Code::RequestInvalid, message, "name who it is for"));
        }
        if let Some(id) = core.journal.store().principal_named(name)? {
            return Ok(id);
        }
        let principal = Principal {
            id: random::principal()?,
            name: name.to_owned(),
            shown: None,
            workload: false,
            at: self.config.clock.now(),
        };
        let id = principal.id.clone();
        core.journal.record(&Change::Principal(principal))?;
        Ok(id)
    }

    /// Gives a run whose key was lost with an earlier process another one.
    pub(crate) fn rekey(&self, core: &mut Core, run: &RunId) -> Result<(), AuthorityError> {
        if core.held.contains_key(run) {
            return Ok(());
        }
        let (private, _seed) = PrivateKey::generate()?;
        core.journal.record(&Change::Rekeyed {
            run: run.clone(),
            key: private.public().clone(),
            at: self.config.clock.now(),
        })?;
        core.held.insert(run.clone(), private);
        Ok(())
    }
}

pub(crate) fn judge(
    state: &State,
    core: &Core,
    manifest: &remit_core::manifest::Manifest,
    asked: &Asked,
) -> Result<Granted, AuthorityError> {
    let store = core.journal.store();
    let granted = grant(manifest, &offers(store)?, &state.config.gateway, asked)?;
    known::arguments(store, asked)?;
    fits(state, manifest, &granted)?;
    Ok(granted)
}

/// What stands against a grant beside the manifest's own words: a rule of separation, or the end of a need.
pub(crate) fn fits(
    state: &State,
    manifest: &remit_core::manifest::Manifest,
    granted: &Granted,
) -> Result<(), AuthorityError> {
    separation::may_hold(&state.rules()?, manifest, &granted.details)?;
    Ok(still_needed(manifest, granted, state.config.clock.now())?)
}

/// What every registered server has on its menu.
pub(crate) fn offers(store: &Store) -> Result<BTreeMap<ServerName, Offer>, AuthorityError> {
    let mut offers = BTreeMap::new();
    for server in store.servers()? {
        let tools = store.tools(&server.name)?;
        let exposed = tools.into_iter().filter(|tool| tool.exposed).map(|tool| tool.name);
        let (exposed, prompts) = (exposed.collect(), server.prompts);
        let (resources, features) = (server.resources, server.features);
        let offer = Offer { environment: server.environment, exposed, prompts, resources, features };
        offers.insert(server.name, offer);
    }
    Ok(offers)
}

pub(crate) fn state_grant(
    run: &Run,
    granted: Granted,
    asked: &Asked,
    until: i64,
    ceiling: bool,
    now: i64,
) -> Result<Grant, AuthorityError> {
    Ok(Grant {
        id: random::grant()?,
        run: run.id.clone(),
        root: run.root.clone(),
        agent: run.agent.clone(),
        principal: run.principal.clone(),
        details: granted.details,
        why: asked.why.clone(),
        until,
        by: BY_POLICY.into(),
        ceiling,
        wildcard: granted.wildcard,
        ask: None,
        took_us: None,
        at: now,
    })
}

/// The run's key: its owner's public one, or a new one whose private half stays here.
pub(crate) fn key(given: Option<&Jwk>) -> Result<(Jwk, Option<PrivateKey>), AuthorityError> {
    let Some(given) = given else {
        let (private, _seed) = PrivateKey::generate()?;
        return Ok((private.public().clone(), Some(private)));
    };
    let known = matches!((given.kty.as_str(), given.crv.as_str()), ("OKP", "Ed25519") | ("EC", "P-256"));
    if known {
        return Ok((given.clone(), None));
    }
    let message = "the key is neither Ed25519 nor P-256".into();
    Err(refused(Code::RequestInvalid, message, "make one of these"))
}

/// Whether a run may begin, whoever asks for it: nobody that it names was revoked, and its process is no other run's,
/// from which nothing could tell it.
pub(crate) fn may_begin(core: &Core, run: &Run, now: i64) -> Result<(), AuthorityError> {
    not_revoked(core, run)?;
    if let Some(agent) = core.journal.store().agent(&run.agent)? {
        may_act(core, &agent, now)?;
    }
    let other = run.process.map(|process| core.journal.store().live_run_of(process, now)).transpose()?.flatten();
    match other {
        None => Ok(()),
        Some(other) => {
            let message = format!("its process is that of the run `{}`", other.id);
            Err(refused(Code::RequestInvalid, message, "name a process of its own: --pid PID"))
        }
    }
}

/// A person or an agent that was revoked begins nothing new.
fn not_revoked(core: &Core, run: &Run) -> Result<(), AuthorityError> {
    use remit_core::revoked::Kind;
    let name = format!("{}/{}", run.agent.team, run.agent.name);
    let short = run.agent.short();
    let jkt = run.key.thumbprint();
    let names = [
        (Kind::Agent, short.as_str()),
        (Kind::Agent, &name),
        (Kind::Team, run.agent.team.as_str()),
        (Kind::Principal, run.principal.as_str()),
        (Kind::Key, &jkt),
    ];
    let hit = names.into_iter().find(|(kind, id)| core.revoked.has(*kind, id));
    hit.map_or(Ok(()), |(kind, id)| {
        let (message, help) = taken_back(kind, id);
        Err(refused(Code::Revoked, message, help))
    })
}

/// What was revoked, how far it reaches, and what is left to do. Nothing lifts a revocation: only a lockdown ends.
fn taken_back(kind: remit_core::revoked::Kind, id: &str) -> (String, &'static str) {
    use remit_core::revoked::Kind;
    const WHO: &str = "it stays so: see who revoked it: remit log tail --log authority --kind revocation";
    match kind {
        Kind::Agent if id.contains('@') => (
            format!("this version of the agent, `{id}`, was revoked"),
            "register the next version: remit agent register agent.toml",
        ),
        Kind::Agent => (format!("the agent `{id}` was revoked in all its versions, also those to come"), WHO),
        Kind::Team => (format!("the team `{id}` was revoked with all its agents"), WHO),
        Kind::Key => ("the run's key was revoked".into(), "make another key"),
        kind => (format!("the {} was revoked", kind.name()), WHO),
    }
}

pub(crate) fn over(run: &RunId) -> AuthorityError {
    let help = "begin a new run: remit request SERVER/TOOL --for 15m --why \"…\"";
    refused(Code::TokenExpired, format!("the run `{run}` is over"), help)
}

fn refused(code: Code, message: String, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
