//! Who holds which role, and what belongs to which one.
//!
//! **Invariant:** whether somebody may do what belongs to a role is asked in one place, [`holds`], by pseudonym and role:
//! how the person was recognized is not its business.

use remit_core::id::{PrincipalId, Team};
use remit_core::owner::Gated;
use remit_core::rejection::{Code, Rejection};
use remit_core::role::{OrgRole, Post};

use crate::authority::State;
use crate::change::{Change, Principal};
use crate::error::AuthorityError;
use crate::org::{RoleRecord, TeamRecord};
use crate::socket::wire::{RoleShown, TeamShown};
use crate::store::Store;

/// People without whom a role does not stand: two, and a deputy besides.
const APPROVERS_MIN: usize = 2;

/// Whether a person holds a role.
pub(crate) fn holds(store: &Store, person: &PrincipalId, role: &OrgRole) -> Result<bool, AuthorityError> {
    store.holds(person, role)
}

/// Refuses whoever holds none of these roles, and says to whom to turn.
pub(crate) fn required(store: &Store, person: &PrincipalId, roles: &[OrgRole]) -> Result<(), AuthorityError> {
    for role in roles {
        if holds(store, person, role)? {
            return Ok(());
        }
    }
    let names = |people: Vec<Principal>| people.into_iter().map(|person| person.name);
    let mut there = Vec::new();
    for role in roles {
        there.extend(names(store.holders(role)?));
    }
    let all: Vec<String> = roles.iter().map(ToString::to_string).collect();
    let own = store.principal_by_id(person)?.map_or_else(|| person.to_string(), |person| person.name);
    let message = format!("this belongs to {}, and {own} does not hold it", all.join(" or "));
    let help = match (there.as_slice(), roles.first()) {
        ([], Some(role)) => format!("nobody does; the platform gives it: remit role give {role} PERSON"),
        _ => format!("ask one who does: {}; they add --as NAME", there.join(", ")),
    };
    Err(AuthorityError::Refused(Rejection::new(Code::RoleRequired, message, help)))
}

/// Whether a role has at least two people, and a deputy who is neither; without a person in a role, where one is left out.
pub(crate) fn staffed(
    store: &Store,
    role: &OrgRole,
    without: Option<(&OrgRole, &PrincipalId)>,
) -> Result<bool, AuthorityError> {
    let left = |of: &OrgRole| -> Result<Vec<Principal>, AuthorityError> {
        let mut people = store.holders(of)?;
        people.retain(|one| without.is_none_or(|(role, person)| role != of || one.id != *person));
        Ok(people)
    };
    let people = left(role)?;
    let deputies = role.deputy().map(|deputy| left(&deputy)).transpose()?.unwrap_or_default();
    let beside = deputies.iter().any(|deputy| !people.contains(deputy));
    Ok(people.len() >= APPROVERS_MIN && beside)
}

/// Refuses gates that hang on one person.
pub(crate) fn gates_stand(store: &Store, gates: &[Gated]) -> Result<(), AuthorityError> {
    for gate in gates {
        let Some(role) = &gate.approvers else { continue };
        if !staffed(store, role, None)? {
            return Err(AuthorityError::Bundle(hangs(gate, role)));
        }
    }
    Ok(())
}

fn hangs(gate: &Gated, role: &OrgRole) -> String {
    let deputy = role.deputy().map_or_else(String::new, |deputy| deputy.to_string());
    format!(
        "the gate `{}` would hang on one person: {role} needs two people and another one as {deputy} (remit role give {role} PERSON)",
        gate.policy
    )
}

impl State {
    /// Registers a team, or takes up one that was given up. `by` is its first owner.
    pub(crate) fn add_team(&self, name: &Team, by: &PrincipalId) -> Result<TeamShown, AuthorityError> {
        unreserved(name)?;
        let mut core = self.core();
        if core.journal.store().team(name)?.is_some_and(|team| !team.removed) {
            let help = format!("see who is in it: remit team show {name}");
            return Err(refused(format!("there is a team `{name}` already"), help));
        }
        let record = TeamRecord { name: name.clone(), removed: false, at: self.config.clock.now(), by: by.clone() };
        core.journal.record(&Change::Team(record))?;
        shown(core.journal.store(), name)
    }

    /// Gives a team up: its agents are frozen until they have another owner.
    pub(crate) fn remove_team(&self, name: &Team, by: &PrincipalId) -> Result<TeamShown, AuthorityError> {
        let mut core = self.core();
        let before = shown(core.journal.store(), name)?;
        for role in before.roles.iter().filter(|role| !role.people.is_empty()) {
            self.not_under_a_gate(&role.role)?;
        }
        let record = TeamRecord { name: name.clone(), removed: true, at: self.config.clock.now(), by: by.clone() };
        core.journal.record(&Change::Team(record))?;
        shown(core.journal.store(), name)
    }

