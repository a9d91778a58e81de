//! The device authorization endpoint (RFC 8628 section 3.1), for programs on machines without a browser.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::RawForm;
use axum::extract::rejection::RawFormRejection;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use remit_core::hash::sha256;
use serde_json::json;

use super::refused::{Refused, uncached};
use super::{Shared, Source, blocking, login, page, people, person_page};
use crate::authority::State;
use crate::form::Form;
use crate::login::{Flow, LOGIN_SECONDS, POLL_SECONDS};
use crate::random;

pub(super) async fn begin(
    state: Shared,
    source: Extension<Source>,
    form: Result<RawForm, RawFormRejection>,
) -> Response {
    let Ok(RawForm(form)) = form else {
        return Refused::new("invalid_request", "not a form of allowed size").into_response();
    };
    let begun = async {
        let form = Form::read(&form)?;
        let id = form.one("client_id").ok_or_else(|| Refused::new("invalid_request", "`client_id` is missing"))?;
        let unknown = || Refused::new("invalid_client", "no agent is registered under this `client_id`");
        let client = login::client(&state, id).await?.ok_or_else(unknown)?;
        let (state, from) = (Arc::clone(&state), source.0.0);
        blocking(move || Ok(answer(&state, &form, client, from))).await?
    };
    begun.await.unwrap_or_else(Refused::into_response)
}

fn answer(state: &State, form: &Form, client: login::Client, from: IpAddr) -> Result<Response, Refused> {
    let code = random::secret()?;
    let flow = Flow::Device { next: state.config.clock.now() };
    let user_code = login::begin(state, form, client, flow, Some(sha256(&[code.as_bytes()])), from)?;
    let page = format!("{}/device", state.config.issuer);
    let body = json!({
        "device_code": code,
        "user_code": user_code,
        "verification_uri": page,
        "expires_in": LOGIN_SECONDS,
        "interval": POLL_SECONDS,
    });
    Ok((uncached(), Json(body)).into_response())
}

/// Where the device sends a person.
pub(super) async fn page(state: Shared) -> Response {
    match people::providers(&state) {
        Ok(providers) if providers.is_empty() => page::device(),
        Ok(_) => person_page::device(),
        Err(error) => Refused::from(error).into_response(),
    }
}
