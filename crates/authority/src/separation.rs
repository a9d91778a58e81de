//! Separation of duty: what an agent with certain tags may not have as well. The rules are a file of the floor,
//! `policies/floor/separation.toml`, and are read with the policies.
//!
//! **Invariant:** a rule that cannot be read grants nothing: until it is mended the last good ones stand, and where there
//! were none, nothing is granted.

use std::path::Path;
use std::sync::Arc;

use remit_core::grant::{Detail, WILDCARD};
use remit_core::manifest::Manifest;
use remit_core::rejection::{Code, Rejection};
use remit_core::role::OrgRole;
use remit_core::target::Target;
use serde::{Deserialize, Serialize};

/// Name of the file in the floor.
pub const FILE: &str = "separation.toml";
/// Largest such file, in bytes, and most rules in it.
const FILE_BYTES_MAX: u64 = 256 * 1024;
const RULES_MAX: usize = 256;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, in every refusal.
    pub id: String,
    /// It is about agents that have all of these tags.
    pub tags: Vec<String>,
    /// What they may not be granted: `SERVER/*` is everything of that server.
    #[serde(default)]
    pub never: Vec<Target>,
    /// What they may not be tagged as well.
    #[serde(default)]
    pub never_tags: Vec<String>,
    /// Who owns the rule.
    #[serde(default = "platform")]
    pub owner: OrgRole,
    /// Why it is there.
    #[serde(default)]
    pub why: String,
}

fn platform() -> OrgRole {
    OrgRole::Platform
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "rule")]
    rules: Vec<Rule>,
}

/// Rules, shared by whoever asks.
pub(crate) type Rules = Arc<[Rule]>;

/// Reads the rules of a floor; none where there is no file.
pub(crate) fn read(floor: &Path) -> Result<Rules, String> {
    let path = floor.join(FILE);
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Arc::new([])),
        Ok(meta) if meta.len() > FILE_BYTES_MAX => return Err(failed(&"larger than it may be")),
        _ => {}
    }
    let text = std::fs::read_to_string(&path).map_err(|error| failed(&error))?;
    parse(&text).map(Into::into).map_err(|error| failed(&error))
}

/// Reads and checks the text of the file.
pub fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    if file.rules.len() > RULES_MAX {
        return Err(format!("more than {RULES_MAX} rules"));
    }
    for rule in &file.rules {
        // A rule about nobody, or against nothing, is a mistake of whoever wrote it.
        if rule.id.is_empty() || rule.tags.is_empty() || (rule.never.is_empty() && rule.never_tags.is_empty()) {
            return Err(format!("the rule `{}` needs `id`, `tags`, and `never` or `never_tags`", rule.id));
        }
    }
    Ok(file.rules)
}

impl Rule {
    fn is_about(&self, tags: &[String]) -> bool {
        self.tags.iter().all(|tag| tags.contains(tag))
    }

    fn refusal(&self, agent: &str, has: &str) -> Rejection {
        let why = if self.why.is_empty() { String::new() } else { format!(": {}", self.why) };
        let message = format!(
            "{agent} is tagged {} and may not have {has}, by the rule `{}`{why}; owned by {}",
            self.tags.join(", "),
            self.id,
            self.owner
        );
        Rejection::new(
            Code::AgentFrozen,
            message,
            "split it into two agents, each with its own agent.toml, and register both: remit agent register agent.toml",
        )
    }
}

/// Refuses a manifest that a rule stands against.
pub(crate) fn may_be(rules: &[Rule], manifest: &Manifest) -> Result<(), Rejection> {
    let about = &manifest.agent;
    let name = format!("{}/{}", about.team, about.name);
    for rule in rules.iter().filter(|rule| rule.is_about(&about.tags)) {
        if let Some(tag) = rule.never_tags.iter().find(|tag| about.tags.contains(tag)) {
            return Err(rule.refusal(&name, &format!("the tag {tag}")));
        }
        let hit = manifest.needs.iter().find(|need| rule.never.iter().any(|never| meets(never, &need.target)));
        if let Some(need) = hit {
            return Err(rule.refusal(&name, &need.target.to_string()));
        }
    }
    Ok(())
}

/// Whether what is never to be had and what is needed overlap.
fn meets(never: &Target, need: &Target) -> bool {
    match never {
        Target::Tool(server, None) => need.server() == server,
        never => never.covers(need) || need.covers(never),
    }
}

/// Whether a rule stands against an agent's having any of a target.
pub(crate) fn stands(rules: &[Rule], manifest: &Manifest, target: &Target) -> bool {
    let tags = &manifest.agent.tags;
    let against = |rule: &Rule| {
        rule.never_tags.iter().any(|tag| tags.contains(tag)) || rule.never.iter().any(|never| meets(never, target))
    };
    rules.iter().filter(|rule| rule.is_about(tags)).any(against)
}

