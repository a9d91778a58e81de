//! `remit role …`: who answers for what.

use clap::{Args, Subcommand};
use remit_authority::socket::wire::{AdminAsk, RoleShown, TeamAsk};
use remit_core::role::OrgRole;
use serde_json::json;

use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::Style;

#[derive(Debug, Args)]
pub(crate) struct Role {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Give a person a role: platform, agent-security, or TEAM/owner, TEAM/approver, TEAM/deputy
    #[command(after_help = "Examples:
  remit role give support/approver ada
  remit role give agent-security grace

A team's roles are given by its owners and by the platform, all others by the platform.")]
    Give(Change),
    /// Take a role from a person
    #[command(after_help = "Example:\n  remit role take support/approver ada")]
    Take(Change),
    /// List who holds what
    List,
}

#[derive(Debug, Args)]
struct Change {
    /// The role
    role: OrgRole,
    /// The person, by the name of `remit person add`
    person: String,
    #[command(flatten)]
    pin: PinArgs,
}

pub(crate) fn run(role: &Role, context: &Context) -> Result<Exit, CliError> {
    match &role.command {
        Command::Give(change) => put(change, true, context),
        Command::Take(change) => put(change, false, context),
        Command::List => {
            let roles: Vec<RoleShown> = ask::admin(context, &AdminAsk::Team(TeamAsk::Roles {}))?;
            context.out.facts(&json!({ "roles": roles }), |out| {
                for role in &roles {
                    out.line(format!("{:<28} {}", role.role.to_string(), role.people.join(", ")));
                }
                if roles.is_empty() {
                    out.line("nobody holds a role: whoever has the PIN is the platform");
                }
            });
            Ok(Exit::Fine)
        }
    }
}

fn put(change: &Change, held: bool, context: &Context) -> Result<Exit, CliError> {
    let (role, person) = (change.role.clone(), change.person.clone());
    let ask = AdminAsk::Team(TeamAsk::Role { role, person, held });
    let shown: RoleShown = ask::admin_with_pin(context, &ask, &change.pin)?;
    context.out.facts(&shown, |out| {
        let people = if shown.people.is_empty() { "nobody".to_owned() } else { shown.people.join(", ") };
        out.line(format!("{}: {people}", out.style(Style::Good, &shown.role)));
    });
    Ok(Exit::Fine)
}
