//! Minting: the statement of a grant for one run, signed, recorded before anybody has it.

use remit_core::claims::{
    Actor, CLAIMS_VERSION, Claims, Confirmation, DELEGATION_DEPTH_MAX, Decision, PROFILE_AGENT, PROFILE_USER,
    TOKEN_TYPE, Task,
};
use remit_core::grant::Detail;
use remit_core::id::{GrantId, Instance, RunId};
use remit_core::label::Trust;
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::Kind;
use serde::Serialize;

use crate::authority::{Core, State};
use crate::change::{AgentRecord, Change, Grant, Refresh, Run, TokenRecord};
use crate::error::AuthorityError;
use crate::random;
use crate::separation;
use crate::standing::{self, frozen};
use remit_core::subset::details_within;

/// Links below the root that a run may have: a root, its helpers, theirs, and one more. What is deeper is seen by nobody.
pub(crate) const DELEGATION_LINKS: u32 = 3;
const _: () = assert!(DELEGATION_LINKS <= DELEGATION_DEPTH_MAX, "what is minted is accepted");

/// Which token is wanted.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The grant to state; the run's ceiling where none is named.
    pub(crate) grant: Option<GrantId>,
    /// The gateway's URLs that shall accept it; all of the grant's where none is named.
    pub(crate) resources: Vec<String>,
    /// Less than the grant, where less is wanted.
    pub(crate) details: Option<Vec<Detail>>,
    /// Whether the presenter proves possession of the run's key.
    pub(crate) bound: bool,
    /// What is given with it to get the next one.
    pub(crate) refresh: Option<Refresh>,
    /// The token that is exchanged for this one: beyond it nothing is stated.
    pub(crate) of: Option<Claims>,
    /// Its latest end, in seconds since 1970.
    pub(crate) until: Option<i64>,
}

/// A token. No `Debug`.
pub(crate) struct Minted {
    pub(crate) token: String,
    pub(crate) claims: Claims,
}

/// Why there is no token, by what the token endpoint has to say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Run, grant, agent or key is over or was taken back.
    Grant,
    /// The grant is for other resources.
    Target,
    /// More is asked than is granted.
    Details,
    /// The token would have to be bound to a key.
    Proof,
    /// The request is not one that is answered, whoever sends it.
    Request,
    /// Who shall act may not do so for whoever asks.
    Actor,
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

impl State {
    /// Mints a token for a live run. It is recorded before it is returned.
    pub(crate) fn mint(
        &self,
        run: &RunId,
        wanted: &Wanted,
    ) -> Result<Result<Minted, (Refusal, Rejection)>, AuthorityError> {
        self.mint_in(&mut self.core(), run, wanted)
    }

    /// The same, together with other changes.
    pub(crate) fn mint_in(
        &self,
        core: &mut Core,
        run: &RunId,
        wanted: &Wanted,
    ) -> Result<Result<Minted, (Refusal, Rejection)>, AuthorityError> {
        let now = self.config.clock.now();
        let (run, grant, agent) = match holder(core, run, wanted, now)? {
            Ok(holder) => holder,
            Err(refused) => return Ok(Err(refused)),
        };
        let looser = wanted.of.as_ref().is_some_and(|of| of.cnf.is_some());
        if !wanted.bound && (looser || !agent.manifest.agent.bearer) {
            return Ok(Err(unbound(&agent)));
        }
        let held = wanted.of.as_ref().map_or(&grant.details, |of| &of.authorization_details);
        let (audience, details) = match narrowed(held, wanted) {
            Ok(narrowed) => narrowed,
            Err(refused) => return Ok(Err(refused)),
        };
        let claims = self.claims(core, &run, &grant, &agent, (audience, details), wanted, now)?;
        if let Some(kind) = core.taken(&claims)? {
            return Ok(Err(revoked(kind)));
        }
        if let Err(refused) = separation::may_hold(&self.rules()?, &agent.manifest, &grant.details) {
            return Ok(Err((Refusal::Grant, refused)));
        }
        let (public, private) = core.keys.signer(now).ok_or(AuthorityError::Crypto)?;
        let kid = public.kid.as_deref().unwrap_or_default();
        let header = Header { typ: TOKEN_TYPE, alg: "EdDSA", kid };
        let token = private.sign(&header, &claims)?;
        core.journal.record(&Change::Token(record(&claims, wanted.refresh.clone())))?;
        Ok(Ok(Minted { token, claims }))
    }

