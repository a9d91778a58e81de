//! What an OAuth endpoint says where it gives nothing.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use remit_core::rejection::{Code, Rejection};
use serde_json::json;

use crate::error::AuthorityError;
use crate::form::FormError;
use crate::mint::Refusal;

/// An error of RFC 6749 section 5.2, RFC 8707, RFC 9396 or RFC 9449.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) error: &'static str,
    pub(super) description: String,
}

/// What every answer of these endpoints says of keeping it (RFC 6749 section 5.1).
pub(super) fn uncached() -> [(header::HeaderName, &'static str); 2] {
    [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")]
}

impl Refused {
    pub(super) fn new(error: &'static str, description: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, description: description.to_owned() }
    }
}

impl From<(Refusal, Rejection)> for Refused {
    fn from((refusal, rejection): (Refusal, Rejection)) -> Self {
        let error = match refusal {
            Refusal::Grant => "invalid_grant",
            Refusal::Target => "invalid_target",
            Refusal::Details => "invalid_authorization_details",
            Refusal::Proof | Refusal::Request => "invalid_request",
            Refusal::Actor => "actor_unauthorized",
        };
        Self::new(error, &rejection.message)
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

impl From<AuthorityError> for Refused {
    fn from(error: AuthorityError) -> Self {
        Self::from(error.rejection())
    }
}

impl IntoResponse for Refused {
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
