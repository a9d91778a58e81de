//! `remit server secret`: gives a registered server a credential, or another one in its place, while everything runs.

use clap::Args;
use remit_authority::socket::wire::{AdminAsk, ServerShown};
use remit_core::id::ServerName;

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

The one that was there is destroyed. Revoke it at its issuer too.")]
pub(crate) struct Secret {
    /// The server
    name: ServerName,
    /// Put it in the place of the one that is there
    #[arg(long)]
    rotate: bool,
    #[command(flatten)]
    credential: CredentialArgs,
    #[command(flatten)]
    pin: PinArgs,
}

pub(super) fn run(secret: &Secret, context: &Context) -> Result<Exit, CliError> {
    let there = shown(context, &secret.name)?.secrets;
    let given = secret.credential.read(&there, context)?;
    let ask = AdminAsk::Secret { server: secret.name.clone(), rotate: secret.rotate };
    let now: ServerShown = ask::admin_with(context, &ask, &secret.pin, &given)?;
    context.out.facts(&now, |out| {
        let done = if secret.rotate { "replaced" } else { "sealed" };
        out.line(format!("{}  the credential of {}", out.style(Style::Good, done), secret.name));
        show::secrets(&now.secrets, out);
    });
    published(now.bundle_error.as_deref())
}
