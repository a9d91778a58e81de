//! `remit server secret`: gives a registered server a credential, or another one in its place, while everything runs.

use clap::Args;
use remit_authority::socket::wire::{AdminAsk, ServerShown, Whose};
use remit_core::id::{ServerName, Team};

use super::credential::CredentialArgs;
use super::{show, shown};
use crate::agent::published;
use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::Style;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit server secret tickets --auth bearer --secret-from FILE
  remit server secret tickets --rotate --secret-from env:TICKETS_KEY
  remit server secret tickets --team support --auth bearer --secret-from FILE

The one that was there is destroyed. Revoke it at its issuer too.")]
pub(crate) struct Secret {
    /// The server
    name: ServerName,
    /// Put it in the place of the one that is there
    #[arg(long)]
    rotate: bool,
    /// Only for calls of this team's agents, instead of everybody's
    #[arg(long, value_name = "TEAM", conflicts_with = "principal")]
    team: Option<Team>,
    /// Only for calls of runs that act for this person, by name or pseudonym. The most specific one is used
    #[arg(long, value_name = "PERSON")]
    principal: Option<String>,
    /// Take away what is there for this team or person: the less specific one is used again
    #[arg(long, conflicts_with_all = ["rotate", "auth", "secret_from", "env"])]
    remove: bool,
    #[command(flatten)]
    credential: CredentialArgs,
    #[command(flatten)]
    pin: PinArgs,
}

pub(super) fn run(secret: &Secret, context: &Context) -> Result<Exit, CliError> {
    let there = shown(context, &secret.name)?.secrets;
    let whose = match (&secret.team, &secret.principal) {
        (Some(team), _) => Whose::Team(team.clone()),
        (None, Some(person)) => Whose::Principal(person.clone()),
        (None, None) => Whose::All,
    };
    let server = secret.name.clone();
    let (ask, given) = if secret.remove {
        (AdminAsk::TakeSecret { server, whose }, Vec::new())
    } else {
        let given = secret.credential.read(&there, context)?;
        (AdminAsk::Secret { server, rotate: secret.rotate, whose }, given)
    };
    let now: ServerShown = ask::admin_with(context, &ask, &secret.pin, &given)?;
    context.out.facts(&now, |out| {
        let done = match (secret.remove, secret.rotate) {
            (true, _) => "removed",
            (_, true) => "replaced",
            _ => "sealed",
        };
        out.line(format!("{}  the credential of {}", out.style(Style::Good, done), secret.name));
        show::secrets(&now.secrets, out);
    });
    published(now.bundle_error.as_deref())
}
