//! `agent.toml`: what an agent's author declares of it. Nothing beyond what stands here is ever granted.

use serde::{Deserialize, Serialize};

use crate::id::{AgentName, Team, Version};
use crate::registry::{ControlTier, Environment};
use crate::target::Target;

/// Largest manifest, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;
/// Longest time for which any grant holds, in seconds: one day.
pub const GRANT_SECONDS_MAX: i64 = 86_400;
/// Most needs in one manifest.
pub const NEEDS_MAX: usize = 256;
/// Most OAuth clients, and most redirect URIs, of one agent.
pub const CLIENTS_MAX: usize = 32;
/// Longest of their URLs, in bytes.
pub const CLIENT_URL_BYTES_MAX: usize = 2_048;

/// A manifest that does not say what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, an unknown key, or a value of another kind.
    #[error("agent.toml: {0}")]
    Syntax(String),
    /// A rule that TOML cannot state.
    #[error("agent.toml: {0}")]
    Rule(String),
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Who it is.
    pub agent: About,
    /// The three questions.
    pub harm: Harm,
    /// What it needs, each with a reason and an end.
    #[serde(default, rename = "need")]
    pub needs: Vec<Need>,
    /// What it may spend.
    #[serde(default)]
    pub budget: Budget,
}

/// Who the agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Its name within the team.
    pub name: AgentName,
    /// The version that this file describes.
    pub version: Version,
    /// The owning team.
    pub team: Team,
    /// Why it exists, in one sentence.
    pub purpose: String,
    /// Marks that policies read.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Where it belongs.
    #[serde(default = "staging")]
    pub environment: Environment,
    /// Whether MCP clients that cannot prove possession of a key may use its tokens.
    #[serde(default)]
    pub bearer: bool,
    /// URLs of the metadata documents of OAuth clients that may act as it, when a person lets them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<String>,
    /// Where a browser may be sent back to after a login, besides programs on the person's own machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
}

fn staging() -> Environment {
    Environment::Staging
}

/// The three questions that place an agent in a control tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Harm {
    /// Does it write?
    pub writes: bool,
    /// Can what it does be taken back?
    pub reversible: bool,
    /// Does it act without a person who reviews each step?
    pub autonomous: bool,
}

/// One thing that the agent needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Lines", into = "Lines")]
pub struct Need {
    /// What: `tool`, `prompt`, `resource` or `client`, each `<server>/<name>`.
    pub target: Target,
    /// Why.
    pub reason: String,
    /// The longest time for which it is granted at once: `90s`, `15m`, `2h`.
    pub longest: String,
    /// States that it is `<server>/*`: every tool or resource that the server exposes, now and later.
    pub wildcard: bool,
}

/// A need as its lines say it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    reason: String,
    longest: String,
    #[serde(default)]
    wildcard: bool,
}

impl TryFrom<Lines> for Need {
    type Error = String;

    fn try_from(lines: Lines) -> Result<Self, String> {
        let named =
            [("tool", lines.tool), ("prompt", lines.prompt), ("resource", lines.resource), ("client", lines.client)];
        let named: Vec<_> = named.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let [(key, value)] = named.as_slice() else {
            return Err("a need names one of `tool`, `prompt`, `resource` and `client`".into());
        };
        let target = Target::of(key, value).map_err(|error| error.to_string())?;
        Ok(Self { target, reason: lines.reason, longest: lines.longest, wildcard: lines.wildcard })
    }
}

impl From<Need> for Lines {
    fn from(need: Need) -> Self {
        let of = |key: &str| (need.target.key() == key).then(|| need.target.value());
        let (tool, prompt, resource, client) = (of("tool"), of("prompt"), of("resource"), of("client"));
        Self { tool, prompt, resource, client, reason: need.reason, longest: need.longest, wildcard: need.wildcard }
    }
}

/// Limits of one root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Calls in all.
    pub calls: u64,
    /// Calls in a minute.
    pub calls_per_minute: u64,
    /// Equal calls in a row.
    pub repeats: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { calls: 1_000, calls_per_minute: 120, repeats: 10 }
    }
}

