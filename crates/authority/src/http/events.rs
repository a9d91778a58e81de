//! Where identity providers push security events (RFC 8935): one signed token for each.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::refused::{Refused, uncached};
use super::{Shared, blocking};
use crate::authority::State;
use crate::issuer::assertion::Unfit;
use crate::issuer::event;

/// The media type of what is pushed.
const TYPE: &str = "application/secevent+jwt";

pub(super) async fn receive(state: Shared, headers: HeaderMap, body: String) -> Response {
    let named = headers.get(header::CONTENT_TYPE).and_then(|named| named.to_str().ok()).unwrap_or_default();
    if named.split(';').next().unwrap_or_default().trim() != TYPE {
        return said("invalid_request", "not an `application/secevent+jwt`");
    }
    let state = Arc::clone(&state);
    let verified = match event::verify(&state, &body).await {
        Ok(verified) => verified,
        Err(error) => return Refused::from(error).into_response(),
    };
    let done = blocking(move || {
        Ok(match verified {
            Ok(event) => state.heed(&event).map(|_| StatusCode::ACCEPTED.into_response())?,
            Err(unfit) => refuse(&state, &unfit),
        })
    });
    done.await.unwrap_or_else(|rejection| Refused::from(rejection).into_response())
}

/// Records a refusal, and says which kind it is in the words of RFC 8935 section 2.4.
fn refuse(state: &State, unfit: &Unfit) -> Response {
    if let Err(error) = state.refuse("event", unfit.name(), &unfit.to_string(), None) {
        return Refused::from(error).into_response();
    }
    match unfit {
        // It is pushed again.
        Unfit::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Unfit::Issuer => said("invalid_issuer", "the issuer is none whose people are known here"),
        Unfit::Signature | Unfit::Keys(_) => said("invalid_key", "no key of its issuer made the signature"),
        Unfit::Audience => said("invalid_audience", "it is for somebody else"),
        other => said("invalid_request", &other.to_string()),
    }
}

fn said(err: &str, description: &str) -> Response {
    (StatusCode::BAD_REQUEST, uncached(), Json(json!({ "err": err, "description": description }))).into_response()
}
