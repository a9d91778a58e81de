//! Connections to the relay: whose they are, and how many each may have.
//!
//! **Invariant:** what a connection may ask for is decided by the process that made it, before anything on it is read; one
//! whose process is not known may ask for nothing. Nobody has more than a share of them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::forward::answer;
use crate::authority::State;
use crate::socket::peer::Place;

/// Connections at a time; the next one is closed at once.
const CONNECTIONS_MAX: usize = 512;
/// Most of them that one run has, or those outside every run, or those that nobody can place.
const SHARE: usize = CONNECTIONS_MAX / 4;
/// Searches for a connection's process at a time.
const SEARCHES_MAX: usize = 2;
/// A request whose head is not there in this time is given up, and so is an idle connection.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How many connections belong where.
#[derive(Default)]
struct Shares(Mutex<HashMap<Option<Place>, usize>>);

/// One connection's part of a share.
struct Seat {
    shares: Arc<Shares>,
    place: Option<Place>,
}

impl Shares {
    fn take(self: &Arc<Self>, place: Option<Place>) -> Option<Seat> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = shares.entry(place.clone()).or_default();
        if *taken >= SHARE {
            return None;
        }
        *taken = taken.saturating_add(1);
        Some(Seat { shares: Arc::clone(self), place })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut shares = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = shares.get_mut(&self.place) {
            *taken = taken.saturating_sub(1);
        }
        shares.retain(|_, taken| *taken > 0);
    }
}

/// Serves the relay for as long as it is polled; with this its connections end.
pub(crate) async fn serve(state: Arc<State>, listener: TcpListener) {
    let Ok(own) = listener.local_addr() else { return };
    let (room, searches) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Arc::new(Semaphore::new(SEARCHES_MAX)));
    let shares = Arc::new(Shares::default());
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        let Ok((stream, peer)) = accepted else {
            // Out of descriptors, say: the next moment may have some.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let (state, shares, searches) = (Arc::clone(&state), Arc::clone(&shares), Arc::clone(&searches));
        connections.spawn(async move {
            let place = place(&state, &searches, peer, own).await;
            if let Some(seat) = shares.take(place) {
                connection(state, stream, own, &seat).await;
            }
            drop(permit);
        });
    }
}

/// Where the process belongs that made a connection.
async fn place(state: &Arc<State>, searches: &Semaphore, peer: SocketAddr, own: SocketAddr) -> Option<Place> {
    let _turn = searches.acquire().await.ok()?;
    let state = Arc::clone(state);
    let found = tokio::task::spawn_blocking(move || {
        let pid = state.relay.recent.caller(peer, own)?;
        state.place(pid).ok().flatten()
    });
    found.await.ok().flatten()
}

async fn connection(state: Arc<State>, stream: TcpStream, own: SocketAddr, seat: &Seat) {
    // Nagle's delay would be felt on every small frame; a socket that refuses still serves.
    stream.set_nodelay(true).ok();
    let service = service_fn(|request| {
        let (state, place) = (Arc::clone(&state), seat.place.clone());
        async move { Ok::<_, Infallible>(answer(state, place, own, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(HEAD_BYTES_MAX);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the relay ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: count all together, or give nothing back.
    #[test]
    fn nobody_has_more_than_a_share_and_what_ends_makes_room() {
        let shares = Arc::new(Shares::default());
        let run = |id: &str| Some(Place::Within(id.parse().unwrap()));
        let mut seats: Vec<Seat> = (0..128).map(|_| shares.take(run("r-1")).unwrap()).collect();
        assert!(shares.take(run("r-1")).is_none());
        assert!(shares.take(run("r-2")).is_some() && shares.take(None).is_some());
        assert!(shares.take(Some(Place::Outside)).is_some());
        seats.pop();
        assert!(shares.take(run("r-1")).is_some());
        seats.clear();
        assert!(shares.0.lock().unwrap().is_empty());
    }
}
