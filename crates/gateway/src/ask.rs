//! What a server asks of the client, put to it only where that was granted: decided and recorded like every other
//! method, marked as the server's words, and with the label raised before anybody reads it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use remit_core::call::{Action, Call};
use remit_core::decide::decide;
use remit_core::event::Status;
use remit_core::feature::Feature;
use remit_core::gate::Evidence;
use remit_core::input::{Input, Presented};
use remit_core::json::{Members, Value, members};
use remit_core::plan::plan;
use remit_core::rejection::{Code, Rejection};
use remit_core::target::Target;
use serde_json::value::RawValue;

use crate::Gateway;
use crate::flight::Flight;
use crate::flights::Sent;
use crate::mcp::envelope::{Envelope, Outcome};
use crate::mcp::mark::marked;
use crate::mcp::reply;
use crate::mcp::revision::Era;
use crate::permit::Permit;
use crate::questions::{QUESTIONS_PER_ROOT_MAX, Question, Waiting};
use crate::refusal;
use crate::relay::Route;
use crate::sessions::State;
use crate::sse::Frame;

/// The question on a stream, as the client gets it; `None` where it gets none.
pub async fn put(route: &Route, flight: &Flight, text: &str) -> Option<(Frame, Waiting)> {
    if route.asked.revision.era() != Era::Legacy {
        return None;
    }
    let Ok(Envelope::Request(request)) = Envelope::parse(text.as_bytes()) else { return None };
    let feature = Feature::used_by(&request.method)?;
    let params = marked(feature, request.params.raw, &route.server)?;
    let claims = &flight.claims;
    let (run, root, server) = (claims.run.clone(), claims.root.clone(), route.server.clone());
    let waiting =
        route.gateway.questions.put(Question { run, root, server, feature, id: request.id.raw().to_owned() })?;
    let method = feature.method();
    let shown = format!(r#"{{"jsonrpc":"2.0","id":{},"method":"{method}","params":{params}}}"#, waiting.id);
    let recorded = async { permitted(route, feature, text).await?.land(Status::Ok, Some(shown.clone().into())).await };
    if let Err(refused) = recorded.await {
        tracing::debug!(code = refused.code.name(), "a server's question is not put to the client");
        return None;
    }
    Some((Frame::of(&shown), waiting))
}

/// The answer of a server that asks something first (2026-07-28), as the client gets it: every question in it was
/// permitted and is marked, and the state of the call means something to this run and this request alone.
pub async fn first(route: &Route, flight: &Flight, body: &Bytes) -> Result<Bytes, Rejection> {
    const BROKEN: &str = "what it asks cannot be read";
    let invalid = || Rejection::new(Code::UpstreamInvalid, BROKEN, "look before you repeat it: remit doctor");
    if route.asked.revision.era() != Era::Modern || matches!(route.action, Action::Method(_) | Action::Answer(_)) {
        return Err(invalid());
    }
    let text = std::str::from_utf8(body).map_err(|_| invalid())?;
    let result = result_of(route, text).ok_or_else(invalid)?;
    let asked = match member(&result, "inputRequests") {
        Some(raw) => members(raw).map_err(|_| invalid())?,
        None => Members::default(),
    };
    if asked.len() > QUESTIONS_PER_ROOT_MAX {
        return Err(invalid());
    }
    let upstream = upstream_state(&result).map_err(|()| invalid())?;
    let mut state = State { features: BTreeMap::new(), upstream };
    let (mut shown, mut flights) = (Vec::new(), Vec::new());
    for (id, raw) in &asked {
        let request = members(raw).map_err(|_| invalid())?;
        let method = member(&request, "method").and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let feature = method.as_deref().and_then(Feature::used_by).ok_or_else(invalid)?;
        let params = marked(feature, member(&request, "params"), &route.server).ok_or_else(invalid)?;
        let question = format!(r#"{{"method":"{}","params":{params}}}"#, feature.method());
        match permitted(route, feature, raw.get()).await {
            Ok(flight) => flights.push((flight, question.clone())),
            Err(refused) => return not_shown(flights).await.and(Err(may_be_asked_for(refused, route, feature))),
        }
        shown.push(format!("{}:{question}", serde_json::Value::from(id.as_ref())));
        state.features.insert(id.clone().into_owned(), feature);
    }
    let claims = &flight.claims;
    let sealed = route.gateway.sessions.seal_state(&claims.run, &route.server, &route.action, &state);
    let Some(sealed) = sealed.map(serde_json::Value::from) else {
        return not_shown(flights).await.and(Err(invalid()));
    };
    for (flight, question) in flights {
        flight.land(Status::Ok, Some(question.into())).await?;
    }
    let own = |name: &str| matches!(name, "inputRequests" | "requestState");
    let kept = result.iter().filter(|(name, _)| !own(name));
    let mut kept: Vec<String> =
        kept.map(|(name, raw)| format!("{}:{}", serde_json::Value::from(name.as_ref()), raw.get())).collect();
    kept.push(format!(r#""inputRequests":{{{}}}"#, shown.join(",")));
    kept.push(format!(r#""requestState":{sealed}"#));
    let id = route.asked.id.as_ref().map_or("null", |(_, raw)| raw);
    Ok(Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{}}}}}"#, kept.join(","))))
}

/// Nobody can ask for a method: the feature is what was not granted.
fn may_be_asked_for(refused: Rejection, route: &Route, feature: Feature) -> Rejection {
    if refused.code != Code::InsufficientScope {
        return refused;
    }
    let target = Target::Client(route.server.clone(), feature);
    Rejection { help: format!("remit request {target} --for 15m --why \"…\""), ..refused }
}

/// What becomes of questions that were permitted, and then not put because of another.
async fn not_shown(flights: Vec<(Flight, String)>) -> Result<(), Rejection> {
    for (flight, _) in flights {
        flight.land(Status::NotSent, None).await?;
    }
    Ok(())
}

fn result_of<'a>(route: &Route, text: &'a str) -> Option<Members<'a>> {
    let (id, _) = route.asked.id.as_ref()?;
    match reply::outcome(text.as_bytes(), id).ok()? {
        Outcome::Result(raw) => members(raw).ok(),
        Outcome::Error(_) => None,
    }
}

/// The server's own state of the call, if there is any, which must be a text.
fn upstream_state(result: &Members<'_>) -> Result<Option<String>, ()> {
    match member(result, "requestState").map(|raw| Value::parse(raw.get())) {
        None => Ok(None),
        Some(Ok(Value::String(state))) => Ok(Some(state.into_owned())),
        Some(_) => Err(()),
    }
}

fn member<'a>(members: &Members<'a>, name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(found, _)| found == name).map(|(_, raw)| *raw)
}

