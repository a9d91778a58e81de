//! `GET /fleet/secret/{server}`: a registered gateway is lent the server's credential, sealed to a key of this request.
//!
//! The signed request stands in `Authorization`, because URLs are written down by everything on the way.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use remit_core::id::ServerName;
use remit_core::rejection::{Code, Rejection};

use super::{Shared, refusal};
use crate::error::AuthorityError;
use crate::lend;

pub(super) async fn lease(state: Shared, Path(server): Path<String>, headers: HeaderMap) -> Response {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let ask = values.next().and_then(|value| value.to_str().ok()?.strip_prefix("Bearer ").map(ToOwned::to_owned));
    let (Some(ask), None, Ok(server)) = (ask, values.next(), ServerName::new(server)) else {
        let message = "the request is not signed by a gateway that is registered";
        return refusal(&Rejection::new(
            Code::GatewayUnknown,
            message,
            "this is asked by gateways: remit gateway list",
        ));
    };
    match lend::lease(&Arc::clone(&state), &ask, &server).await {
        Ok(note) => {
            let head = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
            (head, note).into_response()
        }
        // Gateways tell it from all else: one person can do something about it.
        Err(AuthorityError::Unconnected(rejection)) => (StatusCode::CONFLICT, axum::Json(rejection)).into_response(),
        Err(error) => refusal(&error.rejection()),
    }
}
