//! `remit server connect|disconnect`: a person lets Remit act for him at a server, once, and takes that back.
//!
//! What the browser shows in the end is typed here: whoever was sent a link by somebody else connects nothing.

use std::io::{IsTerminal as _, Write as _};

use clap::Args;
use remit_authority::broker::connect::{Begun, Ended};
use remit_authority::socket::wire::{AdminAsk, ServerShown};
use remit_core::id::ServerName;

use super::show;
use crate::ask;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::Style;
use crate::time::utc;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit server connect mail
  remit server connect mail --code BCDF-GHJK

Runs that act for you then reach the server as you, and nobody else's do.")]
pub(crate) struct Connect {
    /// The server
    name: ServerName,
    /// What your browser shows in the end
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit server disconnect mail")]
pub(crate) struct Disconnect {
    /// The server
    name: ServerName,
}

pub(super) fn run(connect: &Connect, context: &Context) -> Result<Exit, CliError> {
    if let Some(code) = &connect.code {
        return finish(connect, code, context);
    }
    let begun: Begun = ask::admin(context, &AdminAsk::Connect { server: connect.name.clone() })?;
    let typed = std::io::stdin().is_terminal() && !context.out.is_json();
    context.out.facts(&begun, |out| {
        out.line(format!("{}  open this in your browser, and consent there:", out.style(Style::Strong, "connect")));
        out.line(&begun.url);
        if !typed {
            let until = utc(begun.until);
            out.line(format!("then, before {until}: remit server connect {} --code CODE", connect.name));
        }
    });
    if !typed {
        return Ok(Exit::Fine);
    }
    drop(write!(std::io::stderr(), "The code that your browser shows in the end: "));
    let mut code = String::new();
    std::io::stdin().read_line(&mut code).map_err(|error| {
        CliError::unevaluated(error, format!("type it: remit server connect {} --code CODE", connect.name))
    })?;
    finish(connect, code.trim(), context)
}

fn finish(connect: &Connect, code: &str, context: &Context) -> Result<Exit, CliError> {
    let ask = AdminAsk::Connected { server: connect.name.clone(), code: code.to_owned() };
    let shown: ServerShown = ask::admin(context, &ask)?;
    context.out.facts(&shown, |out| {
        out.line(format!("{}  {}", out.style(Style::Good, "connected"), connect.name));
        show::oauth(&shown, out);
        if shown.tools.is_empty() {
            out.line(format!("to see what it offers: remit server diff {}", connect.name));
        }
    });
    Ok(Exit::Fine)
}

pub(super) fn end(disconnect: &Disconnect, context: &Context) -> Result<Exit, CliError> {
    let ended: Ended = ask::admin(context, &AdminAsk::Disconnect { server: disconnect.name.clone() })?;
    context.out.facts(&ended, |out| {
        let name = &disconnect.name;
        match (ended.was, ended.revoked) {
            (false, _) => out.line(format!("you were not connected to {name}")),
            (true, true) => {
                let done = out.style(Style::Good, "disconnected");
                out.line(format!("{done}  {name}, and its authorization server took the token back"));
            }
            (true, false) => {
                out.line(format!("{}  {name}", out.style(Style::Good, "disconnected")));
                out.line("its authorization server did not take the token back: look there for the programs that may act for you");
            }
        }
    });
    Ok(Exit::Fine)
}
