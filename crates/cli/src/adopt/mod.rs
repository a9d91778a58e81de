//! `remit adopt`: a client's file of MCP servers with standing keys becomes one that leads to the relay, and so to the
//! gateway, and holds none.
//!
//! **Invariant:** the file changes as a whole, or not at all, and only for servers that are registered with their keys sealed.
//! What is kept of the old file is kept without its keys: they are to vanish from here, and to be revoked where they came from.

mod entry;
mod file;
mod sensitive;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use remit_audit::durable;
use remit_authority::learn;
use remit_authority::socket::wire::{AddServer, AdminAsk, ServerShown};
use remit_core::id::ToolName;
use remit_core::registry::Environment;
use serde_json::json;

use crate::agent::published;
use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::home::typed;
use crate::mcp;
use crate::out::Style;
use crate::server::credential::uncored;
use entry::Entry;
use file::File;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit adopt .mcp.json --dry-run
  remit adopt .mcp.json
  remit adopt .claude/settings.json --expose-all

Every key in the file is sealed, the servers are registered, and the file leads to the relay. Nothing is exposed unless
you say so. The old keys stood in clear: revoke them where they were issued, and seal new ones with
`remit server secret NAME --rotate`.")]
pub(crate) struct Adopt {
    /// `.mcp.json`, `mcp.json`, or settings with `mcpServers`
    file: PathBuf,
    /// Show what would be done, with the keys masked, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Expose every tool of the servers; otherwise nothing is exposed
    #[arg(long)]
    expose_all: bool,
    /// Where the servers belong: agents of staging never reach production
    #[arg(long, value_name = "ENVIRONMENT", default_value = "production", value_parser = crate::server::environment)]
    environment: Environment,
    #[command(flatten)]
    pin: PinArgs,
}

/// What became of one entry.
enum Fate {
    /// It is registered: what stands in its place now, and what to say of it.
    Adopted { replaced: String, shown: Box<ServerShown> },
    /// The same, where nothing was to be done.
    Planned { replaced: String, sealed: Vec<String> },
    /// It leads to the gateway or the relay already.
    Done,
    /// It stays as it was.
    Kept(CliError),
}

pub(crate) fn run(adopt: &Adopt, context: &Context) -> Result<Exit, CliError> {
    uncored();
    let gateway = context.loaded.required("gateway.url", context.loaded.config.gateway.url.as_ref())?;
    let relay = crate::serve::relay::url(context);
    let path = std::fs::canonicalize(&adopt.file).map_err(|error| failed(&adopt.file, &error))?;
    let file = File::read(&path)?;
    let mut fates = Vec::new();
    for (name, text) in file.servers()? {
        let fate = match Entry::read(&name, text, (gateway, &relay), context) {
            Ok(None) => Fate::Done,
            Ok(Some(entry)) => one(adopt, &entry, context).unwrap_or_else(Fate::Kept),
            Err(why) => Fate::Kept(why),
        };
        fates.push((name, text, fate));
    }
    let replaced = |fate: &Fate| match fate {
        Fate::Adopted { replaced, .. } | Fate::Planned { replaced, .. } => Some(replaced.clone()),
        Fate::Done | Fate::Kept(_) => None,
    };
    let edits: Vec<(&str, String)> =
        fates.iter().filter_map(|(_, text, fate)| Some((*text, replaced(fate)?))).collect();
    let new = file.with(&edits).ok_or_else(|| failed(&path, &"it cannot be rewritten"))?;
    let backup = (!adopt.dry_run && !edits.is_empty()).then(|| write(&file, &path, &new)).transpose()?;
    let fates: Vec<(String, Fate)> = fates.into_iter().map(|(name, _, fate)| (name, fate)).collect();
    said(adopt, &fates, backup.as_deref(), context);
    ended(&fates)
}

/// Registers one server with its keys, or says what would be registered.
fn one(adopt: &Adopt, entry: &Entry, context: &Context) -> Result<Fate, CliError> {
    let replaced = entry.replaced(context);
    if adopt.dry_run {
        let sealed = entry.given.iter().map(|given| given.place.to_string()).collect();
        return Ok(Fate::Planned { replaced, sealed });
    }
    let list = mcp::list_tools(&entry.upstream, &BTreeSet::new(), &entry.given, context)?;
    let expose = if adopt.expose_all { names(&list)? } else { Vec::new() };
    let ask = AdminAsk::AddServer(Box::new(AddServer {
        name: entry.name.clone(),
        environment: adopt.environment,
        owner: None,
        upstream: entry.upstream.clone(),
        list,
        expose,
        overrides: [].into(),
        prompts: Vec::new(),
        resources: false,
        features: BTreeSet::new(),
        oauth: None,
    }));
    let shown = ask::admin_with(context, &ask, &adopt.pin, &entry.given)?;
    Ok(Fate::Adopted { replaced, shown: Box::new(shown) })
}

