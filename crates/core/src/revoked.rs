//! What was taken back: revocations and lockdowns, in the order in which the authority wrote them.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use crate::claims::Claims;
use crate::id::{AgentId, ServerName, ToolName};

/// What a revocation takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One token, by `jti`; its descendants with it.
    Token,
    /// One run, and all that it began.
    Run,
    /// A root and its whole tree.
    Root,
    /// A grant.
    Grant,
    /// An agent in all its versions, `<team>/<name>`, or one, `<team>/<name>@<version>`.
    Agent,
    /// A principal.
    Principal,
    /// A team.
    Team,
    /// A key, by thumbprint.
    Key,
    /// A server or a `<server>/<tool>` for everybody, until it is lifted.
    Lockdown,
    /// The end of a lockdown.
    Lift,
    /// A version of an agent, `<team>/<name>@<version>`, as far as it is of production, until that is lifted.
    Veto,
    /// The end of a veto.
    #[serde(rename = "veto-lift")]
    VetoLift,
}

impl Kind {
    /// The kind's name, as it is written and logged.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Token => "token",
            Kind::Run => "run",
            Kind::Root => "root",
            Kind::Grant => "grant",
            Kind::Agent => "agent",
            Kind::Principal => "principal",
            Kind::Team => "team",
            Kind::Key => "key",
            Kind::Lockdown => "lockdown",
            Kind::Lift => "lift",
            Kind::Veto => "veto",
            Kind::VetoLift => "veto-lift",
        }
    }
}

/// One entry of the revocation feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// Position in the feed: contiguous, from 1.
    pub seq: u64,
    /// What is taken back.
    pub kind: Kind,
    /// Which one.
    pub id: String,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// An entry that does not follow the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("revocation {found} does not follow {last}")]
pub struct Gap {
    /// The last one that was applied.
    pub last: u64,
    /// The one that was offered.
    pub found: u64,
}

/// Everything that was taken back, up to one position of the feed.
#[derive(Debug, Clone, Default)]
pub struct Revoked {
    seq: u64,
    ids: HashSet<(Kind, String)>,
    locked: BTreeSet<String>,
    vetoed: BTreeSet<String>,
}

impl Revoked {
    /// Position of the last entry.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Servers and tools that are locked down.
    pub fn locked(&self) -> impl Iterator<Item = &str> {
        self.locked.iter().map(String::as_str)
    }

    /// Applies the next entry; one that leaves a gap is refused, because what it skips might matter.
    pub fn apply(&mut self, entry: Revocation) -> Result<(), Gap> {
        if entry.seq != self.seq.saturating_add(1) {
            return Err(Gap { last: self.seq, found: entry.seq });
        }
        self.seq = entry.seq;
        match entry.kind {
            Kind::Lockdown => {
                self.locked.insert(entry.id);
            }
            Kind::Lift => {
                self.locked.remove(&entry.id);
            }
            Kind::Veto => {
                self.vetoed.insert(entry.id);
            }
            Kind::VetoLift => {
                self.vetoed.remove(&entry.id);
            }
            kind => {
                self.ids.insert((kind, entry.id));
            }
        }
        Ok(())
    }

    /// Whether it was taken back under this very id.
    pub fn has(&self, kind: Kind, id: &str) -> bool {
        self.ids.contains(&(kind, id.to_owned()))
    }

    /// What took the token back, if anything did: itself, an ancestor, its run, root, grant, agent, principal or key.
    pub fn token(&self, claims: &Claims) -> Option<Kind> {
        if self.ids.is_empty() {
            return None;
        }
        let before = claims.lin.iter().chain(&claims.via);
        let token = std::iter::once(&claims.jti).chain(before).any(|jti| self.has(Kind::Token, jti));
        let agent = claims.lineage().any(|link| {
            self.has(Kind::Run, link.run.as_str())
                || self.has(Kind::Agent, &link.agent.short())
                || self.has(Kind::Agent, &format!("{}/{}", link.agent.team, link.agent.name))
                || self.has(Kind::Team, link.agent.team.as_str())
        });
        let own = claims.cnf.as_ref().map(|cnf| &cnf.jkt);
        let key = own.into_iter().chain(&claims.lin_jkt).any(|jkt| self.has(Kind::Key, jkt));
        [
            (token, Kind::Token),
            (self.has(Kind::Root, claims.root.as_str()), Kind::Root),
            (agent, Kind::Agent),
            (self.has(Kind::Grant, claims.gid.as_str()), Kind::Grant),
            (self.has(Kind::Principal, claims.sub.as_str()), Kind::Principal),
            (key, Kind::Key),
        ]
        .into_iter()
        .find_map(|(hit, kind)| hit.then_some(kind))
    }

