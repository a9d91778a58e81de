//! An upstream over Streamable HTTP. Redirects are never followed: a credential goes where it was registered to go.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::aside::Aside;
use super::voice::{self, Voice};
use super::{Deadlines, Frames, Outgoing, REPLY_BYTES_MAX, Reply, UpstreamError};
use crate::mcp::headers::returned;
use crate::sse::Splitter;

/// How long an idle connection is kept: shorter than servers do, so that none is met while it closes. The shortest usual
/// time is the five seconds of Node and of uvicorn.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// Most idle connections to one upstream, in connections.
const POOL_PER_HOST_MAX: usize = 64;

/// The client of all HTTP upstreams.
#[derive(Debug, Clone)]
pub struct HttpUpstreams {
    pub(super) client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    pub(super) deadlines: Deadlines,
    /// Places for what the gateway itself says.
    pub(super) asides: Arc<Semaphore>,
}

impl HttpUpstreams {
    /// A client with its own pool of connections.
    pub fn new(deadlines: Deadlines) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(deadlines.connect));
        let tls = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_PER_HOST_MAX)
            .build(tls);
        Self { client, deadlines, asides: voice::places() }
    }

    /// Sends one message and waits until its answer begins. Dropping this, or the reply's stream, cancels the request.
    pub(crate) async fn send(&self, url: &Uri, outgoing: Outgoing) -> Result<Reply, UpstreamError> {
        let standing = outgoing.standing;
        let end = (!standing).then(|| Instant::now() + self.deadlines.total);
        let mut aside = Aside::of(self, url, &outgoing);
        let mut request = http::Request::new(Full::new(outgoing.body));
        *request.uri_mut() = url.clone();
        *request.method_mut() = outgoing.method;
        *request.headers_mut() = outgoing.headers;
        let response = timeout(self.deadlines.first_byte, self.client.request(request))
            .await
            .map_err(|_| UpstreamError::Timeout)?
            .map_err(|error| if error.is_connect() { UpstreamError::Unreachable } else { UpstreamError::Closed })
            .inspect_err(|_| done(&mut aside))?;
        self.reply(response, end, aside).await
    }

    async fn reply(
        &self,
        response: Response<Incoming>,
        end: Option<Instant>,
        mut aside: Option<Aside>,
    ) -> Result<Reply, UpstreamError> {
        let (parts, body) = response.into_parts();
        let headers = returned(&parts.headers);
        let (idle, total) = (end.map(|_| self.deadlines.idle), self.deadlines.total);
        let mut body = Body { incoming: body, idle, total, end };
        let kind = media_type(&parts.headers);
        let answer = match parts.status {
            _ if parts.headers.get_all(CONTENT_TYPE).iter().count() > 1 => {
                Err(UpstreamError::Malformed("two content types"))
            }
            status if status.is_redirection() => Err(UpstreamError::Malformed("a redirect")),
            // Others say something of the connection or the cache, and nothing of a call; or they say nothing at all.
            status if !is_answer(status) => Err(UpstreamError::Malformed("a status that is no answer")),
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(Reply::Accepted),
            _ if parts.headers.contains_key(CONTENT_ENCODING) => Err(UpstreamError::Malformed("an encoded body")),
            StatusCode::OK if kind == "text/event-stream" => {
                let voice = aside.as_ref().map_or_else(Voice::silent, Aside::voice);
                return Ok(Reply::Stream { headers, frames: frames(body, aside), voice });
            }
            status if kind == "application/json" => {
                Ok(Reply::Json { status, headers, body: body.whole(&parts.headers).await? })
            }
            // Nothing was said, in no language: the usual answer to DELETE. Of a body in chunks only its end shows that.
            status if status.is_success() && kind.is_empty() => match body.piece().await? {
                None => Ok(Reply::Json { status, headers, body: Bytes::new() }),
                Some(_) => Err(UpstreamError::Malformed("a body of no kind")),
            },
            status if status.is_success() => Err(UpstreamError::Malformed("neither JSON nor a stream")),
            // An error page is not an answer, and its words are nobody's business.
            status => Ok(Reply::Json { status, headers: HeaderMap::new(), body: Bytes::new() }),
        };
        done(&mut aside);
        answer
    }
}

fn is_answer(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 202 | 204 | 400..=599)
}

fn done(aside: &mut Option<Aside>) {
    if let Some(aside) = aside {
        aside.done();
    }
}

struct Body {
    incoming: Incoming,
    idle: Option<Duration>,
    total: Duration,
    end: Option<Instant>,
}

impl Body {
    async fn piece(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        loop {
            let frame = self.incoming.frame();
            let frame = match (self.idle, self.end) {
                (Some(idle), Some(end)) => {
                    timeout_at(end.min(Instant::now() + idle), frame).await.map_err(|_| UpstreamError::Timeout)?
                }
                _ => frame.await,
            };
            match frame {
                None => return Ok(None),
                Some(Err(_)) => return Err(UpstreamError::Closed),
                Some(Ok(frame)) => {
                    // Trailers are not relayed.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn whole(mut self, headers: &HeaderMap) -> Result<Bytes, UpstreamError> {
        let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<usize>().ok());
        if announced.is_some_and(|length| length > REPLY_BYTES_MAX) {
            return Err(UpstreamError::TooLarge);
        }
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if whole.len() + piece.len() > REPLY_BYTES_MAX {
                return Err(UpstreamError::TooLarge);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

/// The frames of a body; it ends after the first error.
fn frames(body: Body, aside: Option<Aside>) -> Frames {
    Box::pin(stream::unfold(Some((body, Splitter::default(), aside)), async |state| {
        let (mut body, mut splitter, mut aside) = state?;
        loop {
            if let Some(frame) = splitter.pop() {
                if let Some(aside) = &mut aside {
                    aside.heard(&frame);
                }
                // While a person thinks, the upstream is silent: from here on only the whole answer has a deadline.
                if frame.is_question() {
                    body.idle = body.idle.map(|_| body.total);
                }
                return Some((Ok(frame), Some((body, splitter, aside))));
            }
            let piece = match body.piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) if splitter.is_between_frames() => return None,
                Ok(None) => return Some((Err(UpstreamError::Closed), None)),
                Err(error) => return Some((Err(error), None)),
            };
            if let Err(error) = splitter.push(&piece) {
                return Some((Err(error.into()), None));
            }
        }
    }))
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
