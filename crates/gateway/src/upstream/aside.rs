//! A call to an upstream of the legacy era, as far as the gateway itself says something beside it: that nobody waits any
//! more, because there a closed connection ends nothing; and that it is alive, when the upstream asks.

use http::{Method, Uri};

use super::Outgoing;
use super::http::HttpUpstreams;
use super::voice::{VERSION, Voice};
use crate::mcp::envelope::Envelope;
use crate::mcp::id::IdKey;
use crate::mcp::{Era, Revision};
use crate::sse::Frame;

/// Dropped before its answer, the call is cancelled there.
pub(super) struct Aside {
    voice: Voice,
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
        Some(Self { voice: Voice::beside(upstreams, url, outgoing), waits })
    }

    /// What can be said beside the call.
    pub(super) fn voice(&self) -> Voice {
        self.voice.clone()
    }

    /// There is nothing to wait for any more.
    pub(super) fn done(&mut self) {
        self.waits = None;
    }

    /// A frame came: it may be the answer, or ask for a sign of life. Whether any other question is put to the client,
    /// whoever reads the stream decides.
    pub(super) fn heard(&mut self, frame: &Frame) {
        match frame.data().map(|data| Envelope::parse_upstream(data.as_bytes())) {
            Some(Ok(Envelope::Response(response))) => {
                let key = response.id.map(|id| id.key());
                if self.waits.as_ref().is_some_and(|(mine, _)| key.as_ref() == Some(mine)) {
                    self.done();
                }
            }
            Some(Ok(Envelope::Request(request))) if request.method == "ping" => self.voice.answer(&request),
            _ => {}
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some((_, id)) = self.waits.take() {
            self.voice.say(format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"nobody waits any more"}}}}"#
            ));
        }
    }
}
