//! `remit token`: the headers with which an MCP client of a run reaches a server, as Claude Code's `headersHelper` wants
//! them: one JSON object, and nothing else on standard output.
//!
//! A client that cannot prove possession of a key speaks to the relay, with a bearer value that is good there alone.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Args, ValueEnum};
use remit_authority::socket::wire::{RelayGiven, RunAsk};
use remit_core::id::{GrantId, ServerName};

use crate::ask;
use crate::context::Context;
use crate::error::{CliError, Exit};

#[derive(Debug, Args)]
#[command(after_help = "Example, in .mcp.json:
  { \"mcpServers\": { \"tickets\": { \"type\": \"http\", \"url\": \"http://127.0.0.1:7463/mcp/tickets\",
      \"headersHelper\": \"remit token tickets\" } } }

The URL is the relay's. It takes this value from processes that belong to the run, or to no run, and adds for each
request what proves possession of the run's key. It renews tokens by itself; the value is good until the run ends.")]
pub(crate) struct Token {
    /// The server
    server: ServerName,
    #[arg(long, value_name = "RUN", help = "The run: its id or its socket [env: REMIT_RUN]")]
    run: Option<String>,
    /// One grant of the run [default: all that it was launched with]
    #[arg(long, value_name = "GRANT")]
    grant: Option<GrantId>,
    /// Where the client sends its requests [default: relay, and gateway for agents with `bearer = true`]
    #[arg(long, value_enum)]
    to: Option<To>,
    /// The HTTP method that the proof is for, of a client that asks for each request: it speaks to the gateway
    #[arg(long, value_parser = ["POST", "GET", "DELETE"], conflicts_with = "to")]
    method: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// To the relay on this machine, with a value that is good there alone, until the run ends
    Relay,
    /// To the gateway, with a token, and where it is bound to a key with a proof for one request
    Gateway,
}

pub(crate) fn run(token: &Token, context: &Context) -> Result<Exit, CliError> {
    let home = context.home.flag(&context.env);
    let socket = ask::run_socket(context, token.run.as_deref()).ok_or_else(|| {
        CliError::unevaluated(
            "it is not clear which run asks",
            format!("begin one: remit{home} request SERVER/TOOL --for 15m --why \"…\"; then: remit{home} token SERVER --run RUN"),
        )
    })?;
    let to = if token.method.is_some() { Some(To::Gateway) } else { token.to };
    let relayed = if to == Some(To::Gateway) { None } else { relayed(token, to, &socket, context)? };
    let headers = match relayed {
        Some(headers) => headers,
        None => direct(token, &socket, context)?,
    };
    context.out.raw(&serde_json::to_string(&headers).unwrap_or_default());
    Ok(Exit::Fine)
}

type Headers = BTreeMap<String, String>;

/// For the relay; nothing where the agent's tokens need no proof, and nobody wants it all the same.
fn relayed(token: &Token, to: Option<To>, socket: &Path, context: &Context) -> Result<Option<Headers>, CliError> {
    let (server, grant) = (token.server.clone(), token.grant.clone());
    let ask = RunAsk::Relay { server, grant, always: to == Some(To::Relay) };
    let RelayGiven { url, value } = ask::run(context, socket, &ask)?;
    let Some(value) = value else { return Ok(None) };
    context.out.remark(format!("the client's URL: {url}"));
    Ok(Some(BTreeMap::from([("Authorization".to_owned(), format!("Bearer {value}"))])))
}

/// For the gateway itself.
fn direct(token: &Token, socket: &Path, context: &Context) -> Result<Headers, CliError> {
    let gateway = context.loaded.required("gateway.url", context.loaded.config.gateway.url.as_ref())?;
    let ask = RunAsk::Headers {
        url: format!("{gateway}/mcp/{}", token.server),
        method: token.method.clone().unwrap_or_else(|| "POST".into()),
        grant: token.grant.clone(),
    };
    ask::run(context, socket, &ask)
}
