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
use crate::answer;
use crate::ask;
use crate::flight::Flight;
use crate::lists;
use crate::mcp::envelope::Outcome;
use crate::mcp::reply;
use crate::send::SESSION;
use crate::sse::{Frame, FrameKind};
use crate::upstream::voice::Voice;
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
        Ok(Reply::Accepted) if route.asked.id.is_none() => {
            flight.land(Status::Ok, None).await?;
            Ok(with_status(Body::empty(), StatusCode::ACCEPTED))
        }
        Ok(Reply::Accepted) => {
            flight.land(Status::Invalid, None).await?;
            Err(failed(UpstreamError::Malformed("a request was taken without an answer")))
        }
        Ok(Reply::Json { status, headers, body }) => whole(&route, flight, status, &headers, body).await,
        Ok(Reply::Stream { headers, frames, voice }) => Ok(stream(route, flight, &headers, frames, voice)),
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
    let judged = match route.asked.id {
        Some(_) => message(route, &flight, &body),
        // Nothing was asked for, so nothing that is said belongs to anything.
        None => Some((Bytes::new(), if status.is_success() { Status::Ok } else { Status::RpcError })),
    };
    let (body, outcome) = match judged {
        Some((body, Status::Asked)) => match ask::first(route, &flight, &body).await {
            Ok(body) => (body, Status::Asked),
            Err(refused) => {
                flight.land(unasked(&refused), None).await?;
                return Err(refused);
            }
        },
        Some(judged) => judged,
        // An HTTP error need not carry a message; nothing else may do without one.
        None if !status.is_success() => (Bytes::new(), Status::RpcError),
        None => {
            flight.land(Status::Invalid, None).await?;
            return Err(failed(UpstreamError::Malformed("its answer is no message")));
        }
    };
    let run = flight.claims.run.clone();
    flight.land(outcome, Some(body.clone())).await?;
    let empty = body.is_empty();
    let mut response = with_status(Body::from(body), own(status));
    *response.headers_mut() = returned(route, &run, headers);
    if empty {
        response.headers_mut().remove(http::header::CONTENT_TYPE);
    }
    Ok(response)
}

/// What became of a call whose server asked something that is not put to the client.
fn unasked(refused: &Rejection) -> Status {
    if refused.code == Code::UpstreamInvalid { Status::Invalid } else { Status::Asked }
}

/// That the upstream does not accept the gateway's own credential is nothing that the client's could mend.
fn own(status: StatusCode) -> StatusCode {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            StatusCode::BAD_GATEWAY
        }
        status => status,
    }
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
            let says =
                |name: &str, text: &str| members.iter().any(|(found, value)| found == name && value.get() == text);
            let is =
                |kind: &str| members.iter().any(|(name, value)| name == "resultType" && is_text(value.get(), kind));
            // Of what nobody could ask for there is no outcome that could be waited for.
            if is("task") {
                return None;
            }
            Some(match () {
                () if is("input_required") => Status::Asked,
                () if says("isError", "true") => Status::ToolError,
                () => Status::Ok,
            })
        }
    }
}

/// However it is written: in escapes it says the same to a client.
fn is_text(raw: &str, text: &str) -> bool {
    serde_json::from_str::<String>(raw).is_ok_and(|said| said == text)
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

fn stream(route: Route, flight: Flight, headers: &HeaderMap, frames: Frames, voice: Voice) -> Response {
    let headers = returned(&route, &flight.claims.run, headers);
    let (sender, receiver) = mpsc::channel(FRAMES_WAITING_MAX);
    tokio::spawn(pump(route, flight, frames, voice, sender));
    let body = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|bytes| (Ok::<Bytes, std::convert::Infallible>(bytes), receiver))
    });
    let mut response = Response::new(Body::from_stream(body));
    *response.headers_mut() = headers;
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// How a stream ended.
enum End {
    /// With its final frame, which waits for the outcome.
    Final(Frame),
    /// Without one.
    Without(Status),
}

/// Passes frames on until the final one, the client's leaving, or the run's end, and records which it was.
async fn pump(route: Route, flight: Flight, mut frames: Frames, voice: Voice, client: mpsc::Sender<Bytes>) {
    let end = tokio::select! {
        biased;
        status = route.gateway.halted(&flight, &route.server, &route.action) => End::Without(status),
        () = client.closed() => End::Without(Status::Cancelled),
        end = pass(&route, &flight, &mut frames, &voice, &client) => end,
    };
    // The upstream call ends first, whatever becomes of the record.
    drop(frames);
    let landed = match end {
        End::Final(frame) => last(&route, flight, &frame, &client).await,
        End::Without(status) => flight.land(status, None).await,
    };
    if let Err(error) = landed {
        tracing::error!(%error, "the outcome of a stream could not be recorded; its reply is withheld");
    }
}

