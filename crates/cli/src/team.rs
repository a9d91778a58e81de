//! `remit team …`: the teams that own agents.

use clap::{Args, Subcommand};
use remit_authority::socket::wire::{AdminAsk, TeamAsk, TeamShown};
use remit_core::id::Team as Name;
use serde_json::json;

use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::{Out, Style};

#[derive(Debug, Args)]
pub(crate) struct Team {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register a team; you own it, and nobody else is asked
    #[command(after_help = "Example:
  remit team add b && remit agent register agent.toml

A team that was given up is the platform's to bring back: that needs the PIN.")]
    Add {
        /// Its name
        name: Name,
        #[command(flatten)]
        pin: PinArgs,
    },
    /// List teams
    List,
    /// Show one team: who is in it, and what it owns
    #[command(after_help = "Example:\n  remit team show b")]
    Show {
        /// Its name
        name: Name,
    },
    /// Give a team up; its agents are frozen until another team owns them
    #[command(
        after_help = "Example:\n  remit team remove b\n\nTo give an agent to another team: remit agent own b/reader --team c"
    )]
    Remove {
        /// Its name
        name: Name,
        #[command(flatten)]
        pin: PinArgs,
    },
}

pub(crate) fn run(team: &Team, context: &Context) -> Result<Exit, CliError> {
    match &team.command {
        Command::Add { name, pin } => {
            let added: TeamShown = ask::admin_with_pin(context, &ask(TeamAsk::Add { name: name.clone() }), pin)?;
            let home = context.home.flag(&context.env);
            context.out.facts(&added, |out| {
                out.line(format!("{}  {name}", out.style(Style::Good, "registered")));
                people(&added, out);
                out.line(format!("next: remit{home} agent register agent.toml, with team = \"{name}\""));
            });
        }
        Command::List => {
            let teams: Vec<TeamShown> = ask::admin(context, &ask(TeamAsk::List {}))?;
            context.out.facts(&json!({ "teams": teams }), |out| {
                for team in &teams {
                    let gone = if team.team.removed { out.style(Style::Bad, "given up: ") } else { String::new() };
                    let names = team.roles.iter().map(|role| role.people.len()).sum::<usize>();
                    let (agents, name) = (team.agents.len(), team.team.name.as_str());
                    out.line(format!("{name:<24} {gone}{names} roles held, {agents} agents"));
                }
                if teams.is_empty() {
                    out.line(format!("no team is registered: remit{} team add NAME", context.home.flag(&context.env)));
                }
            });
        }
        Command::Show { name } => {
            let shown: TeamShown = ask::admin(context, &ask(TeamAsk::Show { name: name.clone() }))?;
            context.out.facts(&shown, |out| {
                out.line(out.style(Style::Strong, name));
                people(&shown, out);
            });
        }
        Command::Remove { name, pin } => {
            let left: TeamShown = ask::admin_with_pin(context, &ask(TeamAsk::Remove { name: name.clone() }), pin)?;
            let home = context.home.flag(&context.env);
            context.out.facts(&left, |out| {
                out.line(format!("{}  {name}", out.style(Style::Bad, "given up")));
                for agent in &left.agents {
                    let short = agent.split('@').next().unwrap_or(agent);
                    out.line(format!("frozen    {agent}: remit{home} agent own {short} --team TEAM"));
                }
            });
        }
    }
    Ok(Exit::Fine)
}

fn ask(ask: TeamAsk) -> AdminAsk {
    AdminAsk::Team(ask)
}

fn people(shown: &TeamShown, out: &Out) {
    if shown.team.removed {
        out.line(out.style(Style::Bad, "given up: its agents are frozen"));
    }
    for role in shown.roles.iter().filter(|role| !role.people.is_empty()) {
        out.line(format!("{:<24} {}", role.role.to_string(), role.people.join(", ")));
    }
    if !shown.agents.is_empty() {
        out.line(format!("{:<24} {}", "agents", shown.agents.join(", ")));
    }
}
