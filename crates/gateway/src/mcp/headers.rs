//! Headers against body: whoever routes or limits by the headers must see what is judged here.
//!
//! The body decides; the headers must repeat it. Only headers on an allow-list go on to an upstream, so no
//! credential of the caller ever does.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};

use super::envelope::{Envelope, Request};
use super::error::McpError;
use super::method::is_decided;
use super::mirror::Mirror;
use super::revision::{Era, Revision};

/// Most `Mcp-*` headers of one request, in headers.
pub const MCP_HEADERS_MAX: usize = 64;
/// Longest value of an `Mcp-*` header, in bytes.
pub const MCP_HEADER_BYTES_MAX: usize = 8 * 1024;

const VERSION: &str = "MCP-Protocol-Version";
const METHOD: &str = "Mcp-Method";
const NAME: &str = "Mcp-Name";

const PARAM: &str = "mcp-param-";

/// What goes on to an upstream, besides `mcp-param-*`.
const FORWARDED: [&str; 8] = [
    "accept",
    "content-type",
    "traceparent",
    "tracestate",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "mcp-session-id",
];
/// What comes back from one.
const RETURNED: [&str; 6] =
    ["content-type", "mcp-session-id", "mcp-protocol-version", "x-accel-buffering", "retry-after", "allow"];

/// Checks what can be checked before the body is read.
pub fn acceptable(method: &http::Method, headers: &HeaderMap) -> Result<(), McpError> {
    mcp_headers_are_sound(headers)?;
    if headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(McpError::ContentEncoding);
    }
    match *method {
        http::Method::POST if !is_json(headers) => Err(McpError::ContentType),
        http::Method::POST
            if !(accepts(headers, "application", "json") && accepts(headers, "text", "event-stream")) =>
        {
            Err(McpError::Accept)
        }
        http::Method::GET if !accepts(headers, "text", "event-stream") => Err(McpError::Accept),
        _ => Ok(()),
    }
}

/// Checks the headers against the message and says which revision it speaks.
pub fn agree(headers: &HeaderMap, envelope: &Envelope<'_>) -> Result<Revision, McpError> {
    mcp_headers_are_sound(headers)?;
    if let Envelope::Request(request) = envelope
        && let Some(version) = request.params.meta.protocol_version.as_deref()
    {
        return modern(headers, request, version);
    }
    let revision = match (envelope, value(headers, VERSION)) {
        // The handshake negotiates: what the header says, if anything, is not yet agreed upon.
        (Envelope::Request(request), _) if request.method == "initialize" => request
            .params
            .protocol_version
            .as_deref()
            .and_then(Revision::parse)
            .filter(|revision| revision.era() == Era::Legacy)
            .unwrap_or(Revision::LEGACY_LATEST),
        (_, header) => spoken(header)?,
    };
    if revision.era() == Era::Modern {
        return match envelope {
            Envelope::Request(_) => Err(McpError::Params("`_meta` lacks the protocol version")),
            Envelope::Notification(_) => repeated(headers, envelope, false).map(|()| revision),
            Envelope::Response(_) => Err(McpError::Shape("a client sends no responses in this revision")),
        };
    }
    repeated(headers, envelope, false)?;
    Ok(revision)
}

/// The revision of a request without a body: GET and DELETE exist in the legacy era only.
pub fn bodyless(headers: &HeaderMap) -> Result<Revision, McpError> {
    mcp_headers_are_sound(headers)?;
    spoken(value(headers, VERSION))
}

/// The headers without any of `Mcp-Param-*` but these, which were held against the arguments.
pub fn checked(headers: &HeaderMap, mirrors: &[Mirror]) -> HeaderMap {
    let is_checked = |name: &str| !name.starts_with(PARAM) || mirrors.iter().any(|mirror| mirror.header == name);
    select(headers, |name| is_checked(name.as_str()))
}

/// The headers that go on to an upstream. What nobody here understands might mean something there.
pub fn forwarded(headers: &HeaderMap) -> HeaderMap {
    select(headers, |name| FORWARDED.contains(&name.as_str()) || name.as_str().starts_with(PARAM))
}

/// The headers of an upstream's answer that go back to the caller.
pub fn returned(headers: &HeaderMap) -> HeaderMap {
    select(headers, |name| RETURNED.contains(&name.as_str()))
}

/// The text that an `Mcp-Name` or `Mcp-Param-*` value stands for.
pub fn decoded<'a>(name: &'static str, value: &'a str) -> Result<Cow<'a, str>, McpError> {
    let Some(encoded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(Cow::Borrowed(value));
    };
    let bytes = STANDARD.decode(encoded).map_err(|_| McpError::Header { name, problem: "is not valid base64" })?;
    let text = String::from_utf8(bytes).map_err(|_| McpError::Header { name, problem: "is not UTF-8" })?;
    Ok(Cow::Owned(text))
}

