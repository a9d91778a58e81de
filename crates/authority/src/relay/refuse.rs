//! What the relay itself has to say, in the words and with the status that the gateway would have used.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use remit_core::rejection::{Code, Rejection};
use serde_json::json;

/// JSON-RPC code of a refusal, as the gateway has it.
const REFUSED: i32 = -31_001;
/// How long the body of a refused request may take to come to nobody.
const PASS_OVER_TIME_MAX: Duration = Duration::from_millis(500);
/// How much of it is let come, in bytes.
const PASS_OVER_BYTES_MAX: usize = 64 * 1024;

/// The answer that carries a refusal. The request's id was not read, so it has none.
pub(super) fn refusal(rejection: &Rejection) -> Response<Body> {
    // A code that the gateway carries in a 200 answers a call, and here none was read.
    let status = match rejection.code.status() {
        200 => StatusCode::FORBIDDEN,
        other => StatusCode::from_u16(other).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let (message, help, code) = (&rejection.message, &rejection.help, rejection.code.name());
    let said = format!("Refused by Remit: {message}. Next: {help} ({code})");
    let error = json!({ "code": REFUSED, "message": said, "data": rejection });
    let body = json!({ "jsonrpc": "2.0", "id": null, "error": error }).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // No metadata (RFC 9728): whoever logs in by OAuth does so at the gateway.
    match rejection.code {
        Code::TokenMissing => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        _ if status == StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
        }
        _ if status == StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

/// A method of HTTP that MCP does not have.
pub(super) fn not_allowed() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
    response
}

/// Lets a short body come to nobody: a connection that is closed over unread bytes may lose its answer.
pub(super) async fn pass_over(mut body: Incoming) {
    let passing = async {
        let mut passed = 0_usize;
        while let Some(Ok(frame)) = body.frame().await {
            passed = passed.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            if passed > PASS_OVER_BYTES_MAX {
                break;
            }
        }
    };
    let _stalled = tokio::time::timeout(PASS_OVER_TIME_MAX, passing).await.is_err();
}
