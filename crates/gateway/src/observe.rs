//! What an upstream says of its tools, asked for when it is not known: a list on behalf of the same run, by the same
//! road as every other call, so that it too is decided and recorded.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use remit_core::call::{Action, Call};
use remit_core::decide::decide;
use remit_core::event::Status;
use remit_core::id::ServerName;
use remit_core::identify::{Caller, identify};
use remit_core::input::{Input, Presented, State};
use remit_core::plan::{plan, shows};
use remit_core::rejection::{Code, Rejection};
use remit_core::snapshot::Snapshot;

use crate::Gateway;
use crate::accept::Asked;
use crate::flight::Flight;
use crate::flights::Sent;
use crate::halt::revoked;
use crate::mcp::envelope::Outcome;
use crate::mcp::id::IdKey;
use crate::mcp::list::{List, ListKind};
use crate::mcp::reply;
use crate::mcp::revision::Era;
use crate::permit::Permit;
use crate::pins::{LIST_PAGES_MAX, Walk};
use crate::relay::{failed, status_of};
use crate::send::{SESSION, send};
use crate::sse::FrameKind;
use crate::upstream::{Reply, UpstreamError};

/// The gateway's own request has an id of its own: it is the only one on its connection.
const ID: u64 = 1;
const NO_LIST: UpstreamError = UpstreamError::Malformed("it lists no tools in the protocol revision of this client");

/// Sees to it that the tools of the call's server are known, where a known caller calls one of them.
///
/// A failure leaves them unknown, and an unknown tool is not called; what is returned is why.
pub async fn pins(gw: &Arc<Gateway>, snapshot: &Snapshot, call: &Call, asked: &mut Asked) -> Result<(), Rejection> {
    let now = gw.clock.now_s();
    let (Action::CallTool(tool), Some(Presented::Token(token))) = (call.action(), &asked.presented) else {
        return Ok(());
    };
    if gw.pins.has(call.server(), tool, now) || snapshot.bundle.tool(call.server(), tool).is_none() {
        return Ok(());
    }
    let facts = snapshot.facts(Some(token.claims()), call.server(), call.action(), false);
    let mut input = Input::new(now, Presented::Token(token.clone()), facts, call, State::UNKNOWN);
    // A caller who is not known gets no list made, and so no entry beyond his own quota; and for a tool that this run
    // could not get, nothing is done that would tell it from one that does not exist.
    let Caller::Known(claims, _) = identify(&snapshot.bundle, &input) else { return Ok(()) };
    input.state = gw.runs.peek(claims, now, gw.recorder.log().size())?;
    if !shows(&snapshot.bundle, &input) {
        return Ok(());
    }
    let turn = asked.turn.take();
    let walked = Box::pin(walk(gw, snapshot, call.server(), asked));
    let (walked, turn) = match turn {
        Some(mut turn) => (turn.away(walked).await, Some(turn)),
        None => (walked.await, None),
    };
    asked.turn = turn;
    match walked {
        Ok(walk) => gw.pins.replace(call.server(), walk, now),
        Err(why) => {
            gw.pins.forget_stale(call.server(), now);
            return Err(why);
        }
    }
    Ok(())
}

/// Every page of the upstream's list.
async fn walk(gw: &Arc<Gateway>, snapshot: &Snapshot, server: &ServerName, asked: &Asked) -> Result<Walk, Rejection> {
    let (mut walk, mut cursor) = (Walk::default(), None);
    for _page in 0..LIST_PAGES_MAX {
        let text = list(gw, snapshot, server, asked, cursor.as_deref()).await?;
        walk.page(&List::parse(ListKind::Tools, &text).ok().flatten().ok_or_else(|| failed(NO_LIST))?);
        cursor = next(&text);
        if cursor.is_none() {
            return Ok(walk);
        }
    }
    Err(failed(UpstreamError::Malformed("its list has no end")))
}

/// The refusal of a call whose tool could not be looked at: the reason is not that it changed.
pub fn instead(refusal: Rejection, seen: Result<(), Rejection>) -> Rejection {
    match seen {
        Err(why) if refusal.code == Code::PinChanged => Rejection { decision: refusal.decision, ..why },
        _ => refusal,
    }
}

