//! What a client states itself, as `authorization_details`: the same rules as for what is asked for by name.

use std::collections::BTreeMap;

use remit_core::constraint::{Constraint, Scalar};
use remit_core::grant::{Detail, WILDCARD};
use remit_core::id::{IdError, ServerName, ToolName};
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
            of_server(&mut targets, &server, detail).map_err(|error| invalid(error.to_string()))?;
        }
    }
    distinct(&mut targets)?;
    if targets.is_empty() { Err(invalid("nothing is named that may be done")) } else { Ok(targets) }
}

fn of_server(targets: &mut Vec<Target>, server: &ServerName, detail: &Detail) -> Result<(), IdError> {
    for name in detail.tools.keys() {
        let tool = if name == WILDCARD { None } else { Some(ToolName::new(name.as_str())?) };
        targets.push(Target::Tool(server.clone(), tool));
    }
    for name in detail.prompts.keys() {
        targets.push(Target::Prompt(server.clone(), ToolName::new(name.as_str())?));
    }
    for resource in &detail.resources {
        match listed(resource) {
            Some(uris) => targets.extend(uris.into_iter().map(|uri| Target::Resource(server.clone(), Some(uri)))),
            // What cannot be listed is declared as every resource, or not at all.
            None => targets.push(Target::Resource(server.clone(), None)),
        }
    }
    targets.extend(detail.features.iter().map(|feature| Target::Client(server.clone(), *feature)));
    Ok(())
}

/// The URIs that a constraint accepts, where it names them.
fn listed(resource: &Constraint) -> Option<Vec<String>> {
    let text = |scalar: &Scalar| if let Scalar::Text(text) = scalar { Some(text.clone()) } else { None };
    match resource {
        Constraint::Exact { value } => text(value).map(|uri| vec![uri]),
        Constraint::OneOf { values } => values.iter().map(text).collect(),
        _ => None,
    }
}

fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::new(Code::RequestInvalid, message, "see what is held: POST /introspect")
}
