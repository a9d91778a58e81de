//! The whole life of a call, in order. Each line needs what a line above returned.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::response::Response;
use remit_core::call::Call;
use remit_core::decide::decide;
use remit_core::identify::{Caller, identify};
use remit_core::input::Input;
use remit_core::plan::plan;
use remit_core::rejection::Rejection;

use crate::accept::Asked;
use crate::flight::Flight;
use crate::flights::Sent;
use crate::gather::evidence;
use crate::permit::Permit;
use crate::relay::{Route, relay};
use crate::send::send;
use crate::signs::Signs;
use crate::strangers::Source;
use crate::{Gateway, observe, refusal};

/// parse → identify → plan → gather → decide → commit(intent) → send → label → commit(outcome) → reply
///
/// Parsing is [`crate::accept`]; a message that is no call, and a snapshot that is too old, end before the log.
pub async fn handle(
    gw: &Arc<Gateway>,
    call: Call,
    mut asked: Asked,
    parts: &Parts,
    source: Option<IpAddr>,
) -> Result<Response, Rejection> {
    let now = gw.clock.now_s();
    let snapshot = gw.snapshots.current(now)?; // one consistent view; stale: 503
    let (server, action) = (call.server().clone(), call.action().clone());
    let presented = gw.present(&snapshot, parts, &server, now); // identify: signature and proof
    asked.presented = Some(presented.clone());
    let seen = Box::pin(observe::pins(gw, &snapshot, &call, &mut asked)).await; // what the upstream says of the tool now
    let facts = gw.facts(&snapshot, &presented, &server, &action);
    let state = gw.state(&snapshot, &presented, facts, &call, now)?; // labels and counts of the root
    let input = Input::new(now, presented, facts, &call, state);
    if let Caller::Unknown(code) = identify(&snapshot.bundle, &input)
        && !gw.strangers.own_entry(Source::of(&input.presented, source), code, now)
    {
        return Err(Gateway::turned_away(code)); // a flood is counted and summed up
    }
    let plan = plan(&snapshot.bundle, input); // grant and policy
    let evidence = evidence(&plan); // for what the plan says, and nowhere before
    let mut decided = decide(&snapshot.bundle, call, plan, evidence);
    if gw.only_counted(&snapshot, &decided, now) {
        return Err(refusal::of(&decided)); // and so is a flood beyond the run's rate
    }
    let (intent, receipt) = gw.recorder.intent(&mut decided, &snapshot).await?; // durable before any effect
    asked.turn = None; // what follows waits for others
    let permit = Permit::new(decided, receipt).map_err(|refusal| observe::instead(refusal, seen))?; // forbid, pending
    let claims = permit.claims().cloned().ok_or_else(Gateway::broken)?;
    gw.runs.raise(&claims.root, intent.label_after); // before anything of the reply is read
    gw.take_back(&claims, &server, &asked); // where the message cancels another one of this run
    let sent = Sent::of(&claims, &server, &asked);
    let flight = Flight::new(Arc::clone(gw), claims, permit.index(), intent.label_after, sent);
    let signs = Signs::of(&snapshot.bundle, &permit, &asked); // where the label does not rise, no words come back
    let sent = send(&gw.upstreams, &gw.sessions, &snapshot.bundle, permit, &asked);
    let reply = match gw.unless_halted(&flight, &server, &action, sent).await {
        Ok(Ok(reply)) => Ok(match signs {
            Some(signs) => signs.only(gw, reply),
            None => reply,
        }),
        Ok(failed) => failed,
        Err(status) => return gw.ended(flight, status).await, // the upstream call ends with it
    };
    let route = Route { gateway: Arc::clone(gw), server, action, asked };
    relay(route, flight, reply).await // outcome durable, then the reply
}
