//! Where the authorization servers of upstreams send a person's browser back to, and where they read who their client is.

use std::sync::Arc;

use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::{Shared, page};
use crate::broker::place::Place;
use crate::broker::{connect, own_metadata};
use crate::form::{FORM_BYTES_MAX, Form};

pub(super) async fn callback(state: Shared, Path(place): Path<String>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    if query.len() > FORM_BYTES_MAX {
        return page::refusal("The answer is too long.");
    }
    let Some(place) = Place::read(place) else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(form) = Form::read(query.as_bytes()) else { return page::refusal("A parameter stands there twice.") };
    let state = Arc::clone(&state);
    // A browser may go away: a code is good once, and what it is redeemed for is kept all the same.
    match tokio::spawn(async move { connect::back(&state, &place, &form).await }).await {
        Ok(Ok(command)) => page::finish(&command),
        Ok(Err(why)) => page::refusal(&why),
        Err(_) => page::refusal("This connection is over. Begin it again in the terminal: remit server connect"),
    }
}

/// The client ID metadata document.
pub(super) async fn document(state: Shared, Path(place): Path<String>) -> Response {
    match Place::read(place) {
        Some(place) => axum::Json(own_metadata(&state, &place)).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
