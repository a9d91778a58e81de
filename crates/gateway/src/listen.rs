//! Connections: how many there may be, how long one may take to say what it wants, and how they end.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Gateway;
use crate::doors::{CONNECTIONS_MAX, Doors, Seat};
use crate::server::answer;

/// How long the head of a request may take to come, and a connection may be idle.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long calls in flight may go on after the end was asked for.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);
/// Open files that are asked of the system: for connections, for those to upstreams, and for the log.
const FILES_WANTED: usize = 4 * CONNECTIONS_MAX;
/// How long to wait where the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown`, then lets calls in flight end, for a while.
pub async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let doors = Arc::new(Doors::new(files()));
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, source)) => {
                // Without a seat it is closed at once.
                if let Some(seat) = doors.enter(source.ip()) {
                    connections.spawn(connection(Arc::clone(&gateway), stream, seat, stopping.clone()));
                }
            }
            // One connection's failure, or too many open files: neither ends the service.
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    stop.send_replace(());
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIME_MAX, drained).await.is_err() {
        // What is still open is cut; each call in flight records that it was cancelled.
        connections.shutdown().await;
    }
    Ok(())
}

/// How many files may be open, once as many were asked for as are wanted.
fn files() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(FILES_WANTED).unwrap_or(u64::MAX).min(limit.maximum.unwrap_or(u64::MAX));
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "no more files may be open than before");
        }
    }
    let open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(open).unwrap_or(usize::MAX)
}

async fn connection(gateway: Arc<Gateway>, stream: TcpStream, seat: Arc<Seat>, mut stopping: watch::Receiver<()>) {
    // Nagle's delay would be felt on every small frame; a socket that refuses still serves.
    stream.set_nodelay(true).ok();
    let sitting = Arc::clone(&seat);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (gateway, seat) = (Arc::clone(&gateway), Arc::clone(&sitting));
        async move { Ok::<_, std::convert::Infallible>(answer(gateway, seat, request.map(Body::new)).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = seat.cleared() => Ok(()),
        _stop = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
