//! For whom an issuer may speak: which workloads may begin runs as which agents, and what the groups of people stand for.

use std::collections::{BTreeMap, BTreeSet};

use remit_core::id::Team;
use serde::{Deserialize, Serialize};

use super::claims::Claims;
use super::{Kind, TEXT_BYTES_MAX};

/// Most rules, and most groups, of one issuer.
pub const RULES_MAX: usize = 256;
/// Most claims that one rule wants.
pub const CLAIMS_MAX: usize = 16;
/// The claim in which groups of people stand where nothing else is said.
const GROUPS_CLAIM: &str = "groups";
/// Claims that say nothing of who somebody is.
const OF_THE_TOKEN: [&str; 7] = ["iss", "aud", "exp", "nbf", "iat", "jti", "typ"];

/// Issuers that sign for everybody on the internet, and the claims of which one must be in a rule: without it the rule
/// would let in strangers.
const FOR_EVERYBODY: [(&str, &[&str]); 2] = [
    (
        "https://token.actions.githubusercontent.com",
        &["sub", "repository", "repository_id", "repository_owner", "repository_owner_id"],
    ),
    ("https://gitlab.com", &["sub", "project_path", "project_id", "namespace_path", "namespace_id"]),
];

/// What an issuer's tokens are worth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Workloads that may begin runs.
    #[serde(default, rename = "rule", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Groups of people.
    #[serde(default, rename = "group", skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// The claim in which they stand; `groups` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
}

/// Workloads that may begin runs as one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The agent: `<team>/<name>`, or one version of it with `@<version>`.
    pub agent: String,
    /// What the token must say, each to the letter.
    pub claims: BTreeMap<String, String>,
    /// On whose behalf: a name for all of these workloads; each is its own principal where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

/// What a group of people stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name, as the tokens have it.
    pub name: String,
    /// Teams whose agents its members may let act for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<Team>,
    /// Whether its members are approvers, whose word is good for agents of every team.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approver: bool,
}

/// What a person is by their groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    teams: Option<BTreeSet<Team>>,
    pub(crate) approver: bool,
}

impl Standing {
    /// Whether an agent of this team may be let act for them.
    pub(crate) fn may_use(&self, team: &Team) -> bool {
        self.approver || self.teams.as_ref().is_none_or(|teams| teams.contains(team))
    }
}

impl Rules {
    /// Reads a file of rules.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    pub(super) fn check(&self, kind: Kind, url: &str) -> Result<(), String> {
        if self.rules.len() > RULES_MAX || self.groups.len() > RULES_MAX {
            return Err(format!("more than {RULES_MAX} rules or groups"));
        }
        match kind {
            Kind::People if !self.rules.is_empty() => return Err("people have groups, and no rules".into()),
            Kind::Workload | Kind::Spiffe if !self.groups.is_empty() || self.groups_claim.is_some() => {
                return Err("workloads have rules, and no groups".into());
            }
            Kind::Workload | Kind::Spiffe if self.rules.is_empty() => {
                return Err("no rule says which workload may begin a run as which agent".into());
            }
            _ => {}
        }
        self.rules.iter().try_for_each(|rule| rule.check(kind, url))
    }

    /// Rules that a token fulfils.
    pub(crate) fn fulfilled<'a>(&'a self, claims: &'a Claims) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(|rule| rule.claims.iter().all(|(name, value)| claims.is(name, value)))
    }

    /// What a person's groups stand for. Where no group stands for anything, everybody may use agents for themselves.
    pub(crate) fn standing(&self, claims: &Claims) -> Standing {
        let claim = self.groups_claim.as_deref().unwrap_or(GROUPS_CLAIM);
        let own = claims.list(claim).unwrap_or_default();
        let mine = || self.groups.iter().filter(|group| own.contains(&group.name.as_str()));
        let teams = mine().flat_map(|group| group.teams.iter().cloned()).collect();
        Standing { teams: (!self.groups.is_empty()).then_some(teams), approver: mine().any(|group| group.approver) }
    }
}

