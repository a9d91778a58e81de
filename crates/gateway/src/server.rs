//! The gateway's HTTP surface: one endpoint per server, its metadata, and health.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use http::header::{HOST, ORIGIN};
use http::{Method, StatusCode};
use remit_core::id::ServerName;
use remit_core::rejection::{Code, Rejection};

use crate::Gateway;
use crate::accept::{Asked, accept};
use crate::answer::{self, To, json};
use crate::handle::handle;
pub use crate::listen::serve;
use crate::mcp::McpError;

/// Answers one request from `source`.
pub(crate) async fn answer(gateway: Arc<Gateway>, source: IpAddr, request: Request<Body>) -> Response {
    let path = request.uri().path().to_owned();
    if let Some(name) = path.strip_prefix("/mcp/") {
        // In a box: a connection that waits for its next request does not hold the room that a call needs.
        return Box::pin(mcp(&gateway, name, source, request)).await;
    }
    if request.method() == Method::GET {
        if let Some(name) = path.strip_prefix("/.well-known/oauth-protected-resource/mcp/") {
            return metadata(&gateway, name);
        }
        if path == "/healthz" {
            return health(&gateway);
        }
    }
    plain(Code::ServerUnknown, "there is nothing here", "speak to /mcp/SERVER")
}

async fn mcp(gateway: &Arc<Gateway>, name: &str, source: IpAddr, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    if !gateway.origin_allowed(&parts) {
        return plain(
            Code::OriginForbidden,
            "the request comes from a web page, or for another host",
            "call from an MCP client",
        );
    }
    let Ok(place) = Arc::clone(&gateway.calls).try_acquire_owned() else {
        return plain(Code::Overloaded, "too many calls are in flight", "try again in a second");
    };
    let Ok(server) = ServerName::new(name) else {
        return plain(Code::ServerUnknown, "no such server", "list servers: remit server list");
    };
    let snapshot = gateway.snapshots.latest();
    match accept(&parts, body, &server, snapshot.as_ref().map(|s| s.bundle.as_ref())).await {
        Err(refused) if parts.method != Method::POST && refused.error == McpError::Method => answer::not_allowed(),
        Err(refused) => answer::unacceptable(&refused),
        Ok((call, mut asked)) => {
            asked.place = Some(place);
            answer_call(gateway, &server, call, asked, &parts, source).await
        }
    }
}

async fn answer_call(
    gateway: &Arc<Gateway>,
    server: &ServerName,
    call: remit_core::call::Call,
    asked: Asked,
    parts: &axum::http::request::Parts,
    source: IpAddr,
) -> Response {
    let id = asked.id.as_ref().map(|(_, raw)| raw.clone());
    let (revision, action) = (asked.revision, call.action().clone());
    let scope = action.tool().map(|tool| format!("{server}/{tool}"));
    match handle(gateway, call, asked, parts, Some(source)).await {
        Ok(response) => response,
        Err(rejection) => {
            let metadata = gateway.metadata_url(server);
            let to = To { id: id.as_deref(), action: &action, revision, metadata: &metadata, scope: scope.as_deref() };
            answer::refusal(&rejection, &to)
        }
    }
}

/// RFC 9728: where a client of this server gets its token.
fn metadata(gateway: &Gateway, name: &str) -> Response {
    let server = ServerName::new(name).ok();
    let Some((server, snapshot)) = server.zip(gateway.snapshots.latest()) else {
        return plain(Code::ServerUnknown, "no such server", "list servers: remit server list");
    };
    let body = serde_json::json!({
        "resource": snapshot.bundle.resource(&server),
        "authorization_servers": [snapshot.bundle.versioned.bundle.issuer],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["EdDSA", "ES256"],
        "authorization_details_types_supported": [remit_core::grant::DETAIL_TYPE],
    });
    json(StatusCode::OK, body.to_string().into_bytes())
}

/// Healthy is able to decide *and* to record.
fn health(gateway: &Gateway) -> Response {
    let now = gateway.clock.now_s();
    let (snapshot, records) = (gateway.snapshots.current(now), gateway.recorder.works());
    let body = serde_json::json!({
        "ok": snapshot.is_ok() && records,
        "policy": if snapshot.is_ok() { "fresh" } else { "stale" },
        "bundle": snapshot.as_ref().map_or(0, |s| s.bundle.versioned.version),
        "revocations": snapshot.as_ref().map_or(0, |s| s.revoked.seq()),
        "snapshot_age_s": snapshot.as_ref().map_or(-1, |s| s.age(now)),
        "log": { "origin": gateway.recorder.log().origin(), "size": gateway.recorder.log().size(), "ok": records },
    });
    let status = if snapshot.is_ok() && records { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, body.to_string().into_bytes())
}

fn plain(code: Code, message: &str, help: &str) -> Response {
    let rejection = Rejection::new(code, message, help);
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&rejection).unwrap_or_default();
    let mut response = json(status, body);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("1"));
    }
    response
}

impl Gateway {
    fn metadata_url(&self, server: &ServerName) -> String {
        format!("{}/.well-known/oauth-protected-resource/mcp/{server}", self.config.url)
    }

    /// No web page but those of the configured origins, and no name for this machine but its own: a page that rebinds
    /// a name to a loopback address gets nowhere.
    fn origin_allowed(&self, parts: &axum::http::request::Parts) -> bool {
        let header = |name| parts.headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap_or(""));
        let own = self.config.url.split_once("://").map_or("", |(_, rest)| rest);
        let host = header(HOST).or_else(|| parts.uri.authority().map(http::uri::Authority::as_str));
        let host_ok = host.is_some_and(|host| host.eq_ignore_ascii_case(own));
        let origin_ok = header(ORIGIN).is_none_or(|origin| self.config.origins.iter().any(|allowed| allowed == origin));
        host_ok && origin_ok
    }
}
