//! Token exchange (RFC 8693): a run shows a token of its own and gets one that says less, or one for an agent that acts for it.

use std::sync::Arc;

use axum::http::HeaderMap;

use super::{Given, details};
use crate::actor::{self, Acting};
use crate::authority::State;
use crate::exchange::{Failed, Heir, Less};
use crate::form::Form;
use crate::http::client::{client, possession};
use crate::http::refused::Refused;

pub(in crate::http) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

pub(super) fn answer(state: &Arc<State>, headers: &HeaderMap, mut form: Form) -> Result<Given, Refused> {
    let (run, jkt) = client(state, &form)?;
    types(&form)?;
    let subject = form.one("subject_token").ok_or_else(|| Refused::new("invalid_request", "no subject token"))?;
    let subject = subject.to_owned();
    let mut less = Less { details: details(&form)?, resources: std::mem::take(&mut form.resources) };
    // The logical name of a target is its URL.
    less.resources.extend(form.one("audience").map(ToOwned::to_owned));
    let minted = match form.one("actor_token") {
        None => state.exchange(&run, &subject, less, possession(state, headers, &jkt)?),
        Some(text) => {
            let acting = acting(state, text)?;
            // Its token proves that the key is its own. Where a proof is sent besides, it is of that key too.
            possession(state, headers, &acting.key.thumbprint())?;
            let why = form.one("why").or_else(|| form.one("task")).unwrap_or_default().to_owned();
            let duration = form.one("for").map(ToOwned::to_owned);
            let heir = Heir { agent: acting.agent, key: acting.key, why, duration };
            state.delegate_to(&run, &subject, less, heir)
        }
    };
    Ok(Given { minted: minted?, refresh: None, issued: Some(ACCESS_TOKEN) })
}

/// Every type that has to be named is, and none that is not needed (section 2.1).
fn types(form: &Form) -> Result<(), Refused> {
    let actor = form.one("actor_token").map(|_| JWT);
    let issued = form.one("requested_token_type").is_none_or(|wanted| wanted == ACCESS_TOKEN);
    if form.one("subject_token_type") == Some(ACCESS_TOKEN) && form.one("actor_token_type") == actor && issued {
        return Ok(());
    }
    Err(Refused::new("invalid_request", "an access token is given for an access token, and an actor is a `jwt`"))
}

fn acting(state: &State, text: &str) -> Result<Acting, Refused> {
    // One answer for all of it, as for an assertion.
    let bad = || Refused::new("invalid_request", "the actor token is not accepted");
    let acting = actor::verify(text, &state.config.issuer, state.config.clock.now()).ok_or_else(bad)?;
    let (id, asserted) = (format!("c {} {}", acting.key.thumbprint(), acting.asserted.jti), &acting.asserted);
    if state.first_use(id, asserted.made, asserted.exp) { Ok(acting) } else { Err(bad()) }
}

impl From<Failed> for Refused {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Refused(refusal, rejection) => (refusal, rejection).into(),
            Failed::Authority(error) => error.rejection().into(),
        }
    }
}
