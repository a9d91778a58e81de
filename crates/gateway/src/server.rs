//! The gateway's HTTP surface: one endpoint per server, its metadata, and health.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{Method, StatusCode};
use remit_core::call::Call;
use remit_core::id::ServerName;
use remit_core::rejection::{Code, Rejection};

use crate::Gateway;
use crate::accept::{Asked, Unacceptable, accept, announced};
use crate::answer::{self, To, json};
use crate::answers::Answering;
use crate::body::{Unread, pass_over, read};
use crate::doors::Seat;
use crate::handle::handle;
pub use crate::listen::serve;
use crate::mcp::{McpError, headers};

/// Where health is asked for.
const HEALTH: &str = "/healthz";

/// Answers one request of this connection.
pub(crate) async fn answer(gateway: Arc<Gateway>, seat: Arc<Seat>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    if !gateway.is_meant(&parts) {
        return plain(
            Code::OriginForbidden,
            "the request comes from a web page, or for another host",
            "call from an MCP client",
        );
    }
    if let Some(name) = parts.uri.path().strip_prefix("/mcp/") {
        let Ok(server) = ServerName::new(name) else {
            return plain(Code::ServerUnknown, "no such server", "list servers: remit server list");
        };
        // In a box: a connection that waits for its next request does not hold the room that a call needs.
        return Box::pin(mcp(&gateway, &server, &seat, parts, body)).await;
    }
    if parts.method == Method::GET {
        if let Some(name) = parts.uri.path().strip_prefix("/.well-known/oauth-protected-resource/mcp/") {
            return metadata(&gateway, name);
        }
        if parts.uri.path() == HEALTH {
            return health(&gateway);
        }
    }
    plain(Code::ServerUnknown, "there is nothing here", "speak to /mcp/SERVER")
}

/// Nothing of a message is read, and no place is taken, before its headers have shown a token that is authentic.
async fn mcp(gateway: &Arc<Gateway>, server: &ServerName, seat: &Arc<Seat>, parts: Parts, body: Body) -> Response {
    let now = gateway.clock.now_s();
    let snapshot = match gateway.snapshots.current(now) {
        Ok(snapshot) => snapshot,
        Err(stale) => return early(gateway, server, &parts, body, &stale).await,
    };
    if let Err(full) = gateway.turns.any_left() {
        return early(gateway, server, &parts, body, &full).await;
    }
    let mut tokens = parts.headers.get_all(AUTHORIZATION).iter();
    let holder = match (tokens.next().and_then(|token| token.to_str().ok()), tokens.next()) {
        (Some(token), None) => gateway.tokens.holder(&snapshot, token, now),
        _ => None,
    };
    let Some(holder) = holder else {
        let Some((call, asked)) = announced(&parts, server) else {
            return answer::unacceptable(&McpError::Method.into());
        };
        let response = answer_call(gateway, server, call, asked, &parts, seat.source).await;
        pass_over(body).await;
        return response;
    };
    let mut place = match gateway.places.take(&holder.root, Some(seat.busy())) {
        Ok(place) => place,
        Err(full) => return early(gateway, server, &parts, body, &full).await,
    };
    if let Err(error) = headers::acceptable(&parts.method, &parts.headers) {
        return unacceptable(&parts, &error.into());
    }
    let body = if parts.method == Method::POST { read(body, &mut place).await } else { Ok(Bytes::new()) };
    let body = match body {
        Ok(body) => body,
        Err(Unread::Bad(error)) => return unacceptable(&parts, &error.into()),
        Err(Unread::NoRoom(full)) => return early(gateway, server, &parts, Body::empty(), &full).await,
    };
    let turn = match gateway.turns.take().await {
        Ok(turn) => turn,
        Err(full) => return early(gateway, server, &parts, Body::empty(), &full).await,
    };
    let answering = Answering { holder: &holder, questions: &gateway.questions, sessions: &gateway.sessions };
    match accept(&parts, body, server, &snapshot.bundle, &answering) {
        Err(refused) => unacceptable(&parts, &refused),
        Ok((call, mut asked)) => {
            if asked.standing
                && let Err(full) = place.stand()
            {
                return refusal(gateway, server, &call, &asked, &full);
            }
            (asked.place, asked.turn) = (Some(place), Some(turn));
            answer_call(gateway, server, call, asked, &parts, seat.source).await
        }
    }
}

/// A refusal of a message that was not read.
async fn early(gateway: &Gateway, server: &ServerName, parts: &Parts, body: Body, rejection: &Rejection) -> Response {
    pass_over(body).await;
    match announced(parts, server) {
        Some((call, asked)) => refusal(gateway, server, &call, &asked, rejection),
        None => answer::unacceptable(&McpError::Method.into()),
    }
}

fn unacceptable(parts: &Parts, refused: &Unacceptable) -> Response {
    if parts.method != Method::POST && refused.error == McpError::Method {
        return answer::not_allowed();
    }
    answer::unacceptable(refused)
}

fn refusal(gateway: &Gateway, server: &ServerName, call: &Call, asked: &Asked, rejection: &Rejection) -> Response {
    let scope = call.action().tool().map(|tool| format!("{server}/{tool}"));
    let metadata = gateway.metadata_url(server);
    let id = asked.id.as_ref().map(|(_, raw)| raw.as_str());
    let (action, revision) = (call.action(), asked.revision);
    answer::refusal(rejection, &To { id, action, revision, metadata: &metadata, scope: scope.as_deref() })
}

async fn answer_call(
    gateway: &Arc<Gateway>,
    server: &ServerName,
    call: Call,
    asked: Asked,
    parts: &Parts,
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

    /// No web page but those of the configured origins, and no name for this machine but its own, said once: a page
    /// that rebinds a name to a loopback address gets nowhere. Who asks only for health may use the address itself, as
    /// probes do: nobody rebinds that.
    fn is_meant(&self, parts: &Parts) -> bool {
        let own = self.config.url.split_once("://").map_or("", |(_, rest)| rest);
        let mut hosts = parts.headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else {
            return false;
        };
        let probed = parts.uri.path() == HEALTH && is_address(host);
        let named = |host: &str| host.eq_ignore_ascii_case(own);
        let authority_ok = parts.uri.authority().is_none_or(|authority| named(authority.as_str()));
        let mut origins = parts.headers.get_all(ORIGIN).iter();
        let allowed = |origin: &http::HeaderValue| self.config.origins.iter().any(|allowed| origin == allowed.as_str());
        (named(host) || probed) && authority_ok && origins.all(allowed)
    }
}

fn is_address(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.parse::<SocketAddr>().is_ok() || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests;