fn names(list: &str) -> Result<Vec<ToolName>, CliError> {
    let tools =
        learn::learn(list).map_err(|error| CliError::unevaluated(error, "see what it answers to tools/list"))?;
    Ok(tools.into_iter().map(|tool| tool.name).collect())
}

/// Writes what is kept of the old file, then the new one in its place.
fn write(file: &File, path: &Path, new: &str) -> Result<PathBuf, CliError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".before-remit");
    let backup = path.with_file_name(name);
    // Another run may find what is left of the first one, and must not write over it.
    if !backup.exists() {
        durable::write(&backup, file.masked()?.as_bytes(), 0o600).map_err(|error| failed(&backup, &error))?;
    }
    durable::write(path, new.as_bytes(), file.mode).map_err(|error| failed(path, &error))?;
    Ok(backup)
}

fn failed(path: &Path, why: &dyn std::fmt::Display) -> CliError {
    CliError::unevaluated(
        format!("{}: {why}; the file is as it was", path.display()),
        "look at the file, then again: remit adopt FILE --dry-run",
    )
}

/// Never the file itself: of a server that stays as it is, it may hold a key.
fn said(adopt: &Adopt, fates: &[(String, Fate)], backup: Option<&Path>, context: &Context) {
    let facts = json!({
        "file": adopt.file, "dry_run": adopt.dry_run, "backup": backup,
        "servers": fates.iter().map(|(name, fate)| fact(name, fate)).collect::<Vec<_>>(),
    });
    context.out.facts(&facts, |out| {
        for (name, fate) in fates {
            match fate {
                Fate::Adopted { shown, .. } => {
                    out.line(format!("{}  {name}", out.style(Style::Good, "adopted")));
                    for secret in &shown.secrets {
                        out.line(format!("  sealed   {}", secret.place));
                    }
                    let (exposed, hidden): (Vec<_>, Vec<_>) = shown.tools.iter().partition(|tool| tool.exposed);
                    out.line(format!("  tools    {} exposed, {} hidden", exposed.len(), hidden.len()));
                    if !hidden.is_empty() {
                        out.line(format!("  expose   remit server expose {} TOOL", shown.server.name));
                    }
                }
                Fate::Planned { replaced, sealed } => {
                    out.line(format!("would adopt  {name}"));
                    for place in sealed {
                        out.line(format!("  seal     {place} = {}", sensitive::MASK));
                    }
                    out.lines(&format!("    {replaced}"));
                }
                Fate::Done => out.line(format!("done already  {name}")),
                Fate::Kept(why) => out.line(format!("{}  {name}: {why}", out.style(Style::Bad, "kept as it is"))),
            }
        }
        if let Some(backup) = backup {
            out.line(format!("the old file without its keys: {}", typed(backup)));
            out.line("the keys stood in clear: revoke them where they were issued, and seal new ones:");
            out.line("  remit server secret NAME --rotate --secret-from FILE");
        }
    });
}

fn fact(name: &str, fate: &Fate) -> serde_json::Value {
    match fate {
        Fate::Adopted { shown, .. } => json!({
            "name": name, "state": "adopted", "server": shown.server.name, "secrets": shown.secrets,
            "exposed": shown.tools.iter().filter(|tool| tool.exposed).count(),
        }),
        Fate::Planned { replaced, sealed } => {
            json!({ "name": name, "state": "planned", "sealed": sealed, "becomes": replaced })
        }
        Fate::Done => json!({ "name": name, "state": "done" }),
        Fate::Kept(why) => json!({ "name": name, "state": "kept", "why": why.to_string(), "help": why.help_text() }),
    }
}

/// What was left out is a finding.
fn ended(fates: &[(String, Fate)]) -> Result<Exit, CliError> {
    for (_, fate) in fates {
        if let Fate::Adopted { shown, .. } = fate {
            published(shown.bundle_error.as_deref())?;
        }
    }
    let kept = fates.iter().any(|(_, fate)| matches!(fate, Fate::Kept(_)));
    Ok(if kept { Exit::Findings } else { Exit::Fine })
}
