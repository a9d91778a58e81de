//! The organization as it is recorded: teams, who holds which role, and whose an agent is.

use remit_core::id::{AgentId, PrincipalId, Team};
use remit_core::manifest::Manifest;
use remit_core::role::OrgRole;
use serde::{Deserialize, Serialize};

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamRecord {
    /// Its name.
    pub name: Team,
    /// Whether it was given up: then its agents are frozen.
    pub removed: bool,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who.
    pub by: PrincipalId,
}

/// A person was given a role, or it was taken from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleRecord {
    /// The role.
    pub role: OrgRole,
    /// The person.
    pub person: PrincipalId,
    /// Whether they hold it from now on.
    pub holds: bool,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who gave or took it.
    pub by: PrincipalId,
}

/// A registration was renewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// The agent, in this version.
    pub agent: AgentId,
    /// Its new end, in seconds since 1970.
    pub until: i64,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who, or `upgrade` where an earlier release knew no end.
    pub by: String,
}

/// An agent, in all its versions, belongs to another team than the one in its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owned {
    /// The agent, `<team>/<name>`.
    pub agent: String,
    /// The team that answers for it from now on.
    pub team: Team,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who.
    pub by: PrincipalId,
}

/// What another authority says of one of its agents, and asks this one to take over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// What is typed to answer it.
    pub id: String,
    /// The issuer of the other authority.
    pub issuer: String,
    /// The verifier key by which the statement was verified, as whoever brought it named it.
    pub key: String,
    /// The agent, as it is known there.
    pub agent: AgentId,
    /// What it declares.
    pub manifest: Manifest,
    /// Digest of the statement, `sha256:<hex>`.
    pub digest: String,
    /// Whether it was taken over; nothing while nobody has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<bool>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who brought it, or answered.
    pub by: PrincipalId,
}

impl Import {
    /// What of it a person must have seen before it is registered, in the words of `agent.toml`.
    pub fn at_stake(&self) -> Vec<String> {
        crate::register::at_stake(&self.manifest)
    }
}
