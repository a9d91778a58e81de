//! One JSON-RPC message, seen without copying: what is judged is a view of the very bytes that are sent.
//!
//! Strict, because upstreams read the same bytes with other parsers: no duplicate member anywhere, one message per
//! body, and no member that only differs in case from one that is judged here.

use std::borrow::Cow;

use remit_core::json::{Value, members};
use serde_json::value::RawValue;

use super::error::McpError;
use super::id::Id;
use super::method::is_decided;
use super::params::{Params, no_lookalike};

/// Largest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest method name, in bytes.
const METHOD_BYTES_MAX: usize = 128;
/// The members of a JSON-RPC message.
const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// One message.
#[derive(Debug, Clone)]
pub enum Envelope<'a> {
    /// Asks for an answer.
    Request(Request<'a>),
    /// Asks for none.
    Notification(Notification<'a>),
    /// An answer.
    Response(Response<'a>),
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// What its answer will carry.
    pub id: Id<'a>,
    /// The method's name.
    pub method: Cow<'a, str>,
    /// Its parameters.
    pub params: Params<'a>,
}

/// A notification.
#[derive(Debug, Clone)]
pub struct Notification<'a> {
    /// The method's name.
    pub method: Cow<'a, str>,
    /// Its parameters.
    pub params: Params<'a>,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Response<'a> {
    /// The id of the request; an error about an unreadable request has none.
    pub id: Option<Id<'a>>,
    /// The result or the error, as it was written.
    pub outcome: Outcome<'a>,
}

/// What a response says.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// It worked.
    Result(&'a RawValue),
    /// It did not.
    Error(&'a RawValue),
}

/// How deep a message is checked for duplicates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Whole,
    Surface,
}

impl<'a> Envelope<'a> {
    /// Reads what a client sent: every level is checked.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, McpError> {
        read(text_of(bytes, MESSAGE_BYTES_MAX)?, Depth::Whole)
    }

    /// Reads what an upstream sent: a result may be wide and deep, and is relayed whatever it holds, so only the
    /// levels that routing relies on are checked. The caller has bounded the bytes.
    pub fn parse_upstream(bytes: &'a [u8]) -> Result<Self, McpError> {
        read(text_of(bytes, usize::MAX)?, Depth::Surface)
    }

    /// The method, where the message has one.
    pub fn method(&self) -> Option<&str> {
        match self {
            Self::Request(request) => Some(&request.method),
            Self::Notification(notification) => Some(&notification.method),
            Self::Response(_) => None,
        }
    }

    /// The parameters, where the message has a method.
    pub fn params(&self) -> Option<&Params<'a>> {
        match self {
            Self::Request(request) => Some(&request.params),
            Self::Notification(notification) => Some(&notification.params),
            Self::Response(_) => None,
        }
    }

    /// The id, where the message has one.
    pub fn id(&self) -> Option<&Id<'a>> {
        match self {
            Self::Request(request) => Some(&request.id),
            Self::Notification(_) => None,
            Self::Response(response) => response.id.as_ref(),
        }
    }
}

/// The id of a request that is refused for something else, so that the refusal reaches its sender.
pub fn id_of(bytes: &[u8]) -> Option<Id<'_>> {
    let raw: &RawValue = serde_json::from_str(text_of(bytes, MESSAGE_BYTES_MAX).ok()?).ok()?;
    members(raw).ok()?.into_iter().find(|(name, _)| name == "id").and_then(|(_, raw)| Id::read(raw))
}

fn text_of(bytes: &[u8], max: usize) -> Result<&str, McpError> {
    if bytes.len() > max {
        return Err(McpError::TooLarge { max });
    }
    std::str::from_utf8(bytes).map_err(|_| McpError::NotUtf8)
}

#[derive(Default)]
struct Parts<'a> {
    version: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
}

fn read(text: &str, depth: Depth) -> Result<Envelope<'_>, McpError> {
    let parts = split(text, depth)?;
    if parts.version.map(RawValue::get) != Some("\"2.0\"") {
        return Err(McpError::Shape("`jsonrpc` is not \"2.0\""));
    }
    let id = match parts.id {
        Some(raw) => Some(Id::read(raw).ok_or(McpError::Shape("its id is neither a short string nor an integer"))?),
        None => None,
    };
    let outcome = match (parts.result, parts.error) {
        (None, None) => None,
        (Some(result), None) => Some(Outcome::Result(result)),
        (None, Some(error)) => Some(Outcome::Error(error)),
        (Some(_), Some(_)) => return Err(McpError::Shape("it has both a result and an error")),
    };
    match (parts.method, outcome) {
        (None, Some(_)) if parts.params.is_some() => Err(McpError::Shape("it is both a response and a request")),
        (None, Some(Outcome::Result(_))) if id.is_none() => Err(McpError::Shape("its result has no id")),
        (None, Some(outcome)) => Ok(Envelope::Response(Response { id, outcome })),
        (Some(method), None) => called(method, id, parts.params, depth),
        (Some(_), Some(_)) => Err(McpError::Shape("it is both a response and a request")),
        (None, None) => Err(McpError::Shape("it has neither a method nor a result")),
    }
}

fn split(text: &str, depth: Depth) -> Result<Parts<'_>, McpError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|_| McpError::Json(remit_core::json::JsonError::Syntax))?;
    match raw.get().as_bytes().first() {
        Some(b'{') => {}
        Some(b'[') => return Err(McpError::Batch),
        _ => return Err(McpError::Shape("it is not an object")),
    }
    let mut parts = Parts::default();
    for (name, raw) in members(raw)? {
        let whole = depth == Depth::Whole;
        match &*name {
            "jsonrpc" => parts.version = Some(raw),
            "id" => parts.id = Some(raw),
            "method" => parts.method = Some(raw),
            "params" => parts.params = Some(raw),
            "result" => parts.result = Some(raw),
            "error" => parts.error = Some(raw),
            other => no_lookalike(other, &MEMBERS)?,
        }
        // Parameters are checked member by member where they are read.
        if whole && name != "params" {
            Value::parse(raw.get())?;
        }
    }
    Ok(parts)
}

fn called<'a>(
    method: &'a RawValue,
    id: Option<Id<'a>>,
    params: Option<&'a RawValue>,
    depth: Depth,
) -> Result<Envelope<'a>, McpError> {
    let Ok(Value::String(method)) = Value::parse(method.get()) else {
        return Err(McpError::Shape("its method is not a string"));
    };
    if method.is_empty() || method.len() > METHOD_BYTES_MAX || !method.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(McpError::Shape("its method is empty, too long, or has characters that no method has"));
    }
    let params = Params::read(&method, params, depth == Depth::Whole)?;
    match id {
        Some(id) => Ok(Envelope::Request(Request { id, method, params })),
        // A decided method without an id would have an effect and no answer to hold the outcome against.
        None if is_decided(&method) => Err(McpError::Shape("a call must have an id")),
        None => Ok(Envelope::Notification(Notification { method, params })),
    }
}

#[cfg(test)]
mod tests;
