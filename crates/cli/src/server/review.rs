//! `remit server diff|pin|expose|hide`: what changed since it was reviewed, and what is on the menu.

use std::path::PathBuf;

use clap::Args;
use remit_authority::socket::wire::{AdminAsk, Changed, Diff as Difference, ServerShown};
use remit_core::id::{ServerName, ToolName};

use super::changed::{Changed as Moved, Facts, changed, lines};
use super::credential::CredentialArgs;
use super::{add, oauth, show, shown};
use crate::agent::published;
use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::mcp;
use crate::out::{Out, Style};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit server diff tickets        exits 1 if anything changed")]
pub(crate) struct Diff {
    /// The server
    name: ServerName,
    #[command(flatten)]
    credential: CredentialArgs,
    #[command(flatten)]
    pin: PinArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit server diff tickets && remit server pin tickets read_ticket")]
pub(crate) struct Pin {
    /// The server
    name: ServerName,
    /// Tools to accept as they are now
    #[arg(required = true)]
    tools: Vec<ToolName>,
    /// What you say of them instead of what their hints say; what an earlier review said stays said
    #[arg(long, value_name = "FILE")]
    review: Option<PathBuf>,
    #[command(flatten)]
    credential: CredentialArgs,
    #[command(flatten)]
    secret: PinArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit server expose tickets reply_to_customer")]
pub(crate) struct Menu {
    /// The server
    name: ServerName,
    /// The tools
    #[arg(required = true)]
    tools: Vec<ToolName>,
    #[command(flatten)]
    pin: PinArgs,
}

pub(super) fn diff(diff: &Diff, context: &Context) -> Result<Exit, CliError> {
    let server = diff.name.clone();
    let found = shown(context, &server)?;
    let given = oauth::again(&found, &diff.credential, &diff.pin, context)?;
    let registered = found.server;
    let list = mcp::list_tools(&registered.upstream, &registered.features, &given, context)?;
    let found: Difference = ask::admin(context, &AdminAsk::Diff { server, list })?;
    let same = found.added.is_empty() && found.removed.is_empty() && found.changed.is_empty();
    context.out.facts(&found, |out| {
        found.added.iter().for_each(|tool| out.line(format!("+ {tool}  new, and exposed to nobody")));
        found.removed.iter().for_each(|tool| out.line(format!("- {tool}  no longer offered")));
        found.changed.iter().for_each(|changed| difference(changed, out));
        match found.changed.as_slice() {
            [] if same => out.line("nothing changed since it was reviewed"),
            [] => {}
            changed => {
                let names: Vec<&str> = changed.iter().map(|changed| changed.tool.as_str()).collect();
                out.line(format!("to accept them as they are now: remit server pin {} {}", diff.name, names.join(" ")));
            }
        }
    });
    Ok(if same { Exit::Fine } else { Exit::Findings })
}

/// Lines that are on one side only. The definitions are the server's own words, and shown as such.
fn difference(changed: &Changed, out: &Out) {
    out.line(format!("~ {}  is not usable until it is pinned again", changed.tool));
    let pretty = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        serde_json::to_string_pretty(&value).unwrap_or_default()
    };
    let (before, after) = (pretty(&changed.reviewed), pretty(&changed.now));
    for line in before.lines().filter(|line| !after.lines().any(|other| other == *line)) {
        out.line(out.style(Style::Bad, format!("    - {}", line.trim_start())));
    }
    for line in after.lines().filter(|line| !before.lines().any(|other| other == *line)) {
        out.line(out.style(Style::Good, format!("    + {}", line.trim_start())));
    }
}

pub(super) fn pin(pin: &Pin, context: &Context) -> Result<Exit, CliError> {
    let before = shown(context, &pin.name)?;
    let given = oauth::again(&before, &pin.credential, &pin.secret, context)?;
    let list = mcp::list_tools(&before.server.upstream, &before.server.features, &given, context)?;
    let overrides = pin.review.as_deref().map(add::review).transpose()?.unwrap_or_default();
    let ask = AdminAsk::Pin { server: pin.name.clone(), list, tools: pin.tools.clone(), overrides };
    let now: ServerShown = ask::admin_with_pin(context, &ask, &pin.secret)?;
    done(&now, &changed(&before.tools, &now.tools), context)
}

pub(super) fn menu(menu: &Menu, expose: bool, context: &Context) -> Result<Exit, CliError> {
    let (shown, hidden) = if expose { (menu.tools.clone(), vec![]) } else { (vec![], menu.tools.clone()) };
    let ask = AdminAsk::Menu { server: menu.name.clone(), expose: shown, hide: hidden };
    done(&ask::admin_with_pin(context, &ask, &menu.pin)?, &[], context)
}

fn done(found: &ServerShown, moved: &[Moved], context: &Context) -> Result<Exit, CliError> {
    context.out.facts(&Facts { shown: found, changed: moved }, |out| {
        show::tools(&found.tools, out);
        lines(moved, out);
    });
    published(found.bundle_error.as_deref())
}
