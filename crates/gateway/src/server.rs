//! The gateway's HTTP surface: one endpoint per server, its metadata, and health.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::Request;
use axum::response::Response;
use axum::routing::{any, get};
use http::StatusCode;
use http::header::{HOST, ORIGIN};
use remit_core::id::ServerName;
use remit_core::rejection::{Code, Rejection};

use crate::Gateway;
use crate::accept::{Asked, accept};
use crate::answer::{self, To, json};
use crate::handle::handle;

/// Serves until `shutdown`, then lets calls in flight end.
pub async fn serve(
    gateway: Arc<Gateway>,
    listener: tokio::net::TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/mcp/{server}", any(mcp))
        .route("/.well-known/oauth-protected-resource/mcp/{server}", get(metadata))
        .route("/healthz", get(health))
        .with_state(gateway);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(shutdown).await
}

async fn mcp(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    if !gateway.origin_allowed(&parts) {
        return plain(
            Code::OriginForbidden,
            "the request comes from a web page, or for another host",
            "call from an MCP client",
        );
    }
    let Ok(_place) = Arc::clone(&gateway.calls).try_acquire_owned() else {
        return plain(Code::Overloaded, "too many calls are in flight", "try again in a second");
    };
    let Ok(server) = ServerName::new(name) else {
        return plain(Code::ServerUnknown, "no such server", "list servers: remit server list");
    };
    let snapshot = gateway.snapshots.latest();
    match accept(&parts, body, &server, snapshot.as_ref().map(|s| s.bundle.as_ref())).await {
        Err(refused) => answer::unacceptable(&refused),
        Ok((call, asked)) => answer_call(&gateway, &server, call, asked, &parts, source.ip()).await,
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
async fn metadata(State(gateway): State<Arc<Gateway>>, Path(name): Path<String>) -> Response {
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
async fn health(State(gateway): State<Arc<Gateway>>) -> Response {
    let now = gateway.clock.now_s();
    let snapshot = gateway.snapshots.current(now);
    let body = serde_json::json!({
        "ok": snapshot.is_ok(),
        "bundle": snapshot.as_ref().map_or(0, |s| s.bundle.versioned.version),
        "revocations": snapshot.as_ref().map_or(0, |s| s.revoked.seq()),
        "snapshot_age_s": snapshot.as_ref().map_or(-1, |s| s.age(now)),
        "log": { "origin": gateway.recorder.log().origin(), "size": gateway.recorder.log().size() },
    });
    let status = if snapshot.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
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