impl Rule {
    fn check(&self, kind: Kind, url: &str) -> Result<(), String> {
        let fits = |text: &str| !text.is_empty() && text.len() <= TEXT_BYTES_MAX;
        let texts = self.claims.iter().flat_map(|(name, value)| [name, value]);
        let bounded =
            self.claims.len() <= CLAIMS_MAX && texts.chain([&self.agent]).chain(&self.principal).all(|t| fits(t));
        if !bounded || !self.agent.contains('/') {
            return Err(format!(
                "a rule names an agent as TEAM/NAME, and at most {CLAIMS_MAX} claims with a value each"
            ));
        }
        let wants = |names: &[&str]| names.iter().any(|name| self.claims.contains_key(*name));
        if kind == Kind::Spiffe && !wants(&["sub"]) {
            return Err(format!(
                "a rule for `{}` does not say which workload: claims = {{ sub = \"spiffe://…\" }}",
                self.agent
            ));
        }
        if self.claims.keys().all(|name| OF_THE_TOKEN.contains(&name.as_str())) {
            return Err(format!(
                "a rule for `{}` would let in every workload of this issuer: say which in `claims`",
                self.agent
            ));
        }
        match FOR_EVERYBODY.iter().find(|(known, _)| *known == url.trim_end_matches('/')) {
            Some((_, names)) if !wants(names) => Err(format!(
                "this issuer signs for everybody, and the rule for `{}` would let in strangers: name one of {}",
                self.agent,
                names.join(", ")
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUB: &str = "https://token.actions.githubusercontent.com";

    #[track_caller]
    fn check(kind: Kind, url: &str, text: &str, refused: Option<&str>) {
        let checked = Rules::parse(text).unwrap().check(kind, url);
        match refused {
            None => assert_eq!(checked, Ok(()), "{text}"),
            Some(words) => assert!(checked.as_ref().is_err_and(|why| why.contains(words)), "{text}: {checked:?}"),
        }
    }

    /// Break: take a rule that everybody on the internet fulfils.
    #[test]
    fn a_rule_says_who_is_meant() {
        let rule = |claims: &str| format!("[[rule]]\nagent = \"support/triage\"\nclaims = {{ {claims} }}\n");
        let (ci, spiffe) = ("https://ci.example", "spiffe://acme.example");
        check(Kind::Workload, ci, &rule("project = \"api\""), None);
        check(Kind::Workload, ci, &rule(""), Some("every workload"));
        check(Kind::Workload, ci, &rule("aud = \"x\", iss = \"y\""), Some("every workload"));
        check(Kind::Workload, ci, &rule("project = \"\""), Some("with a value"));
        check(Kind::Workload, ci, &rule("a = \"b\"").replace("support/", ""), Some("TEAM/NAME"));
        check(Kind::Workload, ci, "", Some("no rule"));
        check(Kind::Workload, GITHUB, &rule("ref = \"refs/heads/main\""), Some("strangers"));
        check(Kind::Workload, GITHUB, &rule("job_workflow_ref = \"acme/x/.github/workflows/y\""), Some("strangers"));
        check(Kind::Workload, GITHUB, &rule("repository = \"acme/api\", ref = \"refs/heads/main\""), None);
        check(Kind::Workload, "https://gitlab.com/", &rule("ref = \"main\""), Some("strangers"));
        check(Kind::Spiffe, spiffe, &rule("sub = \"spiffe://acme.example/ci\""), None);
        check(Kind::Spiffe, spiffe, &rule("x = \"y\""), Some("which workload"));
        check(Kind::People, ci, &rule("a = \"b\""), Some("no rules"));
        check(Kind::People, ci, "[[group]]\nname = \"g\"\nteams = [\"support\"]\n", None);
        check(Kind::People, ci, "", None);
        check(Kind::Workload, ci, "[[group]]\nname = \"g\"\n", Some("no groups"));
        assert!(Rules::parse("[[rule]]\nagent = \"a/b\"\nclaims = {}\nif = 1").is_err());
    }

    /// Break: let a claim that is missing, or a list with the value in it, pass for the value.
    #[test]
    fn a_token_fulfils_a_rule_to_the_letter() {
        let rules = Rules::parse(
            "[[rule]]\nagent = \"support/triage\"\nclaims = { repository = \"acme/api\", ref_protected = \"true\" }\n",
        )
        .unwrap();
        let count = |text: &str| rules.fulfilled(&Claims::read(text.as_bytes()).unwrap()).count();
        assert_eq!(count(r#"{"repository":"acme/api","ref_protected":"true"}"#), 1);
        assert_eq!(count(r#"{"repository":"acme/api","ref_protected":true,"more":1}"#), 1);
        for other in [
            r#"{"repository":"acme/api"}"#,
            r#"{"repository":"acme/api2","ref_protected":"true"}"#,
            r#"{"repository":"Acme/api","ref_protected":"true"}"#,
            r#"{"repository":["acme/api"],"ref_protected":"true"}"#,
            "{}",
        ] {
            assert_eq!(count(other), 0, "{other}");
        }
    }

    /// Break: let somebody in who is in no group that counts, or read groups from another claim.
    #[test]
    fn people_have_the_teams_of_their_groups() {
        let rules = "groups_claim = \"roles\"\n[[group]]\nname = \"desk\"\nteams = [\"support\"]\n[[group]]\nname = \"lead\"\napprover = true\n";
        let rules = Rules::parse(rules).unwrap();
        let (support, platform) = (Team::new("support").unwrap(), Team::new("platform").unwrap());
        for (claims, own, other, approver) in [
            (r#"{"roles":["desk","x"]}"#, true, false, false),
            (r#"{"roles":"desk"}"#, true, false, false),
            (r#"{"roles":["lead"]}"#, true, true, true),
            (r#"{"groups":["desk","lead"]}"#, false, false, false),
            (r#"{"roles":["Desk"]}"#, false, false, false),
            (r#"{"roles":{"desk":1}}"#, false, false, false),
            ("{}", false, false, false),
        ] {
            let standing = rules.standing(&Claims::read(claims.as_bytes()).unwrap());
            let found = (standing.may_use(&support), standing.may_use(&platform), standing.approver);
            assert_eq!(found, (own, other, approver), "{claims}");
        }
        let nobody = Rules::default().standing(&Claims::read(b"{}").unwrap());
        assert!(nobody.may_use(&support) && !nobody.approver);
    }
}