async fn pass(route: &Route, flight: &Flight, frames: &mut Frames, voice: &Voice, client: &mpsc::Sender<Bytes>) -> End {
    // They end with the stream.
    let mut questions = Vec::new();
    loop {
        let frame = match frames.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return End::Without(status_of(error)),
            // A standing stream may end when it likes; an answer that ends before its final frame is none.
            None if route.asked.id.is_none() => return End::Without(Status::Ok),
            None => return End::Without(Status::Unreachable),
        };
        let kind = kind(route, &frame);
        if let FrameKind::Request(_) = kind {
            let text = frame.data().unwrap_or_default();
            match ask::put(route, flight, text).await {
                Some((shown, waiting)) => {
                    questions.push(waiting);
                    if client.send(shown.bytes().clone()).await.is_err() {
                        return End::Without(Status::Cancelled);
                    }
                }
                None => voice.no(text),
            }
            continue;
        }
        // An answer to nobody is not let through.
        if !kind.may_pass(route.asked.revision.era()) {
            continue;
        }
        match kind {
            FrameKind::Final => return End::Final(frame),
            FrameKind::Notification(method) if method == "notifications/tools/list_changed" => {
                route.gateway.pins.forget(&route.server);
            }
            _ => {}
        }
        // A client that does not read is waited for; when it goes, the channel closes.
        if client.send(frame.bytes().clone()).await.is_err() {
            return End::Without(Status::Cancelled);
        }
    }
}

fn kind(route: &Route, frame: &Frame) -> FrameKind {
    let nobody = crate::mcp::id::IdKey::number(u64::MAX);
    frame.kind(route.asked.id.as_ref().map_or(&nobody, |(key, _)| key))
}

/// The final frame: its outcome is durable before it goes out.
async fn last(route: &Route, flight: Flight, frame: &Frame, client: &mpsc::Sender<Bytes>) -> Result<(), Rejection> {
    let judged = frame.data().and_then(|text| message(route, &flight, &Bytes::copy_from_slice(text.as_bytes())));
    let (body, status) = match judged {
        None => return flight.land(Status::Invalid, None).await,
        Some((body, Status::Asked)) => match ask::first(route, &flight, &body).await {
            Ok(body) => (body, Status::Asked),
            Err(refused) => {
                flight.land(unasked(&refused), None).await?;
                let id = route.asked.id.as_ref().map(|(_, raw)| raw.as_str());
                let said = answer::said(&refused, id, &route.action, route.asked.revision);
                client.send(Frame::of(&String::from_utf8_lossy(&said)).bytes().clone()).await.ok();
                return Ok(());
            }
        },
        Some(judged) => judged,
    };
    flight.land(status, Some(body.clone())).await?;
    let unchanged = frame.data().is_some_and(|text| text.as_bytes() == body);
    let bytes = match std::str::from_utf8(&body) {
        Ok(text) if !unchanged => Frame::of(text).bytes().clone(),
        _ => frame.bytes().clone(),
    };
    // Whether the client is still there changes nothing any more.
    client.send(bytes).await.ok();
    Ok(())
}

/// What an upstream's failure makes of the call.
pub fn status_of(error: UpstreamError) -> Status {
    match error {
        UpstreamError::Unreachable
        | UpstreamError::Busy
        | UpstreamError::Session
        | UpstreamError::Barred(_)
        | UpstreamError::Credential(_)
        | UpstreamError::Unconnected => Status::NotSent,
        UpstreamError::Timeout => Status::Timeout,
        UpstreamError::Malformed(_) | UpstreamError::TooLarge | UpstreamError::Denied(_) => Status::Invalid,
        UpstreamError::Closed => Status::Unreachable,
    }
}

/// What is said of an upstream's failure.
pub fn failed(error: UpstreamError) -> Rejection {
    if error == UpstreamError::Session {
        return Rejection::new(Code::SessionUnknown, error.to_string(), "begin a new session: initialize");
    }
    if let UpstreamError::Barred(why) = error {
        let message = format!("header mismatch: Mcp-Param-* {why}");
        return Rejection::new(Code::HeaderMismatch, message, "repeat in the headers what the tool's schema asks for");
    }
    if let UpstreamError::Credential(_) = error {
        let help =
            "nothing was sent; whoever runs Remit sees what is missing: remit server show SERVER, remit gateway list";
        return Rejection::new(Code::CredentialUnavailable, error.to_string(), help);
    }
    if error == UpstreamError::Unconnected {
        let help = "nothing was sent; that person types, outside every run: remit server connect SERVER";
        return Rejection::new(Code::CredentialUnavailable, error.to_string(), help);
    }
    if let UpstreamError::Denied(_) = error {
        let help = "look whether it had its effect, then call again; if it stays so, whoever runs Remit: remit server show SERVER";
        return Rejection::new(Code::CredentialUnavailable, error.to_string(), help);
    }
    let code = match error {
        UpstreamError::Unreachable | UpstreamError::Busy | UpstreamError::Closed => Code::UpstreamUnreachable,
        UpstreamError::Timeout => Code::UpstreamTimeout,
        UpstreamError::Malformed(_)
        | UpstreamError::TooLarge
        | UpstreamError::Session
        | UpstreamError::Barred(_)
        | UpstreamError::Credential(_)
        | UpstreamError::Unconnected
        | UpstreamError::Denied(_) => Code::UpstreamInvalid,
    };
    let help = if error.is_unsent() {
        "nothing was sent: try again, or see: remit doctor"
    } else {
        "it may have had its effect: look before you repeat it"
    };
    Rejection::new(code, error.to_string(), help)
}
