//! What is kept of an upstream's authorization server: how the authority is its client, and who has connected himself.

use remit_core::hash::b64;
use remit_core::id::{PrincipalId, ServerName, Team};
use serde::{Deserialize, Serialize};

use crate::error::AuthorityError;

/// On whose behalf access tokens are got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behalf {
    /// Our own: one token for all calls (OAuth 2.1 section 4.2).
    ClientCredentials,
    /// That of the person for whom a run acts, who has consented once (section 4.1).
    AuthorizationCode,
}

/// How the authority authenticates at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// Not at all: a public client, whose codes are bound by PKCE.
    None,
    /// The secret in `Authorization` (RFC 6749 section 2.3.1).
    ClientSecretBasic,
    /// The secret in the body.
    ClientSecretPost,
    /// A text signed by a key that the authority made (RFC 7523 section 2.2).
    PrivateKeyJwt,
}

/// How the authority is a client of an upstream's authorization server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OauthRecord {
    /// The server.
    pub server: ServerName,
    /// Its version, counted with those of the server's credentials.
    pub version: u64,
    /// On whose behalf.
    pub behalf: Behalf,
    /// The authorization server, as it names itself. No other is ever sent anything that is ours.
    pub issuer: String,
    /// What tokens are asked for (RFC 8707).
    pub resource: String,
    /// What is asked for, separated by spaces; what the server says that it needs where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Our name there.
    pub client: String,
    /// How we prove it.
    pub auth: ClientAuth,
    /// The public half of our key, where that is how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<remit_core::jws::Jwk>,
    /// The client's secret or private key, sealed, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who.
    pub by: String,
}

/// A person's connection to a server. Its tokens stand sealed in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionRecord {
    /// The server.
    pub server: ServerName,
    /// The person: the tokens are of nobody else's calls.
    pub principal: PrincipalId,
    /// Its version, counted with those of the server's credentials.
    pub version: u64,
    /// The version with which it began: all its tokens lie under one data key, which ends with it.
    pub first: u64,
    /// Which authorization server issued them, and to which client of ours.
    pub issuer: String,
    /// See `issuer`.
    pub client: String,
    /// What was granted, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The tokens, sealed, in base64url.
    pub sealed: String,
    /// Since when the person is connected, in seconds since 1970.
    pub since: i64,
    /// When the tokens were issued, in seconds since 1970.
    pub at: i64,
}

/// Whose calls a credential is for. The most specific one is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everybody's.
    #[default]
    All,
    /// Those of this team's agents.
    Team(Team),
    /// Those of runs that act for this person.
    Principal(PrincipalId),
}

impl Scope {
    /// Whether it is everybody's.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// The higher, the more specific.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::All => 0,
            Self::Team(_) => 1,
            Self::Principal(_) => 2,
        }
    }

    /// Whether a call of this team's agent for this person is one of those.
    pub(crate) fn covers(&self, caller: Option<&(PrincipalId, Team)>) -> bool {
        match (self, caller) {
            (Self::All, _) => true,
            (Self::Team(team), Some((_, of))) => team == of,
            (Self::Principal(principal), Some((of, _))) => principal == of,
            (_, None) => false,
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Team(team) => write!(f, "team:{team}"),
            Self::Principal(principal) => write!(f, "principal:{principal}"),
        }
    }
}

impl OauthRecord {
    /// Under whose data key its secret lies.
    pub(crate) fn subject(&self) -> String {
        oauth_subject(&self.server, self.version)
    }

    /// Whoever can write the database has our secret sent to no other authorization server.
    pub(crate) fn bound(&self) -> Result<Vec<u8>, AuthorityError> {
        let of = serde_json::to_string(&(&self.issuer, &self.client, &self.auth))?;
        Ok(format!("remit.oauth/v1\n{}\n{}\n{of}", self.server, self.version).into_bytes())
    }
}

impl ConnectionRecord {
    /// Under whose data key its tokens lie.
    pub(crate) fn subject(&self) -> String {
        connection_subject(&self.server, self.first)
    }

    /// Whoever can write the database moves no tokens to another person, server or authorization server.
    pub(crate) fn bound(&self) -> Result<Vec<u8>, AuthorityError> {
        let of = serde_json::to_string(&(&self.principal, &self.issuer, &self.client))?;
        Ok(format!("remit.connection/v1\n{}\n{}\n{of}", self.server, self.version).into_bytes())
    }
}

pub(crate) fn oauth_subject(server: &ServerName, version: u64) -> String {
    format!("{server} oauth {version}")
}

pub(crate) fn connection_subject(server: &ServerName, first: u64) -> String {
    format!("{server} connection {first}")
}

/// SHA-256 of a token, in base64url: how one that was refused is named.
pub(crate) fn fingerprint(value: &str) -> String {
    b64(&remit_core::hash::sha256(&[value.as_bytes()]))
}
