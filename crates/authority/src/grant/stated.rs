//! What a client states itself, as `authorization_details`: the same rules as for what is asked for by name.

use std::collections::BTreeMap;

use remit_core::grant::Detail;
use remit_core::id::ServerName;
use remit_core::manifest::{Manifest, Need};
use remit_core::rejection::{Code, Rejection};
use remit_core::target::Target;

use super::{Asked, Granted, Offer, declared, distinct, offered, reason, short_enough};

/// What is stated, and for how long it shall hold.
pub(crate) struct Stated<'a> {
    /// What may be done.
    pub(crate) details: &'a [Detail],
    /// For how long, in seconds; where that is not said, as long as it may be.
    pub(crate) seconds: Option<i64>,
    /// As long as it may be, in seconds, whatever the manifest says.
    pub(crate) seconds_max: i64,
    /// Why.
    pub(crate) why: &'a str,
}

/// Judges details by an agent's needs and the menus of their servers.
pub(crate) fn stated(
    manifest: &Manifest,
    offers: &BTreeMap<ServerName, Offer>,
    gateway: &str,
    asked: &Stated<'_>,
) -> Result<Granted, Rejection> {
    let targets = targets(asked.details, gateway)?;
    let longest = targets.iter().filter_map(|target| manifest.need(target)).map(Need::longest_s).min();
    let seconds = asked.seconds.unwrap_or_else(|| asked.seconds_max.min(longest.unwrap_or(i64::MAX)));
    let words = Asked {
        tools: Vec::new(),
        constraints: Vec::new(),
        duration: format!("{seconds}s"),
        why: asked.why.to_owned(),
    };
    reason(&words)?;
    declared(manifest, &targets, &words)?;
    for target in &targets {
        offered(manifest, offers, target)?;
    }
    short_enough(manifest, &targets, seconds)?;
    let wildcard = targets.iter().any(Target::is_wildcard);
    Ok(Granted { details: asked.details.to_vec(), seconds, wildcard })
}

/// Everything that details name, at each of their servers.
fn targets(details: &[Detail], gateway: &str) -> Result<Vec<Target>, Rejection> {
    let mut targets = Vec::new();
    for detail in details {
        if !detail.well_formed() {
            return Err(invalid("a detail is of another type, or beyond the limits"));
        }
        for location in &detail.locations {
            let server = location.strip_prefix(gateway).and_then(|rest| rest.strip_prefix("/mcp/"));
            let server = server.and_then(|name| ServerName::new(name).ok());
            let server = server.ok_or_else(|| invalid("a location is none of the gateway's"))?;
            targets.extend(Target::of_detail(&server, detail).map_err(|error| invalid(error.to_string()))?);
        }
    }
    distinct(&mut targets)?;
    if targets.is_empty() { Err(invalid("nothing is named that may be done")) } else { Ok(targets) }
}

fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::new(Code::RequestInvalid, message, "see what is held: POST /introspect")
}
