//! One message to a child, and its answer in the shape in which HTTP upstreams answer.
//!
//! The legacy handshake is the gateway's own: a child is initialized once, with the features of its first client that the
//! server was reviewed to use, and every `initialize` of its root is answered from that.

use std::sync::Arc;

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Duration, Instant, timeout, timeout_at};

use super::child::Child;
use remit_core::feature::Feature;
use serde_json::Value;

use super::rewrite::{Original, outbound, renamed};
use super::routes::{Answer, Caller, Waiting};
use super::voice::Voice;
use super::{Frames, Outgoing, Reply, UpstreamError};
use crate::mcp::envelope::{Envelope, Notification, Outcome, Request};
use crate::mcp::{Era, Id, Revision, reply};
use crate::sse::Frame;

/// Why there is no handshake.
enum Unready {
    Upstream(UpstreamError),
    /// The child's own error, as JSON text.
    Refused(String),
}

impl Child {
    /// Sends one message. `scope` tells callers apart that share the child: only its own requests can a caller cancel.
    pub(super) async fn send(self: &Arc<Self>, scope: &str, outgoing: Outgoing) -> Result<Reply, UpstreamError> {
        if outgoing.method == Method::GET {
            let voice = Voice::to(self);
            return Ok(Reply::Stream { headers: stream_headers(), frames: self.standing(), voice });
        }
        if outgoing.method != Method::POST {
            return Ok(json(StatusCode::METHOD_NOT_ALLOWED, Vec::new()));
        }
        let text = std::str::from_utf8(&outgoing.body).map_err(|_| UpstreamError::Malformed("the message itself"))?;
        if text.contains(['\n', '\r']) {
            return Err(UpstreamError::Malformed("a message to a child has more than one line"));
        }
        match Envelope::parse(&outgoing.body).map_err(|_| UpstreamError::Malformed("the message itself"))? {
            Envelope::Request(request) => self.request(scope, text, &request, &outgoing).await,
            Envelope::Notification(notification) => self.notify(scope, text, &notification).await,
            Envelope::Response(_) => self.write(text.to_owned()).await.map(|()| Reply::Accepted),
        }
    }

    async fn request(
        self: &Arc<Self>,
        scope: &str,
        text: &str,
        request: &Request<'_>,
        outgoing: &Outgoing,
    ) -> Result<Reply, UpstreamError> {
        let modern = request.params.meta.protocol_version.is_some();
        if modern && !self.speaks_modern().await? {
            let message = "this server speaks earlier revisions only: begin with initialize";
            return Ok(json(StatusCode::BAD_REQUEST, reply::error(Some(&request.id), -32000, message, None)));
        }
        if !modern {
            match self.handshake(asked_version(request, &outgoing.headers), declared(request, &outgoing.reviewed)).await
            {
                Ok(result) if request.method == "initialize" => {
                    return Ok(json(StatusCode::OK, reply::result(&request.id, &result)));
                }
                Ok(_) => {}
                Err(Unready::Upstream(error)) => return Err(error),
                Err(Unready::Refused(error)) => {
                    return Ok(json(StatusCode::OK, refused(&request.id, &error)));
                }
            }
        }
        let original = Original::of(request);
        let caller = Caller { scope: scope.to_owned(), id: Some(request.id.key()) };
        let waiting = self.routes().enter(caller, original, outgoing.standing)?;
        let number = waiting.number;
        let call = Call::new(Arc::clone(self), waiting, outgoing.standing);
        let line = outbound(text, request, number)?;
        self.write(line).await?;
        call.reply(modern).await
    }

    async fn notify(&self, scope: &str, text: &str, notification: &Notification<'_>) -> Result<Reply, UpstreamError> {
        match (&*notification.method, &notification.params.request_id) {
            // The gateway made the handshake itself, and knows nothing that could be cancelled without an id.
            ("notifications/initialized", _) | ("notifications/cancelled", None) => {}
            ("notifications/cancelled", Some(id)) => {
                let numbers = self.routes().of(scope, &id.key());
                for number in numbers {
                    let Some(pending) = self.routes().remove(number) else {
                        continue;
                    };
                    pending.answer(Answer::Ended);
                    self.write(renamed(text, id, &number.to_string())?).await?;
                }
            }
            _ => self.write(text.to_owned()).await?,
        }
        Ok(Reply::Accepted)
    }

