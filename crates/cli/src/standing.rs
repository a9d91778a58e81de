//! `remit agent list --stale`, `renew`, `own`, `veto`, `export` and `import`: how agents stand, and what is done about it.

use std::path::Path;

use remit_authority::hygiene::Standing;
use remit_authority::org::{Import, Owned, Renewal};
use remit_authority::posture::POSTURE_BYTES_MAX;
use remit_authority::socket::wire::{AdminAsk, RegistryAsk};
use remit_core::id::Team;
use remit_core::revoked::Revocation;
use serde_json::json;

use crate::ask::{self, PinArgs};
use crate::confirmed;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::Style;
use crate::time::utc;

/// How every agent stands.
pub(crate) fn all(unused_days: i64, context: &Context) -> Result<Vec<Standing>, CliError> {
    ask::admin(context, &AdminAsk::Registry(RegistryAsk::Standings { unused_days }))
}

/// Only what something is to be done about; found is what a script asks for.
pub(crate) fn stale(unused_days: i64, context: &Context) -> Result<Exit, CliError> {
    let mut standings = all(unused_days, context)?;
    standings.retain(|standing| !standing.stale.is_empty());
    context.out.facts(&json!({ "stale": standings }), |out| {
        for standing in &standings {
            out.line(format!("{}  of {}", out.style(Style::Strong, standing.agent.short()), standing.owner));
            standing.stale.iter().for_each(|what| out.line(format!("  {what}")));
        }
        if standings.is_empty() {
            out.line("every agent is owned, used and registered for a while yet");
        }
    });
    Ok(if standings.is_empty() { Exit::Fine } else { Exit::Findings })
}

pub(crate) fn renew(agent: &str, pin: &PinArgs, context: &Context) -> Result<Exit, CliError> {
    let ask = AdminAsk::Registry(RegistryAsk::Renew { agent: agent.to_owned() });
    let renewed: Renewal = ask::admin_with_pin(context, &ask, pin)?;
    context.out.facts(&renewed, |out| {
        let until = utc(renewed.until);
        out.line(format!("{}  {} until {until}", out.style(Style::Good, "renewed"), renewed.agent.short()));
    });
    Ok(Exit::Fine)
}

pub(crate) fn own(agent: &str, team: &Team, pin: &PinArgs, context: &Context) -> Result<Exit, CliError> {
    let ask = AdminAsk::Registry(RegistryAsk::Own { agent: agent.to_owned(), team: team.clone() });
    let owned: Owned = ask::admin_with_pin(context, &ask, pin)?;
    context.out.facts(&owned, |out| {
        out.line(format!("{}  {} answers for {}", out.style(Style::Good, "owned"), owned.team, owned.agent));
    });
    Ok(Exit::Fine)
}

pub(crate) fn veto(agent: &str, lift: bool, why: &str, pin: &PinArgs, context: &Context) -> Result<Exit, CliError> {
    let ask = AdminAsk::Registry(RegistryAsk::Veto { agent: agent.to_owned(), lift, why: why.to_owned() });
    let done: Revocation = ask::admin_with_pin(context, &ask, pin)?;
    confirmed::wait(context, done, |done, out| {
        if lift {
            out.line(format!("{}  {}", out.style(Style::Good, "lifted"), done.id));
        } else {
            let what = format!("{}  {} in production", out.style(Style::Bad, "vetoed"), done.id);
            out.line(format!("{what}: number {} of the feed that every gateway follows", done.seq));
            out.line(format!("to lift it: remit{} agent veto {} --lift", context.home.flag(&context.env), done.id));
        }
    })
}

pub(crate) fn export(agent: &str, context: &Context) -> Result<Exit, CliError> {
    let ask = AdminAsk::Registry(RegistryAsk::Export { agent: agent.to_owned() });
    let statement: String = ask::admin(context, &ask)?;
    context.out.facts(&json!({ "statement": statement }), |out| out.line(&statement));
    Ok(Exit::Fine)
}

pub(crate) fn import(file: &Path, from: &str, context: &Context) -> Result<Exit, CliError> {
    let read = |path: &Path| {
        let failed = |why: &dyn std::fmt::Display| {
            let help = "name a statement, and the key of whoever signed it: remit agent import FILE --from root.vkey";
            CliError::unevaluated(format!("{}: {why}", path.display()), help)
        };
        match std::fs::metadata(path) {
            Ok(meta) if meta.len() > POSTURE_BYTES_MAX as u64 => Err(failed(&"larger than a statement may be")),
            _ => std::fs::read_to_string(path).map_err(|error| failed(&error)),
        }
    };
    // A verifier key has a `+`, which no name of a file needs.
    let key = if from.contains('+') { from.to_owned() } else { read(Path::new(from))? };
    let ask = AdminAsk::Registry(RegistryAsk::Import { statement: read(file)?, key });
    let import: Import = ask::admin(context, &ask)?;
    context.out.facts(&import, |out| {
        let home = context.home.flag(&context.env);
        out.line(format!("{}  {} of {}", out.style(Style::Good, "verified"), import.agent.short(), import.issuer));
        out.line(format!(
            "it waits for a word of {}/owner or the platform: remit{home} approve {} --why \"…\"",
            import.agent.team, import.id
        ));
    });
    Ok(Exit::Pending)
}