/// One page of the upstream's list.
async fn list(
    gw: &Arc<Gateway>,
    snapshot: &Snapshot,
    server: &ServerName,
    asked: &Asked,
    cursor: Option<&str>,
) -> Result<String, Rejection> {
    let (body, asked) = message(asked, cursor).ok_or_else(Gateway::broken)?;
    let action = Action::Method("tools/list".into());
    let mut call = Call::new(server.clone(), action.clone(), body, 0..0).map_err(|_| Gateway::broken())?;
    asked.revision.as_str().clone_into(&mut call.revision);
    let Some(Presented::Token(token)) = &asked.presented else { return Err(Gateway::broken()) };
    let claims = Arc::clone(token.claims());
    let now = gw.clock.now_s();
    let facts = snapshot.facts(Some(&claims), server, call.action(), false);
    let state = gw.runs.peek(&claims, now, gw.recorder.log().size())?;
    let input = Input::new(now, Presented::Token(token.clone()), facts, &call, state);
    let plan = plan(&snapshot.bundle, input);
    let mut decided = decide(&snapshot.bundle, call, plan, remit_core::gate::Evidence::default());
    let (intent, receipt) = gw.recorder.intent(&mut decided, snapshot).await?;
    let permit = Permit::new(decided, receipt)?;
    let sent = Sent { id: None, ..Sent::of(&claims, server, &asked) };
    let flight = Flight::new(Arc::clone(gw), claims, permit.index(), intent.label_after, sent);
    let work = async {
        let reply = send(&gw.upstreams, &gw.sessions, &snapshot.bundle, permit, &asked).await?;
        whole(reply, asked.headers.contains_key(SESSION)).await
    };
    let answer = gw.unless_halted(&flight, server, &action, work).await;
    let (status, answer) = match answer {
        Ok(Ok(text)) => (Status::Ok, Ok(text)),
        Ok(Err(error)) => (status_of(error), Err(failed(error))),
        Err(status) => (status, Err(revoked())),
    };
    flight.land(status, answer.as_ref().ok().map(|text| text.clone().into())).await?;
    answer
}

/// The request, in the words of the client's revision.
fn message(asked: &Asked, cursor: Option<&str>) -> Option<(Vec<u8>, Asked)> {
    let mut params = serde_json::Map::new();
    if let Some(cursor) = cursor {
        params.insert("cursor".into(), cursor.into());
    }
    if asked.revision.era() == Era::Modern {
        let mut meta: serde_json::Map<_, _> = serde_json::from_str(asked.meta.as_deref()?).ok()?;
        // What belongs to the client's own request does not belong to this one.
        meta.retain(|name, _| name.starts_with("io.modelcontextprotocol/"));
        params.insert("_meta".into(), meta.into());
    }
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": ID, "method": "tools/list", "params": params });
    let mut headers = asked.headers.clone();
    let of_the_call = |name: &HeaderName| name == "mcp-name" || name.as_str().starts_with("mcp-param-");
    let gone: Vec<HeaderName> = headers.keys().filter(|name| of_the_call(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
    if headers.contains_key("mcp-method") {
        headers.insert(HeaderName::from_static("mcp-method"), HeaderValue::from_static("tools/list"));
    }
    let asked = Asked {
        method: Method::POST,
        headers,
        revision: asked.revision,
        id: Some((IdKey::number(ID), ID.to_string())),
        list: Some(ListKind::Tools),
        meta: None,
        standing: false,
        cancels: None,
        presented: asked.presented.clone(),
        barred: None,
        place: None,
        turn: None,
    };
    Some((body.to_string().into_bytes(), asked))
}

/// The list, whether it came whole or as the final frame of a stream.
async fn whole(reply: Reply, in_session: bool) -> Result<String, UpstreamError> {
    let id = IdKey::number(ID);
    let text = match reply {
        // The upstream's word for a session that has ended: the client must begin a new one.
        Reply::Json { status: StatusCode::NOT_FOUND, .. } if in_session => return Err(UpstreamError::Session),
        Reply::Json { body, .. } => String::from_utf8(body.to_vec()).map_err(|_| NO_LIST)?,
        Reply::Stream { mut frames, voice, .. } => loop {
            let frame = futures_util::StreamExt::next(&mut frames).await.ok_or(UpstreamError::Closed)??;
            match frame.kind(&id) {
                FrameKind::Final => break frame.data().unwrap_or_default().to_owned(),
                FrameKind::Request(_) => voice.no(frame.data().unwrap_or_default()),
                _ => {}
            }
        },
        Reply::Accepted => return Err(NO_LIST),
    };
    match reply::outcome(text.as_bytes(), &id) {
        Ok(Outcome::Result(_)) => Ok(text),
        _ => Err(NO_LIST),
    }
}

fn next(text: &str) -> Option<String> {
    let page: serde_json::Value = serde_json::from_str(text).ok()?;
    page.get("result")?.get("nextCursor")?.as_str().map(ToOwned::to_owned)
}
