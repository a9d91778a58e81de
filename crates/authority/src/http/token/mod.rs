//! The token endpoint (RFC 6749 section 3.2), a file for each kind of grant.

mod begin;
pub(super) mod client_credentials;
pub(super) mod code;
pub(super) mod device;
pub(super) mod exchange;
pub(super) mod jwt_bearer;
pub(super) mod refresh;

use std::sync::Arc;

use axum::Json;
use axum::extract::RawForm;
use axum::extract::rejection::RawFormRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use remit_core::grant::Detail;
use serde_json::json;

use super::refused::{Refused, uncached};
use super::{Shared, blocking};
use crate::authority::State;
use crate::form::Form;
use crate::mint::Minted;

/// What a client is given. No `Debug`: it holds a token.
struct Given {
    minted: Minted,
    /// What gets the next one.
    refresh: Option<String>,
    /// What kind of token it is, where the standard wants that said.
    issued: Option<&'static str>,
}

pub(super) async fn token(state: Shared, headers: HeaderMap, form: Result<RawForm, RawFormRejection>) -> Response {
    let Ok(RawForm(form)) = form else {
        return Refused::new("invalid_request", "not a form of allowed size").into_response();
    };
    let state = Arc::clone(&state);
    match Form::read(&form) {
        // The keys of its issuer may have to be fetched.
        Ok(read) if read.one("grant_type") == Some(jwt_bearer::GRANT_TYPE) => {
            let answered = jwt_bearer::answer(&state, headers, read).await;
            return answered.map_or_else(Refused::into_response, |given| response(&given));
        }
        _ => {}
    }
    let answered = blocking(move || Ok(answer(&state, &headers, &form))).await;
    match answered {
        Ok(Ok(given)) => response(&given),
        Ok(Err(refused)) => refused.into_response(),
        Err(rejection) => Refused::from(rejection).into_response(),
    }
}

fn answer(state: &Arc<State>, headers: &HeaderMap, body: &[u8]) -> Result<Given, Refused> {
    let form = Form::read(body)?;
    let grant = form.one("grant_type").ok_or_else(|| Refused::new("invalid_request", "`grant_type` is missing"))?;
    // Clients of people name scopes by habit, and have said what they want when they began.
    let of_runs = [client_credentials::GRANT_TYPE, exchange::GRANT_TYPE];
    if of_runs.contains(&grant) && form.one("scope").is_some() {
        let why = "permissions stand in `authorization_details`, not in `scope`";
        return Err(Refused::new("invalid_scope", why));
    }
    match grant {
        code::GRANT_TYPE => code::answer(state, headers, &form),
        refresh::GRANT_TYPE => refresh::answer(state, headers, &form),
        device::GRANT_TYPE => device::answer(state, headers, &form),
        client_credentials::GRANT_TYPE => client_credentials::answer(state, headers, form),
        exchange::GRANT_TYPE => exchange::answer(state, headers, form),
        _ => Err(Refused::new("unsupported_grant_type", "not supported")),
    }
}

/// The parameter `authorization_details`, where there is one.
pub(super) fn details(form: &Form) -> Result<Option<Vec<Detail>>, Refused> {
    let bad = |_| Refused::new("invalid_authorization_details", "not a list of known details");
    form.one("authorization_details").map(serde_json::from_str).transpose().map_err(bad)
}

fn response(given: &Given) -> Response {
    let claims = &given.minted.claims;
    let kind = if claims.cnf.is_some() { "DPoP" } else { "Bearer" };
    let mut body = json!({
        "access_token": given.minted.token,
        "token_type": kind,
        "expires_in": claims.exp.saturating_sub(claims.iat),
        "authorization_details": claims.authorization_details,
    });
    if let (Some(refresh), Some(members)) = (&given.refresh, body.as_object_mut()) {
        members.insert("refresh_token".into(), refresh.as_str().into());
    }
    if let (Some(issued), Some(members)) = (given.issued, body.as_object_mut()) {
        members.insert("issued_token_type".into(), issued.into());
    }
    (uncached(), Json(body)).into_response()
}
