//! Who answers for a call: the role that owns the tool, and those that own the gates before it.
//!
//! A gate says `@owner("ROLE")`; where it does not, the platform owns those of the floor, and a team's owners its own.
//! `@approvers("ROLE")` says who lifts it.

use std::collections::BTreeSet;

use cedar_policy::{EntityUid, Policy};

use crate::gate::Gate;
use crate::id::{AgentId, Team};
use crate::index::{Scope, scope};
use crate::input::Input;
use crate::policy::{Compiled, agent_name, kind, uid};
use crate::registry::ToolTier;
use crate::role::{OrgRole, Post};
use crate::target::Target;

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
    /// What its scope names.
    scope: Scope,
}

impl Gated {
    /// Whether its scope takes in what an agent does with a target. What else the policy looks at depends on the call.
    pub fn meets(&self, agent: &AgentId, target: &Target) -> bool {
        let principals = [
            uid(&kind::AGENT, &agent.short()),
            agent_name(agent),
            uid(&kind::TEAM, agent.team.as_str()),
            uid(&kind::ORG, agent.trust_domain.as_str()),
        ];
        let (actions, resources) = entities(target);
        let (principal, action, resource) = &self.scope;
        let among = |named: &Option<EntityUid>, own: &[EntityUid]| named.as_ref().is_none_or(|uid| own.contains(uid));
        among(principal, &principals)
            && action.iter().any(|action| among(action, &actions))
            && among(resource, &resources)
    }

    /// Whether its scope names this very tool.
    pub fn names(&self, target: &Target) -> bool {
        let own = uid(&kind::ACTION, &target.value());
        matches!(target, Target::Tool(..)) && self.scope.1.contains(&Some(own))
    }
}

/// Actions and resources of a target, as a call of it has them.
fn entities(target: &Target) -> (Vec<EntityUid>, Vec<EntityUid>) {
    let (value, server) = (target.value(), uid(&kind::SERVER, target.server().as_str()));
    let action = |name: &str| uid(&kind::ACTION, name);
    match target {
        Target::Tool(..) => (vec![action(&value), action("CallTool")], vec![uid(&kind::TOOL, &value), server]),
        Target::Prompt(..) => (vec![action("GetPrompt")], vec![uid(&kind::PROMPT, &value), server]),
        Target::Resource(..) => (vec![action("ReadResource")], vec![server]),
        Target::Client(..) => (vec![action("AnswerServer")], vec![server]),
    }
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
    Some(Gated { gate, owner, approvers: role("approvers"), policy: id, scope: scope(policy) })
}

/// `team/<team>/<file>/<name>`, or the floor.
fn by_place(id: &str) -> OrgRole {
    let team = id.strip_prefix("team/").and_then(|rest| rest.split('/').next()).and_then(|team| Team::new(team).ok());
    team.map_or(OrgRole::Platform, |team| OrgRole::of(&team, Post::Owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: look at one part of the scope alone, or at its action only where it is one.
    #[test]
    fn a_gate_meets_what_its_whole_scope_takes_in() {
        let agent = AgentId::parse("spiffe://acme.example/agent/support/triage/1").unwrap();
        let targets = ["tickets/refund", "docs/read", "prompt:docs/greet", "resource:docs/x:1", "client:docs/roots"];
        for (scope, met) in [
            ("principal, action, resource", [true, true, true, true, true]),
            ("principal, action in Action::\"CallTool\", resource", [true, true, false, false, false]),
            ("principal, action == Action::\"tickets/refund\", resource", [true, false, false, false, false]),
            (
                "principal, action in [Action::\"docs/read\", Action::\"GetPrompt\"], resource",
                [false, true, true, false, false],
            ),
            ("principal in Team::\"support\", action, resource in Server::\"docs\"", [false, true, true, true, true]),
            (
                "principal == Agent::\"support/triage@1\", action, resource == Tool::\"docs/read\"",
                [false, true, false, false, false],
            ),
            (
                "principal in AgentName::\"support/triage\", action == Action::\"AnswerServer\", resource",
                [false, false, false, false, true],
            ),
            (
                "principal in Org::\"acme.example\", action == Action::\"ReadResource\", resource",
                [false, false, false, true, false],
            ),
            ("principal in Team::\"desk\", action, resource", [false; 5]),
        ] {
            let text = format!("@gate(\"approval\") forbid ({scope});");
            let gate = gated(&text.parse().unwrap()).unwrap();
            let targets = targets.map(|target| target.parse::<Target>().unwrap());
            assert_eq!(targets.each_ref().map(|target| gate.meets(&agent, target)), met, "{scope}");
            let names = targets.each_ref().map(|target| gate.names(target));
            let tools =
                [scope.contains("tickets/refund"), scope.contains("Action::\"docs/read\""), false, false, false];
            assert_eq!(names, tools, "{scope}");
        }
    }
}
