//! The two transports: Streamable HTTP on a listener, and stdio.

use std::future::{Future, IntoFuture};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use rmcp::ServiceExt;
use rmcp::transport::stdio;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;

use crate::desk::Desk;
use crate::ledger::Effect;

/// A vanished client is noticed at the next write, so an idle stream writes this often.
const SSE_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// How long connections may take to end after the shutdown was asked for.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);
/// Of one request, in bytes.
const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// Serves MCP at `/mcp` and the ledger at `/ledger` until `shutdown` completes.
///
/// Only hosts of the loopback interface are answered, and no browser's `Origin`. A stateless call
/// ends with its connection; in a legacy session the stream may be resumed, so there it takes
/// `notifications/cancelled` or the end of the session.
pub async fn serve_http(
    listener: TcpListener,
    desk: Desk,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let config = StreamableHttpServerConfig::default()
        .with_sse_keep_alive(Some(SSE_KEEP_ALIVE))
        .with_max_request_body_bytes(REQUEST_BYTES_MAX)
        .enforce_origin_validation();
    let stop = config.cancellation_token.clone();
    let sessions = Arc::new(LocalSessionManager::default());
    let handler = desk.clone();
    let mcp = StreamableHttpService::new(move || Ok(handler.clone()), sessions, config);
    let router = Router::new().route("/ledger", get(ledger)).with_state(desk).nest_service("/mcp", mcp);

    // Nagle's delay would be felt on every small frame; a socket that refuses still serves.
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    let mut server =
        pin!(axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future());
    tokio::select! {
        ended = &mut server => return ended,
        () = shutdown => stop.cancel(),
    }
    // A client that keeps its connection open must not keep the desk alive.
    tokio::time::timeout(DRAIN_TIME_MAX, server).await.unwrap_or(Ok(()))
}

/// Serves MCP on standard input and output until the client closes them.
pub async fn serve_stdio(desk: Desk) -> io::Result<()> {
    let running = desk.serve(stdio()).await.map_err(io::Error::other)?;
    running.waiting().await.map(|_reason| ()).map_err(io::Error::other)
}

async fn ledger(State(desk): State<Desk>) -> Result<Json<Vec<Effect>>, StatusCode> {
    desk.ledger().map(Json).map_err(|_error| StatusCode::INTERNAL_SERVER_ERROR)
}
