//! What a token says and whether it still counts (RFC 7662), for the run that holds it and for those above it.
//!
//! **Invariant:** of a token that is neither the caller's own nor of a run below it nothing is told, not even that it is one.

use std::sync::Arc;

use axum::Json;
use axum::extract::RawForm;
use axum::extract::rejection::RawFormRejection;
use axum::response::{IntoResponse as _, Response};
use remit_core::claims::Claims;
use serde_json::{Value, json};

use super::client::client;
use super::refused::{Refused, uncached};
use super::{Shared, blocking};
use crate::authority::State;
use crate::error::AuthorityError;
use crate::form::Form;
use crate::live::own_or_below;

pub(super) async fn introspect(state: Shared, form: Result<RawForm, RawFormRejection>) -> Response {
    let Ok(RawForm(form)) = form else {
        return Refused::new("invalid_request", "not a form of allowed size").into_response();
    };
    let state = Arc::clone(&state);
    match blocking(move || Ok(answer(&state, &form))).await {
        Ok(Ok(said)) => (uncached(), Json(said)).into_response(),
        Ok(Err(refused)) => refused.into_response(),
        Err(rejection) => Refused::from(rejection).into_response(),
    }
}

fn answer(state: &State, body: &[u8]) -> Result<Value, Refused> {
    let form = Form::read(body)?;
    let (run, _) = client(state, &form)?;
    let token = form.one("token").ok_or_else(|| Refused::new("invalid_request", "`token` is missing"))?;
    let live = state.live(&state.core(), token).map_err(AuthorityError::rejection)?;
    Ok(live
        .filter(|claims| own_or_below(claims, &run))
        .map_or_else(|| json!({ "active": false }), |claims| said(&claims)))
}

/// What the token says, but for the words of people: whoever needs these has the token.
fn said(claims: &Claims) -> Value {
    json!({
        "active": true,
        "token_type": if claims.cnf.is_some() { "DPoP" } else { "Bearer" },
        "iss": claims.iss,
        "aud": claims.aud,
        "exp": claims.exp,
        "iat": claims.iat,
        "jti": claims.jti,
        "sub": claims.sub,
        "client_id": claims.client_id,
        "act": claims.act,
        "cnf": claims.cnf,
        "authorization_details": claims.authorization_details,
        "run": claims.run,
        "root": claims.root,
        "gid": claims.gid,
        "lin": claims.lin,
        "via": claims.via,
        "del_depth": claims.del_depth,
        "del_max_depth": claims.del_max_depth,
    })
}
