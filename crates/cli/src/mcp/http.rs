//! Streamable HTTP: a message is posted, the answer is JSON or a stream of events.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use remit_authority::socket::wire::Given;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{DEADLINE, LEGACY, MODERN, McpFault, Message};
use crate::http::Http;

/// One MCP endpoint.
pub(super) struct Endpoint<'a> {
    http: Http,
    url: String,
    given: &'a [Given],
    session: Option<String>,
}

impl<'a> Endpoint<'a> {
    pub(super) fn new(url: &str, given: &'a [Given]) -> Self {
        Self { http: Http::new(), url: url.to_owned(), given, session: None }
    }

    /// `initialize`, and the notification after it.
    pub(super) async fn handshake(&mut self, initialize: &Value, initialized: &Value) -> Result<(), McpFault> {
        let (status, headers, body) = self.post(initialize).await?;
        answer(status, &headers, &body, initialize)?;
        self.session = headers.get("mcp-session-id").and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
        self.post(initialized).await?;
        Ok(())
    }

    /// The result of a request, byte for byte.
    pub(super) async fn result(&self, message: &Value) -> Result<Box<RawValue>, McpFault> {
        let (status, headers, body) = self.post(message).await?;
        answer(status, &headers, &body, message)
    }

    async fn post(&self, message: &Value) -> Result<(StatusCode, HeaderMap, Bytes), McpFault> {
        let modern = message.pointer("/params/_meta").is_some();
        let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
        let mut request = Request::post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if method != "initialize" {
            request = request.header("mcp-protocol-version", if modern { MODERN } else { LEGACY });
        }
        if modern {
            request = request.header("mcp-method", method);
        }
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        for given in self.given {
            if let Some((name, value)) = given.place.header_of(given.value.expose()) {
                request = request.header(name, value.as_str());
            }
        }
        let body = Full::new(Bytes::from(message.to_string()));
        let answer = self.http.send(request.body(body).map_err(crate::http::HttpError::from)?, DEADLINE).await?;
        Ok((answer.status, answer.headers, answer.body))
    }
}

fn answer(status: StatusCode, headers: &HeaderMap, body: &[u8], asked: &Value) -> Result<Box<RawValue>, McpFault> {
    let id = asked.get("id").cloned().unwrap_or_default();
    let mut found = messages(headers, body).into_iter().filter_map(|text| serde_json::from_str::<Message>(&text).ok());
    found.find_map(|message| message.answers(&id)).unwrap_or(Err(McpFault::NotMcp(status.as_u16())))
}

/// The messages of a body: the body itself, or the data of each event.
fn messages(headers: &HeaderMap, body: &[u8]) -> Vec<String> {
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(body).into_owned();
    if kind.starts_with("text/event-stream") { events(&text) } else { vec![text] }
}

/// The data of each event of a whole stream.
fn events(text: &str) -> Vec<String> {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    let event = |event: &str| {
        let data = event.lines().filter_map(|line| line.strip_prefix("data:"));
        data.map(|data| data.strip_prefix(' ').unwrap_or(data)).collect::<Vec<_>>().join("\n")
    };
    lines.split("\n\n").map(event).filter(|data| !data.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_their_data_whatever_ends_the_lines() {
        let text = ": keep-alive\n\nid: 1\ndata: {\"a\":\ndata:1}\n\nevent: message\r\ndata: 2\r\n\r\ndata:3";
        assert_eq!(events(text), ["{\"a\":\n1}", "2", "3"]);
    }
}
