//! A run's socket: what the run is, its tokens, less of what it holds, and the runs that it begins.
//!
//! **Invariant:** nothing that is asked here reaches another run, widens this one, or gives its private key away.

use std::collections::BTreeMap;
use std::sync::Arc;

use remit_core::id::{GrantId, RunId, ServerName};
use remit_core::rejection::{Code, Rejection};

use super::peer::{self, Peer};
use super::wire::{Line, RunAsk, RunStatus, TokenGiven};
use super::{grants, line, not_a_request, reply};
use crate::authority::State;
use crate::change::Process;
use crate::error::AuthorityError;
use crate::kept::{Bound, not_held};
use crate::proof;

type Reply = Result<serde_json::Value, AuthorityError>;

pub(super) fn answer(state: &Arc<State>, run: &RunId, peer: Option<Peer>, text: &[u8]) -> Vec<u8> {
    let answered = own(state, run, peer).and_then(|peer| {
        let asked: Line<RunAsk> = serde_json::from_slice(text).map_err(|error| not_a_request(&error))?;
        act(state, run, peer, asked.ask)
    });
    line(answered)
}

/// The refusal of a peer that may ask nothing here, before it has asked.
pub(super) fn refuse(state: &State, run: &RunId, peer: Option<Peer>) -> Option<Vec<u8>> {
    own(state, run, peer).err().map(|error| line(Err(error)))
}

/// The run's own processes, and those outside every run; never another run's, and never one that cannot be placed.
fn own(state: &State, run: &RunId, peer: Option<Peer>) -> Result<Peer, AuthorityError> {
    let place = peer.map(|peer| state.place(peer.pid)).transpose()?.flatten();
    match peer.zip(place) {
        Some((peer, place)) if place.may_ask(run) => Ok(peer),
        _ => Err(refused(
            Code::InsufficientScope,
            "this socket is another run's".into(),
            "use the socket of your own run: remit status",
        )),
    }
}

fn act(state: &Arc<State>, run: &RunId, peer: Peer, ask: RunAsk) -> Reply {
    match ask {
        RunAsk::Status {} => status(state, run),
        RunAsk::Request { asked } => reply(state.narrow(run, &asked)?),
        RunAsk::Spawn(spawn) => {
            let process = spawn.pid.map(|pid| process(state, peer, pid)).transpose()?;
            reply(state.spawn(run, &spawn, process)?)
        }
        RunAsk::Held(ask) => grants::of_run(state, run, ask),
        RunAsk::Token { server, grant } => token(state, run, &server, grant),
        RunAsk::Relay { server, grant, always } => reply(state.relay_value(run, &server, grant, always)?),
        RunAsk::Headers { url, method, grant } => headers(state, run, &url, &method, grant),
    }
}

/// The process of a child: the one that asks, or one that it started. It belongs where that one belongs, so that what is
/// another run's already stays that run's.
fn process(state: &State, peer: Peer, pid: i32) -> Result<Process, AuthorityError> {
    let (own, other) = (state.place(peer.pid)?, state.place(pid)?);
    let found = peer::descendant(pid, peer.pid).filter(|_| own.is_some() && own == other);
    found.ok_or_else(|| {
        let message = format!("process {pid} is not the one that asks, nor was it started by it in the same run");
        refused(Code::RequestInvalid, message, "name a process that asks, or that it started: --pid PID")
    })
}

fn status(state: &State, id: &RunId) -> Reply {
    let now = state.config.clock.now();
    let core = state.core();
    let store = core.journal.store();
    let run = store.live_run(id, now)?.ok_or_else(|| {
        let help = "begin a new run: remit request SERVER/TOOL --for 15m --why \"…\"";
        refused(Code::TokenExpired, format!("the run `{id}` is over"), help)
    })?;
    let grants = store.held_by(id, now)?;
    let spawned_by = store.spawned_by(&run)?;
    reply(RunStatus { run, grants, spawned_by })
}

fn token(state: &State, run: &RunId, server: &ServerName, grant: Option<GrantId>) -> Reply {
    let minted = state.mint_kept(&mut state.core(), run, server, grant, Bound::AsDeclared)?;
    let kind = if minted.claims.cnf.is_some() { "DPoP" } else { "Bearer" };
    reply(TokenGiven {
        access_token: minted.token,
        token_type: kind.into(),
        expires_in: minted.claims.exp.saturating_sub(minted.claims.iat),
        authorization_details: minted.claims.authorization_details,
    })
}

fn headers(state: &State, run: &RunId, url: &str, method: &str, grant: Option<GrantId>) -> Reply {
    let server = server_of(state, url)?;
    let mut core = state.core();
    let minted = state.mint_kept(&mut core, run, &server, grant, Bound::AsDeclared)?;
    let token = &minted.token;
    if minted.claims.cnf.is_none() {
        return reply(BTreeMap::from([("Authorization", format!("Bearer {token}"))]));
    }
    let key = core.held.get(run).ok_or_else(|| not_held(run))?;
    let proof = proof::make(key, method, url, token, state.config.clock.now())?;
    reply(BTreeMap::from([("Authorization", format!("DPoP {token}")), ("DPoP", proof)]))
}

/// The server that a URL of the gateway is of.
fn server_of(state: &State, url: &str) -> Result<ServerName, AuthorityError> {
    let prefix = format!("{}/mcp/", state.config.gateway);
    let rest = url.strip_prefix(&prefix);
    let name = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    name.and_then(|name| ServerName::new(name).ok()).ok_or_else(|| {
        let message = "the URL is none of the gateway's".into();
        refused(Code::RequestInvalid, message, &format!("it begins with {prefix}"))
    })
}

fn refused(code: Code, message: String, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
