//! A run takes back a token that is its own, or of a run below it (RFC 7009), with all that came of it.
//!
//! **Invariant:** the answer is the same whether there was something to take back or not, so that nobody learns of another's tokens.

use std::sync::Arc;

use axum::extract::RawForm;
use axum::extract::rejection::RawFormRejection;
use axum::response::{IntoResponse as _, Response};
use remit_core::revoked::Kind;

use super::client::client;
use super::refused::{Refused, uncached};
use super::{Shared, blocking};
use crate::authority::State;
use crate::error::AuthorityError;
use crate::form::Form;
use crate::live::own_or_below;

/// What the log says of the reason: the request has no place for one.
const WHY: &str = "given back at /revoke";

pub(super) async fn revoke(state: Shared, form: Result<RawForm, RawFormRejection>) -> Response {
    let Ok(RawForm(form)) = form else {
        return Refused::new("invalid_request", "not a form of allowed size").into_response();
    };
    let state = Arc::clone(&state);
    match blocking(move || Ok(answer(&state, &form))).await {
        Ok(Ok(())) => uncached().into_response(),
        Ok(Err(refused)) => refused.into_response(),
        Err(rejection) => Refused::from(rejection).into_response(),
    }
}

fn answer(state: &State, body: &[u8]) -> Result<(), Refused> {
    let form = Form::read(body)?;
    let (run, _) = client(state, &form)?;
    let token = form.one("token").ok_or_else(|| Refused::new("invalid_request", "`token` is missing"))?;
    let mut core = state.core();
    // What has ended or was taken back already takes no second entry.
    let live = state.live(&core, token).map_err(AuthorityError::rejection)?;
    if let Some(claims) = live.filter(|claims| own_or_below(claims, &run)) {
        let done = state.revoke_in(&mut core, Kind::Token, &claims.jti, WHY, &claims.sub);
        done.map_err(AuthorityError::rejection)?;
    }
    Ok(())
}
