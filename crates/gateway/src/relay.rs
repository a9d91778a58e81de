//! The way back: outcome first, reply second. Streams pass frame by frame; their final frame waits for the outcome.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode};
use remit_core::call::Action;
use remit_core::event::Status;
use remit_core::id::ServerName;
use remit_core::rejection::{Code, Rejection};
use tokio::sync::mpsc;

use crate::Gateway;
use crate::accept::Asked;
use crate::flight::Flight;
use crate::lists;
use crate::mcp::envelope::Outcome;
use crate::mcp::reply;
use crate::send::SESSION;
use crate::sse::{Frame, FrameKind};
use crate::upstream::{Frames, Reply, UpstreamError};

/// Frames that wait for a slow client.
const FRAMES_WAITING_MAX: usize = 16;

/// Where a reply belongs.
pub struct Route {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// The server that answered.
    pub server: ServerName,
    /// What was asked.
    pub action: Action,
    /// How it was asked.
    pub asked: Asked,
}

/// Records what became of the call, and makes the reply of it.
pub async fn relay(route: Route, flight: Flight, answer: Result<Reply, UpstreamError>) -> Result<Response, Rejection> {
    match answer {
        Ok(Reply::Accepted) => {
            flight.land(Status::Ok, None).await?;
            Ok(with_status(Body::empty(), StatusCode::ACCEPTED))
        }
        Ok(Reply::Json { status, headers, body }) => whole(&route, flight, status, &headers, body).await,
        Ok(Reply::Stream { headers, frames }) => Ok(stream(route, flight, &headers, frames)),
        Err(error) => {
            flight.land(status_of(error), None).await?;
            Err(failed(error))
        }
    }
}

fn with_status(body: Body, status: StatusCode) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

async fn whole(
    route: &Route,
    flight: Flight,
    status: StatusCode,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, Rejection> {
    let (body, outcome) = match message(route, &flight, &body) {
        Some(judged) => judged,
        // An HTTP error need not carry a message; nothing else may do without one.
        None if !status.is_success() => (Bytes::new(), Status::RpcError),
        None => {
            flight.land(Status::Invalid, None).await?;
            return Err(failed(UpstreamError::Malformed("its answer is no message")));
        }
    };
    let run = flight.claims.run.clone();
    flight.land(outcome, Some(&body)).await?;
    let mut response = with_status(Body::from(body), status);
    *response.headers_mut() = returned(route, &run, headers);
    Ok(response)
}

/// The answer as it goes back, and what it says became of the call. Lists lose what the run could not get.
fn message(route: &Route, flight: &Flight, body: &Bytes) -> Option<(Bytes, Status)> {
    let text = std::str::from_utf8(body).ok()?;
    let status = status(route, text)?;
    match route.asked.list {
        None => Some((body.clone(), status)),
        Some(kind) => lists::filter(route, &flight.claims, kind, text).map(|text| (Bytes::from(text), status)),
    }
}

/// What a response to this request says became of it.
fn status(route: &Route, text: &str) -> Option<Status> {
    let (expected, _) = route.asked.id.as_ref()?;
    match reply::outcome(text.as_bytes(), expected).ok()? {
        Outcome::Error(_) => Some(Status::RpcError),
        Outcome::Result(raw) => {
            let members = remit_core::json::members(raw).ok()?;
            let failed = members.iter().any(|(name, value)| name == "isError" && value.get() == "true");
            Some(if failed { Status::ToolError } else { Status::Ok })
        }
    }
}

fn returned(route: &Route, run: &remit_core::id::RunId, headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    if let Some(session) = headers.remove(SESSION) {
        let sealed = session.to_str().ok().and_then(|id| route.gateway.sessions.seal(run, &route.server, id));
        if let Some(value) = sealed.and_then(|id| HeaderValue::from_str(&id).ok()) {
            headers.insert(SESSION, value);
        }
    }
    headers
}

fn stream(route: Route, flight: Flight, headers: &HeaderMap, frames: Frames) -> Response {
    let headers = returned(&route, &flight.claims.run, headers);
    let (sender, receiver) = mpsc::channel(FRAMES_WAITING_MAX);
    tokio::spawn(pump(route, flight, frames, sender));
    let body = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|bytes| (Ok::<Bytes, std::convert::Infallible>(bytes), receiver))
    });
    let mut response = Response::new(Body::from_stream(body));
    *response.headers_mut() = headers;
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Passes frames on until the final one, the client's leaving, or the run's revocation, and records which it was.
async fn pump(route: Route, flight: Flight, mut frames: Frames, client: mpsc::Sender<Bytes>) {
    let mut snapshots = route.gateway.snapshots.watch();
    let landed = loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            () = client.closed() => break flight.land(Status::Cancelled, None).await,
            changed = snapshots.changed() => {
                if changed.is_ok() && !route.gateway.is_revoked(&flight.claims, &route.server, &route.action) {
                    continue;
                }
                break flight.land(Status::Revoked, None).await;
            }
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => break flight.land(status_of(error), None).await,
            // A standing stream may end when it likes; an answer that ends before its final frame is none.
            None if route.asked.id.is_none() => break flight.land(Status::Ok, None).await,
            None => break flight.land(Status::Unreachable, None).await,
        };
        let kind = kind(&route, &frame);
        // A server's question to the user or the model, or an answer to nobody, is not let through.
        if !kind.may_pass(route.asked.revision.era()) {
            continue;
        }
        match kind {
            FrameKind::Final => break last(&route, flight, &frame, &client).await,
            FrameKind::Notification(method) if method == "notifications/tools/list_changed" => {
                route.gateway.pins.forget(&route.server);
            }
            _ => {}
        }
        // A client that does not read is waited for; when it goes, the channel closes.
        if client.send(frame.bytes().clone()).await.is_err() {
            break flight.land(Status::Cancelled, None).await;
        }
    };
    if let Err(error) = landed {
        tracing::error!(%error, "the outcome of a stream could not be recorded; its reply is withheld");
    }
}