    /// Versions of agents that are vetoed.
    pub fn vetoed(&self) -> impl Iterator<Item = &str> {
        self.vetoed.iter().map(String::as_str)
    }

    /// Whether this version of an agent is vetoed. What that stops is for whoever knows where the version belongs.
    pub fn has_veto(&self, agent: &AgentId) -> bool {
        !self.vetoed.is_empty() && self.vetoed.contains(&agent.short())
    }

    /// Whether a server, or one tool of it, is locked down.
    pub fn is_locked(&self, server: &ServerName, tool: Option<&ToolName>) -> bool {
        self.locked.contains(server.as_str())
            || tool.is_some_and(|tool| self.locked.contains(&format!("{server}/{tool}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token of the run r-3, which r-2 began, which the root r-1 began.
    fn third() -> Claims {
        let link = |agent: &str, run: &str, act: Option<serde_json::Value>| {
            let sub = format!("spiffe://acme.example/agent/{agent}/{run}");
            serde_json::json!({ "sub": sub, "iss": "https://as.example", "sub_profile": "ai_agent", "act": act })
        };
        let act = link("a/lead/1", "r-1", None);
        let act = link("b/helper/2", "r-2", Some(act));
        serde_json::from_value(serde_json::json!({
            "ver": 1, "iss": "https://as.example", "aud": [], "exp": 9, "iat": 1, "jti": "t-3", "sub": "p-1",
            "sub_profile": "user", "client_id": "spiffe://acme.example/agent/c/reader/3",
            "act": link("c/reader/3", "r-3", Some(act)), "cnf": { "jkt": "k-3" }, "authorization_details": [],
            "task": { "id": "g-3", "purpose": "reads", "why": "x" }, "run": "r-3", "root": "r-1", "root_at": 0, "root_until": 10_000_000_000_i64,
            "gid": "g-3", "lin": ["t-1", "t-2"], "via": ["t-0"], "lin_jkt": ["k-2"], "del_depth": 2, "del_max_depth": 3,
            "grant": { "until": 9, "by": "policy" },
        }))
        .unwrap()
    }

    /// Break: look at the run that holds the token alone, or at the root and not at what lies between.
    #[test]
    fn whatever_is_revoked_on_the_way_from_the_root_takes_the_token_with_it() {
        let claims = third();
        assert!(claims.coherent());
        for (kind, ids) in [
            (Kind::Run, &["r-1", "r-2", "r-3"][..]),
            (Kind::Root, &["r-1"]),
            (Kind::Token, &["t-0", "t-1", "t-2", "t-3"]),
            (Kind::Agent, &["a/lead", "a/lead@1", "b/helper", "b/helper@2", "c/reader", "c/reader@3"]),
            (Kind::Team, &["a", "b", "c"]),
            (Kind::Grant, &["g-3"]),
            (Kind::Principal, &["p-1"]),
            (Kind::Key, &["k-2", "k-3"]),
        ] {
            let hit = |id: &str| {
                let mut revoked = Revoked::default();
                revoked.apply(Revocation { seq: 1, kind, id: id.into(), at: 0 }).unwrap();
                revoked.token(&claims).is_some()
            };
            for id in ids {
                assert!(hit(id), "{kind:?} {id}");
            }
            for other in ["r-4", "t-4", "a/lead@2", "a/other", "d", "g-1", "p-2", "k-1"] {
                assert!(!hit(other), "{kind:?} {other}");
            }
        }
        let mut root = Revoked::default();
        root.apply(Revocation { seq: 1, kind: Kind::Root, id: "r-2".into(), at: 0 }).unwrap();
        assert_eq!(root.token(&claims), None, "which is no root");
    }

    #[test]
    fn the_feed_has_no_gaps_and_lockdowns_lift() {
        let mut revoked = Revoked::default();
        let entry = |seq, kind, id: &str| Revocation { seq, kind, id: id.into(), at: 0 };
        revoked.apply(entry(1, Kind::Lockdown, "tickets/issue_refund")).unwrap();
        assert_eq!(revoked.apply(entry(3, Kind::Run, "r")), Err(Gap { last: 1, found: 3 }));
        let server = ServerName::new("tickets").unwrap();
        let tool = ToolName::new("issue_refund").unwrap();
        assert!(revoked.is_locked(&server, Some(&tool)) && !revoked.is_locked(&server, None));
        revoked.apply(entry(2, Kind::Lift, "tickets/issue_refund")).unwrap();
        assert!(!revoked.is_locked(&server, Some(&tool)));
        revoked.apply(entry(3, Kind::Lockdown, "tickets")).unwrap();
        assert!(revoked.is_locked(&server, Some(&tool)));
    }
}
