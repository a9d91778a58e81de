//! `remit server …`: the upstream MCP servers, and the deliberate menu of their tools.

mod add;
mod changed;
mod connect;
pub(crate) mod credential;
mod list;
mod oauth;
mod review;
mod secret;
mod show;

pub(crate) use add::environment;
use clap::{Args, Subcommand};
use remit_authority::socket::wire::{AdminAsk, ServerShown};
use remit_core::id::ServerName;

use crate::ask;
use crate::context::Context;
use crate::error::{CliError, Exit};

#[derive(Debug, Args)]
pub(crate) struct Server {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register a server: ask what it offers, pin it, expose what is named
    Add(Box<add::Add>),
    /// List registered servers
    List,
    /// Show one server with its tools, exposed or not
    Show(show::Show),
    /// Give a server a credential that no agent sees, or another one in its place
    Secret(secret::Secret),
    /// Connect yourself to a server that is reached on your behalf: consent once, in a browser
    Connect(connect::Connect),
    /// End your connection to a server
    Disconnect(connect::Disconnect),
    /// Compare what a server offers now with what was reviewed
    Diff(review::Diff),
    /// Accept what tools are now, after you have read the difference
    Pin(review::Pin),
    /// Put tools on the menu
    Expose(review::Menu),
    /// Take tools from the menu
    Hide(review::Menu),
}

pub(crate) fn run(server: &Server, context: &Context) -> Result<Exit, CliError> {
    match &server.command {
        Command::Add(add) => add::run(add, context),
        Command::List => list::run(context),
        Command::Show(show) => show::run(show, context),
        Command::Secret(secret) => secret::run(secret, context),
        Command::Connect(connect) => connect::run(connect, context),
        Command::Disconnect(disconnect) => connect::end(disconnect, context),
        Command::Diff(diff) => review::diff(diff, context),
        Command::Pin(pin) => review::pin(pin, context),
        Command::Expose(menu) => review::menu(menu, true, context),
        Command::Hide(menu) => review::menu(menu, false, context),
    }
}

fn shown(context: &Context, name: &ServerName) -> Result<ServerShown, CliError> {
    ask::admin(context, &AdminAsk::Server { name: name.clone() })
}