    #[expect(clippy::too_many_arguments, reason = "each is one source of claims")]
    fn claims(
        &self,
        core: &Core,
        run: &Run,
        grant: &Grant,
        agent: &AgentRecord,
        (aud, authorization_details): (Vec<String>, Vec<Detail>),
        wanted: &Wanted,
        now: i64,
    ) -> Result<Claims, AuthorityError> {
        let person = core.journal.store().principal_by_id(&run.principal)?;
        let workload = person.as_ref().is_some_and(|person| person.workload);
        let root = core.journal.store().run(&run.root)?;
        let above = core.journal.store().spawned_by(run)?;
        let depth = run.lin.len().try_into().unwrap_or(u32::MAX);
        let iss = self.config.issuer.clone();
        Ok(Claims {
            ver: CLAIMS_VERSION,
            aud,
            exp: now
                .saturating_add(self.config.token_seconds)
                .min(grant.until)
                .min(wanted.of.as_ref().map_or(i64::MAX, |of| of.exp))
                .min(wanted.until.unwrap_or(i64::MAX)),
            iat: now,
            jti: random::jti()?,
            sub: run.principal.clone(),
            sub_profile: if workload { PROFILE_AGENT } else { PROFILE_USER }.into(),
            name: person.map(|person| person.shown.unwrap_or(person.name)),
            client_id: run.agent.clone(),
            act: actor(&iss, run.instance(), above),
            iss,
            cnf: wanted.bound.then(|| Confirmation { jkt: run.key.thumbprint() }),
            authorization_details,
            task: Task {
                id: grant.id.to_string(),
                purpose: agent.manifest.agent.purpose.clone(),
                why: grant.why.clone(),
                // Whoever launches a root speaks for a person; whatever is asked for inside, a model may have worded.
                trust: if grant.ceiling && run.parent.is_none() { Trust::Verified } else { Trust::Untrusted },
            },
            run: run.id.clone(),
            root: run.root.clone(),
            // A clock that was set back must not make the launch later than the token; earlier is the cautious side.
            root_at: root.as_ref().map_or(run.at, |root| root.at).min(now),
            root_until: root.map_or(run.until, |root| root.until).max(grant.until),
            gid: grant.id.clone(),
            lin: run.lin.clone(),
            via: match &wanted.of {
                Some(of) => of.via.iter().chain([&of.jti]).cloned().collect(),
                None => run.via.clone(),
            },
            lin_jkt: Vec::new(),
            del_depth: depth,
            del_max_depth: DELEGATION_LINKS,
            grant: Decision { until: grant.until, by: grant.by.clone() },
            path: run.golden.then(|| "golden".into()),
        })
    }
}

/// The acting instance, and within it those that delegated to it, of which `above` names the nearest first.
fn actor(iss: &str, own: Instance, above: Vec<Instance>) -> Actor {
    let link = |sub, act: Option<Actor>| Actor {
        sub,
        iss: iss.to_owned(),
        sub_profile: PROFILE_AGENT.into(),
        act: act.map(Box::new),
    };
    let above = above.into_iter().rev().fold(None, |act, sub| Some(link(sub, act)));
    link(own, above)
}

type Holder = Result<(Run, Grant, AgentRecord), (Refusal, Rejection)>;

