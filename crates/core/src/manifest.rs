//! `agent.toml`: what an agent's author declares of it. Nothing beyond what stands here is ever granted.

use serde::{Deserialize, Serialize};

use crate::id::{AgentName, Team, Version};
use crate::registry::{ControlTier, Environment};
use crate::target::Target;

/// Largest manifest, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;
/// Longest time for which any grant holds, in seconds: one day.
pub const GRANT_SECONDS_MAX: i64 = 86_400;
/// Longest time for which a registration holds, in days, and the usual one.
pub const REGISTRATION_DAYS_MAX: i64 = 365;
/// How long a registration holds where its manifest does not say, in days.
pub const REGISTRATION_DAYS: i64 = 90;
/// Seconds of a day.
pub const DAY_S: i64 = 86_400;
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
    /// For how long its registration holds, such as `90d`; then it is renewed, or it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Whether MCP clients that cannot prove possession of a key may use its tokens.
    #[serde(default)]
    pub bearer: bool,
    /// Whether another run may begin one of it by itself, by a link, of which the authority hears nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
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
    /// The last day on which it is granted at all, `2027-01-31`; the end of the registration where none is named.
    pub until: Option<String>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl TryFrom<Lines> for Need {
    type Error = String;

    fn try_from(lines: Lines) -> Result<Self, String> {
        let named = [
            ("tool", &lines.tool),
            ("prompt", &lines.prompt),
            ("resource", &lines.resource),
            ("client", &lines.client),
        ];
        let named: Vec<_> = named.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))).collect();
        let [(key, value)] = named.as_slice() else {
            return Err("a need names one of `tool`, `prompt`, `resource` and `client`".into());
        };
        let target = Target::of(key, value).map_err(|error| error.to_string())?;
        let Lines { reason, longest, wildcard, until, .. } = lines;
        Ok(Self { target, reason, longest, wildcard, until })
    }
}

impl From<Need> for Lines {
    fn from(need: Need) -> Self {
        let of = |key: &str| (need.target.key() == key).then(|| need.target.value());
        let (tool, prompt, resource, client) = (of("tool"), of("prompt"), of("resource"), of("client"));
        let Need { reason, longest, wildcard, until, .. } = need;
        Self { tool, prompt, resource, client, reason, longest, wildcard, until }
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
        if self.registration_days().is_none() {
            return rule(format!(
                "`expires` is not a number of days of at most {REGISTRATION_DAYS_MAX}, such as `90d`"
            ));
        }
        for need in &self.needs {
            need.check()?;
        }
        Ok(())
    }

    /// For how many days its registration holds; nothing where what it says is no such number.
    pub fn registration_days(&self) -> Option<i64> {
        let Some(text) = &self.agent.expires else { return Some(REGISTRATION_DAYS) };
        let digits = text.strip_suffix('d').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse().ok().filter(|days| (1..=REGISTRATION_DAYS_MAX).contains(days))
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
        if self.until.as_deref().is_some_and(|until| day(until).is_none()) {
            return rule("`until` is not a day, such as `2027-01-31`".into());
        }
        match (self.target.is_wildcard(), self.wildcard) {
            (true, false) => rule("a wildcard must say so with `wildcard = true`; it is logged as one".into()),
            (false, true) => rule("`wildcard = true` is for `<server>/*` only".into()),
            _ => Ok(()),
        }
    }

    /// The end of the last day on which it is granted, in seconds since 1970.
    pub fn until_s(&self) -> Option<i64> {
        self.until.as_deref().and_then(day)
    }

    /// The longest time for which this need is granted, in seconds.
    pub fn longest_s(&self) -> i64 {
        seconds(&self.longest).unwrap_or(0)
    }
}

/// The end of a day of the Gregorian calendar, `2027-01-31`, in UTC, in seconds since 1970.
pub fn day(text: &str) -> Option<i64> {
    let digits = |part: &str, length: usize| {
        let plain = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<i64>().ok()).flatten()
    };
    let mut parts = text.split('-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let months = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let longest = months.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    if parts.next().is_some() || year < 1970 || !(1..=*longest).contains(&day) {
        return None;
    }
    let before = months.iter().take(usize::try_from(month - 1).ok()?).sum::<i64>();
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let days = (year - 1970) * 365 + leaps(year - 1) - leaps(1969) + before + day;
    days.checked_mul(DAY_S)
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

    /// Break: count days from the wrong end, or take a day that there is not.
    #[test]
    fn a_day_ends_at_midnight_and_a_registration_after_so_many() {
        for (text, end) in [
            ("1970-01-01", Some(86_400)),
            ("2000-02-28", Some(951_782_400)),
            ("2024-02-29", Some(1_709_251_200)),
            ("2100-02-28", Some(4_107_542_400)),
            ("2023-02-29", None),
            ("2026-13-01", None),
            ("2026-00-01", None),
            ("2026-1-1", None),
            ("2026-01-00", None),
            ("2026-01-01-01", None),
            ("", None),
        ] {
            assert_eq!(day(text), end, "{text}");
        }
        refused("longest = \"15m\"", "longest = \"15m\"\nuntil = \"soon\"", "`until` is not a day");
        let days = |expires: &str| {
            let text = GOOD.replace("purpose", &format!("expires = \"{expires}\"\npurpose"));
            Manifest::parse(&text).ok().and_then(|manifest| manifest.registration_days())
        };
        assert_eq!(Manifest::parse(GOOD).unwrap().registration_days(), Some(90));
        assert_eq!(["1d", "365d"].map(days), [Some(1), Some(365)]);
        assert_eq!(["0d", "366d", "9", "d", "-1d", "+1d", "12h"].map(days), [None; 7]);
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