/// Refuses what a rule stands against, of what an agent is to be granted: the manifest may be older than the rule.
pub(crate) fn may_hold(rules: &[Rule], manifest: &Manifest, details: &[Detail]) -> Result<(), Rejection> {
    let about = &manifest.agent;
    for rule in rules.iter().filter(|rule| rule.is_about(&about.tags)) {
        let name = format!("{}/{}", about.team, about.name);
        if let Some(tag) = rule.never_tags.iter().find(|tag| about.tags.contains(tag)) {
            return Err(rule.refusal(&name, &format!("the tag {tag}")));
        }
        if let Some(never) = rule.never.iter().find(|never| details.iter().any(|detail| has(detail, never))) {
            return Err(rule.refusal(&name, &never.to_string()));
        }
    }
    Ok(())
}

/// Whether a grant for one server holds any of a target.
fn has(detail: &Detail, never: &Target) -> bool {
    let here = format!("/mcp/{}", never.server());
    if !detail.locations.iter().any(|location| location.ends_with(&here)) {
        return false;
    }
    match never {
        Target::Tool(_, None) => true,
        Target::Tool(_, Some(tool)) => [tool.as_str(), WILDCARD].iter().any(|name| detail.tools.contains_key(*name)),
        Target::Prompt(_, prompt) => detail.prompts.contains_key(prompt.as_str()),
        Target::Resource(..) => !detail.resources.is_empty(),
        Target::Client(_, feature) => detail.features.contains(feature),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        [[rule]]
        id = "customer-data-does-not-deploy"
        tags = ["customer-data"]
        never = ["deploy/*", "tickets/export", "prompt:tickets/all"]
        never_tags = ["ci"]
        owner = "agent-security"
        why = "who reads customers' data must not be able to ship code"
    "#;

    fn manifest(tags: &str, needs: &[&str]) -> Manifest {
        let need = |need: &&str| {
            let (key, value) = need.split_once(':').unwrap_or(("tool", need));
            let wildcard = if value.ends_with('*') { "wildcard = true\n" } else { "" };
            format!("[[need]]\n{key} = \"{value}\"\nreason = \"x\"\nlongest = \"5m\"\n{wildcard}")
        };
        let needs: String = needs.iter().map(need).collect();
        let head = format!("[agent]\nname = \"a\"\nversion = \"1\"\nteam = \"t\"\npurpose = \"x\"\ntags = [{tags}]\n");
        Manifest::parse(&format!("{head}[harm]\nwrites = false\nreversible = true\nautonomous = true\n{needs}"))
            .unwrap()
    }

    #[track_caller]
    fn check(tags: &str, needs: &[&str], refused: bool) {
        let rules = parse(RULES).unwrap();
        let judged = may_be(&rules, &manifest(tags, needs));
        assert_eq!(judged.is_err(), refused, "{tags} {needs:?}");
        if let Err(rejection) = judged {
            assert!(rejection.message.contains("customer-data-does-not-deploy"), "{rejection}");
            assert!(rejection.message.ends_with("owned by agent-security"), "{rejection}");
        }
    }

    /// Break: compare what is declared with a rule to the letter, or look at one tag alone.
    #[test]
    fn a_rule_meets_whatever_overlaps_with_it() {
        let tagged = "\"customer-data\", \"other\"";
        for needs in [
            &["deploy/release"][..],
            &["deploy/*"],
            &["resource:deploy/file:///a"],
            &["client:deploy/elicitation"],
            &["tickets/read", "tickets/export"],
            &["tickets/*"],
            &["prompt:tickets/all"],
        ] {
            check(tagged, needs, true);
            check("\"other\"", needs, false);
        }
        check(tagged, &["tickets/read", "prompt:tickets/one", "deployment/release"], false);
        check("\"customer-data\", \"ci\"", &[], true);
    }

    /// Break: take a rule that says nothing, or an owner that is none.
    #[test]
    fn a_rule_is_about_somebody_and_against_something() {
        for (from, to) in [
            ("id = \"customer-data-does-not-deploy\"", "id = \"\""),
            ("tags = [\"customer-data\"]", "tags = []"),
            ("\"agent-security\"", "\"ada\""),
            ("\"deploy/*\"", "\"deploy\""),
            ("never_tags", "never_tag"),
        ] {
            assert!(parse(&RULES.replacen(from, to, 1)).is_err(), "{to}");
        }
        assert!(parse("[[rule]]\nid = \"x\"\ntags = [\"a\"]").is_err());
        assert_eq!(parse("").unwrap(), []);
    }
}
