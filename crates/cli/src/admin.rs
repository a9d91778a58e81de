//! `remit admin …`: the authority's own affairs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use remit_authority::socket::wire::{AdminAsk, Issued, Rotated};
use serde_json::{Value, json};

use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::time::utc;

#[derive(Debug, Args)]
pub(crate) struct Admin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set the administrators' PIN; changing it needs the old one
    #[command(after_help = "Example:\n  remit admin pin --new-pin-file FILE")]
    Pin {
        /// The new PIN
        #[arg(long, value_name = "FILE")]
        new_pin_file: PathBuf,
        #[command(flatten)]
        pin: PinArgs,
    },
    /// Read the policy files again and issue a bundle
    Reload,
    /// Add a key that signs tokens; the old one goes when its last token is over
    RotateKeys(PinArgs),
}

pub(crate) fn run(admin: &Admin, context: &Context) -> Result<Exit, CliError> {
    match &admin.command {
        Command::Pin { new_pin_file, pin } => {
            let ask = AdminAsk::SetPin { new: ask::read_pin(new_pin_file)? };
            ask::admin_with_pin::<Value>(context, &ask, pin)?;
            context.out.facts(&json!({ "pin": "set" }), |out| out.line("the PIN is set"));
        }
        Command::Reload => {
            let issued: Issued = ask::admin(context, &AdminAsk::Reload {})?;
            context.out.facts(&issued, |out| {
                out.line(format!("bundle {} until {} ({})", issued.version, utc(issued.not_after), issued.digest));
            });
        }
        Command::RotateKeys(pin) => {
            let rotated: Rotated = ask::admin_with_pin(context, &AdminAsk::RotateKeys {}, pin)?;
            context.out.facts(&rotated, |out| out.line(format!("key {} signs from now on", rotated.kid)));
        }
    }
    Ok(Exit::Fine)
}
