//! `remit agent …`: who may act, and what its author declared.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use remit_authority::change::AgentRecord;
use remit_authority::socket::wire::{AdminAsk, Registered};
use remit_core::manifest::{MANIFEST_BYTES_MAX, Manifest};
use remit_core::revoked::{Kind, Revocation};
use serde::Serialize;
use serde_json::json;

use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::{Out, Style};
use crate::time::utc;

#[derive(Debug, Args)]
pub(crate) struct Agent {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register what an agent.toml declares; declaring more than before needs the PIN
    #[command(after_help = "Example:\n  remit agent register agent.toml")]
    Register {
        /// The manifest
        #[arg(default_value = "agent.toml")]
        manifest: PathBuf,
        #[command(flatten)]
        pin: PinArgs,
    },
    /// List registered agents
    List,
    /// Show one agent with all that it declares
    #[command(after_help = "Example:\n  remit agent show support/triage")]
    Show {
        /// `TEAM/NAME` or `TEAM/NAME@VERSION`
        agent: String,
    },
}

pub(crate) fn run(agent: &Agent, context: &Context) -> Result<Exit, CliError> {
    match &agent.command {
        Command::Register { manifest, pin } => register(manifest, pin, context),
        Command::List => list(context),
        Command::Show { agent } => show(agent, context),
    }
}

fn register(path: &Path, pin: &PinArgs, context: &Context) -> Result<Exit, CliError> {
    let manifest = read(path)?;
    // Said here with the file's name, before the authority is asked.
    let parsed = Manifest::parse(&manifest).map_err(|error| {
        CliError::unevaluated(format!("{}: {error}", path.display()), format!("mend it: $EDITOR {}", path.display()))
    })?;
    let ask = AdminAsk::RegisterAgent { manifest };
    let registered: Registered = ask::admin_with_pin(context, &ask, pin)?;
    let home = context.home.flag(&context.env);
    context.out.facts(&registered, |out| {
        let good = out.style(Style::Good, "registered");
        out.line(format!("{good}  {} (control tier {})", registered.agent.short(), registered.tier));
        if !registered.widened.is_empty() {
            out.line(format!("  declares more than before: {}", registered.widened.join(", ")));
        }
        let first = parsed.needs.first().map(|need| &need.target);
        if let (Some(target), true) = (first, registered.bundle_error.is_none()) {
            out.line(format!(
                "next: remit{home} request {target} --agent {}/{} --for 15m --why \"…\"",
                parsed.agent.team, parsed.agent.name
            ));
        }
    });
    published(registered.bundle_error.as_deref())
}

/// What was registered holds, but gateways go on with the bundle before it.
pub(crate) fn published(error: Option<&str>) -> Result<Exit, CliError> {
    match error {
        None => Ok(Exit::Fine),
        Some(why) => Err(CliError::finding(
            format!("registered, but no bundle could be made of it, so gateways keep the last one: {why}"),
            "mend what is named, then: remit admin reload",
        )),
    }
}

fn list(context: &Context) -> Result<Exit, CliError> {
    let (agents, revocations) = registered(context)?;
    let agents: Vec<Shown> = agents.into_iter().map(|agent| Shown::of(agent, &revocations)).collect();
    context.out.facts(&json!({ "agents": agents }), |out| {
        for Shown { agent, revoked, .. } in &agents {
            let manifest = &agent.manifest;
            let (name, tier) = (agent.id.short(), manifest.tier().name());
            let revoked = if *revoked { out.style(Style::Bad, "revoked: ") } else { String::new() };
            out.line(format!("{name:<32} {tier:<12} {revoked}{}", manifest.agent.purpose));
        }
        if agents.is_empty() {
            let home = context.home.flag(&context.env);
            out.line(format!("no agent is registered: remit{home} agent register agent.toml"));
        }
    });
    Ok(Exit::Fine)
}

/// An agent, and whether it was taken back.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    agent: AgentRecord,
    revoked: bool,
    /// How far the widest revocation reaches.
    #[serde(skip)]
    reach: &'static str,
}

impl Shown {
    fn of(agent: AgentRecord, revocations: &[Revocation]) -> Self {
        let hit = |kind: Kind, id: &str| revocations.iter().any(|entry| entry.kind == kind && entry.id == id);
        let reaches = [
            (hit(Kind::Team, agent.id.team.as_str()), "with its whole team"),
            (hit(Kind::Agent, &format!("{}/{}", agent.id.team, agent.id.name)), "in all its versions"),
            (hit(Kind::Agent, &agent.id.short()), "in this version"),
        ];
        let reach = reaches.into_iter().find_map(|(hit, reach)| hit.then_some(reach));
        Self { agent, revoked: reach.is_some(), reach: reach.unwrap_or_default() }
    }
}

fn registered(context: &Context) -> Result<(Vec<AgentRecord>, Vec<Revocation>), CliError> {
    Ok((ask::admin(context, &AdminAsk::Agents {})?, ask::admin(context, &AdminAsk::Revocations {})?))
}

fn show(name: &str, context: &Context) -> Result<Exit, CliError> {
    let (agents, revocations) = registered(context)?;
    let of_name = |agent: &AgentRecord| {
        agent.id.short() == name
            || agent.id.to_string() == name
            || format!("{}/{}", agent.id.team, agent.id.name) == name
    };
    let newest = agents.into_iter().filter(of_name).max_by_key(|agent| agent.at);
    let agent = newest.ok_or_else(|| {
        CliError::finding(
            format!("no agent `{name}` is registered"),
            format!("see which are: remit{} agent list", context.home.flag(&context.env)),
        )
    })?;
    let shown = Shown::of(agent, &revocations);
    context.out.facts(&shown, |out| people(&shown, out));
    Ok(Exit::Fine)
}

fn people(shown: &Shown, out: &Out) {
    let agent = &shown.agent;
    let manifest = &agent.manifest;
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    out.line(out.style(Style::Strong, agent.id.to_string()));
    if shown.revoked {
        out.line(out.style(Style::Bad, format!("revoked      {}", shown.reach)));
    }
    out.line(format!("purpose      {}", manifest.agent.purpose));
    out.line(format!("environment  {}", manifest.agent.environment.name()));
    out.line(format!(
        "control      {}: writes {}, reversible {}, autonomous {}",
        manifest.tier().name(),
        yes(manifest.harm.writes),
        yes(manifest.harm.reversible),
        yes(manifest.harm.autonomous),
    ));
    out.line(format!("tokens       {}", if manifest.agent.bearer { "bearer" } else { "bound to a key" }));
    let budget = manifest.budget;
    out.line(format!(
        "budget       {} calls, {} a minute, {} equal in a row",
        budget.calls, budget.calls_per_minute, budget.repeats
    ));
    out.line(format!("registered   {} by {}", utc(agent.at), agent.by));
    out.line("needs");
    for need in &manifest.needs {
        let wild = if need.wildcard { out.style(Style::Bad, "  WILDCARD") } else { String::new() };
        out.line(format!("  {:<32} at most {:<5} {}{wild}", need.target.to_string(), need.longest, need.reason));
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    let failed = |why: &dyn std::fmt::Display| {
        CliError::unevaluated(format!("{}: {why}", path.display()), "name the manifest: remit agent register FILE")
    };
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > MANIFEST_BYTES_MAX as u64 => Err(failed(&"larger than a manifest may be")),
        _ => std::fs::read_to_string(path).map_err(|error| failed(&error)),
    }
}
