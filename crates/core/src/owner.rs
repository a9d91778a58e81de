//! Who answers for a call: the role that owns the tool, and those that own the gates before it.
//!
//! A gate says `@owner("ROLE")`; where it does not, the platform owns those of the floor, and a team's owners its own.
//! `@approvers("ROLE")` says who lifts it.

use std::collections::BTreeSet;

use cedar_policy::Policy;

use crate::gate::Gate;
use crate::id::Team;
use crate::input::Input;
use crate::policy::Compiled;
use crate::registry::ToolTier;
use crate::role::{OrgRole, Post};

/// A gate as whoever loads it looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gated {
    /// The policy.
    pub policy: String,
    /// What lifts it.
    pub gate: Gate,
    /// Who owns it.
    pub owner: OrgRole,
    /// Who lifts it, where that is said.
    pub approvers: Option<OrgRole>,
}

/// What a policy's annotation names; `None` where it names nothing, an error where that is no role that it may name.
pub(crate) fn named(policy: &Policy, annotation: &str, team: Option<&Team>) -> Result<Option<OrgRole>, String> {
    let Some(text) = policy.annotation(annotation) else { return Ok(None) };
    let role: OrgRole = text.parse().map_err(|error| format!("@{annotation}: {error}"))?;
    match (team, role.team()) {
        (Some(team), of) if of != Some(team) => {
            Err(format!("@{annotation}: `{role}` is not a role of the team `{team}`"))
        }
        _ => Ok(Some(role)),
    }
}

/// Whether somebody answers for a tool of this tier: the one place that says from where on.
pub fn is_owned(tier: ToolTier) -> bool {
    tier >= ToolTier::T1
}

impl Compiled {
    /// Every gate.
    pub fn gates(&self) -> Vec<Gated> {
        self.gates.values().cloned().collect()
    }

    /// Who answers for a call that these policies determine: nobody for a tool of T0 and no gate.
    pub(crate) fn owners(&self, input: &Input, policies: &BTreeSet<String>) -> BTreeSet<OrgRole> {
        let gates = policies.iter().filter_map(|id| self.gates.get(id));
        let mut owners: BTreeSet<OrgRole> = gates.map(|gate| gate.owner.clone()).collect();
        let tool = input.action.tool().and_then(|tool| self.tool(&input.server, tool));
        if tool.is_some_and(|exposed| is_owned(exposed.tool.tier)) {
            owners.extend(self.server(&input.server).and_then(|server| server.owner.clone()));
        }
        owners
    }

    /// Whether the bundle says of the server who owns it, as every one does that the authority issues today.
    pub(crate) fn says_owner(&self, input: &Input) -> bool {
        self.server(&input.server).is_some_and(|server| server.owner.is_some())
    }
}

/// The policy, where it is a gate.
pub(crate) fn gated(policy: &Policy) -> Option<Gated> {
    let gate = Gate::named(policy.annotation("gate")?)?;
    let id = policy.id().to_string();
    let role = |annotation| policy.annotation(annotation).and_then(|text| text.parse().ok());
    let owner = role("owner").unwrap_or_else(|| by_place(&id));
    Some(Gated { gate, owner, approvers: role("approvers"), policy: id })
}

/// `team/<team>/<file>/<name>`, or the floor.
fn by_place(id: &str) -> OrgRole {
    let team = id.strip_prefix("team/").and_then(|rest| rest.split('/').next()).and_then(|team| Team::new(team).ok());
    team.map_or(OrgRole::Platform, |team| OrgRole::of(&team, Post::Owner))
}