    /// A team with its people and agents.
    pub(crate) fn team(&self, name: &Team) -> Result<TeamShown, AuthorityError> {
        shown(self.core().journal.store(), name)
    }

    /// All teams.
    pub(crate) fn teams(&self) -> Result<Vec<TeamShown>, AuthorityError> {
        let core = self.core();
        let store = core.journal.store();
        store.teams()?.iter().map(|team| shown(store, &team.name)).collect()
    }

    /// Every role that somebody holds, with who does.
    pub(crate) fn roles(&self) -> Result<Vec<RoleShown>, AuthorityError> {
        let core = self.core();
        let store = core.journal.store();
        store.roles()?.into_iter().map(|role| role_shown(store, role)).collect()
    }

    /// Gives a person a role, or takes it from them.
    pub(crate) fn put_role(
        &self,
        role: &OrgRole,
        person: &str,
        holds_now: bool,
        by: &PrincipalId,
    ) -> Result<RoleShown, AuthorityError> {
        let mut core = self.core();
        let store = core.journal.store();
        let id = store.principal_named(person)?.ok_or_else(|| {
            refused(format!("nobody is known as `{person}`"), format!("make them known: remit person add {person}"))
        })?;
        if let Some(team) = role.team() {
            live(store, team)?;
        }
        if !holds_now {
            let last = matches!(role, OrgRole::Team(_, Post::Owner)) && store.holders(role)?.len() == 1;
            if last && holds(store, &id, role)? {
                let team = role.team().map_or_else(String::new, ToString::to_string);
                let help = format!(
                    "give it to somebody else first: remit role give {role} PERSON; or: remit team remove {team}"
                );
                return Err(refused(format!("{person} is the last {role}, and its agents would be nobody's"), help));
            }
        }
        let record = RoleRecord {
            role: role.clone(),
            person: id.clone(),
            holds: holds_now,
            at: self.config.clock.now(),
            by: by.clone(),
        };
        if !holds_now && holds(store, &id, role)? && self.loses_staff(store, role, &id)? {
            self.not_under_a_gate(role)?;
        }
        core.journal.record(&Change::Role(record))?;
        role_shown(core.journal.store(), role.clone())
    }

    /// Whether a gate would hang on one person without this one in this role.
    fn loses_staff(&self, store: &Store, role: &OrgRole, person: &PrincipalId) -> Result<bool, AuthorityError> {
        for gate in self.gates() {
            let Some(approvers) = gate.approvers else { continue };
            if !staffed(store, &approvers, Some((role, person)))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Refuses what would leave a gate on one person.
    fn not_under_a_gate(&self, role: &OrgRole) -> Result<(), AuthorityError> {
        let gates = self.gates();
        let hit =
            |gate: &&Gated| gate.approvers.as_ref().is_some_and(|of| of == role || of.deputy().as_ref() == Some(role));
        match gates.iter().find(hit) {
            None => Ok(()),
            Some(gate) => {
                let message = format!("the gate `{}` would hang on one person without them", gate.policy);
                Err(refused(message, format!("give {role} to somebody else first: remit role give {role} PERSON")))
            }
        }
    }
}

/// A team that somebody can be in: it is there, and not given up.
pub(crate) fn live(store: &Store, name: &Team) -> Result<TeamRecord, AuthorityError> {
    let team = store.team(name)?.filter(|team| !team.removed);
    team.ok_or_else(|| refused(format!("there is no team `{name}`"), format!("register it: remit team add {name}")))
}

/// Names of roles are no names of teams.
pub(crate) fn unreserved(name: &Team) -> Result<(), AuthorityError> {
    if OrgRole::RESERVED.contains(&name.as_str()) {
        return Err(refused(format!("`{name}` is the name of a role, not of a team"), "choose another name".into()));
    }
    Ok(())
}

fn shown(store: &Store, name: &Team) -> Result<TeamShown, AuthorityError> {
    let team = store.team(name)?.ok_or_else(|| {
        refused(
            format!("there is no team `{name}`"),
            format!("see which there are: remit team list; or: remit team add {name}"),
        )
    })?;
    let roles = Post::ALL.into_iter().map(|post| role_shown(store, OrgRole::of(name, post)));
    let agents = store.agents()?.into_iter().map(|agent| agent.id);
    let mut own = Vec::new();
    for agent in agents {
        let owner = store.owner_team(&format!("{}/{}", agent.team, agent.name))?;
        if owner.as_ref().unwrap_or(&agent.team) == name {
            own.push(agent.short());
        }
    }
    Ok(TeamShown { roles: roles.collect::<Result<_, _>>()?, agents: own, team })
}

fn role_shown(store: &Store, role: OrgRole) -> Result<RoleShown, AuthorityError> {
    let people = store.holders(&role)?.into_iter().map(|person| person.name).collect();
    Ok(RoleShown { role, people })
}

fn refused(message: String, help: String) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help))
}
