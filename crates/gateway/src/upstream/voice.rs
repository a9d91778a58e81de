//! What the gateway itself says to an upstream beside a call, without waiting for it.
//!
//! Every word here belongs to a call that was permitted, goes where that call went, and holds nothing but an id.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::Full;
use tokio::sync::Semaphore;

use super::child::Child;
use super::http::HttpUpstreams;
use super::{Outgoing, own_answer};
use crate::mcp::envelope::{Envelope, Request};

/// Most messages of the gateway's own that are on their way to all upstreams, in messages; more are dropped.
pub(super) const ASIDES_MAX: usize = 64;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
pub(super) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// A way to say something to an upstream.
#[derive(Clone)]
pub struct Voice(Way);

#[derive(Clone)]
enum Way {
    /// Beside a call over HTTP.
    Http(Box<Beside>),
    /// To a child.
    Child(Arc<Child>),
    /// Nowhere: in the modern era a server hears nothing beside its calls.
    Silent,
}

/// The address of a call, to say something beside it.
#[derive(Clone)]
struct Beside {
    upstreams: HttpUpstreams,
    url: Uri,
    headers: HeaderMap,
}

impl Voice {
    /// Beside a call over HTTP.
    pub(super) fn beside(upstreams: &HttpUpstreams, url: &Uri, outgoing: &Outgoing) -> Self {
        let kept = |name: HeaderName| Some((name.clone(), outgoing.headers.get(&name)?.clone()));
        let mut headers: HeaderMap = [SESSION, VERSION, AUTHORIZATION].into_iter().filter_map(kept).collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        Self(Way::Http(Box::new(Beside { upstreams: upstreams.clone(), url: url.clone(), headers })))
    }

    /// To a child.
    pub(super) fn to(child: &Arc<Child>) -> Self {
        Self(Way::Child(Arc::clone(child)))
    }

    /// To nobody.
    pub(super) fn silent() -> Self {
        Self(Way::Silent)
    }

    /// Says that what the server asks is not offered. What is no question is not answered, and whether there is life was
    /// answered when it was heard.
    pub fn no(&self, question: &str) {
        if let Ok(Envelope::Request(request)) = Envelope::parse_upstream(question.as_bytes())
            && request.method != "ping"
        {
            self.answer(&request);
        }
    }

    /// The gateway's own answer: a sign of life, or no.
    pub(super) fn answer(&self, request: &Request<'_>) {
        self.say(own_answer(request));
    }

    /// Says something without waiting for it.
    pub(super) fn say(&self, message: String) {
        match &self.0 {
            Way::Http(beside) => beside.say(message),
            Way::Child(child) => child.write_now(message),
            Way::Silent => {}
        }
    }
}

impl Beside {
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

/// The places of messages on their way.
pub(super) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ASIDES_MAX))
}
