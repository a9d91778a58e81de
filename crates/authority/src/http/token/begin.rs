//! What the clients of people get: a code, a device code or a refresh token becomes a token of the run that a person
//! allowed, with the next refresh token.
//!
//! **Invariant:** what was stolen and used twice ends the run of both, thief and owner (OAuth 2.1 sections 4.1.3 and 4.3.1).

use std::sync::Arc;

use axum::http::HeaderMap;
use remit_core::hash::{b64, sha256};
use remit_core::id::RunId;
use remit_core::jws::Jwk;
use remit_core::revoked::Kind;

use super::Given;
use crate::authority::State;
use crate::change::Refresh;
use crate::form::Form;
use crate::http::client::shown;
use crate::http::refused::Refused;
use crate::login::{Redeemed, Sent, Unusable};
use crate::mint::Wanted;
use crate::random;
use crate::signing::PrivateKey;
use crate::socket::wire::Request;

/// Everything that gives nothing, but for what a device may hear while it waits.
pub(super) fn invalid() -> Refused {
    Refused::new("invalid_grant", "what was sent is unknown, over, already used, or another client's")
}

/// Uses up what a person allowed, and begins the run.
pub(super) fn redeem(
    state: &Arc<State>,
    headers: &HeaderMap,
    form: &Form,
    code: &str,
    browser: bool,
) -> Result<Given, Refused> {
    let missing = |what: &str| Refused::new("invalid_request", &format!("`{what}` is missing"));
    let client = form.one("client_id").ok_or_else(|| missing("client_id"))?;
    let shown = shown(state, headers)?;
    let jkt = shown.as_ref().map(|shown| shown.key.thumbprint());
    // What a device sends of these is none of its own.
    let of_browser = |name| form.one(name).filter(|_| browser);
    let (redirect, verifier) = (of_browser("redirect_uri"), of_browser("code_verifier"));
    let sent = Sent { code, client, redirect, verifier, jkt: jkt.as_deref() };
    let redeemed = state.logins.redeem(&sent, state.config.clock.now()).map_err(|why| unusable(state, why))?;
    let proven = shown.map(|shown| shown.once(state)).transpose()?;
    if !form.resources.iter().all(|resource| redeemed.resources.contains(resource)) {
        return Err(Refused::new("invalid_target", "the login was for other resources"));
    }
    begin(state, form, client, redeemed, proven)
}

fn begin(
    state: &Arc<State>,
    form: &Form,
    client: &str,
    redeemed: Redeemed,
    proven: Option<Jwk>,
) -> Result<Given, Refused> {
    let bound = proven.is_some();
    let key = match proven {
        Some(key) => key,
        // A run has a key. Nobody has the private half of this one: all that the client gets is bearer tokens.
        None => PrivateKey::generate()?.0.public().clone(),
    };
    let request = Request {
        agent: redeemed.agent.short(),
        asked: redeemed.allowed.asked,
        principal: None,
        pid: None,
        key: Some(key),
        golden: false,
    };
    let run = state.launch(&request, &redeemed.allowed.asker, None)?.run.id;
    state.logins.used(&redeemed.id, &run);
    let resources = if form.resources.is_empty() { redeemed.resources.clone() } else { form.resources.clone() };
    let next = Next { client, bound, granted: redeemed.resources };
    let given = give(state, &mut state.core(), &run, resources, next);
    if given.is_err() {
        // Nothing was given for it, so nobody could ever end it.
        state.end(&mut state.core(), &run)?;
    }
    given
}

/// What the next refresh token will stand for.
pub(super) struct Next<'a> {
    pub(super) client: &'a str,
    pub(super) bound: bool,
    pub(super) granted: Vec<String>,
}

/// A token of a run, and what gets the next one.
pub(super) fn give(
    state: &State,
    core: &mut crate::authority::Core,
    run: &RunId,
    resources: Vec<String>,
    next: Next<'_>,
) -> Result<Given, Refused> {
    let token = random::secret()?;
    let digest = b64(&sha256(&[token.as_bytes()]));
    let refresh = Refresh { digest, client: next.client.to_owned(), bound: next.bound, resources: next.granted };
    let wanted = Wanted { resources, bound: next.bound, refresh: Some(refresh), ..Wanted::default() };
    let minted = state.mint_in(core, run, &wanted)??;
    Ok(Given { minted, refresh: Some(token), issued: None })
}

/// Ends a run whose secret came twice: one of the two who have it stole it.
pub(super) fn stolen(state: &State, run: &RunId) -> Refused {
    let owner = state.owner(Kind::Run, run.as_str());
    let revoked = owner.and_then(|owner| match owner {
        Some(owner) => {
            state.revoke(Kind::Run, run.as_str(), "its code or refresh token was used twice", &owner).map(|_| ())
        }
        None => Ok(()),
    });
    match revoked {
        Ok(()) => invalid(),
        Err(error) => Refused::from(error),
    }
}

fn unusable(state: &State, why: Unusable) -> Refused {
    match why {
        Unusable::Invalid | Unusable::Again(None) => invalid(),
        Unusable::Again(Some(run)) => stolen(state, &run),
        Unusable::Denied => Refused::new("access_denied", "a person said no"),
        Unusable::Pending => Refused::new("authorization_pending", "nobody has answered yet"),
        Unusable::SlowDown => Refused::new("slow_down", "nobody has answered yet, and it is asked too often"),
        Unusable::Expired => Refused::new("expired_token", "nobody answered in time, or it was not fetched in time"),
    }
}