fn kind(route: &Route, frame: &Frame) -> FrameKind {
    let nobody = crate::mcp::id::IdKey::number(u64::MAX);
    frame.kind(route.asked.id.as_ref().map_or(&nobody, |(key, _)| key))
}

/// The final frame: its outcome is durable before it goes out.
async fn last(route: &Route, flight: Flight, frame: &Frame, client: &mpsc::Sender<Bytes>) -> Result<(), Rejection> {
    let judged = frame.data().and_then(|text| message(route, &flight, &Bytes::copy_from_slice(text.as_bytes())));
    let Some((body, status)) = judged else {
        return flight.land(Status::Invalid, None).await;
    };
    flight.land(status, Some(&body)).await?;
    let unchanged = frame.data().is_some_and(|text| text.as_bytes() == body);
    let bytes = match std::str::from_utf8(&body) {
        Ok(text) if !unchanged => Frame::of(text).bytes().clone(),
        _ => frame.bytes().clone(),
    };
    // Whether the client is still there changes nothing any more.
    client.send(bytes).await.ok();
    Ok(())
}

fn status_of(error: UpstreamError) -> Status {
    match error {
        UpstreamError::Unreachable | UpstreamError::Busy => Status::NotSent,
        UpstreamError::Timeout => Status::Timeout,
        UpstreamError::Malformed(_) | UpstreamError::TooLarge => Status::Invalid,
        UpstreamError::Closed => Status::Unreachable,
    }
}

fn failed(error: UpstreamError) -> Rejection {
    let code = match error {
        UpstreamError::Unreachable | UpstreamError::Busy | UpstreamError::Closed => Code::UpstreamUnreachable,
        UpstreamError::Timeout => Code::UpstreamTimeout,
        UpstreamError::Malformed(_) | UpstreamError::TooLarge => Code::UpstreamInvalid,
    };
    let help = if error.is_unsent() {
        "nothing was sent: try again, or see: remit doctor"
    } else {
        "it may have had its effect: look before you repeat it"
    };
    Rejection::new(code, error.to_string(), help)
}
