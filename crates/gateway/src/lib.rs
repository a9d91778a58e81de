//! The data plane: every call of every agent passes here, and nothing passes undecided or unrecorded.
//!
//! [`handle::handle`] is the whole life of a call; the other files are its steps, in the order of its lines.

pub mod accept;
pub mod answer;
pub mod answers;
pub mod ask;
pub mod body;
pub mod clock;
pub mod config;
pub mod doors;
pub mod fetch;
pub mod flight;
pub mod flights;
pub mod gather;
mod halt;
pub mod handle;
pub mod identity;
mod late;
mod listen;
pub mod lists;
pub mod mcp;
pub mod observe;
pub mod open;
pub mod permit;
pub mod pins;
pub mod places;
pub mod questions;
pub mod rebuild;
pub mod record;
pub mod refusal;
pub mod relay;
pub mod runs;
pub mod secrets;
pub mod send;
pub mod server;
pub mod sessions;
pub mod signs;
pub mod snapshots;
pub mod sse;
pub mod strangers;
pub mod tokens;
pub mod turns;
pub mod upstream;

use std::sync::Arc;

use axum::http::request::Parts;
use remit_core::call::{Action, Call};
use remit_core::decide::Decided;
use remit_core::hash::sha256;
use remit_core::id::ServerName;
use remit_core::identify::{Caller, Request, identify};
use remit_core::input::{Facts, Input, Presented, State};
use remit_core::plan::beyond_rate;
use remit_core::rejection::{Code, Rejection};
use remit_core::snapshot::Snapshot;

use strangers::Source;

pub use config::Config;
pub use open::OpenError;

/// A gateway: what it decides by, what it remembers, and where it writes.
pub struct Gateway {
    config: Config,
    clock: Arc<dyn clock::Clock>,
    identity: Arc<identity::Identity>,
    snapshots: snapshots::Snapshots,
    tokens: tokens::Tokens,
    runs: runs::Runs,
    pins: pins::Pins,
    sessions: sessions::Sessions,
    questions: Arc<questions::Questions>,
    flights: flights::Flights,
    strangers: strangers::Strangers,
    recorder: record::Recorder,
    upstreams: send::Upstreams,
    places: places::Places,
    turns: turns::Turns,
}

impl Gateway {
    /// What a request presents: its token, and the proof that it needs.
    fn present(&self, snapshot: &Snapshot, parts: &Parts, server: &ServerName, now: i64) -> Presented {
        let one = |name: &str| {
            let mut values = parts.headers.get_all(name).iter();
            let value = values.next()?.to_str().ok();
            // Two tokens or two proofs are two readings of one request.
            Some(value.filter(|_| values.next().is_none()))
        };
        let (authorization, proof) = (one("authorization"), one("dpop"));
        if authorization == Some(None) || proof == Some(None) {
            return Presented::Invalid;
        }
        let url = snapshot.bundle.resource(server);
        let request = Request {
            authorization: authorization.flatten(),
            proof: proof.flatten(),
            method: parts.method.as_str(),
            url: &url,
        };
        self.tokens.present(snapshot, request, now)
    }

    fn facts(&self, snapshot: &Snapshot, presented: &Presented, server: &ServerName, action: &Action) -> Facts {
        let claims = match presented {
            Presented::Token(token) => Some(token.claims().as_ref()),
            _ => None,
        };
        let pinned = action.tool().and_then(|tool| Some((tool, snapshot.bundle.tool(server, tool)?)));
        let drifted = pinned.is_some_and(|(tool, exposed)| self.pins.drifted(server, tool, &exposed.tool.pin));
        snapshot.facts(claims, server, action, drifted)
    }

    /// Whether a refusal is counted and summed up, like a stranger's: the run makes more than its rate, and no flood of
    /// what is refused anyway fills the log.
    fn only_counted(&self, snapshot: &Snapshot, decided: &Decided, now: i64) -> bool {
        let (Some(code), Some(claims)) = (decided.verdict().code(), decided.input().claims()) else { return false };
        beyond_rate(&snapshot.bundle, decided.input())
            && !self.strangers.own_entry(Source::Run(claims.run.as_str()), code, now)
    }

    /// How it stands with the root. Any other method than a decided one has a rate of its own, and costs no budget.
    fn state(
        &self,
        snapshot: &Snapshot,
        presented: &Presented,
        facts: Facts,
        call: &Call,
        now: i64,
    ) -> Result<State, Rejection> {
        // Only a caller who is known may leave a trace in memory.
        let input = Input::new(now, presented.clone(), facts, call, State::UNKNOWN);
        let Caller::Known(claims, _) = identify(&snapshot.bundle, &input) else {
            return Ok(State::UNKNOWN);
        };
        let next = self.recorder.log().size();
        if matches!(call.action(), Action::Method(_)) {
            return self.runs.method(claims, now, next);
        }
        let name = call.action().tool().map_or("", |tool| tool.as_str());
        let what = [call.server().as_str(), call.action().method(), name].join("\0");
        let digest = sha256(&[what.as_bytes(), b"\0", call.arguments(), call.answer_bytes()]);
        self.runs.begin(claims, digest, now, next)
    }

    fn turned_away(code: Code) -> Rejection {
        Rejection::new(
            code,
            "the request does not show who is calling",
            "get a token: remit request SERVER/TOOL --for 15m --why \"…\"",
        )
    }

    fn broken() -> Rejection {
        Rejection::new(Code::Internal, "a permitted call has no caller", "report this: it is a defect of the gateway")
    }
}
