//! `remit person …`: people who are known by name, each with a PIN of their own.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use remit_authority::socket::wire::{AdminAsk, PersonGone, TeamAsk};
use serde_json::{Value, json};

use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::{Out, Style};
use crate::up::new_pin;

#[derive(Debug, Args)]
pub(crate) struct Person {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a person known, with a PIN that is shown once
    #[command(after_help = "Example:
  remit person add ada

The person sets a PIN that only they know: remit person pin --as ada --new-pin-file FILE
Who is known already gets another PIN from the platform alone.")]
    Add {
        /// Their name
        name: String,
        /// Take the PIN from a file, instead of showing a new one
        #[arg(long, value_name = "FILE")]
        new_pin_file: Option<PathBuf>,
        #[command(flatten)]
        pin: PinArgs,
    },
    /// List who is known
    List,
    /// Forget a person's PIN, take all their roles, and stop what acts for them; what only they owned is frozen
    #[command(after_help = "Example:\n  remit person remove ada")]
    Remove {
        /// Their name
        name: String,
        #[command(flatten)]
        pin: PinArgs,
    },
    /// Change your own PIN
    #[command(after_help = "Example:\n  remit person pin --as ada --new-pin-file FILE")]
    Pin {
        /// The new PIN
        #[arg(long, value_name = "FILE")]
        new_pin_file: PathBuf,
        #[command(flatten)]
        pin: PinArgs,
    },
}

pub(crate) fn run(person: &Person, context: &Context) -> Result<Exit, CliError> {
    match &person.command {
        Command::Add { name, new_pin_file, pin } => add(name, new_pin_file.as_deref(), pin, context),
        Command::List => {
            let people: Vec<String> = ask::admin(context, &AdminAsk::Team(TeamAsk::People {}))?;
            context.out.facts(&json!({ "people": people }), |out| {
                for name in &people {
                    out.line(name);
                }
                if people.is_empty() {
                    out.line("nobody is known by name: remit person add NAME");
                }
            });
            Ok(Exit::Fine)
        }
        Command::Remove { name, pin } => {
            let ask = AdminAsk::Team(TeamAsk::RemovePerson { name: name.clone() });
            let gone: PersonGone = ask::admin_with_pin(context, &ask, pin)?;
            context.out.facts(&gone, |out| removed(&gone, out));
            Ok(if gone.bundle_error.is_some() { Exit::Findings } else { Exit::Fine })
        }
        Command::Pin { new_pin_file, pin } => {
            let ask = AdminAsk::Team(TeamAsk::OwnPin { new: ask::read_pin(new_pin_file)? });
            ask::admin_with_pin::<Value>(context, &ask, pin)?;
            context.out.facts(&json!({ "pin": "set" }), |out| out.line("the PIN is set"));
            Ok(Exit::Fine)
        }
    }
}

fn add(name: &str, file: Option<&Path>, pin: &PinArgs, context: &Context) -> Result<Exit, CliError> {
    let new = file.map_or_else(new_pin, ask::read_pin)?;
    let ask = AdminAsk::Team(TeamAsk::AddPerson { name: name.to_owned(), new: new.clone() });
    ask::admin_with_pin::<Value>(context, &ask, pin)?;
    let shown = file.is_none().then_some(&new);
    context.out.facts(&json!({ "person": name, "pin": shown }), |out| {
        out.line(format!("{}  {name}", out.style(Style::Good, "known")));
        if let Some(pin) = shown {
            out.line(format!("PIN    {}  it is shown this once", out.style(Style::Strong, pin)));
        }
        out.line(format!("next   remit role give TEAM/ROLE {name}"));
    });
    Ok(Exit::Fine)
}

fn removed(gone: &PersonGone, out: &Out) {
    out.line(format!("removed  {}", gone.name));
    if gone.runs > 0 {
        out.line(format!("stopped  {} live runs that acted for them", gone.runs));
    }
    for server in &gone.servers {
        out.line(format!("ended    their connection to {server}"));
    }
    if let Some(why) = &gone.bundle_error {
        let broken = out.style(Style::Bad, "no new bundle");
        out.line(format!("{broken}  gateways stay with the last one until it ends: {why}"));
    }
    out.line("next     see what is nobody's now: remit agent list --stale");
}
