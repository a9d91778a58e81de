//! What can be asked for and declared: a tool, a prompt or a resource of a server, or a feature of the client that the
//! server may use, in one grammar for both.
//!
//! `<server>/<tool>`, `prompt:<server>/<name>`, `resource:<server>/<uri>`, `client:<server>/<feature>`; `*` in the place
//! of a tool or a URI stands for every one that the server exposes. **Invariant:** a URI is meant as a whole. A prefix would mean whatever the server
//! makes of `..` behind it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::call::{Action, URI_BYTES_MAX};
use crate::constraint::{Constraint, Scalar};
use crate::feature::Feature;
use crate::grant::{Detail, WILDCARD};
use crate::id::{IdError, ServerName, ToolName, shown};

const PROMPT: &str = "prompt:";
const RESOURCE: &str = "resource:";
const CLIENT: &str = "client:";

/// A thing of a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// One tool, or all that are exposed.
    Tool(ServerName, Option<ToolName>),
    /// One prompt.
    Prompt(ServerName, ToolName),
    /// One resource, or all.
    Resource(ServerName, Option<String>),
    /// One feature of the client, for the server to use.
    Client(ServerName, Feature),
}

/// A text that names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not of the form.
    #[error("`{0}` is neither SERVER/TOOL, prompt:SERVER/NAME, resource:SERVER/URI nor client:SERVER/FEATURE")]
    Form(String),
    /// A name in it is none.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The URI is empty, too long, or holds what no URI does.
    #[error("the URI is empty, longer than {URI_BYTES_MAX} bytes, or holds blanks or control characters")]
    Uri,
    /// No such feature.
    #[error("`{0}` is no feature of a client: elicitation, sampling or roots")]
    Feature(String),
}

impl Target {
    /// The server.
    pub fn server(&self) -> &ServerName {
        match self {
            Target::Tool(server, _)
            | Target::Prompt(server, _)
            | Target::Resource(server, _)
            | Target::Client(server, _) => server,
        }
    }

