//! `remit lockdown`: one change stops a server or a tool for every agent; lifting it needs a person.

use clap::Args;
use remit_authority::socket::wire::AdminAsk;
use remit_core::revoked::{Kind, Revocation};

use crate::ask::{self, PinArgs};
use crate::confirmed;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::Style;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit lockdown tickets/issue_refund --why \"INC-42\"
  remit lockdown tickets/issue_refund --lift")]
pub(crate) struct Lockdown {
    /// SERVER or SERVER/TOOL
    what: String,
    /// End the lockdown
    #[arg(long)]
    lift: bool,
    /// Why
    #[arg(long, default_value = "", value_name = "REASON")]
    why: String,
    #[command(flatten)]
    pin: PinArgs,
}

pub(crate) fn run(lockdown: &Lockdown, context: &Context) -> Result<Exit, CliError> {
    let kind = if lockdown.lift { Kind::Lift } else { Kind::Lockdown };
    let ask = AdminAsk::Revoke { kind, id: lockdown.what.clone(), why: lockdown.why.clone() };
    let done: Revocation = ask::admin_with_pin(context, &ask, &lockdown.pin)?;
    confirmed::wait(context, done, |done, out| {
        if lockdown.lift {
            out.line(format!("{}  {}", out.style(Style::Good, "lifted"), done.id));
        } else {
            out.line(format!("{}  {} for everybody", out.style(Style::Bad, "locked down"), done.id));
            let home = context.home.flag(&context.env);
            out.line(format!("to lift it: remit{home} lockdown {} --lift", done.id));
        }
    })
}
