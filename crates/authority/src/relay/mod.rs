//! The relay: MCP clients of this machine that cannot prove possession of a key come here with a bearer value of their
//! run, and what they say goes to the gateway with the run's own token and a proof for this one request.
//!
//! **Invariant:** a value is of one run and one server, is accepted from processes that may ask for that run alone, ends
//! with the run and with this process, and goes no further than here.
//! **Invariant:** of what a client says and is told nothing is changed but who says it: no credential of the client passes,
//! and nothing is kept.

mod caller;
mod connection;
mod forward;
mod held;
mod refuse;
mod value;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use http_body_util::Limited;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use remit_core::id::{GrantId, RunId, ServerName};
use remit_core::rejection::{Code, Rejection};

use crate::authority::State;
use crate::error::AuthorityError;
use crate::kept::declares_bearer;
use crate::socket::wire::RelayGiven;
use caller::Recent;
use value::{Of, ValueKey};

pub(crate) use connection::serve;
pub(crate) use held::Held;

/// How long a connection to the gateway may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: shorter than the gateway does, so that none is met while it closes.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// How often a silent connection is tried, so that a gateway whose machine is gone is noticed, also below an open stream.
const ALIVE: Duration = Duration::from_secs(20);

/// What the relay's requests share.
pub(crate) struct Relay {
    key: ValueKey,
    client: Client<HttpsConnector<HttpConnector>, Limited<Incoming>>,
    address: OnceLock<SocketAddr>,
    recent: Recent,
}

impl Relay {
    pub(crate) fn new() -> Result<Self, AuthorityError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIME_MAX));
        tcp.set_keepalive(Some(ALIVE));
        tcp.set_keepalive_interval(Some(ALIVE / 4));
        tcp.set_keepalive_retries(Some(4));
        let tls = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(tcp);
        let client =
            Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(POOL_IDLE).build(tls);
        Ok(Self { key: ValueKey::new()?, client, address: OnceLock::new(), recent: Recent::default() })
    }

    /// Where it listens; the first word counts.
    pub(crate) fn at(&self, address: SocketAddr) {
        self.address.set(address).ok();
    }

    /// Its URL, where there is one.
    pub(crate) fn url(&self) -> Option<String> {
        self.address.get().map(|address| format!("http://{address}"))
    }
}

impl State {
    /// What a client of a run brings to the relay. Where the agent's tokens need no proof there is nothing, unless it is
    /// wanted all the same.
    pub(crate) fn relay_value(
        &self,
        run: &RunId,
        server: &ServerName,
        grant: Option<GrantId>,
        always: bool,
    ) -> Result<RelayGiven, AuthorityError> {
        let url = self.relay.url().ok_or_else(no_relay)?;
        let of = Of { run: run.clone(), server: server.clone(), grant };
        let mut core = self.core();
        let wanted = always || !declares_bearer(&core, run)?;
        // What stands against it is said now, and not at the first call.
        let value =
            if wanted { self.current(&mut core, &of).map(|_| self.relay.key.issue(&of)).map(Some)? } else { None };
        Ok(RelayGiven { url: format!("{url}/mcp/{server}"), value })
    }
}

fn no_relay() -> AuthorityError {
    let message = "this authority has no relay";
    let help = "prove each request to the gateway: remit token SERVER --run RUN --to gateway";
    AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help))
}
