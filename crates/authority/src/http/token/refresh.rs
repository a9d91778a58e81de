//! Refresh tokens (OAuth 2.1 section 4.3), each good once. One that comes back ends its run, for it was stolen from
//! somebody.

use axum::http::HeaderMap;
use remit_core::hash::{b64, sha256};

use super::Given;
use super::begin::{Next, give, invalid, stolen};
use crate::authority::State;
use crate::form::Form;
use crate::http::client::shown;
use crate::http::refused::Refused;

pub(in crate::http) const GRANT_TYPE: &str = "refresh_token";

pub(super) fn answer(state: &State, headers: &HeaderMap, form: &Form) -> Result<Given, Refused> {
    let missing = |what: &str| Refused::new("invalid_request", &format!("`{what}` is missing"));
    let token = form.one("refresh_token").ok_or_else(|| missing("refresh_token"))?;
    let client = form.one("client_id").ok_or_else(|| missing("client_id"))?;
    let digest = b64(&sha256(&[token.as_bytes()]));
    let shown = shown(state, headers)?;
    let jkt = shown.as_ref().map(|shown| shown.key.thumbprint());
    let now = state.config.clock.now();
    // Under one lock: of two that come at once with the same token, the second one comes back with it.
    let mut core = state.core();
    let Some((run, refresh, last)) = core.journal.store().refresh(&digest)? else { return Err(invalid()) };
    if refresh.client != client {
        return Err(invalid());
    }
    if !last {
        drop(core);
        return Err(stolen(state, &run));
    }
    let live = core.journal.store().live_run(&run, now)?.ok_or_else(invalid)?;
    if refresh.bound && jkt != Some(live.key.thumbprint()) {
        return Err(Refused::new(
            "invalid_dpop_proof",
            "the run's tokens are bound to a key, and the request proves another or none",
        ));
    }
    shown.map(|shown| shown.once(state)).transpose()?;
    if !form.resources.iter().all(|resource| refresh.resources.contains(resource)) {
        return Err(Refused::new("invalid_target", "the login was for other resources"));
    }
    let resources = if form.resources.is_empty() { refresh.resources.clone() } else { form.resources.clone() };
    give(state, &mut core, &run, resources, Next { client, bound: refresh.bound, granted: refresh.resources })
}