    /// What the child says to nobody in particular, for as long as it lives.
    fn standing(&self) -> Frames {
        let notices = self.notices.subscribe();
        let halted = self.halted();
        Box::pin(stream::unfold((notices, halted), async |(mut notices, mut halted)| {
            loop {
                let frame = tokio::select! {
                    biased;
                    frame = notices.recv() => frame,
                    _end = halted.wait_for(Option::is_some) => return None,
                };
                match frame {
                    Ok(frame) => return Some((Ok(frame), (notices, halted))),
                    // A slow reader misses notices; they only ever say that it should look again.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        }))
    }

    /// The result of `initialize`, made once. Its own task, so that a caller who leaves does not leave it half done.
    async fn handshake(self: &Arc<Self>, version: &'static str, features: Value) -> Result<String, Unready> {
        if let Some(result) = self.legacy.get() {
            return Ok(result.clone());
        }
        let child = Arc::clone(self);
        let made =
            tokio::spawn(
                async move { child.legacy.get_or_try_init(|| child.initialize(version, features)).await.cloned() },
            );
        made.await.unwrap_or(Err(Unready::Upstream(UpstreamError::Closed)))
    }

    async fn initialize(&self, version: &str, features: Value) -> Result<String, Unready> {
        let params = serde_json::json!({
            "protocolVersion": version,
            "capabilities": features,
            "clientInfo": { "name": "remit", "version": env!("CARGO_PKG_VERSION") },
        });
        // It may still be half way through: it cannot be asked twice.
        let answer = self.ask("initialize", &params.to_string()).await.inspect_err(|_| self.fail());
        let answer = answer.map_err(Unready::Upstream)?;
        let result = match Envelope::parse_upstream(answer.as_bytes()) {
            Ok(Envelope::Response(response)) => match response.outcome {
                Outcome::Result(result) => Ok(result.get().to_owned()),
                Outcome::Error(error) => Err(Unready::Refused(error.get().to_owned())),
            },
            _ => Err(Unready::Upstream(UpstreamError::Malformed("the handshake"))),
        }?;
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned();
        self.write(initialized).await.map_err(Unready::Upstream)?;
        Ok(result)
    }

    /// Whether the child speaks the modern era: asked once, as the specification advises for standard streams.
    async fn speaks_modern(self: &Arc<Self>) -> Result<bool, UpstreamError> {
        if let Some(modern) = self.modern.get() {
            return Ok(*modern);
        }
        let child = Arc::clone(self);
        let asked = tokio::spawn(async move { child.modern.get_or_try_init(|| child.discover()).await.copied() });
        asked.await.unwrap_or(Err(UpstreamError::Closed))
    }

    async fn discover(&self) -> Result<bool, UpstreamError> {
        let version = Revision::V2026_07_28.as_str();
        let params = serde_json::json!({ "_meta": {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientCapabilities": {},
        }});
        let answer = match self.ask("server/discover", &params.to_string()).await {
            Ok(answer) => answer,
            // Some legacy servers do not answer what comes before the handshake.
            Err(UpstreamError::Timeout) => return Ok(false),
            Err(error) => return Err(error),
        };
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        let versions = answer.pointer("/result/supportedVersions").and_then(serde_json::Value::as_array);
        Ok(versions.is_some_and(|versions| versions.iter().any(|spoken| spoken == version)))
    }

    /// A request of the gateway's own.
    async fn ask(&self, method: &str, params: &str) -> Result<String, UpstreamError> {
        let original = Original { id: "0".to_owned(), token: None };
        let mut waiting = self.routes().enter(Caller::default(), original, false)?;
        let number = waiting.number;
        let line = format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"{method}","params":{params}}}"#);
        let answered = async {
            self.write(line).await?;
            (&mut waiting.answer).await.map_err(|_| UpstreamError::Closed)
        };
        let answer = timeout(self.deadlines.connect, answered).await;
        self.routes().remove(number);
        match answer.map_err(|_| UpstreamError::Timeout)?? {
            Answer::Message(message) => Ok(message),
            Answer::Ended => Err(UpstreamError::Closed),
        }
    }
}

/// A request in flight; dropping it cancels it.
struct Call {
    child: Arc<Child>,
    waiting: Waiting,
    idle: Option<Duration>,
    end: Option<Instant>,
}

enum Next {
    Note(String),
    Answer(String),
    Ended,
}

impl Call {
    fn new(child: Arc<Child>, waiting: Waiting, standing: bool) -> Self {
        let idle = (!standing).then_some(child.deadlines.idle);
        let end = (!standing).then(|| Instant::now() + child.deadlines.total);
        Self { child, waiting, idle, end }
    }

    async fn reply(mut self, modern: bool) -> Result<Reply, UpstreamError> {
        let within = self.child.deadlines.first_byte;
        let first = timeout(within, self.next()).await.map_err(|_| UpstreamError::Timeout)??;
        match first {
            Next::Answer(message) => Ok(json(status(&message, modern), message.into_bytes())),
            Next::Ended => Err(UpstreamError::Closed),
            Next::Note(message) => {
                let voice = Voice::to(&self.child);
                Ok(Reply::Stream { headers: stream_headers(), frames: self.frames(&message), voice })
            }
        }
    }

    async fn next(&mut self) -> Result<Next, UpstreamError> {
        // Notifications first: the child sent them before its answer.
        tokio::select! {
            biased;
            Some(note) = self.waiting.notes.recv() => Ok(Next::Note(note)),
            answer = &mut self.waiting.answer => match answer {
                Ok(Answer::Message(message)) => Ok(Next::Answer(message)),
                Ok(Answer::Ended) => Ok(Next::Ended),
                Err(_) => Err(UpstreamError::Closed),
            },
        }
    }

    /// While a person thinks, the child is silent: from here on only the whole answer has a deadline.
    fn patient_after(&mut self, frame: &Frame) {
        if frame.is_question() {
            self.idle = self.idle.map(|_| self.child.deadlines.total);
        }
    }

    fn frames(mut self, first: &str) -> Frames {
        let first = Frame::of(first);
        self.patient_after(&first);
        Box::pin(stream::unfold((Some(self), Some(Ok(first))), async |(call, first)| {
            if let Some(first) = first {
                return Some((first, (call, None)));
            }
            let mut call = call?;
            let next = match (call.idle, call.end) {
                (Some(idle), Some(end)) => timeout_at(end.min(Instant::now() + idle), call.next()).await,
                _ => Ok(call.next().await),
            };
            match next {
                Ok(Ok(Next::Note(message))) => {
                    let frame = Frame::of(&message);
                    call.patient_after(&frame);
                    Some((Ok(frame), (Some(call), None)))
                }
                Ok(Ok(Next::Answer(message))) => Some((Ok(Frame::of(&message)), (None, None))),
                Ok(Ok(Next::Ended)) => None,
                Ok(Err(error)) => Some((Err(error), (None, None))),
                Err(_) => Some((Err(UpstreamError::Timeout), (None, None))),
            }
        }))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let number = self.waiting.number;
        if self.child.routes().remove(number).is_some() && self.child.is_alive() {
            self.child.write_now(format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{number}}}}}"#
            ));
        }
    }
}

