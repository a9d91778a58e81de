//! What the gateway itself says to an upstream of the legacy era beside a call: that nobody waits any more, because
//! there a closed connection ends nothing; and that its questions to the user or the model are not answered.
//!
//! Every word here belongs to a call that was permitted, goes where that call went, and holds nothing but an id.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::Full;
use tokio::sync::Semaphore;

use super::http::HttpUpstreams;
use super::{Outgoing, own_answer};
use crate::mcp::envelope::Envelope;
use crate::mcp::id::IdKey;
use crate::mcp::{Era, Revision};
use crate::sse::Frame;

/// Most messages of the gateway's own that are on their way to all upstreams, in messages; more are dropped.
pub(super) const ASIDES_MAX: usize = 64;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// A call to an upstream of the legacy era. Dropped before its answer, it is cancelled there.
pub(super) struct Aside {
    upstreams: HttpUpstreams,
    url: Uri,
    headers: HeaderMap,
    /// The id of the request whose answer is waited for, and as it was written.
    waits: Option<(IdKey, String)>,
}

impl Aside {
    /// Of what is sent to `url`; nothing in the modern era, where the end of a connection says it all.
    pub(super) fn of(upstreams: &HttpUpstreams, url: &Uri, outgoing: &Outgoing) -> Option<Self> {
        let version = outgoing.headers.get(VERSION).and_then(|value| value.to_str().ok());
        if version.and_then(Revision::parse).is_some_and(|revision| revision.era() == Era::Modern) {
            return None;
        }
        let waits = match Envelope::parse_upstream(&outgoing.body) {
            // The handshake cannot be cancelled.
            Ok(Envelope::Request(request)) if outgoing.method == Method::POST && request.method != "initialize" => {
                Some((request.id.key(), request.id.raw().to_owned()))
            }
            _ => None,
        };
        let kept = |name: HeaderName| Some((name.clone(), outgoing.headers.get(&name)?.clone()));
        let mut headers: HeaderMap = [SESSION, VERSION, AUTHORIZATION].into_iter().filter_map(kept).collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        Some(Self { upstreams: upstreams.clone(), url: url.clone(), headers, waits })
    }

    /// There is nothing to wait for any more.
    pub(super) fn done(&mut self) {
        self.waits = None;
    }

    /// A frame came: it may be the answer, or a question.
    pub(super) fn heard(&mut self, frame: &Frame) {
        match frame.data().map(|data| Envelope::parse_upstream(data.as_bytes())) {
            Some(Ok(Envelope::Response(response))) => {
                let key = response.id.map(|id| id.key());
                if self.waits.as_ref().is_some_and(|(mine, _)| key.as_ref() == Some(mine)) {
                    self.done();
                }
            }
            Some(Ok(Envelope::Request(request))) => self.say(own_answer(&request)),
            _ => {}
        }
    }

    /// Says something without waiting for it.
    fn say(&self, message: String) {
        let (Ok(runtime), Ok(place)) =
            (tokio::runtime::Handle::try_current(), Arc::clone(&self.upstreams.asides).try_acquire_owned())
        else {
            tracing::debug!("a message to an upstream is dropped, because too many are on their way");
            return;
        };
        let mut request = http::Request::new(Full::new(Bytes::from(message)));
        *request.uri_mut() = self.url.clone();
        *request.method_mut() = Method::POST;
        *request.headers_mut() = self.headers.clone();
        let upstreams = self.upstreams.clone();
        runtime.spawn(async move {
            let _place = place;
            if let Err(error) =
                tokio::time::timeout(upstreams.deadlines.connect, upstreams.client.request(request)).await
            {
                tracing::debug!(%error, "an upstream does not take what is said beside a call");
            }
        });
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some((_, id)) = self.waits.take() {
            self.say(format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"nobody waits any more"}}}}"#
            ));
        }
    }
}

/// The places of messages on their way.
pub(super) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ASIDES_MAX))
}