/// Decides and records that the server may ask this; the label rises with it.
async fn permitted(route: &Route, feature: Feature, question: &str) -> Result<Flight, Rejection> {
    let gw: &Arc<Gateway> = &route.gateway;
    let now = gw.clock.now_s();
    let snapshot = gw.snapshots.current(now)?;
    let action = Action::Method(feature.method().to_owned());
    let mut call = Call::new(route.server.clone(), action.clone(), question.as_bytes().to_vec(), 0..0)
        .map_err(|_| Gateway::broken())?;
    route.asked.revision.as_str().clone_into(&mut call.revision);
    let presented = route.asked.presented.clone().unwrap_or(Presented::Nothing);
    let facts = gw.facts(&snapshot, &presented, &route.server, &action);
    let state = gw.state(&snapshot, &presented, facts, &call, now)?;
    let input = Input::new(now, presented, facts, &call, state);
    let plan = plan(&snapshot.bundle, input);
    let mut decided = decide(&snapshot.bundle, call, plan, Evidence::default());
    if gw.only_counted(&snapshot, &decided, now) {
        return Err(refusal::of(&decided));
    }
    let (intent, receipt) = gw.recorder.intent(&mut decided, &snapshot).await?;
    let permit = Permit::new(decided, receipt)?;
    let claims = permit.claims().cloned().ok_or_else(Gateway::broken)?;
    gw.runs.raise(&claims.root, intent.label_after);
    let sent = Sent { id: None, ..Sent::of(&claims, &route.server, &route.asked) };
    Ok(Flight::new(Arc::clone(gw), claims, permit.index(), intent.label_after, sent))
}
