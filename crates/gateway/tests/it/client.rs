//! A small MCP client, as raw as a test needs it: every byte of a request can be chosen, and every frame of an answer
//! is seen as it comes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use remit_core::claims::Claims;
use remit_core::hash::{b64, sha256};
use remit_core::jws::Jwk;
use remit_gateway::clock::Clock as _;
use serde_json::Value;

use crate::authority::{TestClock, jws, mint};

/// How long an answer may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The modern revision.
pub const MODERN: &str = "2026-07-28";
/// The newest legacy revision.
pub const LEGACY: &str = "2025-11-25";

static NEXT: AtomicU64 = AtomicU64::new(1);

/// One request, before it is sent.
#[derive(Clone)]
pub struct Ask {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Ask {
    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        let ask = Self { method: Method::POST, path: path.into(), headers: HeaderMap::new(), body: body.into() };
        ask.set("content-type", "application/json").set("accept", "application/json, text/event-stream")
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub fn add(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub fn unset(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub async fn send(self, to: SocketAddr) -> Reply {
        tokio::time::timeout(PATIENCE, self.try_send(to)).await.unwrap().unwrap()
    }

    pub async fn try_send(self, to: SocketAddr) -> hyper::Result<Reply> {
        let stream = tokio::net::TcpStream::connect(to).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(self.method).uri(&self.path);
        if !self.headers.contains_key("host") {
            request = request.header("host", to.to_string());
        }
        let mut request = request.body(Full::new(Bytes::from(self.body))).unwrap();
        request.headers_mut().extend(self.headers);
        let response = sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        Ok(Reply { status: parts.status, headers: parts.headers, body, text: String::new(), _sender: sender })
    }
}

/// An answer whose body may still be coming. Dropping it closes the connection.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    text: String,
    _sender: SendRequest<Full<Bytes>>,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The whole body.
    pub async fn text(self) -> String {
        let body = tokio::time::timeout(PATIENCE, self.body.collect()).await;
        let body = body.unwrap().unwrap().to_bytes();
        self.text + std::str::from_utf8(&body).unwrap()
    }

    /// The one message of the body, whether it is JSON or the last event of a stream.
    pub async fn json(self) -> Value {
        let text = self.text().await;
        if let Ok(value) = serde_json::from_str(&text) {
            return value;
        }
        let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
        serde_json::from_str(last.unwrap_or_else(|| panic!("no message in {text:?}"))).unwrap()
    }

    /// The next event of a stream, without its end; `None` at the end of the stream.
    pub async fn event(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(event);
            }
            let piece = self.piece().await?;
            self.text.push_str(&piece);
        }
    }

    /// What comes next, whatever it is.
    pub async fn piece(&mut self) -> Option<String> {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.unwrap()?;
        let data = frame.ok()?.into_data().ok()?;
        Some(std::str::from_utf8(&data).unwrap().to_owned())
    }

