//! Refusals and errors as HTTP and JSON-RPC say them.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use remit_core::call::Action;
use remit_core::rejection::{Code, Rejection};

use crate::accept::Unacceptable;
use crate::mcp::id::Id;
use crate::mcp::reply;
use crate::mcp::revision::{Era, Revision};

/// JSON-RPC code of a refusal: outside the range that is reserved for the protocol.
pub const REFUSED: i32 = -31_001;

/// To whom a refusal goes.
pub struct To<'a> {
    /// The request's id, as it was written.
    pub id: Option<&'a str>,
    /// What was asked.
    pub action: &'a Action,
    /// The revision that the client speaks.
    pub revision: Revision,
    /// URL of the server's protected-resource metadata (RFC 9728).
    pub metadata: &'a str,
    /// `<server>/<tool>`, where a tool is called.
    pub scope: Option<&'a str>,
}

/// The answer that carries a refusal.
pub fn refusal(rejection: &Rejection, to: &To<'_>) -> Response {
    let status = status(rejection);
    let body = said(rejection, to.id, to.action, to.revision);
    let mut response = json(status, body);
    let headers = response.headers_mut();
    for challenge in challenges(rejection, to) {
        if let Ok(value) = HeaderValue::from_str(&challenge) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
    // A call that is in the log may have been made: no client repeats it by itself.
    if status == StatusCode::SERVICE_UNAVAILABLE && rejection.decision.is_none() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn status(rejection: &Rejection) -> StatusCode {
    StatusCode::from_u16(rejection.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The message that carries a refusal.
pub fn said(rejection: &Rejection, id: Option<&str>, action: &Action, revision: Revision) -> Vec<u8> {
    let id = id.and_then(|id| serde_json::from_str(id).ok());
    let id = id.and_then(Id::read);
    match (&id, action, rejection.code) {
        // Nothing here may differ between a tool that does not exist and one that is not for this run.
        (_, Action::Method(_), Code::Unknown) => reply::error(id.as_ref(), -32601, &rejection.message, None),
        (_, _, Code::Unknown) => reply::error(id.as_ref(), -32602, &rejection.message, None),
        (_, _, Code::HeaderMismatch) => {
            reply::error(id.as_ref(), -32020, &rejection.message, data(rejection).as_deref())
        }
        (Some(id), Action::CallTool(_), _) if status(rejection) == StatusCode::OK => {
            reply::result(id, &tool_error(rejection, revision))
        }
        _ => reply::error(id.as_ref(), REFUSED, &spoken(rejection), data(rejection).as_deref()),
    }
}

/// The answer to a message that is no call.
pub fn unacceptable(refused: &Unacceptable) -> Response {
    let id = refused.id.as_deref().and_then(|id| serde_json::from_str(id).ok());
    let id = id.and_then(Id::read);
    json(refused.error.status(), refused.error.reply(id.as_ref()))
}

/// A JSON answer that nobody keeps.
pub fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The text for the person and the model: what happened, the next step, and where the whole reason stands.
fn spoken(rejection: &Rejection) -> String {
    let decision = rejection.decision.map(|index| format!(", decision {index}")).unwrap_or_default();
    format!("Refused by Remit: {}. Next: {} ({}{decision})", rejection.message, rejection.help, rejection.code.name())
}

fn data(rejection: &Rejection) -> Option<String> {
    serde_json::to_string(rejection).ok()
}

/// A result that says that the tool was not called: models read it, and go on.
fn tool_error(rejection: &Rejection, revision: Revision) -> String {
    let mut result = serde_json::json!({
        "content": [{ "type": "text", "text": spoken(rejection) }],
        "isError": true,
        "_meta": { "dev.remit/rejection": rejection },
    });
    if revision.era() == Era::Modern
        && let Some(members) = result.as_object_mut()
    {
        members.insert("resultType".into(), "complete".into());
    }
    result.to_string()
}

/// The text in the characters that `error_description` may have (RFC 6750 section 3).
fn quotable(text: &str) -> String {
    let one = |c: char| match c {
        '"' | '\\' => "'".to_owned(),
        '…' => "...".to_owned(),
        ' '..='~' => c.to_string(),
        _ => "?".to_owned(),
    };
    text.chars().map(one).collect()
}

/// The answer to a method of HTTP that the revision does not have.
pub fn not_allowed() -> Response {
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, Vec::new());
    response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static("POST"));
    response
}

/// RFC 6750 section 3, RFC 9449 section 7.1, RFC 9728 section 5.1.
fn challenges(rejection: &Rejection, to: &To<'_>) -> Vec<String> {
    let metadata = to.metadata;
    match rejection.code {
        Code::TokenMissing => vec![
            format!("DPoP algs=\"EdDSA ES256\", resource_metadata=\"{metadata}\""),
            format!("Bearer resource_metadata=\"{metadata}\""),
        ],
        Code::ProofInvalid | Code::ProofReplayed => {
            vec![format!("DPoP error=\"invalid_dpop_proof\", algs=\"EdDSA ES256\", resource_metadata=\"{metadata}\"")]
        }
        Code::InsufficientScope => {
            let scope = to.scope.unwrap_or_default();
            let description = quotable(&spoken(rejection));
            vec![format!(
                "Bearer error=\"insufficient_scope\", scope=\"{scope}\", error_description=\"{description}\", resource_metadata=\"{metadata}\""
            )]
        }
        code if code.status() == 401 => vec![
            format!("DPoP error=\"invalid_token\", algs=\"EdDSA ES256\", resource_metadata=\"{metadata}\""),
            format!("Bearer error=\"invalid_token\", resource_metadata=\"{metadata}\""),
        ],
        _ => Vec::new(),
    }
}
