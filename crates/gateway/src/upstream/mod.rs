//! The upstream servers, over Streamable HTTP and as child processes.
//!
//! What writes to an upstream is visible inside this crate only, and only `send` calls it, with a permit in hand.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use ::http::{HeaderMap, Method, StatusCode, Uri};
use bytes::Bytes;
use futures_util::Stream;
use remit_core::feature::Feature;

use crate::mcp::envelope::Request;
use crate::mcp::reply;
use crate::sse::{Frame, SseError};

mod aside;
mod call;
mod child;
pub mod http;
pub mod process;
mod rewrite;
mod routes;
pub mod stdio;
pub mod voice;

/// Largest answer that is not a stream, in bytes.
pub const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Where a registered server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Speaks Streamable HTTP.
    Http {
        /// Its endpoint.
        url: Uri,
    },
    /// A program that speaks over its standard input and output.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
    },
}

/// What is sent to an upstream.
#[derive(Clone)]
pub struct Outgoing {
    /// The message; empty for GET and DELETE.
    pub body: Bytes,
    /// The headers that go with it, the upstream's credential among them.
    pub headers: HeaderMap,
    /// POST, or in the legacy era GET and DELETE.
    pub method: Method,
    /// Whether silence is no sign of failure: a stream that is open for whatever may come.
    pub standing: bool,
    /// Features of a client that the server was reviewed to use: what the gateway declares in a handshake of its own.
    pub reviewed: BTreeSet<Feature>,
}

impl fmt::Debug for Outgoing {
    /// Without the headers, because a credential is among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("method", &self.method)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The frames of a stream; dropping it cancels the request.
pub type Frames = Pin<Box<dyn Stream<Item = Result<Frame, UpstreamError>> + Send>>;

/// What an upstream answers.
pub enum Reply {
    /// A notification was taken.
    Accepted,
    /// One message; empty where the upstream gave an HTTP error without one.
    Json {
        /// The HTTP status.
        status: StatusCode,
        /// The headers that may go back.
        headers: HeaderMap,
        /// The message.
        body: Bytes,
    },
    /// A stream of messages.
    Stream {
        /// The headers that may go back.
        headers: HeaderMap,
        /// Its frames.
        frames: Frames,
        /// How the server is told something beside them.
        voice: voice::Voice,
    },
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("Accepted"),
            Self::Json { status, body, .. } => write!(f, "Json({status}, {} bytes)", body.len()),
            Self::Stream { .. } => f.write_str("Stream"),
        }
    }
}

/// Why an upstream gave no answer that can be relayed. The call may have had its effect, except where it says not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// Nothing was sent: no connection, or the program does not start.
    #[error("the upstream cannot be reached")]
    Unreachable,
    /// Nothing was sent: too many children run, or the program failed just now and is not started again yet.
    #[error("the upstream is not available for now")]
    Busy,
    /// A deadline passed.
    #[error("the upstream did not answer in time")]
    Timeout,
    /// The answer is not what the protocol promises.
    #[error("the upstream's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The answer is larger than is accepted.
    #[error("the upstream's answer is too large")]
    TooLarge,
    /// Nothing was sent: the session that the message names is not one of the run's.
    #[error("the session is not one of this run's")]
    Session,
    /// Nothing was sent: the request is not one that may be, whatever was decided of it.
    #[error("{0}")]
    Barred(&'static str),
    /// Nothing was sent: the server has a credential, and the gateway has not.
    #[error("the server's credential cannot be had: {0}")]
    Credential(&'static str),
    /// Nothing was sent: the credential is the person's own, and the person for whom this runs has connected nothing.
    #[error("the person for whom this runs has not connected the server")]
    Unconnected,
    /// The server has refused the credential. It says that it did nothing else.
    #[error("the server refuses the credential: {0}")]
    Denied(&'static str),
    /// The connection or the program ended before the answer did.
    #[error("the upstream closed before it had answered")]
    Closed,
}

impl UpstreamError {
    /// Whether the message certainly never reached the upstream.
    pub fn is_unsent(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::Busy | Self::Session | Self::Barred(_) | Self::Credential(_) | Self::Unconnected
        )
    }
}

impl From<SseError> for UpstreamError {
    fn from(error: SseError) -> Self {
        match error {
            SseError::TooLarge => Self::TooLarge,
            SseError::NotUtf8 => Self::Malformed("a stream is not UTF-8"),
        }
    }
}

/// How long an upstream may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Until there is a connection, or a child's handshake is done.
    pub connect: Duration,
    /// Until the answer begins.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// For the whole answer, however busy it is; standing streams have no end.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_mins(2),
            idle: Duration::from_mins(2),
            total: Duration::from_mins(15),
        }
    }
}

/// What the gateway itself answers to an upstream's question: most never reach the user or the model.
fn own_answer(request: &Request<'_>) -> String {
    let answer = match &*request.method {
        "ping" => reply::result(&request.id, "{}"),
        _ => reply::error(Some(&request.id), -32601, "this client does not offer it", None),
    };
    String::from_utf8_lossy(&answer).into_owned()
}

#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod stdio_tests;