/// The features that the first client declares, as far as the server was reviewed to use them.
fn declared(request: &Request<'_>, reviewed: &BTreeSet<Feature>) -> Value {
    let params: Value = request.params.raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let offered = |feature: &&Feature| params.pointer(&format!("/capabilities/{}", feature.name())).is_some();
    let named = |feature: &Feature| (feature.name().to_owned(), serde_json::json!({}));
    Value::Object(reviewed.iter().filter(offered).map(named).collect())
}

/// The revision in which a child is initialized: what its first caller asks for.
fn asked_version(request: &Request<'_>, headers: &HeaderMap) -> &'static str {
    let header = headers.get("mcp-protocol-version").and_then(|value| value.to_str().ok());
    let asked = if request.method == "initialize" { request.params.protocol_version.as_deref() } else { header };
    asked
        .and_then(Revision::parse)
        .filter(|revision| revision.era() == Era::Legacy)
        .unwrap_or(Revision::LEGACY_LATEST)
        .as_str()
}

/// The HTTP status that the modern transport gives to an error.
fn status(message: &str, modern: bool) -> StatusCode {
    let error = match Envelope::parse_upstream(message.as_bytes()) {
        Ok(Envelope::Response(response)) if modern => match response.outcome {
            Outcome::Error(error) => serde_json::from_str::<serde_json::Value>(error.get()).unwrap_or_default(),
            Outcome::Result(_) => return StatusCode::OK,
        },
        _ => return StatusCode::OK,
    };
    match error.get("code").and_then(serde_json::Value::as_i64) {
        Some(-32601) => StatusCode::NOT_FOUND,
        Some(-32600 | -32602 | -32022..=-32020) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

fn refused(id: &Id<'_>, error: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.raw()).into_bytes()
}

fn json(status: StatusCode, body: Vec<u8>) -> Reply {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    Reply::Json { status, headers, body: Bytes::from(body) }
}

fn stream_headers() -> HeaderMap {
    HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ])
}
