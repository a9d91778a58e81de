//! Assertions as grants (RFC 7523 section 2.1): a workload begins a run with the token that its own platform gave it, and a
//! client one for a person with an identity provider's word (ID-JAG).
//!
//! **Invariant:** what comes of it is a new root run of one registered agent, within what that declares. There is no refresh
//! token: whoever wants more comes with another assertion.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use remit_core::jws::Jwk;
use remit_core::rejection::{Code, Rejection};

use super::{Given, details};
use crate::approve::longest;
use crate::authority::State;
use crate::change::AgentRecord;
use crate::clients;
use crate::form::Form;
use crate::grant::Asked;
use crate::http::blocking;
use crate::http::client::proven;
use crate::http::login::offered;
use crate::http::refused::Refused;
use crate::http::wish::{self, EMPTY_SCOPES};
use crate::issuer::Kind;
use crate::issuer::assertion::{self, Assertion, Unfit};
use crate::issuer::person::Who;
use crate::mint::Wanted;
use crate::request::judge;
use crate::signing::PrivateKey;
use crate::socket::wire::Request;

pub(in crate::http) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const OVER: &str = "the person's session ended at the provider after it said so";
/// The profile of ID-JAGs, by which clients find out that they may bring one.
pub(in crate::http) const ID_JAG_PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

pub(super) async fn answer(state: &Arc<State>, headers: HeaderMap, form: Form) -> Result<Given, Refused> {
    let text = form.one("assertion").ok_or_else(|| Refused::new("invalid_request", "`assertion` is missing"))?;
    let verified = assertion::verify(state, text).await?;
    let state = Arc::clone(state);
    let done = blocking(move || {
        Ok(verified
            .map_err(|unfit| refuse(&state, &unfit))
            .and_then(|assertion| begin(&state, &headers, form, &assertion)))
    });
    done.await?
}

/// Records a refusal, and says no more than the caller may know. Before the signature was verified that is nothing.
fn refuse(state: &State, unfit: &Unfit) -> Refused {
    if let Err(error) = state.refuse("assertion", unfit.name(), &unfit.to_string(), None) {
        return Refused::from(error);
    }
    match unfit {
        Unfit::Form | Unfit::Issuer | Unfit::Signature => invalid("the assertion is not accepted"),
        Unfit::Unreachable(_) => Refused {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: "temporarily_unavailable",
            description: unfit.to_string(),
        },
        other => invalid(&other.to_string()),
    }
}

fn invalid(why: &str) -> Refused {
    Refused::new("invalid_grant", why)
}

/// For whom a run begins, and as what.
struct Meant {
    agent: AgentRecord,
    who: Who,
}

/// Within what.
struct Within {
    asked: Asked,
    resources: Vec<String>,
}

fn begin(state: &Arc<State>, headers: &HeaderMap, mut form: Form, assertion: &Assertion) -> Result<Given, Refused> {
    let proven = proven(state, headers).map_err(|refused| recorded(state, assertion, refused))?;
    let prepared = prepare(state, &mut form, assertion, proven.as_ref());
    let (meant, within) = prepared.map_err(|refused| recorded(state, assertion, refused))?;
    if !assertion.is_first(state) {
        return Err(refuse(state, &Unfit::Again));
    }
    let begun = launch(state, &meant, within, proven);
    if let Ok(given) = &begun
        && state.ended.covers(&meant.who.name, assertion.made())
    {
        // While it began.
        state.end(&mut state.core(), &given.minted.claims.run)?;
        return Err(recorded(state, assertion, invalid(OVER)));
    }
    begun.map_err(|refused| recorded(state, assertion, refused))
}

/// Records a refusal of an assertion that is genuine.
fn recorded(state: &State, assertion: &Assertion, refused: Refused) -> Refused {
    let issuer = Some(assertion.issuer.url.as_str());
    match state.refuse("assertion", refused.error, &refused.description, issuer) {
        Ok(()) => refused,
        Err(error) => Refused::from(error),
    }
}

fn prepare(
    state: &State,
    form: &mut Form,
    assertion: &Assertion,
    proven: Option<&Jwk>,
) -> Result<(Meant, Within), Refused> {
    if let Some(jkt) = assertion.bound_to()
        && proven.map(Jwk::thumbprint).as_deref() != Some(jkt)
    {
        return Err(Refused::new(
            "invalid_dpop_proof",
            "the assertion is bound to a key, and the request proves another or none",
        ));
    }
    let meant = match assertion.issuer.kind {
        Kind::People => person(state, form, assertion)?,
        Kind::Workload | Kind::Spiffe => workload(state, form, assertion)?,
    };
    let within = if assertion.issuer.kind == Kind::People { limit(form, assertion)? } else { None };
    let details = details(form)?;
    let core = state.core();
    let wish = wish::read(form, details, &meant.agent.manifest, &state.config.gateway, offered(&core)?)?;
    if within.is_some_and(|within| !wish.tools.iter().all(|tool| within.contains(tool))) {
        return Err(Refused::new("invalid_scope", "the assertion is for less: its `scope` names other targets"));
    }
    let manifest = &meant.agent.manifest;
    let duration = form.one("for").map_or_else(|| longest(manifest, &wish.tools), str::to_owned);
    let why = form.one("why").unwrap_or(&manifest.agent.purpose).to_owned();
    let asked = Asked { tools: wish.tools, constraints: wish.constraints, duration, why };
    // Judged before it is used up: whoever asked for too much may ask again with the same assertion.
    judge(state, &core, manifest, &asked).map_err(|error| not_begun(error.rejection()))?;
    Ok((meant, Within { asked, resources: wish.resources }))
}

