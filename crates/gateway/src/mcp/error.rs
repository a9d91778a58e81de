//! What can be wrong with an MCP message, with the HTTP status and JSON-RPC code that the specification gives it.
//!
//! The range -32020 to -32099 belongs to the specification: only its own three codes are used here.

use http::StatusCode;
use remit_core::json::JsonError;

use super::id::Id;
use super::reply;
use super::revision::Revision;

/// Longest part of a refused protocol version that is shown again, in characters.
const REQUESTED_CHARS_MAX: usize = 64;

/// Why a message is refused before anybody is asked whether it is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum McpError {
    /// The body has more bytes than are accepted.
    #[error("the message is larger than {max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max: usize,
    },
    /// The body is not UTF-8.
    #[error("the message is not UTF-8")]
    NotUtf8,
    /// The body is not JSON, or JSON that two readers could read differently.
    #[error("unacceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// A JSON-RPC batch; also refused in 2025-03-26, the only revision that had it, where receiving is optional here.
    #[error("a batch is not accepted: send each message in a request of its own")]
    Batch,
    /// JSON, but not one JSON-RPC 2.0 request, notification or response.
    #[error("not a JSON-RPC 2.0 message: {0}")]
    Shape(&'static str),
    /// The parameters lack what the method needs.
    #[error("invalid params: {0}")]
    Params(&'static str),
    /// A header is missing, malformed, repeated, or differs from the body.
    #[error("header mismatch: {name} {problem}")]
    Header {
        /// The header's name.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A protocol version that is not spoken here.
    #[error("unsupported protocol version")]
    Version {
        /// What was asked for.
        requested: String,
    },
    /// A method that no table knows, or that is refused.
    #[error("method not found")]
    Method,
    /// The client would not understand both kinds of answer.
    #[error("the accept header must list application/json and text/event-stream")]
    Accept,
    /// The body is of another media type.
    #[error("the content type must be application/json in UTF-8")]
    ContentType,
    /// The body is compressed or otherwise encoded, so what is judged would not be what is sent.
    #[error("an encoded body is not accepted")]
    ContentEncoding,
    /// An upstream's answer is not what its method promises.
    #[error("the upstream's answer is malformed: {0}")]
    Upstream(&'static str),
}

impl McpError {
    /// The status of the HTTP answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Method => StatusCode::NOT_FOUND,
            Self::Accept => StatusCode::NOT_ACCEPTABLE,
            Self::ContentType | Self::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Upstream(_) => StatusCode::BAD_GATEWAY,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The code of the JSON-RPC error.
    pub fn code(&self) -> i32 {
        match self {
            Self::NotUtf8 | Self::Json(JsonError::Syntax) => -32700,
            Self::Params(_) => -32602,
            Self::Method => -32601,
            Self::Header { .. } => -32020,
            Self::Version { .. } => -32022,
            Self::Upstream(_) => -32603,
            _ => -32600,
        }
    }

    /// The whole JSON-RPC error response; without an id where none could be read.
    pub fn reply(&self, id: Option<&Id<'_>>) -> Vec<u8> {
        let data = match self {
            Self::Version { requested } => {
                let requested: String = requested.chars().take(REQUESTED_CHARS_MAX).collect();
                let supported: Vec<&str> = Revision::ALL.iter().rev().map(|r| r.as_str()).collect();
                Some(serde_json::json!({ "supported": supported, "requested": requested }).to_string())
            }
            _ => None,
        };
        reply::error(id, self.code(), &self.to_string(), data.as_deref())
    }
}
