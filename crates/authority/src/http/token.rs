//! The token endpoint (RFC 6749 section 3.2): a run authenticates with its key and gets a token of what it was granted.

use std::sync::Arc;

use axum::Json;
use axum::extract::RawForm;
use axum::extract::rejection::RawFormRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use remit_core::dpop::{self, PROOF_WINDOW_S};
use remit_core::grant::Detail;
use remit_core::id::RunId;
use remit_core::rejection::{Code, Rejection};
use serde_json::json;

use super::{Shared, blocking};
use crate::assertion::{self, ASSERTION_TYPE};
use crate::authority::State;
use crate::error::AuthorityError;
use crate::form::{Form, FormError};
use crate::mint::{Minted, Refusal, Wanted};

/// An error of RFC 6749 section 5.2, RFC 8707, RFC 9396 or RFC 9449.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    error: &'static str,
    description: String,
}

pub(super) async fn token(state: Shared, headers: HeaderMap, form: Result<RawForm, RawFormRejection>) -> Response {
    let Ok(RawForm(form)) = form else {
        return Refused::new("invalid_request", "not a form of allowed size").into_response();
    };
    let state = Arc::clone(&state);
    let answered = blocking(move || Ok(answer(&state, &headers, &form))).await;
    match answered {
        Ok(Ok(minted)) => given(&minted),
        Ok(Err(refused)) => refused.into_response(),
        Err(rejection) => Refused::from(rejection).into_response(),
    }
}

fn answer(state: &State, headers: &HeaderMap, body: &[u8]) -> Result<Minted, Refused> {
    let form = Form::read(body)?;
    match form.one("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return Err(Refused::new("unsupported_grant_type", "not supported")),
        None => return Err(Refused::new("invalid_request", "`grant_type` is missing")),
    }
    if form.one("scope").is_some() {
        let why = "permissions stand in `authorization_details`, not in `scope`";
        return Err(Refused::new("invalid_scope", why));
    }
    let (run, jkt) = client(state, &form)?;
    let bound = possession(state, headers, &jkt)?;
    let details = form.one("authorization_details").map(details).transpose()?;
    let wanted = Wanted { grant: None, resources: form.resources, details, bound };
    let minted = state.mint(&run, &wanted).map_err(AuthorityError::rejection)?;
    minted.map_err(|(refusal, rejection)| {
        let error = match refusal {
            Refusal::Grant => "invalid_grant",
            Refusal::Target => "invalid_target",
            Refusal::Details => "invalid_authorization_details",
            Refusal::Proof => "invalid_request",
        };
        Refused::new(error, &rejection.message)
    })
}

/// The run that authenticates, and the thumbprint of its key.
fn client(state: &State, form: &Form) -> Result<(RunId, String), Refused> {
    // One answer for all of it: which check failed helps nobody but a forger.
    let bad = || Refused {
        status: StatusCode::UNAUTHORIZED,
        error: "invalid_client",
        description: "the client assertion is not accepted".into(),
    };
    if form.one("client_assertion_type") != Some(ASSERTION_TYPE) {
        return Err(bad());
    }
    let text = form.one("client_assertion").ok_or_else(bad)?;
    let instance = assertion::claimed(text).ok_or_else(bad)?;
    if form.one("client_id").is_some_and(|id| id != instance.to_string()) {
        return Err(bad());
    }
    let run = state.core().journal.store().run(&instance.run);
    let run = run.map_err(AuthorityError::rejection)?.ok_or_else(bad)?;
    if run.agent != instance.agent {
        return Err(bad());
    }
    let issuer = &state.config.issuer;
    let endpoint = format!("{issuer}/token");
    let now = state.config.clock.now();
    let asserted = assertion::verify(text, &instance, &run.key, [issuer, &endpoint], now).ok_or_else(bad)?;
    if !state.first_use(format!("a {} {}", run.id, asserted.jti), asserted.made, asserted.exp) {
        return Err(bad());
    }
    Ok((run.id, run.key.thumbprint()))
}

/// Whether the request proves possession of the run's key; a proof of another key, or a bad one, is refused.
fn possession(state: &State, headers: &HeaderMap, jkt: &str) -> Result<bool, Refused> {
    let bad = || Refused::new("invalid_dpop_proof", "the proof is not accepted");
    let mut proofs = headers.get_all("dpop").iter();
    let Some(proof) = proofs.next() else {
        return Ok(false);
    };
    let text = proof.to_str().map_err(|_| bad())?;
    let now = state.config.clock.now();
    let url = format!("{}/token", state.config.issuer);
    let proven = dpop::verify_bare(text, "POST", &url, now).map_err(|_| bad())?;
    let until = now.saturating_add(PROOF_WINDOW_S.saturating_mul(2));
    let same = proofs.next().is_none() && proven.key.thumbprint() == jkt;
    if same && state.first_use(format!("p {jkt} {}", proven.jti), proven.made, until) {
        return Ok(true);
    }
    Err(bad())
}

fn details(text: &str) -> Result<Vec<Detail>, Refused> {
    let bad = || Refused::new("invalid_authorization_details", "not a list of known details");
    serde_json::from_str(text).map_err(|_| bad())
}

fn given(minted: &Minted) -> Response {
    let claims = &minted.claims;
    let kind = if claims.cnf.is_some() { "DPoP" } else { "Bearer" };
    let body = json!({
        "access_token": minted.token,
        "token_type": kind,
        "expires_in": claims.exp.saturating_sub(claims.iat),
        "authorization_details": claims.authorization_details,
    });
    (uncached(), Json(body)).into_response()
}

fn uncached() -> [(header::HeaderName, &'static str); 2] {
    [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")]
}

impl Refused {
    fn new(error: &'static str, description: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, description: description.to_owned() }
    }
}

impl From<FormError> for Refused {
    fn from(error: FormError) -> Self {
        let code = match error {
            FormError::Twice => "invalid_request",
            FormError::Resources => "invalid_target",
        };
        Self::new(code, &error.to_string())
    }
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        let (status, error) = match rejection.code {
            Code::AuditUnavailable | Code::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
            Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            _ => (StatusCode::BAD_REQUEST, "invalid_request"),
        };
        Self { status, error, description: rejection.message }
    }
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.description });
        let mut response = (self.status, uncached(), Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = axum::http::HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_the_log_is_unavailable_there_is_no_token_and_the_client_may_try_again() {
        let error = AuthorityError::Unavailable(remit_audit::Unavailable::Full);
        let response = Refused::from(error.rejection()).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }
}
