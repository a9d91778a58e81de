//! Where the authorization servers of upstreams send a person's browser back to, and where they read who their client is.

use std::sync::Arc;

use axum::extract::RawQuery;
use axum::response::{IntoResponse as _, Response};

use super::{Shared, page};
use crate::broker::connect;
use crate::broker::own_metadata;
use crate::form::{FORM_BYTES_MAX, Form};

pub(super) async fn callback(state: Shared, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    if query.len() > FORM_BYTES_MAX {
        return page::refusal("The answer is too long.");
    }
    let Ok(form) = Form::read(query.as_bytes()) else { return page::refusal("A parameter stands there twice.") };
    match connect::back(&Arc::clone(&state), &form).await {
        Ok(command) => page::finish(&command),
        Err(why) => page::refusal(&why),
    }
}

/// The client ID metadata document.
pub(super) async fn document(state: Shared) -> Response {
    axum::Json(own_metadata(&state)).into_response()
}