    /// The key of `agent.toml` that declares it.
    pub fn key(&self) -> &'static str {
        match self {
            Target::Tool(..) => "tool",
            Target::Prompt(..) => "prompt",
            Target::Resource(..) => "resource",
            Target::Client(..) => "client",
        }
    }

    /// The value of that key: `<server>/<name>`.
    pub fn value(&self) -> String {
        let name = match self {
            Target::Tool(_, tool) => tool.as_ref().map_or(WILDCARD, ToolName::as_str),
            Target::Prompt(_, prompt) => prompt.as_str(),
            Target::Resource(_, uri) => uri.as_deref().unwrap_or(WILDCARD),
            Target::Client(_, feature) => feature.name(),
        };
        format!("{}/{name}", self.server())
    }

    /// Whether it stands for everything of its kind.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Target::Tool(_, None) | Target::Resource(_, None))
    }

    /// Whether whoever has this has the other too.
    pub fn covers(&self, other: &Target) -> bool {
        let same_kind = self.key() == other.key() && self.server() == other.server();
        self == other || (same_kind && self.is_wildcard())
    }

    /// What an action at a server is on; nothing for a method beside the decided ones.
    pub fn of_action(server: &ServerName, action: &Action) -> Option<Self> {
        let server = server.clone();
        Some(match action {
            Action::CallTool(tool) => Target::Tool(server, Some(tool.clone())),
            Action::GetPrompt(prompt) => Target::Prompt(server, prompt.clone()),
            Action::ReadResource(uri) => Target::Resource(server, Some(uri.clone())),
            Action::Answer(feature) => Target::Client(server, *feature),
            Action::Method(_) => return None,
        })
    }

    /// Everything that a grant names at a server.
    pub fn of_detail(server: &ServerName, detail: &Detail) -> Result<Vec<Self>, IdError> {
        let mut targets = Vec::new();
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
        Ok(targets)
    }

    /// The target of a kind, by the value of its key.
    pub(crate) fn of(key: &str, value: &str) -> Result<Self, TargetError> {
        let prefix = match key {
            "prompt" => PROMPT,
            "resource" => RESOURCE,
            "client" => CLIENT,
            // A value cannot choose another kind than its key.
            _ if [PROMPT, RESOURCE, CLIENT].iter().any(|prefix| value.starts_with(prefix)) => {
                return Err(TargetError::Form(shown(value)));
            }
            _ => "",
        };
        format!("{prefix}{value}").parse()
    }
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

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let split = |text: &str| {
            let (server, name) = text.split_once('/').ok_or_else(|| TargetError::Form(shown(text)))?;
            Ok::<_, TargetError>((ServerName::new(server)?, name.to_owned()))
        };
        if let Some(rest) = text.strip_prefix(PROMPT) {
            let (server, name) = split(rest)?;
            return Ok(Target::Prompt(server, ToolName::new(name)?));
        }
        if let Some(rest) = text.strip_prefix(RESOURCE) {
            let (server, uri) = split(rest)?;
            let plain = uri.chars().all(|c| !c.is_whitespace() && !c.is_control());
            if uri.is_empty() || uri.len() > URI_BYTES_MAX || !plain {
                return Err(TargetError::Uri);
            }
            return Ok(Target::Resource(server, Some(uri).filter(|uri| uri != WILDCARD)));
        }
        if let Some(rest) = text.strip_prefix(CLIENT) {
            let (server, name) = split(rest)?;
            return Ok(Target::Client(
                server,
                Feature::named(&name).ok_or_else(|| TargetError::Feature(shown(&name)))?,
            ));
        }
        let (server, tool) = split(text)?;
        let tool = if tool == WILDCARD { None } else { Some(ToolName::new(tool)?) };
        Ok(Target::Tool(server, tool))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self {
            Target::Tool(..) => "",
            Target::Prompt(..) => PROMPT,
            Target::Resource(..) => RESOURCE,
            Target::Client(..) => CLIENT,
        };
        write!(f, "{prefix}{}", self.value())
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_reads_back_and_no_other_is_one() {
        for text in [
            "tickets/read_ticket",
            "tickets/*",
            "prompt:tickets/greet",
            "resource:docs/file:///guide/a?b=c#d",
            "resource:docs/*",
            "client:tickets/elicitation",
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
            assert_eq!(Target::of(target.key(), &target.value()), Ok(target));
        }
        for text in [
            "",
            "tickets",
            "Tickets/x",
            "tickets/",
            "prompt:tickets/*",
            "prompt:greet",
            "resource:docs/",
            "resource:docs/a b",
            "client:tickets/*",
            "client:tickets/logging",
            "client:tickets/",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        assert!(Target::of("tool", "prompt:tickets/greet").is_err());
        assert!(Target::of("tool", "client:tickets/roots").is_err());
        for (text, refusal) in [
            ("\u{1b}[2Jtickets\n", "`[2Jtickets` is neither"),
            ("client:tickets/\u{1b}[2Jtime\n", "`[2Jtime` is no feature"),
            ("client:tickets/\u{9b}2J", "`2J` is no feature"),
        ] {
            let shown = text.parse::<Target>().unwrap_err().to_string();
            assert!(shown.starts_with(refusal), "{shown}");
        }
        let long = format!("client:tickets/{}", "x".repeat(4096));
        assert!(long.parse::<Target>().unwrap_err().to_string().len() < 256);
    }

    #[test]
    fn a_wildcard_covers_its_own_kind_and_server() {
        let covers = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|text| text.parse::<Target>().unwrap());
            one.covers(&other)
        };
        assert!(covers("docs/*", "docs/search") && covers("docs/*", "docs/*") && covers("docs/search", "docs/search"));
        assert!(covers("resource:docs/*", "resource:docs/file:///a"));
        assert!(!covers("docs/*", "mail/search") && !covers("docs/search", "docs/*"));
        assert!(!covers("docs/*", "resource:docs/file:///a") && !covers("resource:docs/*", "docs/search"));
        assert!(!covers("docs/*", "prompt:docs/greet") && !covers("prompt:docs/greet", "docs/greet"));
        assert!(!covers("resource:docs/file:///a", "resource:docs/file:///a/b"));
    }
}
