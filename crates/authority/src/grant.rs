//! What may be granted: pure rules over the manifest, the registry, and what is asked.
//!
//! **Invariant:** a grant never exceeds the manifest's needs, the menu of its servers, or the ceiling of its run; it
//! always has a reason and an end.

mod beyond;
mod stated;
pub mod typed;

use std::collections::{BTreeMap, BTreeSet};

use remit_core::claims::TEXT_BYTES_MAX;
use remit_core::constraint::{Constraint, Scalar};
use remit_core::feature::Feature;
use remit_core::grant::{Arguments, DETAIL_TYPE, Detail, GRANT_TOOLS_MAX, WILDCARD};
use remit_core::id::{ServerName, ToolName};
use remit_core::manifest::{self, Manifest};
use remit_core::registry::Environment;
use remit_core::rejection::{Code, Rejection};
use remit_core::target::Target;
use serde::{Deserialize, Serialize};

use crate::change::Grant;
use remit_core::subset::details_within;

pub use beyond::ASKED_SECONDS_MAX;
pub(crate) use beyond::{beyond, is_askable, or_ask, wanted};
pub(crate) use stated::{Stated, stated};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// `<server>/<tool>`, `prompt:<server>/<name>`, `resource:<server>/<uri>` or `client:<server>/<feature>` each, or a
    /// `*` at the end where the manifest makes that exception.
    pub tools: Vec<String>,
    /// Constraints of arguments.
    #[serde(default, rename = "where")]
    pub constraints: Vec<Where>,
    /// For how long: `90s`, `15m`, `2h`.
    #[serde(default, rename = "for")]
    pub duration: String,
    /// Why.
    #[serde(default)]
    pub why: String,
}

/// A constraint of one argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Where {
    /// The one tool that is meant, or every tool that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The argument's name.
    pub argument: String,
    /// What its value must satisfy.
    pub constraint: Constraint,
}

/// A server as the rules see it.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Where it belongs.
    pub environment: Environment,
    /// The menu.
    pub exposed: Vec<ToolName>,
    /// The prompts on it.
    pub prompts: Vec<ToolName>,
    /// Whether resources may be read at all.
    pub resources: bool,
    /// Features of a client that it may use.
    pub features: BTreeSet<Feature>,
}

impl Offer {
    /// Whether a target of this server is on the menu.
    pub(crate) fn has(&self, target: &Target) -> bool {
        match target {
            Target::Tool(_, tool) => tool.as_ref().is_none_or(|tool| self.exposed.contains(tool)),
            Target::Prompt(_, prompt) => self.prompts.contains(prompt),
            Target::Resource(..) => self.resources,
            Target::Client(_, feature) => self.features.contains(feature),
        }
    }
}

/// What is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// What may be done, one element for each server.
    pub details: Vec<Detail>,
    /// For how long, in seconds.
    pub seconds: i64,
    /// Whether it holds a wildcard.
    pub wildcard: bool,
}

/// Judges a request from outside every run. `gateway` is the gateway's URL, `offers` the registered servers.
pub fn grant(
    manifest: &Manifest,
    offers: &BTreeMap<ServerName, Offer>,
    gateway: &str,
    asked: &Asked,
) -> Result<Granted, Rejection> {
    let seconds = reason_and_end(asked)?;
    let targets = targets(asked)?;
    declared(manifest, &targets, asked)?;
    for target in &targets {
        offered(manifest, offers, target)?;
    }
    short_enough(manifest, &targets, seconds)?;
    let wildcard = targets.iter().any(Target::is_wildcard);
    let details = details(gateway, &targets, asked)?;
    Ok(Granted { details, seconds, wildcard })
}

/// Judges a request from inside a run: besides all other rules, it stays within the ceiling.
pub fn narrow(ceiling: &Grant, granted: &Granted, now: i64) -> Result<i64, Rejection> {
    if !details_within(&granted.details, &ceiling.details) {
        return Err(Rejection::new(
            Code::InsufficientScope,
            "this is more than the run was launched with, and a run's ceiling never widens",
            "ask for it from outside the run: remit request … begins a new run",
        ));
    }
    let until = now.saturating_add(granted.seconds);
    if until > ceiling.until {
        let left = ceiling.until.saturating_sub(now).max(0);
        return Err(Rejection::new(
            Code::InsufficientScope,
            format!("the run ends in {left}s, before what is asked for would"),
            format!("ask for at most that: --for {left}s"),
        ));
    }
    Ok(until)
}

