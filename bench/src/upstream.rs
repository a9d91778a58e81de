//! The upstream of the measured calls: an MCP server of both eras that echoes, over HTTP or as a child process, and
//! counts what it did. Nothing of it waits or reads a disk, so that what is measured is the way to it.
//!
//! Over HTTP it also has standing streams, answers in a stream what asks for one, and says which calls it did where it
//! was started to keep a ledger.

use std::io::{self, BufRead as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::ledger;
use crate::report::say;
use crate::standing::{self, Body};

/// Where its books are, which nobody reaches through a gateway.
pub(crate) const LEDGER: &str = "/ledger";
/// Where the number of its open streams is.
pub(crate) const STREAMS: &str = "/streams";
/// How a text begins whose answer is to come in a stream.
pub(crate) const STREAMED: &str = "stream ";

/// What was echoed since the start.
static ECHOED: AtomicU64 = AtomicU64::new(0);

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    method: &'a str,
    #[serde(borrow, default)]
    params: Params<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(default)]
    name: &'a str,
    #[serde(borrow, default)]
    arguments: Arguments<'a>,
    #[serde(default)]
    protocol_version: &'a str,
}

#[derive(Deserialize, Default)]
struct Arguments<'a> {
    /// As it was written, and as it goes back.
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

/// The answer to a message; nothing to a notification.
fn answer(message: &[u8]) -> Option<String> {
    let Ok(message) = serde_json::from_slice::<Message<'_>>(message) else {
        return Some(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"not understood"}}"#.into());
    };
    let id = message.id?.get();
    let result = match (message.method, message.params.name) {
        ("tools/call", "echo") => {
            ECHOED.fetch_add(1, Ordering::Relaxed);
            ledger::note(message.params.arguments.text.map_or("", RawValue::get));
            said(message.params.arguments.text.map_or("\"\"", RawValue::get))
        }
        ("tools/call", "count") => said(&format!("\"{}\"", ECHOED.load(Ordering::Relaxed))),
        ("tools/list", _) => tools(),
        ("initialize", _) => json!({
            "protocolVersion": message.params.protocol_version, "capabilities": { "tools": {} },
            "serverInfo": { "name": "echo", "version": "1" },
        })
        .to_string(),
        ("server/discover", _) => json!({
            "supportedVersions": ["2026-07-28", "2025-11-25"], "capabilities": { "tools": {} },
            "serverInfo": { "name": "echo", "version": "1" }, "resultType": "complete", "ttlMs": 0, "cacheScope": "public",
        })
        .to_string(),
        _ => return Some(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"unknown"}}}}"#)),
    };
    Some(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
}

fn said(text: &str) -> String {
    format!(r#"{{"content":[{{"type":"text","text":{text}}}],"isError":false,"resultType":"complete"}}"#)
}

fn tools() -> String {
    let tool = |name: &str, schema: serde_json::Value| {
        json!({ "name": name, "description": "For the benchmark.", "inputSchema": schema,
            "annotations": { "readOnlyHint": true, "openWorldHint": false } })
    };
    let text = json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] });
    let nothing = json!({ "type": "object", "properties": {} });
    json!({ "tools": [tool("echo", text), tool("count", nothing)], "ttlMs": 0, "cacheScope": "public",
        "resultType": "complete" })
    .to_string()
}

/// Serves standard streams until they are closed.
pub(crate) fn serve_stdio() -> io::Result<()> {
    let (mut input, mut out) = (io::stdin().lock(), io::stdout().lock());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        if let Some(mut text) = answer(&line) {
            text.push('\n');
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        line.clear();
    }
    Ok(())
}

/// Serves HTTP on a port of its own, which it says first, until it is ended.
pub(crate) async fn serve_http() -> io::Result<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    say(&format!("http://{}/mcp", listener.local_addr()?));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that breaks is its client's to report.
        tokio::spawn(async move {
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(one)).await.ok();
        });
    }
}

async fn one(request: Request<Incoming>) -> hyper::Result<Response<Body>> {
    if request.method() == Method::GET {
        return Ok(match request.uri().path() {
            LEDGER => response(StatusCode::OK, "text/plain", Body::whole(ledger::text())),
            STREAMS => response(StatusCode::OK, "text/plain", Body::whole(standing::open().to_string())),
            _ => response(StatusCode::OK, EVENTS, Body::standing()),
        });
    }
    let body = request.into_body().collect().await?.to_bytes();
    Ok(match answer(&body) {
        Some(text) if text.contains(&format!("\"text\":\"{STREAMED}")) => {
            response(StatusCode::OK, EVENTS, Body::whole(format!("event: message\ndata: {text}\n\n")))
        }
        Some(text) => response(StatusCode::OK, "application/json", Body::whole(text)),
        None => response(StatusCode::ACCEPTED, "application/json", Body::whole(String::new())),
    })
}

const EVENTS: &str = "text/event-stream";

fn response(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_echoes_what_was_said_and_counts_it() {
        let call = r#"{"jsonrpc":"2.0","id":"7","method":"tools/call","params":{"name":"echo","arguments":{"text":"h\u0069"}}}"#;
        let answered = answer(call.as_bytes()).unwrap();
        assert!(answered.contains(r#""id":"7""#) && answered.contains(r#""text":"h\u0069""#), "{answered}");
        let count = answer(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count"}}"#).unwrap();
        assert!(count.contains(r#""text":"1""#), "{count}");
        assert_eq!(answer(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#), None);
        assert!(answer(b"{").unwrap().contains("error"));
    }
}
