//! The claims of a token: every claim name that Remit mints or reads stands in this module.
//!
//! RFC 9068 access tokens (`typ: at+jwt`); `act` chains as in RFC 8693 section 4.1 and the OAuth actor profile;
//! permissions in `authorization_details` (RFC 9396); key binding in `cnf.jkt` (RFC 9449 section 6.1).

use serde::{Deserialize, Serialize};

use crate::grant::Detail;
use crate::id::{AgentId, GrantId, Instance, PrincipalId, RunId};
use crate::label::Trust;

/// The version of these claims, in `ver`. A token of another version is not understood, so it is refused.
pub const CLAIMS_VERSION: u32 = 1;
/// The `typ` of an access token (RFC 9068 section 2.1).
pub const TOKEN_TYPE: &str = "at+jwt";
/// `sub_profile` of a person.
pub const PROFILE_USER: &str = "user";
/// `sub_profile` of an acting instance, and of an agent that acts for itself.
pub const PROFILE_AGENT: &str = "ai_agent client_instance";
/// Deepest delegation that is minted or accepted, in links below the root.
pub const DELEGATION_DEPTH_MAX: u32 = 8;
/// Most tokens that one was exchanged from, one after the other, along its whole lineage.
pub const EXCHANGES_MAX: usize = 8;
/// Longest free text in a token (a reason, a purpose), in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;

/// An access token's payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Version of the claims: [`CLAIMS_VERSION`].
    pub ver: u32,
    /// The authority.
    pub iss: String,
    /// The gateway's URLs that may accept the token.
    pub aud: Vec<String>,
    /// End, in seconds since 1970.
    pub exp: i64,
    /// Time of minting, in seconds since 1970.
    pub iat: i64,
    /// The token's own id.
    pub jti: String,
    /// On whose behalf: a pseudonym.
    pub sub: PrincipalId,
    /// [`PROFILE_USER`], or [`PROFILE_AGENT`] for an agent that acts for itself.
    pub sub_profile: String,
    /// The person's name. It reaches the log only as a commitment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The registered agent.
    pub client_id: AgentId,
    /// The acting instance and those that delegated to it.
    pub act: Actor,
    /// The key to which the token is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// What may be done.
    pub authorization_details: Vec<Detail>,
    /// What it is for.
    pub task: Task,
    /// The run that holds the token.
    pub run: RunId,
    /// The first run of its tree.
    pub root: RunId,
    /// When the root was launched, in seconds since 1970: a gateway that lost its memory since then knows nothing of
    /// what the root has read.
    pub root_at: i64,
    /// The end of the root's ceiling, in seconds since 1970: no grant of its tree ends later, and until then a gateway must
    /// remember what the tree has read.
    pub root_until: i64,
    /// The grant that the token states.
    pub gid: GrantId,
    /// Ids of the tokens from the root's to the parent's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lin: Vec<String>,
    /// Ids of the tokens from which this one and those of its lineage were exchanged for less, the first first: whoever
    /// takes one of them back means all that came of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// Thumbprints of the keys by which runs of its lineage handed it on themselves, the first first; none in a token as
    /// the authority mints it. The nearest of its lineage began by these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lin_jkt: Vec<String>,
    /// Links below the root.
    pub del_depth: u32,
    /// Links below the root that may be reached.
    pub del_max_depth: u32,
    /// The grant's end and who decided it.
    pub grant: Decision,
    /// Whether the run was launched in the prescribed way: `golden`, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// An acting instance (RFC 8693 section 4.1, with the members of the actor profile).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The instance.
    pub sub: Instance,
    /// Who vouches for it.
    pub iss: String,
    /// [`PROFILE_AGENT`].
    pub sub_profile: String,
    /// The instance that delegated to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

/// The key that the presenter must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Its SHA-256 thumbprint.
    pub jkt: String,
}

/// What a run is for, in words given out of band of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The task's id.
    pub id: String,
    /// The agent's declared purpose.
    pub purpose: String,
    /// The reason given for this grant. It reaches the log only as a commitment.
    pub why: String,
    /// How far that reason can be trusted: untrusted where it was given from inside the run, in the words of a model.
    #[serde(default = "verified", skip_serializing_if = "is_verified")]
    pub trust: Trust,
}

fn verified() -> Trust {
    Trust::Verified
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_verified(trust: &Trust) -> bool {
    *trust == Trust::Verified
}

/// Who decided a grant, and until when it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// End of the grant, in seconds since 1970. Its tokens end earlier.
    pub until: i64,
    /// What decided it: `policy`, or the pseudonym of an approver.
    pub by: String,
}

impl Claims {
    /// Acting instances, from the one that holds the token to the root's.
    pub fn lineage(&self) -> impl Iterator<Item = &Instance> {
        std::iter::successors(Some(&self.act), |actor| actor.act.as_deref()).map(|actor| &actor.sub)
    }

    /// Whether the claims agree with each other; a token of ours always does.
    pub fn coherent(&self) -> bool {
        let links = self.lineage().take(DELEGATION_DEPTH_MAX.saturating_add(2) as usize).count();
        self.ver == CLAIMS_VERSION
            && self.act.sub.agent == self.client_id
            && self.act.sub.run == self.run
            && links == (self.del_depth as usize).saturating_add(1)
            && self.lin.len() == self.del_depth as usize
            && self.via.len() <= EXCHANGES_MAX
            && self.lin_jkt.len() <= self.del_depth as usize
            && self.del_depth <= self.del_max_depth
            && self.del_max_depth <= DELEGATION_DEPTH_MAX
            && self.lineage().last().is_some_and(|first| first.run == self.root)
            && self.exp <= self.grant.until
            && self.grant.until <= self.root_until
            && self.root_at <= self.iat
            && self.iat < self.exp
            && self.task.purpose.len() <= TEXT_BYTES_MAX
            && self.task.why.len() <= TEXT_BYTES_MAX
            && self.name.as_ref().is_none_or(|name| name.len() <= TEXT_BYTES_MAX)
            && self.authorization_details.iter().all(Detail::well_formed)
    }
}