fn incomplete(message: impl Into<String>, help: impl Into<String>) -> Rejection {
    Rejection::new(Code::GrantIncomplete, message, help)
}

fn reason_and_end(asked: &Asked) -> Result<i64, Rejection> {
    reason(asked)?;
    if asked.tools.is_empty() {
        return Err(incomplete(
            "no tool is named",
            "name what is needed: remit request SERVER/TOOL --for 15m --why \"…\"",
        ));
    }
    match manifest::seconds(&asked.duration) {
        Some(seconds) if seconds > 0 => Ok(seconds),
        _ if asked.duration.trim().is_empty() => {
            Err(incomplete("no end is given, and there is no scope without one", "say for how long: --for 15m"))
        }
        _ => Err(incomplete(
            format!("`{}` is not a time", asked.duration),
            "write one number of seconds, minutes or hours: --for 90s, --for 15m or --for 2h",
        )),
    }
}

fn reason(asked: &Asked) -> Result<(), Rejection> {
    if asked.why.trim().is_empty() {
        return Err(incomplete(
            "no reason is given, and there is no scope without one",
            "say why: --why \"debugging INC-42\"",
        ));
    }
    if asked.why.len() > TEXT_BYTES_MAX {
        return Err(incomplete(
            format!("the reason is longer than {TEXT_BYTES_MAX} bytes"),
            "say why in a sentence: --why \"debugging INC-42\"",
        ));
    }
    Ok(())
}

fn targets(asked: &Asked) -> Result<Vec<Target>, Rejection> {
    let parse = |text: &String| {
        text.parse::<Target>().map_err(|error| match ServerName::new(text.as_str()) {
            Ok(server) => Rejection::new(
                Code::RequestInvalid,
                format!("`{server}` names no tool"),
                format!("name the tool, {server}/TOOL, one of: remit server show {server}"),
            ),
            Err(_) => Rejection::new(Code::RequestInvalid, error.to_string(), "see what there is: remit server list"),
        })
    };
    let mut targets = asked.tools.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    distinct(&mut targets)?;
    Ok(targets)
}

fn distinct(targets: &mut Vec<Target>) -> Result<(), Rejection> {
    targets.sort();
    targets.dedup();
    if targets.len() > GRANT_TOOLS_MAX {
        let message = format!("more than {GRANT_TOOLS_MAX} tools are asked for at once");
        return Err(Rejection::new(Code::RequestInvalid, message, "ask for fewer"));
    }
    Ok(())
}

