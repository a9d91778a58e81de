//! Identifiers: restricted characters, no case folding, so that two names that look alike to a machine are one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest identifier of any kind, in bytes.
pub const ID_BYTES_MAX: usize = 128;

/// A text that is not an identifier of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {rule}")]
pub struct IdError {
    kind: &'static str,
    rule: &'static str,
    text: String,
}

/// A refused text as its refusal shows it: short, and without what a terminal would obey.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(ID_BYTES_MAX).filter(|c| !c.is_control()).collect()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text against the kind's characters and length.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let valid: fn(&str) -> bool = $valid;
                if !text.is_empty() && text.len() <= ID_BYTES_MAX && valid(&text) {
                    return Ok(Self(text));
                }
                Err(IdError { kind: $kind, rule: $rule, text: shown(&text) })
            }

            /// The identifier's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn lower(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

fn handle(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:|@+".contains(&b))
}

id!(
    /// The domain of trust that issues identities: a host name in lower case.
    TrustDomain, "trust domain", "lower-case letters, digits, `-` and `.`",
    |t| t.split('.').all(|label| lower(label) && !label.contains('_'))
);
id!(
    /// A team that owns agents.
    Team, "team name", "lower-case letters, digits, `-` and `_`", lower
);
id!(
    /// An agent's name within its team.
    AgentName, "agent name", "lower-case letters, digits, `-` and `_`", lower
);
id!(
    /// A version of an agent, compared as text.
    Version, "version", "letters, digits, `.`, `-` and `+`",
    |t| t.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b)) && t != "." && t != ".."
);
id!(
    /// An upstream MCP server as registered.
    ServerName, "server name", "lower-case letters, digits, `-` and `_`", lower
);
id!(
    /// A gateway among its siblings.
    GatewayName, "gateway name", "letters, digits, `-`, `_` and `.`",
    |t| t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
);
id!(
    /// A tool's or prompt's name as its server spells it.
    ToolName, "tool name", "letters, digits, `_`, `-`, `.` and `/`",
    |t| t.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b))
);
id!(
    /// One execution of an agent.
    RunId, "run id", "lower-case letters, digits, `-` and `_`", lower
);
id!(
    /// A grant.
    GrantId, "grant id", "lower-case letters, digits, `-` and `_`", lower
);
id!(
    /// The pseudonym of a human or a workload: random, so that forgetting its row in the authority forgets the person.
    PrincipalId, "principal id", "letters, digits and `-_.:|@+`", handle
);

/// A registered agent: `spiffe://<trust domain>/agent/<team>/<name>/<version>` (SPIFFE-ID section 2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentId {
    /// The domain that issued the identity.
    pub trust_domain: TrustDomain,
    /// The owning team.
    pub team: Team,
    /// The name within the team.
    pub name: AgentName,
    /// The version that acts.
    pub version: Version,
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/agent/{}/{}/{}", self.trust_domain, self.team, self.name, self.version)
    }
}

impl AgentId {
    /// Reads a SPIFFE id of this form.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let bad = || IdError {
            kind: "agent id",
            rule: "spiffe://<trust domain>/agent/<team>/<name>/<version>",
            text: shown(text),
        };
        let rest = text.strip_prefix("spiffe://").ok_or_else(bad)?;
        let mut parts = rest.split('/');
        let mut part = || parts.next().ok_or_else(bad);
        let trust_domain = TrustDomain::new(part()?)?;
        if part()? != "agent" {
            return Err(bad());
        }
        let id = Self {
            trust_domain,
            team: Team::new(part()?)?,
            name: AgentName::new(part()?)?,
            version: Version::new(part()?)?,
        };
        if parts.next().is_some() { Err(bad()) } else { Ok(id) }
    }

    /// `<team>/<name>@<version>`, as people and policies write it.
    pub fn short(&self) -> String {
        format!("{}/{}@{}", self.team, self.name, self.version)
    }
}

impl TryFrom<String> for AgentId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}

impl From<AgentId> for String {
    fn from(id: AgentId) -> String {
        id.to_string()
    }
}

/// An acting instance: an agent and its run, `<agent id>/<run>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instance {
    /// The registered agent.
    pub agent: AgentId,
    /// The execution.
    pub run: RunId,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.agent, self.run)
    }
}

impl TryFrom<String> for Instance {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        let (agent, run) = text.rsplit_once('/').unwrap_or((&text, ""));
        Ok(Self { agent: AgentId::parse(agent)?, run: RunId::new(run)? })
    }
}

impl From<Instance> for String {
    fn from(instance: Instance) -> String {
        instance.to_string()
    }
}

/// One tool of one server, `<server>/<tool>`, as people write it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolId {
    /// The registered server.
    pub server: ServerName,
    /// The tool as the server names it.
    pub tool: ToolName,
}

impl fmt::Display for ToolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.tool)
    }
}

impl TryFrom<String> for ToolId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        let (server, tool) = text.split_once('/').unwrap_or((&text, ""));
        Ok(Self { server: ServerName::new(server)?, tool: ToolName::new(tool)? })
    }
}

impl std::str::FromStr for ToolId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::try_from(text.to_owned())
    }
}

impl From<ToolId> for String {
    fn from(id: ToolId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_ids_round_trip() {
        let text = "spiffe://acme.example/agent/support/triage-bot/1.4.2";
        assert_eq!(AgentId::parse(text).unwrap().to_string(), text);
        let instance = Instance::try_from(format!("{text}/run-1")).unwrap();
        assert_eq!((instance.run.as_str(), instance.to_string()), ("run-1", format!("{text}/run-1")));
    }

    #[test]
    fn lookalikes_are_refused() {
        for bad in [
            "spiffe://acme.example/agent/support/Triage/1",
            "spiffe://acme.example/agent/support/triage/1/x/y",
            "spiffe://acme.example/agent/support/../1",
            "spiffe://acme.example/agent/support/tri%61ge/1",
            "spiffe://acme.example/agent//triage/1",
            "spiffe://acme.example/agent/support/triage/..",
            "spiffe://acme.example/agent/support/trіage/1",
            "https://acme.example/agent/support/triage/1",
        ] {
            assert!(AgentId::parse(bad).is_err(), "{bad}");
        }
        assert!(ToolName::new("a b").is_err());
        assert!(ToolName::new("x".repeat(129)).is_err());
        assert!(ToolId::try_from("tickets".to_owned()).is_err());
    }
}
