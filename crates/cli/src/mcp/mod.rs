//! A small MCP client, which asks a server what it offers. What the server says is kept byte for byte, because its digest is what gets pinned.

mod http;
mod resolve;
mod stdio;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use remit_authority::socket::wire::Given;
use remit_core::feature::Feature;
use remit_core::registry::Upstream;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::CliError;
use crate::server::credential::blotted;
use http::Endpoint;
pub(crate) use resolve::resolve;

/// The newest revision with a handshake; a server that knows none older answers with what it knows.
const LEGACY: &str = "2025-11-25";
/// The revision without one.
const MODERN: &str = "2026-07-28";
/// The longest that a server is waited for.
const DEADLINE: Duration = Duration::from_secs(30);
/// Most pages of one list.
const PAGES_MAX: usize = 64;

/// What a server offers that was not asked yet.
pub(crate) const NOTHING: &str = r#"{"tools":[]}"#;

/// Why a server does not say what it offers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum McpFault {
    /// It is not there.
    #[error("{0}")]
    Http(#[from] crate::http::HttpError),
    /// The program does not run.
    #[error("the program does not run: {0}")]
    Program(#[from] std::io::Error),
    /// The program ended.
    #[error("the program ended before it answered")]
    Ended,
    /// One of these of a program, with what it said on its standard error.
    #[error("{0}{said}", said = if .1.is_empty() { String::new() } else { format!("; it said:{}", .1) })]
    Said(String, String),
    /// It answered with an error.
    #[error("it answers: {0}")]
    Answered(String),
    /// It did not answer with MCP.
    #[error("it does not answer with MCP (status {0})")]
    NotMcp(u16),
    /// No answer in time.
    #[error("it does not answer within {} s", DEADLINE.as_secs())]
    Timeout,
}

/// The `tools/list` result of an upstream, all pages in one, each definition byte for byte.
///
/// The features are declared as a client's: some servers offer the tools that use one only to a client that has it.
pub(crate) fn list_tools(
    upstream: &Upstream,
    features: &BTreeSet<Feature>,
    given: &[Given],
    context: &Context,
) -> Result<String, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::unevaluated(error, "try again"))?;
    let scratch = context.home.path().join("scratch");
    let client = Client(Value::Object(features.iter().map(|feature| (feature.name().to_owned(), json!({}))).collect()));
    let listed = runtime.block_on(async {
        match upstream {
            Upstream::Http { url } => {
                tokio::time::timeout(DEADLINE, over_http(url, given, &client)).await.unwrap_or(Err(McpFault::Timeout))
            }
            Upstream::Stdio { command, args } => over_stdio((command, args, given), &scratch, &client).await,
        }
    });
    listed.map_err(|fault| {
        // What it says may repeat what it was given.
        let fault = blotted(&fault.to_string(), given);
        CliError::unreachable(format!("{} does not say what it offers: {fault}", shown(upstream)), help(upstream))
    })
}

fn help(upstream: &Upstream) -> String {
    match upstream {
        Upstream::Http { url } => format!("look whether it runs: curl -i {url}"),
        Upstream::Stdio { .. } => format!(
            "mend it for where the gateway runs it: with nothing of your environment, PATH={}, and an empty directory \
             as HOME and working directory",
            remit_gateway::open::PROGRAM_PATH
        ),
    }
}

fn shown(upstream: &Upstream) -> &str {
    match upstream {
        Upstream::Http { url } => url,
        Upstream::Stdio { command, .. } => command,
    }
}

/// A program, its arguments, and what stands in its environment.
type Started<'a> = (&'a str, &'a [String], &'a [Given]);

async fn over_stdio(started: Started<'_>, scratch: &Path, client: &Client) -> Result<String, McpFault> {
    let mut program = stdio::Program::start(started, scratch)?;
    let listed = tokio::time::timeout(DEADLINE, async {
        program.request(&client.initialize(0)).await?;
        program.notify(&initialized()).await?;
        collect(async |id, cursor| program.request(&client.list(id, cursor, false)).await).await
    });
    match listed.await.unwrap_or(Err(McpFault::Timeout)) {
        Ok(list) => Ok(list),
        Err(fault) => Err(program.explain(fault).await),
    }
}

/// With the handshake first; a server that knows only the revision without one is asked without.
async fn over_http(url: &str, given: &[Given], client: &Client) -> Result<String, McpFault> {
    let mut endpoint = Endpoint::new(url, given);
    match endpoint.handshake(&client.initialize(0), &initialized()).await {
        Ok(()) => collect(async |id, cursor| endpoint.result(&client.list(id, cursor, false)).await).await,
        Err(McpFault::Http(error)) => Err(error.into()),
        Err(_) => collect(async |id, cursor| endpoint.result(&client.list(id, cursor, true)).await).await,
    }
}

/// All pages as one `{"tools":[…]}`.
async fn collect(
    mut page: impl AsyncFnMut(u64, Option<String>) -> Result<Box<RawValue>, McpFault>,
) -> Result<String, McpFault> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        tools: Vec<Box<RawValue>>,
        #[serde(default)]
        next_cursor: Option<String>,
    }
    let (mut tools, mut cursor) = (Vec::new(), None);
    for id in 1..=PAGES_MAX as u64 {
        let raw = page(id, cursor).await?;
        let mut found: Page = serde_json::from_str(raw.get()).map_err(|error| McpFault::Answered(error.to_string()))?;
        tools.append(&mut found.tools);
        cursor = found.next_cursor;
        if cursor.is_none() {
            let tools: Vec<&str> = tools.iter().map(|tool| tool.get()).collect();
            return Ok(format!("{{\"tools\":[{}]}}", tools.join(",")));
        }
    }
    Err(McpFault::Answered(format!("more than {PAGES_MAX} pages of tools")))
}

/// What is said of the client: its capabilities.
struct Client(Value);

impl Client {
    fn initialize(&self, id: u64) -> Value {
        json!({ "jsonrpc": "2.0", "id": id, "method": "initialize", "params": {
            "protocolVersion": LEGACY, "capabilities": self.0, "clientInfo": client_info(),
        }})
    }

    fn list(&self, id: u64, cursor: Option<String>, modern: bool) -> Value {
        let mut params = serde_json::Map::new();
        if let Some(cursor) = cursor {
            params.insert("cursor".into(), cursor.into());
        }
        if modern {
            params.insert("_meta".into(), self.meta());
        }
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list", "params": params })
    }

    /// What every request of the revision without a handshake carries.
    fn meta(&self) -> Value {
        json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": self.0,
            "io.modelcontextprotocol/clientInfo": client_info(),
        })
    }
}

fn initialized() -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })
}

fn client_info() -> Value {
    json!({ "name": "remit", "version": env!("CARGO_PKG_VERSION") })
}

/// A JSON-RPC answer.
#[derive(serde::Deserialize)]
struct Message {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<Value>,
}

impl Message {
    /// The result, where this is the answer to that request.
    fn answers(self, id: &Value) -> Option<Result<Box<RawValue>, McpFault>> {
        if self.id != *id {
            return None;
        }
        match (self.result, self.error) {
            (Some(result), None) => Some(Ok(result)),
            (_, Some(error)) => {
                let message = error.get("message").and_then(Value::as_str).unwrap_or("an error without words");
                Some(Err(McpFault::Answered(message.to_owned())))
            }
            (None, None) => None,
        }
    }
}
