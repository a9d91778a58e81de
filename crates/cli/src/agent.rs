//! `remit agent …`: who may act, and what its author declared.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use remit_authority::change::AgentRecord;
use remit_authority::hygiene::{Standing, UNUSED_DAYS};
use remit_authority::socket::wire::{AdminAsk, Registered};
use remit_core::id::Team;
use remit_core::manifest::{MANIFEST_BYTES_MAX, Manifest};
use remit_core::revoked::{Kind, Revocation};
use serde::Serialize;
use serde_json::json;

use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::{Out, Style};
use crate::standing;
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
    #[command(after_help = "Example:\n  remit agent list --stale --unused 60")]
    List {
        /// Only those about which something is to be done: over or soon over, unused, without an owner; exits 1 if there are any
        #[arg(long)]
        stale: bool,
        /// Days without a grant after which an agent counts as unused
        #[arg(long, value_name = "DAYS", default_value_t = UNUSED_DAYS)]
        unused: i64,
    },
    /// Show one agent with all that it declares
    #[command(after_help = "Example:\n  remit agent show support/triage")]
    Show {
        /// `TEAM/NAME` or `TEAM/NAME@VERSION`
        agent: String,
    },
    /// Renew a registration, for as long as its manifest says; needs the PIN of its team's owner or the platform
    #[command(after_help = "Example:\n  remit agent renew support/triage")]
    Renew {
        /// `TEAM/NAME` or `TEAM/NAME@VERSION`
        agent: String,
        #[command(flatten)]
        pin: PinArgs,
    },
    /// Give an agent to another team, which answers for it from then on; needs the PIN of the platform
    #[command(after_help = "Example:\n  remit agent own support/triage --team desk")]
    Own {
        /// `TEAM/NAME`
        agent: String,
        /// The team
        #[arg(long, value_name = "TEAM")]
        team: Team,
        #[command(flatten)]
        pin: PinArgs,
    },
    /// Stop a version of an agent in production, until it is lifted; for who holds agent-security
    #[command(after_help = "Examples:
  remit agent veto support/triage@1.4.2 --why \"INC-42\" --as grace
  remit agent veto support/triage@1.4.2 --lift --as grace")]
    Veto {
        /// `TEAM/NAME@VERSION`
        agent: String,
        /// End the veto
        #[arg(long)]
        lift: bool,
        /// Why
        #[arg(long, default_value = "", value_name = "REASON")]
        why: String,
        #[command(flatten)]
        pin: PinArgs,
    },
    /// Print a signed statement about an agent, which another authority can import
    #[command(after_help = "Example:\n  remit agent export support/triage > triage.jws")]
    Export {
        /// `TEAM/NAME` or `TEAM/NAME@VERSION`
        agent: String,
    },
    /// Bring such a statement of another authority; a person here has to confirm it
    #[command(
        after_help = "Example:\n  remit agent import triage.jws --from root.vkey\n\nThe key is the other authority's root.vkey, brought here by a road that you trust."
    )]
    Import {
        /// The statement
        file: PathBuf,
        /// The verifier key of the other authority's root, or a file that holds it
        #[arg(long, value_name = "KEY")]
        from: String,
    },
}

pub(crate) fn run(agent: &Agent, context: &Context) -> Result<Exit, CliError> {
    match &agent.command {
        Command::Register { manifest, pin } => register(manifest, pin, context),
        Command::List { stale: true, unused } => standing::stale(*unused, context),
        Command::List { unused, .. } => list(*unused, context),
        Command::Show { agent } => show(agent, context),
        Command::Renew { agent, pin } => standing::renew(agent, pin, context),
        Command::Own { agent, team, pin } => standing::own(agent, team, pin, context),
        Command::Veto { agent, lift, why, pin } => standing::veto(agent, *lift, why, pin, context),
        Command::Export { agent } => standing::export(agent, context),
        Command::Import { file, from } => standing::import(file, from, context),
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

fn list(unused_days: i64, context: &Context) -> Result<Exit, CliError> {
    let (agents, revocations) = registered(context)?;
    let mut standings = standing::all(unused_days, context)?;
    let agents: Vec<Shown> = agents.into_iter().map(|agent| Shown::of(agent, &revocations, &mut standings)).collect();
    context.out.facts(&json!({ "agents": agents }), |out| {
        for Shown { agent, revoked, standing, .. } in &agents {
            let manifest = &agent.manifest;
            let (name, tier) = (agent.id.short(), manifest.tier().name());
            let frozen = standing.as_ref().is_some_and(|standing| standing.frozen.is_some());
            let mark = match (*revoked, frozen) {
                (true, _) => out.style(Style::Bad, "revoked: "),
                (false, true) => out.style(Style::Bad, "frozen: "),
                (false, false) => String::new(),
            };
            out.line(format!("{name:<32} {tier:<12} {mark}{}", manifest.agent.purpose));
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
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<Standing>,
    /// How far the widest revocation reaches.
    #[serde(skip)]
    reach: &'static str,
}

impl Shown {
    fn of(agent: AgentRecord, revocations: &[Revocation], standings: &mut Vec<Standing>) -> Self {
        let found = standings.iter().position(|standing| standing.agent == agent.id);
        let standing = found.map(|index| standings.swap_remove(index));
        let hit = |kind: Kind, id: &str| revocations.iter().any(|entry| entry.kind == kind && entry.id == id);
        let reaches = [
            (hit(Kind::Team, agent.id.team.as_str()), "with its whole team"),
            (hit(Kind::Agent, &format!("{}/{}", agent.id.team, agent.id.name)), "in all its versions"),
            (hit(Kind::Agent, &agent.id.short()), "in this version"),
        ];
        let reach = reaches.into_iter().find_map(|(hit, reach)| hit.then_some(reach));
        Self { agent, revoked: reach.is_some(), standing, reach: reach.unwrap_or_default() }
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
    let shown = Shown::of(agent, &revocations, &mut standing::all(UNUSED_DAYS, context)?);
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
    if let Some(standing) = &shown.standing {
        out.line(format!("owner        {}/owner", standing.owner));
        out.line(format!(
            "expires      {}: remit agent renew {}/{}",
            utc(standing.expires),
            agent.id.team,
            agent.id.name
        ));
        standing.stale.iter().for_each(|what| out.line(format!("to do        {}", out.style(Style::Bad, what))));
    }
    out.line("needs");
    for need in &manifest.needs {
        let wild = if need.wildcard { out.style(Style::Bad, "  WILDCARD") } else { String::new() };
        let until = need.until.as_ref().map_or_else(String::new, |until| format!(", until {until}"));
        out.line(format!("  {:<32} at most {:<5} {}{until}{wild}", need.target.to_string(), need.longest, need.reason));
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
