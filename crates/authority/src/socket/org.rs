//! What is said over the admin socket about teams, roles and people, and about how agents stand.

use remit_core::id::{ServerName, Team};
use remit_core::role::OrgRole;
use serde::{Deserialize, Serialize};

use crate::org::TeamRecord;

/// What is asked about teams, roles and people. No `Debug`: some of it holds a PIN.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TeamAsk {
    /// Registers a team; whoever asks owns it: [`TeamShown`]. One that was given up is the platform's to bring back.
    Add {
        /// Its name.
        name: Team,
    },
    /// All teams: a list of [`TeamShown`].
    List {},
    /// One team: [`TeamShown`].
    Show {
        /// Its name.
        name: Team,
    },
    /// Gives a team up: [`TeamShown`]. For its owners and the platform.
    Remove {
        /// Its name.
        name: Team,
    },
    /// Every role that somebody holds: a list of [`RoleShown`].
    Roles {},
    /// Gives a role or takes it: [`RoleShown`]. For the team's owners and the platform.
    Role {
        /// The role.
        role: OrgRole,
        /// The person's name.
        person: String,
        /// Whether they hold it from now on.
        held: bool,
    },
    /// Who is known by name: a list of names.
    People {},
    /// Makes a person known, with a PIN of their own: `{}`. One who is known is given another PIN by the platform alone.
    AddPerson {
        /// Their name.
        name: String,
        /// Their PIN, which they change.
        new: String,
    },
    /// Forgets a person's PIN, takes their roles and stops what acts for them: [`PersonGone`]. For the platform.
    RemovePerson {
        /// Their name.
        name: String,
    },
    /// A person's own change of their PIN: `{}`.
    OwnPin {
        /// The new PIN.
        new: String,
    },
}

/// What went with a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonGone {
    /// Their name.
    pub name: String,
    /// How many live runs were taken back.
    pub runs: usize,
    /// The servers to which they were connected.
    pub servers: Vec<ServerName>,
    /// Why what is registered now makes no valid bundle: a gate may hang on one person without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_error: Option<String>,
}

/// What is asked about how agents stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RegistryAsk {
    /// How every agent stands: a list of [`crate::hygiene::Standing`].
    Standings {
        /// Days without a run after which one counts as unused.
        unused_days: i64,
    },
    /// Renews a registration: [`crate::org::Renewal`]. For the team's owners and the platform.
    Renew {
        /// `<team>/<name>` or `<team>/<name>@<version>`.
        agent: String,
    },
    /// Gives an agent to another team: [`crate::org::Owned`]. For the platform.
    Own {
        /// `<team>/<name>`.
        agent: String,
        /// The team.
        team: Team,
    },
    /// Stops a version of an agent in production, or lets it go on: a revocation. For `agent-security`.
    Veto {
        /// `<team>/<name>@<version>`.
        agent: String,
        /// Whether it goes on.
        #[serde(default)]
        lift: bool,
        /// Why.
        #[serde(default)]
        why: String,
    },
    /// A signed statement about an agent: its text.
    Export {
        /// `<team>/<name>` or `<team>/<name>@<version>`.
        agent: String,
    },
    /// Brings such a statement of another authority: [`crate::org::Import`], which a person has to answer.
    Import {
        /// The statement.
        statement: String,
        /// The verifier key of the other authority's root.
        key: String,
    },
}

/// A role with who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleShown {
    /// The role.
    pub role: OrgRole,
    /// Names of who holds it.
    pub people: Vec<String>,
}

/// A team with its people and agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamShown {
    /// The team.
    pub team: TeamRecord,
    /// Its roles.
    pub roles: Vec<RoleShown>,
    /// The agents that it answers for.
    pub agents: Vec<String>,
}
