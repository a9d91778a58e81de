//! A road to the echo: where a call enters, what it carries, and how its answer is judged.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::key::Key;
use crate::wire::{Answer, Connection};

/// The revisions of the protocol that are measured: the newest of each era.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    Modern,
    Legacy,
}

impl Era {
    pub(crate) fn revision(self) -> &'static str {
        match self {
            Era::Modern => "2026-07-28",
            Era::Legacy => "2025-11-25",
        }
    }

    /// A call of a tool, on one line.
    pub(crate) fn call(self, id: u64, tool: &str, arguments: &str) -> String {
        let meta = match self {
            Era::Modern => {
                r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}},"#
            }
            Era::Legacy => "",
        };
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{{meta}"name":"{tool}","arguments":{arguments}}}}}"#
        )
    }
}

/// The text that a call says, which no other one says: equal calls in a row are what loops are told by.
pub(crate) fn text(number: u64) -> String {
    format!("hi {number}")
}

/// What must stand in the answer to it.
pub(crate) fn echoed(text: &str, body: &[u8]) -> bool {
    let wanted = format!(r#""text":"{text}""#);
    body.windows(wanted.len()).any(|part| part == wanted.as_bytes())
}

/// What a governed call carries: a token, and the key that it is bound to.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) key: Arc<Key>,
    pub(crate) token: Arc<str>,
}

/// An MCP endpoint over HTTP.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) at: SocketAddr,
    pub(crate) era: Era,
    pub(crate) credentials: Option<Credentials>,
    session: Option<String>,
}

impl Endpoint {
    /// The endpoint of `http://<address>:<port>/…`.
    pub(crate) fn new(url: &str, era: Era, credentials: Option<Credentials>) -> io::Result<Self> {
        let address = url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
        let at = address.and_then(|address| std::net::ToSocketAddrs::to_socket_addrs(address).ok()?.next());
        let at = at.ok_or_else(|| io::Error::other(format!("not http://HOST:PORT/PATH: {url}")))?;
        Ok(Self { url: url.to_owned(), at, era, credentials, session: None })
    }

    /// Proofs for so many calls; none where none is needed.
    pub(crate) fn proofs(&self, count: usize) -> Option<Vec<String>> {
        self.credentials.as_ref().map(|with| with.key.proofs(count, &self.url, Some(&with.token)))
    }

    /// The bytes of a request.
    pub(crate) fn request(&self, method: &str, name: Option<&str>, proof: Option<&str>, body: &str) -> Vec<u8> {
        let rest = self.url.strip_prefix("http://").unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut head = format!(
            "POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\ncontent-length: {}\r\n",
            body.len()
        );
        let mut line = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
        if method != "initialize" {
            line("mcp-protocol-version", self.era.revision());
        }
        if self.era == Era::Modern {
            line("mcp-method", method);
            if let Some(name) = name {
                line("mcp-name", name);
            }
        }
        if let Some(session) = &self.session {
            line("mcp-session-id", session);
        }
        if let (Some(with), Some(proof)) = (&self.credentials, proof) {
            line("authorization", &format!("DPoP {}", with.token));
            line("dpop", proof);
        }
        head.push_str("\r\n");
        head.push_str(body);
        head.into_bytes()
    }

    /// The request for a stream that stands until somebody ends it (legacy era).
    pub(crate) fn listen(&self) -> Vec<u8> {
        let rest = self.url.strip_prefix("http://").unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut head = format!(
            "GET /{path} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\nmcp-protocol-version: {}\r\n",
            self.era.revision()
        );
        if let Some(with) = &self.credentials {
            let proof = with.key.proofs_of(("GET", &self.url), Some(&with.token), 1).pop().unwrap_or_default();
            head.extend(["authorization: DPoP ", &with.token, "\r\ndpop: ", &proof, "\r\n"]);
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// One message and its answer, on a connection of its own.
    pub(crate) async fn ask<T>(
        &self,
        (method, name): (&str, Option<&str>),
        body: &str,
        read: impl FnOnce(&Answer<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let proof = self.proofs(1).and_then(|mut proofs| proofs.pop());
        let request = self.request(method, name, proof.as_deref(), body);
        read(&Connection::open(self.at).await?.exchange(&request).await?)
    }

    /// The handshake of the legacy era; in the modern one there is none.
    pub(crate) async fn shake_hands(&mut self) -> io::Result<()> {
        if self.era == Era::Modern {
            return Ok(());
        }
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": self.era.revision(), "capabilities": {},
            "clientInfo": { "name": "bench", "version": "1" } } });
        self.session = self
            .ask(("initialize", None), &body.to_string(), |answer| {
                result(&answer.json()?).map(|_| answer.header("mcp-session-id"))
            })
            .await?;
        let body = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.ask(("notifications/initialized", None), &body.to_string(), |answer| match answer.status {
            200..300 => Ok(()),
            status => Err(io::Error::other(format!("the handshake ends with status {status}"))),
        })
        .await
    }

    /// What the upstream has counted.
    pub(crate) async fn count(&self) -> io::Result<u64> {
        let body = self.era.call(1, "count", "{}");
        self.ask(("tools/call", Some("count")), &body, |answer| counted(&answer.json()?)).await
    }
}

/// The number that the tool `count` said.
pub(crate) fn counted(answer: &Value) -> io::Result<u64> {
    let text = result(answer)?.pointer("/content/0/text").and_then(Value::as_str);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| io::Error::other(format!("no count: {answer}")))
}

fn result(answer: &Value) -> io::Result<&Value> {
    answer.get("result").ok_or_else(|| io::Error::other(format!("not a result: {answer}")))
}
