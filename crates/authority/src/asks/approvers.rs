//! Who answers an ask: the role that policy names, and of its people those who have no part in it.
//!
//! Policy names it by `@approvers` of a gate before the target. Where no gate does, the approvers of whoever owns the server
//! answer for a tool of T2 or above, and the approvers of the agent's team for all else.

use std::collections::BTreeSet;

use remit_core::id::{AgentId, PrincipalId, Team};
use remit_core::registry::ToolTier;
use remit_core::rejection::{Code, Rejection};
use remit_core::role::{OrgRole, Post};
use remit_core::target::Target;

use crate::authority::State;
use crate::error::AuthorityError;
use crate::roles;
use crate::standing::owner;
use crate::store::Store;

/// People without whom an ask would hang on one person.
const ANSWERERS_MIN: usize = 2;
/// From this tier on a call can do harm beyond the agent's own scope, and the server's people are asked.
const HIGH_IMPACT: ToolTier = ToolTier::T2;

/// The role for all of these targets, and the gate that names it.
pub(super) fn role(
    state: &State,
    store: &Store,
    agent: &AgentId,
    targets: &[Target],
) -> Result<(OrgRole, Option<String>), AuthorityError> {
    let mut found: Option<(OrgRole, Option<String>)> = None;
    for target in targets {
        let next = of(state, store, agent, target)?;
        match &found {
            Some((role, _)) if *role != next.0 => {
                let message = format!("{role} answers for one of these, and {} for `{target}`", next.0);
                return Err(refused(Code::RequestInvalid, message, "ask for them one by one"));
            }
            _ => found = Some(next),
        }
    }
    found.ok_or_else(|| refused(Code::RequestInvalid, "no tool is named".into(), "name what is needed"))
}

fn of(
    state: &State,
    store: &Store,
    agent: &AgentId,
    target: &Target,
) -> Result<(OrgRole, Option<String>), AuthorityError> {
    // Gates are sorted by name; one that names the tool itself knows it better than one that meets many.
    let mut gates = state.gates();
    gates.retain(|gate| gate.approvers.is_some() && gate.meets(agent, target));
    gates.sort_by_key(|gate| !gate.names(target));
    if let Some((role, gate)) = gates.into_iter().find_map(|gate| Some((gate.approvers?, gate.policy))) {
        return Ok((role, Some(gate)));
    }
    if harmful(store, target)? {
        let server = store.server(target.server())?.and_then(|server| server.owner).unwrap_or(OrgRole::Platform);
        return Ok((approvers_of(&server), None));
    }
    Ok((OrgRole::of(&owner(store, agent)?, Post::Approver), None))
}

fn harmful(store: &Store, target: &Target) -> Result<bool, AuthorityError> {
    let Target::Tool(server, Some(name)) = target else { return Ok(false) };
    Ok(store.tools(server)?.iter().any(|tool| tool.name == *name && tool.tier >= HIGH_IMPACT))
}

/// Who answers for what a role owns: a team has approvers, the two others are their own.
fn approvers_of(owner: &OrgRole) -> OrgRole {
    let approvers = |team: &Team| OrgRole::of(team, Post::Approver);
    owner.team().map_or_else(|| owner.clone(), approvers)
}

/// Who has a part in it: whoever asks, for whom it is, and who owns the agent.
pub(super) fn barred(
    store: &Store,
    agent: &AgentId,
    by: &PrincipalId,
    principal: &PrincipalId,
) -> Result<BTreeSet<PrincipalId>, AuthorityError> {
    let owners = store.holders(&OrgRole::of(&owner(store, agent)?, Post::Owner))?;
    Ok(owners.into_iter().map(|person| person.id).chain([by.clone(), principal.clone()]).collect())
}

/// Names of who can answer: who holds the role, or is its deputy, and has no part in it.
pub(super) fn people(
    store: &Store,
    role: &OrgRole,
    barred: &BTreeSet<PrincipalId>,
) -> Result<Vec<String>, AuthorityError> {
    let mut people = store.holders(role)?;
    if let Some(deputy) = role.deputy() {
        people.extend(store.holders(&deputy)?);
    }
    people.retain(|person| !barred.contains(&person.id));
    let names: BTreeSet<String> = people.into_iter().map(|person| person.name).collect();
    Ok(names.into_iter().collect())
}

/// The same, where it hangs on no one person: the role stands, and two at least have no part in it.
pub(super) fn enough(
    store: &Store,
    role: &OrgRole,
    barred: &BTreeSet<PrincipalId>,
) -> Result<Vec<String>, AuthorityError> {
    let people = people(store, role, barred)?;
    if people.len() >= ANSWERERS_MIN && roles::staffed(store, role, None)? {
        return Ok(people);
    }
    let deputy = role.deputy().map_or_else(String::new, |deputy| deputy.to_string());
    let message = format!(
        "this ask would hang on one person: {role} needs two people and another one as {deputy}, and two of them who \
         neither ask nor own the agent"
    );
    Err(refused(Code::RoleRequired, message, &format!("give the role to more people: remit role give {role} PERSON")))
}

/// Whether a person may answer: one who holds the role, or is its deputy, and has no part in it.
pub(super) fn may_answer(
    store: &Store,
    role: &OrgRole,
    barred: &BTreeSet<PrincipalId>,
    person: &PrincipalId,
) -> Result<(), AuthorityError> {
    let answering: Vec<OrgRole> = [Some(role.clone()), role.deputy()].into_iter().flatten().collect();
    roles::required(store, person, &answering)?;
    if !barred.contains(person) {
        return Ok(());
    }
    let message = "whoever asks, for whom it is, and who owns the agent do not answer".into();
    let others = people(store, role, barred)?;
    Err(refused(Code::RoleRequired, message, &format!("ask one who has no part in it: {}", others.join(", "))))
}

fn refused(code: Code, message: String, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
