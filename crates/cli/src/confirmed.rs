//! What came of a revocation: which gateways decide by it already, and after how long.

use remit_authority::followers::Confirmed;
use remit_authority::socket::wire::AdminAsk;
use remit_core::revoked::Revocation;
use serde::Serialize;

use crate::ask;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::{Out, Style};

/// What is printed with `--json`.
#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    revocation: Revocation,
    gateways: Vec<Confirmed>,
}

/// Says what was done, and waits a little until the gateways have confirmed it. One that has not is not a failure of what
/// was done, and yet somebody has to know: exit 4.
pub(crate) fn wait(
    context: &Context,
    revocation: Revocation,
    done: impl FnOnce(&Revocation, &Out),
) -> Result<Exit, CliError> {
    let gateways: Vec<Confirmed> = ask::admin(context, &AdminAsk::Confirmed { seq: revocation.seq })?;
    let exit = if gateways.iter().all(|gateway| gateway.confirmed) { Exit::Fine } else { Exit::Unreachable };
    let facts = Done { revocation, gateways };
    context.out.facts(&facts, |out| {
        done(&facts.revocation, out);
        say(&facts.gateways, out);
    });
    Ok(exit)
}

fn say(gateways: &[Confirmed], out: &Out) {
    let confirmed = gateways.iter().filter(|gateway| gateway.confirmed);
    let slowest = confirmed.clone().filter_map(|gateway| gateway.after_ms).max();
    let after = slowest.map_or_else(String::new, |after| format!(", after {after} ms"));
    let (of, all) = (confirmed.count(), gateways.len());
    match all {
        0 => out.line("no gateway is registered, so none confirms it: remit gateway add NAME identity.jwk"),
        _ => out.line(format!("confirmed by {of} of {all} {}{after}", if all == 1 { "gateway" } else { "gateways" })),
    }
    for gateway in gateways.iter().filter(|gateway| !gateway.confirmed) {
        let heard = gateway.heard_s.map_or_else(
            || "has not been heard since the authority began to serve".to_owned(),
            |seconds| format!("was last heard {seconds} s ago"),
        );
        let name = out.style(Style::Bad, gateway.gateway.as_str());
        out.line(format!("{name}  {heard}: without news it refuses every call, after its gateway.snapshot_age_max"));
    }
}