fn holder(core: &Core, id: &RunId, wanted: &Wanted, now: i64) -> Result<Holder, AuthorityError> {
    let over = |message: String| {
        let help = "begin a new run: remit request SERVER/TOOL --for 15m --why \"…\"";
        Ok(Err((Refusal::Grant, Rejection::new(Code::TokenExpired, message, help))))
    };
    let store = core.journal.store();
    let Some(run) = store.live_run(id, now)? else {
        return over(format!("the run `{id}` is over"));
    };
    let grant = match &wanted.grant {
        Some(grant) => store.grant(grant)?.filter(|grant| grant.run == run.id),
        None => store.ceiling(&run.id)?,
    };
    let Some(grant) = grant else {
        return Ok(Err((Refusal::Grant, no_grant(&run, wanted))));
    };
    if grant.until <= now {
        return over("the grant is over".into());
    }
    let Some(agent) = store.agent(&run.agent)? else {
        return over(format!("the agent {} is not registered", run.agent.short()));
    };
    if let Some(why) = frozen(core, &agent, now)? {
        return Ok(Err((Refusal::Grant, standing::refusal(store, &agent.id, &why, now)?)));
    }
    Ok(Ok((run, grant, agent)))
}

/// Another run's grant is told by nothing from one that does not exist.
fn no_grant(run: &Run, wanted: &Wanted) -> Rejection {
    let named = wanted.grant.as_ref().map_or_else(String::new, |grant| format!(" `{grant}`"));
    let message = format!("the run `{}` has no grant{named}", run.id);
    Rejection::new(Code::RequestInvalid, message, format!("see what it has: remit status --run {}", run.id))
}

fn unbound(agent: &AgentRecord) -> (Refusal, Rejection) {
    let message = format!("tokens of {} are bound to a key, and the request proves none", agent.id.short());
    let help = "send a DPoP proof, or let agent.toml say `bearer = true`";
    (Refusal::Proof, Rejection::new(Code::ProofInvalid, message, help))
}

pub(crate) fn revoked(kind: Kind) -> (Refusal, Rejection) {
    let message = match kind {
        Kind::Veto => "the agent, or one that it acts for, is vetoed in production; owned by agent-security".to_owned(),
        kind => format!("the {} was revoked", kind.name()),
    };
    let help = "see what was: remit status";
    (Refusal::Grant, Rejection::new(Code::Revoked, message, help))
}

/// What is wanted of what is held, and where it is accepted.
pub(crate) fn narrowed(stated: &[Detail], wanted: &Wanted) -> Result<(Vec<String>, Vec<Detail>), (Refusal, Rejection)> {
    let here =
        |detail: &&Detail| wanted.resources.is_empty() || detail.locations.iter().any(|l| wanted.resources.contains(l));
    let within: Vec<Detail> = stated.iter().filter(here).cloned().collect();
    let known = |resource: &String| within.iter().any(|d| d.locations.contains(resource));
    if within.is_empty() || !wanted.resources.iter().all(known) {
        let message = "the grant names no tool of that server";
        let help = "ask for one: remit request SERVER/TOOL --for 15m --why \"…\"";
        return Err((Refusal::Target, Rejection::new(Code::InsufficientScope, message, help)));
    }
    let details = match &wanted.details {
        None => within,
        Some(less) if !less.is_empty() && details_within(less, &within) => less.clone(),
        Some(_) => {
            let message = "the authorization details are not within the grant";
            let help = "see what is held: remit status";
            return Err((Refusal::Details, Rejection::new(Code::InsufficientScope, message, help)));
        }
    };
    let mut audience: Vec<String> = details.iter().flat_map(|d| d.locations.clone()).collect();
    audience.sort();
    audience.dedup();
    Ok((audience, details))
}

fn record(claims: &Claims, refresh: Option<Refresh>) -> TokenRecord {
    TokenRecord {
        jti: claims.jti.clone(),
        grant: claims.gid.clone(),
        run: claims.run.clone(),
        root: claims.root.clone(),
        agent: claims.client_id.clone(),
        principal: claims.sub.clone(),
        audience: claims.aud.clone(),
        via: claims.via.clone(),
        jkt: claims.cnf.as_ref().map(|cnf| cnf.jkt.clone()),
        refresh,
        exp: claims.exp,
        at: claims.iat,
    }
}
