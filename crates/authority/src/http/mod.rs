//! HTTP: what OAuth clients and gateways ask, a file for each endpoint.
//!
//! **Invariant:** every request has a bound on its size, on its time and on how many there are at once.

mod ask_page;
mod authorize;
mod callback;
mod client;
mod device;
mod events;
mod fleet;
mod introspect;
mod lease;
mod login;
mod metadata;
mod page;
mod people;
mod person_page;
mod refused;
mod revoke;
mod token;
mod wish;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use remit_core::rejection::Rejection;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::authority::State;
use crate::error::AuthorityError;
use crate::form::FORM_BYTES_MAX;

/// Connections that are served at once; the next one waits until there is room.
const CONNECTIONS_MAX: usize = 1_024;
/// A request whose head is not there in this time is given up.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A request that is not answered in this time is given up; longer than the longest poll.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
/// Answers in flight have this long when the authority ends.
const DRAIN: Duration = Duration::from_secs(2);

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(crate) struct Source(pub(crate) IpAddr);

pub(crate) type Shared = axum::extract::State<Arc<State>>;

/// Serves `listener` until `shutdown` ends.
pub(crate) async fn serve(state: &Arc<State>, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) {
    let router = router(state);
    let issuer = state.config.issuer.as_str();
    let host: Arc<str> = issuer.split_once("://").map_or(issuer, |(_, host)| host).into();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (end, ended) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &room) => accepted,
        };
        while connections.try_join_next().is_some() {}
        let Some((stream, permit)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (router, host, ended) = (router.clone(), Arc::clone(&host), ended.clone());
        connections.spawn(async move {
            connection(stream, router, host, ended).await;
            drop(permit);
        });
    }
    drop(end);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        connections.abort_all();
    }
}

fn router(state: &Arc<State>) -> Router {
    Router::new()
        .route("/.well-known/oauth-authorization-server", get(metadata::metadata))
        .route("/jwks", get(metadata::jwks))
        .route("/authorize", get(authorize::begin))
        .route("/authorize/{ticket}", get(authorize::wait))
        .route("/device_authorization", post(device::begin))
        .route("/device", get(device::page))
        .route("/people/begin", get(people::begin))
        .route("/people/callback", get(people::callback))
        .route(people::ANSWER, get(people::ask).post(people::answer))
        .route("/callback/{place}", get(callback::callback))
        .route("/client/{place}", get(callback::document))
        .route("/token", post(token::token))
        .route("/introspect", post(introspect::introspect))
        .route("/revoke", post(revoke::revoke))
        .route("/events", post(events::receive))
        .route("/fleet/bundle", get(fleet::bundle))
        .route("/fleet/feed", get(fleet::feed))
        .route("/fleet/secret/{server}", get(lease::lease))
        .route("/healthz", get(metadata::healthz))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(Arc::clone(state))
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    let (stream, _) = listener.accept().await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some((stream, permit))
}

async fn connection(stream: TcpStream, router: Router, host: Arc<str>, mut ended: watch::Receiver<()>) {
    let Ok(source) = stream.peer_addr().map(|address| Source(address.ip())) else { return };
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(source);
        let (router, host) = (router.clone(), Arc::clone(&host));
        async move { Ok::<_, Infallible>(answer(router, &host, request.map(axum::body::Body::new)).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let served = builder.serve_connection(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    let result = tokio::select! {
        result = &mut served => result,
        _ = ended.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}

async fn answer(mut router: Router, host: &str, request: Request) -> Response {
    use axum::routing::future::RouteFuture;
    use tower_service::Service as _;
    if !from_a_program(&request, host) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let answered: RouteFuture<Infallible> = router.call(request);
    match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

/// Web pages have no business here: not by name (another origin's script says so), nor by a name that was bound to
/// this address (the host is neither ours nor this machine).
fn from_a_program(request: &Request, host: &str) -> bool {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match named.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => named,
    };
    let ours = named == host || matches!(name, "localhost" | "127.0.0.1" | "[::1]");
    // The one form of our own pages says where it comes from, and whoever takes it looks.
    let form = request.method() == Method::POST && request.uri().path() == people::ANSWER;
    ours && (form || !request.headers().contains_key(header::ORIGIN))
}

/// Runs what waits for the disk, off the threads that serve.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AuthorityError> + Send + 'static,
) -> Result<T, Rejection> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(AuthorityError::rejection),
        Err(_) => Err(AuthorityError::Crypto.rejection()),
    }
}

/// A refusal as the fleet sees it.
pub(crate) fn refusal(rejection: &Rejection) -> Response {
    // A code that MCP carries in a 200 is a plain refusal here.
    let status = match rejection.code.status() {
        200 => StatusCode::FORBIDDEN,
        other => StatusCode::from_u16(other).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let mut response = (status, axum::Json(rejection)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
