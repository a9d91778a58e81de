//! `remit token`: the headers with which an MCP client of a run reaches a server, as Claude Code's `headersHelper` wants
//! them: one JSON object, and nothing else.

use std::collections::BTreeMap;

use clap::Args;
use remit_authority::socket::wire::RunAsk;
use remit_core::id::{GrantId, ServerName};

use crate::ask;
use crate::context::Context;
use crate::error::{CliError, Exit};

#[derive(Debug, Args)]
#[command(after_help = "Example, in .mcp.json:
  { \"mcpServers\": { \"tickets\": { \"type\": \"http\", \"url\": \"http://127.0.0.1:7462/mcp/tickets\",
      \"headersHelper\": \"remit token tickets\" } } }

A token that is bound to a key comes with a proof for one POST; a client that cannot ask for each
request needs `bearer = true` in agent.toml.")]
pub(crate) struct Token {
    /// The server
    server: ServerName,
    #[arg(long, value_name = "RUN", help = "The run: its id or its socket [env: REMIT_RUN]")]
    run: Option<String>,
    /// One grant of the run [default: all that it was launched with]
    #[arg(long, value_name = "GRANT")]
    grant: Option<GrantId>,
    /// The HTTP method that the proof is for
    #[arg(long, default_value = "POST", value_parser = ["POST", "GET", "DELETE"])]
    method: String,
}

pub(crate) fn run(token: &Token, context: &Context) -> Result<Exit, CliError> {
    let home = context.home.flag(&context.env);
    let socket = ask::run_socket(context, token.run.as_deref()).ok_or_else(|| {
        CliError::unevaluated(
            "it is not clear which run asks",
            format!("begin one: remit{home} request SERVER/TOOL --for 15m --why \"…\"; then: remit{home} token SERVER --run RUN"),
        )
    })?;
    let gateway = context.loaded.required("gateway.url", context.loaded.config.gateway.url.as_ref())?;
    let ask = RunAsk::Headers {
        url: format!("{gateway}/mcp/{}", token.server),
        method: token.method.clone(),
        grant: token.grant.clone(),
    };
    let headers: BTreeMap<String, String> = ask::run(context, &socket, &ask)?;
    context.out.raw(&serde_json::to_string(&headers).unwrap_or_default());
    Ok(Exit::Fine)
}