    /// The next event that holds a message.
    pub async fn message(&mut self) -> Option<Value> {
        loop {
            let event = self.event().await?;
            // Newer legacy revisions begin a stream with an event without data.
            let data = event.lines().find_map(|line| line.strip_prefix("data: "));
            if let Some(data) = data.filter(|data| !data.is_empty()) {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }
}

/// One run: its token, its key, and where it speaks to.
#[derive(Clone)]
pub struct Run {
    pub claims: Claims,
    pub token: String,
    /// Seed of the key that the token is bound to; none for a bearer token.
    pub seed: Option<[u8; 32]>,
    pub url: String,
    pub addr: SocketAddr,
    pub clock: Arc<TestClock>,
}

/// A fresh id.
pub fn fresh() -> u64 {
    NEXT.fetch_add(1, Ordering::SeqCst)
}

/// Thumbprint of a seed's key.
pub fn thumbprint(seed: [u8; 32]) -> String {
    public(seed).thumbprint()
}

/// A seed's public key.
pub fn public(seed: [u8; 32]) -> Jwk {
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    Jwk::ed25519(pair.public_key().as_ref(), None)
}

impl Run {
    /// The same run with other claims.
    pub fn with(&self, change: impl FnOnce(&mut Claims)) -> Self {
        let mut run = self.clone();
        change(&mut run.claims);
        run.token = mint(&run.claims);
        run
    }

    /// A proof for a request.
    pub fn proof(&self, method: &str, url: &str) -> String {
        let seed = self.seed.unwrap();
        let header = serde_json::json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": public(seed) });
        let payload = serde_json::json!({
            "htm": method, "htu": url, "iat": self.clock.now_s(), "jti": format!("j{}", fresh()),
            "ath": b64(&sha256(&[self.token.as_bytes()])),
        });
        jws(&header.to_string(), &payload.to_string(), seed)
    }

    /// Adds the token, and the proof that it needs.
    pub fn authorize(&self, ask: Ask) -> Ask {
        if self.seed.is_none() {
            return ask.set("authorization", &format!("Bearer {}", self.token));
        }
        let proof = self.proof(ask.method.as_str(), &format!("{}{}", self.url, ask.path));
        ask.set("authorization", &format!("DPoP {}", self.token)).set("dpop", &proof)
    }

    /// A modern request, without credentials.
    pub fn modern_bare(server: &str, method: &str, params: &str) -> Ask {
        let meta = format!(
            r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}","io.modelcontextprotocol/clientCapabilities":{{}}}}"#
        );
        let inner = params.trim().strip_prefix('{').unwrap().trim_start();
        let comma = if inner.starts_with('}') { "" } else { "," };
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{},"method":"{method}","params":{{{meta}{comma}{inner}}}"#, fresh());
        let value: Value = serde_json::from_str(params).unwrap();
        let name = value.get("name").or_else(|| value.get("uri")).and_then(Value::as_str);
        let ask =
            Ask::post(&format!("/mcp/{server}"), body).set("mcp-protocol-version", MODERN).set("mcp-method", method);
        match name {
            Some(name) => ask.set("mcp-name", name),
            None => ask,
        }
    }

    /// A modern request.
    pub fn modern(&self, server: &str, method: &str, params: &str) -> Ask {
        self.authorize(Self::modern_bare(server, method, params))
    }

    /// A modern call of a tool of `tickets`.
    pub fn tool(&self, tool: &str, arguments: &str) -> Ask {
        let params = format!(r#"{{"name":"{tool}","arguments":{arguments}}}"#);
        self.modern("tickets", "tools/call", &params)
    }

    /// A call of `watch_ticket` that reports progress.
    pub fn watch(&self, seconds: u64) -> Ask {
        let ask = self.tool("watch_ticket", &format!(r#"{{"id":41,"seconds":{seconds}}}"#));
        let body = String::from_utf8(ask.body.clone()).unwrap();
        ask.body(body.replacen(r#""_meta":{"#, r#""_meta":{"progressToken":"p-1","#, 1))
    }

    /// Calls a tool of `tickets` and waits for the answer.
    pub async fn call(&self, tool: &str, arguments: &str) -> Value {
        self.send(self.tool(tool, arguments)).await.json().await
    }

    /// Calls a tool and gives the code of the refusal, or what else came.
    pub async fn refusal(&self, tool: &str, arguments: &str) -> String {
        let answer = self.call(tool, arguments).await;
        code_of(&answer)
    }

    /// A legacy message.
    pub fn legacy(&self, server: &str, session: Option<&str>, body: &str) -> Ask {
        let ask = Ask::post(&format!("/mcp/{server}"), body).set("mcp-protocol-version", LEGACY);
        let ask = match session {
            Some(session) => ask.set("mcp-session-id", session),
            None => ask,
        };
        self.authorize(ask)
    }

    /// The legacy handshake; gives the session's id.
    pub async fn initialize(&self, server: &str) -> String {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":"init","method":"initialize","params":{{"protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{{"name":"t","version":"0"}}}}}}"#
        );
        let reply = self.send(self.legacy(server, None, &body)).await;
        assert_eq!(reply.status, 200);
        let session = reply.header("mcp-session-id").to_owned();
        let answer = reply.json().await;
        assert_eq!(answer["result"]["protocolVersion"], LEGACY, "{answer}");
        let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let id = (!session.is_empty()).then_some(session.as_str());
        let reply = self.send(self.legacy(server, id, body)).await;
        assert_eq!(reply.status, 202);
        session
    }

    /// Sends it under the gateway's own name, wherever it listens now.
    pub async fn send(&self, ask: Ask) -> Reply {
        let host = self.url.split_once("://").unwrap().1;
        let ask = if ask.headers.contains_key("host") { ask } else { ask.set("host", host) };
        ask.send(self.addr).await
    }
}

/// The code of a refusal in any of its forms; `ok` or the error where it is none.
pub fn code_of(answer: &Value) -> String {
    let places = ["/result/_meta/dev.remit~1rejection/code", "/error/data/code", "/code"];
    if let Some(code) = places.iter().find_map(|at| answer.pointer(at)) {
        return code.as_str().unwrap().to_owned();
    }
    match answer.get("error") {
        Some(error) => format!("{} {}", error["code"], error["message"].as_str().unwrap_or("")),
        None if answer.get("result").is_some() => "ok".into(),
        None => answer.to_string(),
    }
}