impl Manifest {
    /// Reads and checks a whole file.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::Rule(format!("larger than {MANIFEST_BYTES_MAX} bytes")));
        }
        let manifest: Self = toml::from_str(text).map_err(|e| ManifestError::Syntax(e.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let rule = |text: String| Err(ManifestError::Rule(text));
        if self.agent.purpose.trim().is_empty() {
            return rule("`purpose` is empty: say in one sentence why the agent exists".into());
        }
        if self.needs.len() > NEEDS_MAX {
            return rule(format!("more than {NEEDS_MAX} needs"));
        }
        let urls = [("clients", &self.agent.clients), ("redirect_uris", &self.agent.redirect_uris)];
        for (name, urls) in urls {
            if urls.len() > CLIENTS_MAX || urls.iter().any(|url| url.len() > CLIENT_URL_BYTES_MAX) {
                return rule(format!(
                    "more than {CLIENTS_MAX} `{name}`, or one longer than {CLIENT_URL_BYTES_MAX} bytes"
                ));
            }
        }
        for need in &self.needs {
            need.check()?;
        }
        Ok(())
    }

    /// The tier that the three questions give, before the registry's sensitivity is looked at.
    pub fn tier(&self) -> ControlTier {
        match self.harm {
            Harm { writes: false, .. } => ControlTier::Light,
            Harm { reversible: true, .. } => ControlTier::Medium,
            Harm { autonomous: false, .. } => ControlTier::MediumPlus,
            Harm { .. } => ControlTier::Full,
        }
    }

    /// The need that covers a target, the exact one before a wildcard.
    pub fn need(&self, target: &Target) -> Option<&Need> {
        let exact = self.needs.iter().find(|need| need.target == *target);
        exact.or_else(|| self.needs.iter().find(|need| need.target.covers(target)))
    }
}

impl Need {
    fn check(&self) -> Result<(), ManifestError> {
        let rule = |text: String| Err(ManifestError::Rule(format!("need `{}`: {text}", self.target)));
        if self.reason.trim().is_empty() {
            return rule("`reason` is empty: there is no scope without a reason".into());
        }
        match seconds(&self.longest) {
            Some(1..=GRANT_SECONDS_MAX) => {}
            _ => {
                return rule(format!("`longest = \"{}\"` is not a time of at most 24h, such as `15m`", self.longest));
            }
        }
        match (self.target.is_wildcard(), self.wildcard) {
            (true, false) => rule("a wildcard must say so with `wildcard = true`; it is logged as one".into()),
            (false, true) => rule("`wildcard = true` is for `<server>/*` only".into()),
            _ => Ok(()),
        }
    }

    /// The longest time for which this need is granted, in seconds.
    pub fn longest_s(&self) -> i64 {
        seconds(&self.longest).unwrap_or(0)
    }
}

/// Reads a time such as `90s`, `15m`, `2h`, in seconds.
pub fn seconds(text: &str) -> Option<i64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [agent]
        name = "triage"
        version = "1.4.2"
        team = "support"
        purpose = "sorts tickets"
        [harm]
        writes = true
        reversible = true
        autonomous = true
        [[need]]
        tool = "tickets/read_ticket"
        reason = "to know what the customer wants"
        longest = "15m"
    "#;

    #[track_caller]
    fn refused(from: &str, to: &str, says: &str) {
        let error = Manifest::parse(&GOOD.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn no_scope_without_a_reason_and_an_end() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!(manifest.tier(), ControlTier::Medium);
        assert_eq!(manifest.need(&"tickets/read_ticket".parse().unwrap()).map(Need::longest_s), Some(900));
        assert!(manifest.need(&"tickets/delete_ticket".parse().unwrap()).is_none());
        refused("to know what the customer wants", " ", "no scope without a reason");
        refused("15m", "25h", "at most 24h");
        refused("15m", "0m", "at most 24h");
        refused("15m", "m", "at most 24h");
        refused("tickets/read_ticket", "tickets/*", "wildcard = true");
        refused("sorts tickets", "", "purpose");
        refused("reversible = true", "reversable = true", "reversable");
        refused("support", "Support", "Support");
        refused("tool =", "tool = \"tickets/x\"\nprompt =", "one of `tool`, `prompt`, `resource` and `client`");
        refused("tool = \"tickets/read_ticket\"", "", "one of `tool`, `prompt`, `resource` and `client`");
        refused("tool = \"tickets/read_ticket\"", "prompt = \"tickets/*\"", "*");
        refused("tool = \"tickets/read_ticket\"", "resource = \"tickets/*\"", "wildcard = true");
    }

    #[test]
    fn prompts_and_resources_are_needs_of_their_own() {
        let lines =
            |key: &str, value: &str| format!("[[need]]\n{key} = \"{value}\"\nreason = \"x\"\nlongest = \"5m\"\n");
        let text = [GOOD, &lines("prompt", "tickets/greet"), &lines("resource", "docs/file:///guide")].concat();
        let manifest = Manifest::parse(&text).unwrap();
        let covered = |text: &str| manifest.need(&text.parse().unwrap()).is_some();
        assert!(covered("prompt:tickets/greet") && covered("resource:docs/file:///guide"));
        assert!(!covered("tickets/greet") && !covered("resource:docs/file:///guide/2") && !covered("resource:docs/*"));
        // As it is kept.
        let kept = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&kept).unwrap(), manifest);
        assert!(kept.contains(r#"{"tool":"tickets/read_ticket","reason""#), "{kept}");
    }
}
