//! Teams, roles, owners, ends of registrations and imports: what changes do to them, and questions.

use remit_core::id::{AgentId, PrincipalId, Team};
use remit_core::role::{OrgRole, Post};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::Store;
use crate::change::{AgentRecord, Grant, Principal};
use crate::error::AuthorityError;
use crate::org::{Import, Owned, Renewal, RoleRecord, TeamRecord};

type Applied = Result<(), AuthorityError>;

pub(super) fn team(tx: &Transaction<'_>, record: &TeamRecord) -> Applied {
    let sql = "INSERT INTO teams (name, removed, record) VALUES (?1, ?2, ?3)
               ON CONFLICT (name) DO UPDATE SET removed = excluded.removed, record = excluded.record";
    tx.execute(sql, params![record.name.as_str(), record.removed, serde_json::to_string(record)?])?;
    // Nobody holds anything of a team that was given up; whoever takes it up begins anew.
    let sql = "DELETE FROM roles WHERE role IN (?1, ?2, ?3)";
    let [owner, approver, deputy] = Post::ALL.map(|post| OrgRole::of(&record.name, post).to_string());
    if record.removed {
        tx.execute(sql, [owner, approver, deputy])?;
    } else {
        give(tx, &owner, &record.by, record.at)?;
    }
    Ok(())
}

fn give(tx: &Transaction<'_>, role: &str, person: &PrincipalId, at: i64) -> Applied {
    let sql = "INSERT INTO roles (role, person, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    tx.execute(sql, params![role, person.as_str(), at])?;
    Ok(())
}

pub(super) fn role(tx: &Transaction<'_>, record: &RoleRecord) -> Applied {
    let role = record.role.to_string();
    if record.holds {
        return give(tx, &role, &record.person, record.at);
    }
    tx.execute("DELETE FROM roles WHERE role = ?1 AND person = ?2", [role.as_str(), record.person.as_str()])?;
    Ok(())
}

/// Whoever registers the first agent of a team that nobody has added owns both.
pub(super) fn first_owner(tx: &Transaction<'_>, record: &AgentRecord) -> Applied {
    let known = "SELECT 1 FROM teams WHERE name = ?1";
    let name = &record.id.team;
    if tx.query_row(known, [name.as_str()], |_| Ok(())).optional()?.is_some() {
        return Ok(());
    }
    let Ok(by) = PrincipalId::new(record.by.clone()) else { return Ok(()) };
    team(tx, &TeamRecord { name: name.clone(), removed: false, at: record.at, by })
}

pub(super) fn renewed(tx: &Transaction<'_>, renewal: &Renewal) -> Applied {
    tx.execute("UPDATE agents SET expires = ?2 WHERE id = ?1", params![renewal.agent.to_string(), renewal.until])?;
    Ok(())
}

pub(super) fn owned(tx: &Transaction<'_>, owned: &Owned) -> Applied {
    let sql = "INSERT INTO owners (agent, team) VALUES (?1, ?2) ON CONFLICT (agent) DO UPDATE SET team = excluded.team";
    tx.execute(sql, [owned.agent.as_str(), owned.team.as_str()])?;
    Ok(())
}

pub(super) fn import(tx: &Transaction<'_>, import: &Import) -> Applied {
    let sql =
        "INSERT INTO imports (id, record) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET record = excluded.record";
    tx.execute(sql, [import.id.as_str(), &serde_json::to_string(import)?])?;
    Ok(())
}

/// Whoever was erased holds nothing.
pub(super) fn forget(tx: &Transaction<'_>, person: &PrincipalId) -> Applied {
    tx.execute("DELETE FROM roles WHERE person = ?1", [person.as_str()])?;
    Ok(())
}

impl Store {
    pub(crate) fn teams(&self) -> Result<Vec<TeamRecord>, AuthorityError> {
        self.all("SELECT record FROM teams ORDER BY name", [])
    }

    pub(crate) fn team(&self, name: &Team) -> Result<Option<TeamRecord>, AuthorityError> {
        self.one("SELECT record FROM teams WHERE name = ?1", [name.as_str()])
    }

    pub(crate) fn holds(&self, person: &PrincipalId, role: &OrgRole) -> Result<bool, AuthorityError> {
        let sql = "SELECT json_array(1) FROM roles WHERE role = ?1 AND person = ?2";
        Ok(self.one::<[u8; 1]>(sql, [role.to_string().as_str(), person.as_str()])?.is_some())
    }

    /// Whether anybody holds a role; those that were forgotten hold nothing.
    pub(crate) fn is_held(&self, role: &OrgRole) -> Result<bool, AuthorityError> {
        let sql = "SELECT json_array(1) FROM roles JOIN principals ON id = person WHERE role = ?1 LIMIT 1";
        Ok(self.one::<[u8; 1]>(sql, [role.to_string()])?.is_some())
    }

    /// Who holds a role; those that were forgotten hold nothing.
    pub(crate) fn holders(&self, role: &OrgRole) -> Result<Vec<Principal>, AuthorityError> {
        let sql =
            "SELECT json_object('id', id, 'name', name, 'at', principals.at) FROM roles JOIN principals ON id = person
                   WHERE role = ?1 ORDER BY roles.at, name";
        self.all(sql, [role.to_string()])
    }

    /// Every role that somebody holds.
    pub(crate) fn roles(&self) -> Result<Vec<OrgRole>, AuthorityError> {
        let all: Vec<[String; 1]> = self.all("SELECT DISTINCT json_array(role) FROM roles ORDER BY role", [])?;
        Ok(all.into_iter().filter_map(|[role]| role.parse().ok()).collect())
    }

    /// The team that answers for an agent, `<team>/<name>`, where that is not the one in its name.
    pub(crate) fn owner_team(&self, agent: &str) -> Result<Option<Team>, AuthorityError> {
        let found: Option<[Team; 1]> = self.one("SELECT json_array(team) FROM owners WHERE agent = ?1", [agent])?;
        Ok(found.map(|[team]| team))
    }

    /// The end of a registration, in seconds since 1970; nothing where an earlier release knew none.
    pub(crate) fn expires(&self, agent: &AgentId) -> Result<Option<i64>, AuthorityError> {
        let sql = "SELECT json_array(expires) FROM agents WHERE id = ?1 AND expires IS NOT NULL";
        Ok(self.one::<[i64; 1]>(sql, [agent.to_string()])?.map(|[at]| at))
    }

    /// Agents whose registration has no end yet.
    pub(crate) fn endless_agents(&self) -> Result<Vec<AgentRecord>, AuthorityError> {
        self.all("SELECT record FROM agents WHERE expires IS NULL ORDER BY id", [])
    }

    /// What an agent was ever granted, in this version.
    pub(crate) fn grants_of_agent(&self, agent: &AgentId) -> Result<Vec<Grant>, AuthorityError> {
        let sql = "SELECT grants.record FROM grants JOIN runs ON runs.id = grants.run WHERE runs.agent = ?1";
        self.all(sql, [agent.to_string()])
    }

    pub(crate) fn import(&self, id: &str) -> Result<Option<Import>, AuthorityError> {
        self.one("SELECT record FROM imports WHERE id = ?1", [id])
    }

    /// Imports that nobody has answered, by their ids.
    pub(crate) fn open_imports(&self) -> Result<Vec<Import>, AuthorityError> {
        let sql = "SELECT record FROM imports WHERE json_extract(record, '$.taken') IS NULL ORDER BY rowid";
        self.all(sql, [])
    }
}