/// A workload is what the rules that it fulfils say.
fn workload(state: &State, form: &Form, assertion: &Assertion) -> Result<Meant, Refused> {
    let core = state.core();
    let store = core.journal.store();
    let wanted = form.one("client_id").map(|client| clients::agent(store, client)).transpose()?;
    let mut found: Option<(AgentRecord, Option<String>)> = None;
    for rule in assertion.issuer.rules.fulfilled(&assertion.claims) {
        let Some(agent) = store.agent_named(&rule.agent)? else { continue };
        if wanted.as_ref().is_some_and(|wanted| wanted.as_ref().is_none_or(|wanted| wanted.id != agent.id)) {
            continue;
        }
        if found.as_ref().is_some_and(|(other, _)| other.id != agent.id) {
            return Err(Refused::new(
                "invalid_request",
                "it may begin runs as more than one agent: name one as `client_id`",
            ));
        }
        found.get_or_insert((agent, rule.principal.clone()));
    }
    let (agent, principal) =
        found.ok_or_else(|| invalid("no rule of its issuer lets this workload begin a run as such an agent"))?;
    let own = || Who::workload(assertion.issuer.subject(&assertion.subject));
    Ok(Meant { agent, who: principal.map_or_else(own, |name| Who::named_by_a_rule(&name)) })
}

/// A person is whom the identity provider names, and the client the one that it names.
fn person(state: &State, form: &Form, assertion: &Assertion) -> Result<Meant, Refused> {
    let client = assertion.claims.text("client_id");
    if client.is_none() || form.one("client_id") != client {
        return Err(invalid("the assertion is for another client than `client_id`"));
    }
    let core = state.core();
    let agent = clients::agent(core.journal.store(), client.unwrap_or_default())?;
    let agent = agent.ok_or_else(|| Refused::new("invalid_client", "no agent is registered under this `client_id`"))?;
    if !assertion.issuer.rules.standing(&assertion.claims).may_use(&agent.id.team) {
        return Err(invalid("this person is in no group whose team the agent is of"));
    }
    let who = Who::person(&assertion.issuer, &assertion.subject, &assertion.claims);
    if state.ended.covers(&who.name, assertion.made()) {
        return Err(invalid(OVER));
    }
    Ok(Meant { agent, who })
}

/// What the identity provider allows: where, and which targets, where it names any. What the request leaves out is taken
/// from there.
fn limit(form: &mut Form, assertion: &Assertion) -> Result<Option<Vec<String>>, Refused> {
    if assertion.claims.has("authorization_details") {
        return Err(Refused::new("invalid_authorization_details", "an assertion's own details are not understood"));
    }
    if assertion.claims.has("resource") {
        let allowed = assertion.claims.list("resource").unwrap_or_default();
        if form.resources.is_empty() {
            form.resources.extend(allowed.iter().map(ToString::to_string));
        }
        if !form.resources.iter().all(|resource| allowed.contains(&resource.as_str())) {
            return Err(Refused::new("invalid_target", "the assertion is for other resources"));
        }
    }
    if !assertion.claims.has("scope") {
        return Ok(None);
    }
    let scope = assertion.claims.text("scope").map(str::to_owned);
    let scope = scope.ok_or_else(|| Refused::new("invalid_scope", "the assertion's `scope` is not a text"))?;
    if form.one("authorization_details").is_none() {
        form.unless_given("scope", &scope);
    }
    let named: Vec<String> = scope.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    // Scopes that name no target of their own, and nothing else, limit nothing here.
    Ok((!named.iter().all(|scope| EMPTY_SCOPES.contains(&scope.as_str()))).then_some(named))
}

fn launch(state: &Arc<State>, meant: &Meant, within: Within, proven: Option<Jwk>) -> Result<Given, Refused> {
    let bound = proven.is_some();
    let key = match proven {
        Some(key) => key,
        // A run has a key. Nobody has the private half of this one: all that the client gets is bearer tokens.
        None => PrivateKey::generate()?.0.public().clone(),
    };
    let request = Request {
        agent: meant.agent.id.short(),
        asked: within.asked,
        principal: None,
        pid: None,
        key: Some(key),
        golden: false,
    };
    state.meet(&mut state.core(), &meant.who)?;
    let run = state.launch(&request, &meant.who.name, None).map_err(|error| not_begun(error.rejection()))?.run.id;
    let wanted = Wanted { resources: within.resources, bound, ..Wanted::default() };
    let minted = state.mint(&run, &wanted);
    if !matches!(minted, Ok(Ok(_))) {
        // Nothing was given for it, so nobody could ever use it.
        state.end(&mut state.core(), &run)?;
    }
    Ok(Given { minted: minted??, refresh: None, issued: None })
}

/// Why no run begins, in the standard's words.
fn not_begun(rejection: Rejection) -> Refused {
    if matches!(rejection.code, Code::Revoked | Code::AgentUnregistered) {
        return invalid(&rejection.message);
    }
    let refused = Refused::from(rejection);
    // What is left to be refused is what was asked for.
    let error = if refused.error == "invalid_request" { "invalid_scope" } else { refused.error };
    Refused { error, ..refused }
}
