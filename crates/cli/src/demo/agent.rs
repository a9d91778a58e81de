//! The scripted agent: an MCP client of revision 2026-07-28 that holds no key, no upstream credential and no manners.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use remit_authority::socket::client;
use remit_authority::socket::wire::RunAsk;
use serde_json::{Value, json};

use super::world::failed;
use crate::error::CliError;

const VERSION: &str = "2026-07-28";
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);

/// An agent in one of its runs.
pub(super) struct Agent {
    /// The run's socket, from which it gets headers for each request.
    pub(super) socket: PathBuf,
    /// The server's endpoint at the gateway.
    pub(super) endpoint: String,
}

/// What came back.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: StatusCode,
    /// The message.
    pub(super) message: Value,
}

type Headers = Vec<(String, String)>;

impl Agent {
    /// Calls a tool.
    pub(super) async fn call(&self, tool: &str, arguments: Value) -> Result<Answer, CliError> {
        let headers = self.headers().await?;
        self.call_with(tool, arguments, &headers).await
    }

    /// Calls a tool with headers that somebody else may have got.
    pub(super) async fn call_with(&self, tool: &str, arguments: Value, headers: &Headers) -> Result<Answer, CliError> {
        let params = json!({ "name": tool, "arguments": arguments });
        let response = self.post("tools/call", Some(tool), params, headers).await?;
        answer(response).await
    }

    /// The tools that the gateway shows.
    pub(super) async fn tools(&self) -> Result<Vec<String>, CliError> {
        let response = self.post("tools/list", None, json!({}), &self.headers().await?).await?;
        let listed = answer(response).await?.message;
        let tools = listed.pointer("/result/tools").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(tools.iter().filter_map(|tool| tool.get("name")?.as_str().map(ToOwned::to_owned)).collect())
    }

    /// Begins a call whose answer is a stream, and waits for its first frame.
    pub(super) async fn watch(&self, tool: &str, arguments: Value) -> Result<Incoming, CliError> {
        let meta = json!({ "progressToken": "p" });
        let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
        let response = self.post("tools/call", Some(tool), params, &self.headers().await?).await?;
        let mut body = response.into_body();
        match tokio::time::timeout(ANSWER, body.frame()).await {
            Ok(Some(Ok(_))) => Ok(body),
            _ => Err(failed("the stream did not begin".into())),
        }
    }

    /// Headers for one request, from the run's socket.
    pub(super) async fn headers(&self) -> Result<Headers, CliError> {
        let (socket, url) = (self.socket.clone(), self.endpoint.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let ask = RunAsk::Headers { url, method: "POST".into(), grant: None };
            client::run::<std::collections::BTreeMap<String, String>>(&socket, &ask)
        });
        match asked.await {
            Ok(Ok(headers)) => Ok(headers.into_iter().collect()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    async fn post(
        &self,
        method: &str,
        name: Option<&str>,
        mut params: Value,
        headers: &Headers,
    ) -> Result<http::Response<Incoming>, CliError> {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "scripted-agent", "version": "1" },
        });
        merge(&mut params, meta);
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut request = Request::post(&self.endpoint)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", VERSION)
            .header("mcp-method", method);
        for (header, value) in name.map(|name| ("mcp-name".to_owned(), name.to_owned())).iter().chain(headers) {
            request = request.header(header, value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_string())));
        let request = request.map_err(|error| failed(error.to_string()))?;
        let response = tokio::time::timeout(ANSWER, client().request(request)).await;
        response.map_err(|_| failed("no answer in time".into()))?.map_err(|error| failed(error.to_string()))
    }
}

/// Posts a form, with a proof of possession where there is one.
pub(super) async fn post_form(url: &str, form: String, proof: Option<&str>) -> Result<Answer, CliError> {
    let mut request = Request::post(url).header("content-type", "application/x-www-form-urlencoded");
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    let request = request.body(Full::new(Bytes::from(form))).map_err(|error| failed(error.to_string()))?;
    let response = tokio::time::timeout(ANSWER, client().request(request)).await;
    let response = response.map_err(|_| failed("no answer in time".into()))?;
    answer(response.map_err(|error| failed(error.to_string()))?).await
}

fn merge(params: &mut Value, meta: Value) {
    let Some(params) = params.as_object_mut() else { return };
    let own = params.entry("_meta").or_insert_with(|| json!({}));
    if let (Some(own), Value::Object(meta)) = (own.as_object_mut(), meta) {
        own.extend(meta);
    }
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

/// The whole answer; of a stream the last message.
async fn answer(response: http::Response<Incoming>) -> Result<Answer, CliError> {
    let status = response.status();
    let body = tokio::time::timeout(ANSWER, response.into_body().collect()).await;
    let body = body.map_err(|_| failed("no answer in time".into()))?.map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let last = text.lines().filter_map(|line| line.strip_prefix("data:")).next_back();
    let message = serde_json::from_str(last.unwrap_or(&text)).unwrap_or_default();
    Ok(Answer { status, message })
}

impl Answer {
    /// The text of a result.
    pub(super) fn text(&self) -> &str {
        let text = self.message.pointer("/result/content/0/text").and_then(Value::as_str);
        text.or_else(|| self.message.pointer("/error/message").and_then(Value::as_str)).unwrap_or_default()
    }

    /// The code of a refusal, wherever it stands.
    pub(super) fn refused(&self) -> Option<&str> {
        let places = ["/result/_meta/dev.remit~1rejection/code", "/error/data/code"];
        places.into_iter().find_map(|place| self.message.pointer(place)?.as_str())
    }

    /// Whether the tool was called and answered.
    pub(super) fn is_done(&self) -> bool {
        self.status == StatusCode::OK
            && self.message.get("result").is_some()
            && self.message.pointer("/result/isError") != Some(&Value::Bool(true))
    }
}

/// The status of a GET, where there is an answer.
pub(super) async fn get(url: &str) -> Option<u16> {
    let request = Request::get(url).body(Full::new(Bytes::new())).ok()?;
    let response = tokio::time::timeout(ANSWER, client().request(request)).await.ok()?.ok()?;
    Some(response.status().as_u16())
}
