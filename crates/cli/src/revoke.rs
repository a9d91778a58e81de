//! `remit revoke`: takes something back, everywhere, in seconds.

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
  remit revoke run r-…                      this run, and what it started
  remit revoke agent support/triage --why \"acts on its own\"
  remit revoke agent support/triage@1.4.2   this version alone")]
pub(crate) struct Revoke {
    /// What: agent, run, root, grant, token, principal, team or key
    #[arg(value_parser = kind)]
    kind: Kind,
    /// Which one
    id: String,
    /// Why
    #[arg(long, default_value = "", value_name = "REASON")]
    why: String,
    #[command(flatten)]
    pin: PinArgs,
}

fn kind(text: &str) -> Result<Kind, String> {
    match serde_json::from_value(text.into()) {
        Ok(Kind::Lockdown | Kind::Lift) => Err("use `remit lockdown`".into()),
        Ok(Kind::Veto | Kind::VetoLift) => Err("use `remit agent veto`".into()),
        Ok(kind) => Ok(kind),
        Err(_) => Err("it is agent, run, root, grant, token, principal, team or key".into()),
    }
}

pub(crate) fn run(revoke: &Revoke, context: &Context) -> Result<Exit, CliError> {
    let ask = AdminAsk::Revoke { kind: revoke.kind, id: revoke.id.clone(), why: revoke.why.clone() };
    let done: Revocation = ask::admin_with_pin(context, &ask, &revoke.pin)?;
    confirmed::wait(context, done, |done, out| {
        let what = format!("{}  {} {}", out.style(Style::Good, "revoked"), done.kind.name(), done.id);
        out.line(format!("{what}: number {} of the feed that every gateway follows", done.seq));
        out.line(format!("see it refused: remit{} log tail --follow", context.home.flag(&context.env)));
    })
}