/// Everything must be declared; what is not is answered with the lines that declare it.
fn declared(manifest: &Manifest, targets: &[Target], asked: &Asked) -> Result<(), Rejection> {
    let missing: Vec<&Target> = targets.iter().filter(|target| manifest.need(target).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let lines: Vec<String> = missing.iter().map(|target| need_lines(target, asked)).collect();
    let agent = &manifest.agent;
    Err(Rejection::new(
        Code::ScopeUndeclared,
        format!("agent.toml of {}/{} does not declare {}", agent.team, agent.name, names.join(", ")),
        format!("add to agent.toml, then: remit agent register agent.toml\n\n{}", lines.join("\n")),
    ))
}

/// The exact lines of `agent.toml` that declare a need.
fn need_lines(target: &Target, asked: &Asked) -> String {
    let [named, reason, longest] = [target.value(), asked.why.clone(), asked.duration.clone()].map(toml::Value::String);
    let wildcard = if target.is_wildcard() { "wildcard = true\n" } else { "" };
    format!("[[need]]\n{} = {named}\nreason = {reason}\nlongest = {longest}\n{wildcard}", target.key())
}

fn offered(manifest: &Manifest, offers: &BTreeMap<ServerName, Offer>, target: &Target) -> Result<(), Rejection> {
    let server = target.server();
    let Some(offer) = offers.get(server) else {
        return Err(Rejection::new(
            Code::ServerUnknown,
            format!("no server `{server}` is registered"),
            "see what is: remit server list",
        ));
    };
    let agent = &manifest.agent;
    if agent.environment == Environment::Staging && offer.environment == Environment::Production {
        return Err(Rejection::new(
            Code::PolicyForbid,
            format!("`{server}` is of production, and {}/{} is of staging", agent.team, agent.name),
            "register the agent with `environment = \"production\"` once it is ready for it",
        ));
    }
    if offer.has(target) {
        return Ok(());
    }
    Err(Rejection::new(
        Code::Unknown,
        format!("`{target}` is not exposed by its server"),
        format!("see what is: remit server show {server}"),
    ))
}

fn short_enough(manifest: &Manifest, targets: &[Target], seconds: i64) -> Result<(), Rejection> {
    let longest = targets.iter().filter_map(|target| manifest.need(target)).min_by_key(|need| need.longest_s());
    match longest {
        Some(need) if seconds > need.longest_s() => Err(incomplete(
            format!("agent.toml allows `{}` for at most {}", need.target, need.longest),
            format!("ask for less: --for {}", need.longest),
        )),
        _ => Ok(()),
    }
}

fn details(gateway: &str, targets: &[Target], asked: &Asked) -> Result<Vec<Detail>, Rejection> {
    let mut servers: BTreeMap<&ServerName, Detail> = BTreeMap::new();
    let mut unused: Vec<&Where> = asked.constraints.iter().collect();
    for target in targets {
        let detail = servers.entry(target.server()).or_insert_with(|| empty(gateway, target.server()));
        if let Target::Resource(_, uri) = target {
            let one = |uri: &String| Constraint::Exact { value: Scalar::Text(uri.clone()) };
            detail.resources.push(uri.as_ref().map_or(Constraint::Wildcard {}, one));
            continue;
        }
        if let Target::Client(_, feature) = target {
            detail.features.insert(*feature);
            continue;
        }
        let full = target.to_string();
        let mut arguments = Arguments::new();
        for entry in asked.constraints.iter().filter(|entry| entry.tool.as_ref().is_none_or(|meant| *meant == full)) {
            unused.retain(|other| !std::ptr::eq(*other, entry));
            add(&mut arguments, entry);
        }
        match target {
            Target::Prompt(_, prompt) => detail.prompts.insert(prompt.to_string(), arguments),
            Target::Tool(_, Some(tool)) => detail.tools.insert(tool.to_string(), arguments),
            _ => detail.tools.insert(WILDCARD.to_owned(), arguments),
        };
    }
    if let Some(entry) = unused.first() {
        let meant = entry.tool.as_deref().unwrap_or("a tool or a prompt");
        let message = format!("a constraint is for `{meant}`, which is not asked for");
        return Err(Rejection::new(Code::RequestInvalid, message, "name the tool, or drop the constraint"));
    }
    let details: Vec<Detail> = servers.into_values().collect();
    if details.iter().all(Detail::well_formed) {
        return Ok(details);
    }
    Err(Rejection::new(
        Code::RequestInvalid,
        "a constraint is empty, too wide or too deep",
        "a range needs a number as `min` or `max`, a list needs a value",
    ))
}

fn empty(gateway: &str, server: &ServerName) -> Detail {
    Detail {
        kind: DETAIL_TYPE.into(),
        locations: vec![location(gateway, server)],
        tools: BTreeMap::new(),
        prompts: BTreeMap::new(),
        resources: Vec::new(),
        features: BTreeSet::new(),
    }
}

/// A second constraint of the same argument narrows the first.
fn add(arguments: &mut Arguments, entry: &Where) {
    let constraint = match arguments.remove(&entry.argument) {
        None => entry.constraint.clone(),
        Some(Constraint::All { mut constraints }) => {
            constraints.push(entry.constraint.clone());
            Constraint::All { constraints }
        }
        Some(other) => Constraint::All { constraints: vec![other, entry.constraint.clone()] },
    };
    arguments.insert(entry.argument.clone(), constraint);
}

/// The URL of a server at the gateway: what tokens name as their audience.
pub(crate) fn location(gateway: &str, server: &ServerName) -> String {
    format!("{gateway}/mcp/{server}")
}

#[cfg(test)]
mod tests;