fn modern(headers: &HeaderMap, request: &Request<'_>, version: &str) -> Result<Revision, McpError> {
    match value(headers, VERSION) {
        None => {
            return Err(McpError::Header { name: VERSION, problem: "is missing" });
        }
        Some(header) if header != version => {
            return Err(McpError::Header { name: VERSION, problem: "differs from the body" });
        }
        Some(_) => {}
    }
    let revision = Revision::parse(version)
        .filter(|revision| revision.era() == Era::Modern)
        .ok_or_else(|| McpError::Version { requested: version.to_owned() })?;
    if request.params.meta.client_capabilities.is_none() {
        return Err(McpError::Params("`_meta` lacks the client's capabilities"));
    }
    repeated(headers, &Envelope::Request(request.clone()), true)?;
    Ok(revision)
}

/// `Mcp-Method` and `Mcp-Name` repeat the body: always where `required`, else where they are present.
fn repeated(headers: &HeaderMap, envelope: &Envelope<'_>, required: bool) -> Result<(), McpError> {
    match (value(headers, METHOD), envelope.method()) {
        (None, Some(_)) if required => {
            return Err(McpError::Header { name: METHOD, problem: "is missing" });
        }
        (Some(header), method) if Some(header) != method => {
            return Err(McpError::Header { name: METHOD, problem: "differs from the body" });
        }
        _ => {}
    }
    let source = envelope.params().and_then(|params| params.target.as_deref().or(params.task_id.as_deref()));
    let needed = required && envelope.method().is_some_and(is_decided);
    match (value(headers, NAME), source) {
        (None, _) if needed => Err(McpError::Header { name: NAME, problem: "is missing" }),
        (None, _) => Ok(()),
        (Some(header), source) if Some(&*decoded(NAME, header)?) == source => Ok(()),
        (Some(_), _) => Err(McpError::Header { name: NAME, problem: "differs from the body" }),
    }
}

/// A request without the header is of the revision before there was one.
fn spoken(header: Option<&str>) -> Result<Revision, McpError> {
    match header {
        None => Ok(Revision::V2025_03_26),
        Some(header) => Revision::parse(header).ok_or_else(|| McpError::Version { requested: header.to_owned() }),
    }
}

/// Each `Mcp-*` header stands there once, and holds only characters that every reader reads alike.
fn mcp_headers_are_sound(headers: &HeaderMap) -> Result<(), McpError> {
    let mut count = 0;
    for name in headers.keys().filter(|name| name.as_str().starts_with("mcp-")) {
        count += 1;
        let shown = [VERSION, METHOD, NAME].into_iter().find(|known| name.as_str().eq_ignore_ascii_case(known));
        let fail = |problem| Err(McpError::Header { name: shown.unwrap_or("Mcp-*"), problem });
        let mut values = headers.get_all(name).iter();
        let value = values.next().map(http::HeaderValue::as_bytes).unwrap_or_default();
        if values.next().is_some() {
            return fail("is repeated");
        }
        if count > MCP_HEADERS_MAX || value.len() > MCP_HEADER_BYTES_MAX {
            return fail("is too long, or there are too many");
        }
        if value.is_empty() || !value.iter().all(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\t')) {
            return fail("is empty or has an invalid character");
        }
    }
    Ok(())
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn select(headers: &HeaderMap, keep: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    headers.iter().filter(|(name, _)| keep(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next().and_then(|value| value.to_str().ok()), values.next()) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
        && parts.all(|part| {
            part.split_once('=').is_none_or(|(name, value)| {
                !name.trim().eq_ignore_ascii_case("charset")
                    || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            })
        })
}

fn accepts(headers: &HeaderMap, kind: &str, sub: &str) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
        |range| {
            let mut parts = range.split(';').map(str::trim);
            let essence = parts.next().unwrap_or_default();
            let refused = parts.any(|part| {
                part.split_once('=').is_some_and(|(name, weight)| {
                    name.trim().eq_ignore_ascii_case("q")
                        && weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0)
                })
            });
            let matches = essence.split_once('/').is_some_and(|(k, s)| {
                (k == "*" && s == "*") || k.eq_ignore_ascii_case(kind) && (s == "*" || s.eq_ignore_ascii_case(sub))
            });
            matches && !refused
        },
    )
}

#[cfg(test)]
mod tests;
