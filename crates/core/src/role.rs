//! Who answers for something: a role that people hold, never one person.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{Team, shown};

/// What somebody does for a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Post {
    /// Registers and widens the team's agents, and says who is in it.
    Owner,
    /// Answers what needs a person's word.
    Approver,
    /// Answers in the place of an approver.
    Deputy,
}

impl Post {
    /// Every post, as they are shown.
    pub const ALL: [Post; 3] = [Post::Owner, Post::Approver, Post::Deputy];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Post::Owner => "owner",
            Post::Approver => "approver",
            Post::Deputy => "deputy",
        }
    }

    /// The post of this name.
    pub fn named(name: &str) -> Option<Self> {
        Post::ALL.into_iter().find(|post| post.name() == name)
    }
}

/// A role of the organization: `platform`, `agent-security`, or `<team>/owner`, `<team>/approver`, `<team>/deputy`. Each of
/// the first two has a deputy too, `platform/deputy` and `agent-security/deputy`: no team has their names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum OrgRole {
    /// Owns the floor, the registry of servers, and the authority itself.
    Platform,
    /// Stops versions of agents, and lets them go on.
    AgentSecurity,
    /// A post in a team.
    Team(Team, Post),
}

/// A text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a role: there are `platform`, `agent-security`, and `owner`, `approver` and `deputy` of each team, as TEAM/owner"
)]
pub struct RoleError(String);

impl OrgRole {
    /// Names that no team may have.
    pub const RESERVED: [&str; 2] = ["platform", "agent-security"];

    /// The role of a team.
    pub fn of(team: &Team, post: Post) -> Self {
        Self::Team(team.clone(), post)
    }

    /// Who stands in where none of the role is there.
    pub fn deputy(&self) -> Option<Self> {
        let team = match self {
            Self::Platform => Team::new("platform").ok()?,
            Self::AgentSecurity => Team::new("agent-security").ok()?,
            Self::Team(team, _) => team.clone(),
        };
        Some(Self::Team(team, Post::Deputy))
    }

    /// The team that it is a role of; nothing for a role of the platform.
    pub fn team(&self) -> Option<&Team> {
        match self {
            Self::Team(team, _) => Some(team).filter(|team| !Self::RESERVED.contains(&team.as_str())),
            Self::Platform | Self::AgentSecurity => None,
        }
    }
}

impl fmt::Display for OrgRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::AgentSecurity => f.write_str("agent-security"),
            Self::Team(team, post) => write!(f, "{team}/{}", post.name()),
        }
    }
}

impl std::str::FromStr for OrgRole {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let bad = || RoleError(shown(text));
        match text {
            "platform" => return Ok(Self::Platform),
            "agent-security" => return Ok(Self::AgentSecurity),
            _ => {}
        }
        let (team, post) = text.split_once('/').ok_or_else(bad)?;
        let (team, post) = (Team::new(team).map_err(|_| bad())?, Post::named(post).ok_or_else(bad)?);
        // The two others have nobody but a deputy beside themselves.
        let fits = post == Post::Deputy || !Self::RESERVED.contains(&team.as_str());
        if fits { Ok(Self::Team(team, post)) } else { Err(bad()) }
    }
}

impl TryFrom<String> for OrgRole {
    type Error = RoleError;
    fn try_from(text: String) -> Result<Self, RoleError> {
        text.parse()
    }
}

impl From<OrgRole> for String {
    fn from(role: OrgRole) -> String {
        role.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: let a team be called as a role of the platform is, or take any word for a post.
    #[test]
    fn a_role_is_read_as_it_is_written_and_nothing_else_is_one() {
        for text in ["platform", "agent-security", "support/owner", "b/approver", "b/deputy", "platform/deputy"] {
            assert_eq!(text.parse::<OrgRole>().map(|role| role.to_string()).as_deref(), Ok(text));
        }
        for text in
            ["", "support", "support/", "/owner", "support/chief", "Support/owner", "platform/owner", "a/b/owner"]
        {
            assert!(text.parse::<OrgRole>().is_err(), "{text}");
        }
        let deputy = |text: &str| text.parse::<OrgRole>().unwrap().deputy().unwrap().to_string();
        assert_eq!(["platform", "b/approver"].map(deputy), ["platform/deputy", "b/deputy"]);
        assert_eq!("platform/deputy".parse::<OrgRole>().unwrap().team(), None);
    }
}
