//! Servers on the wire: how one is registered, and how it is shown.

use std::collections::{BTreeMap, BTreeSet};

use remit_core::feature::Feature;
use remit_core::id::{ServerName, Team, ToolName};
use remit_core::registry::{Environment, Upstream};
use remit_core::role::OrgRole;
use remit_core::secret::{Place, Value};
use serde::{Deserialize, Serialize};

use crate::broker::connect::ConnectionShown;
use crate::broker::record::{Behalf, OauthRecord, Scope};
use crate::change::{ServerRecord, ToolRecord};
use crate::learn::Override;

/// Whose calls a credential is for, as people name them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// Everybody's.
    #[default]
    All,
    /// Those of this team's agents.
    Team(Team),
    /// Those of runs that act for this person: name or pseudonym.
    Principal(String),
}

impl Whose {
    pub(super) fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// An access token that was lent to an administrator. No `Debug`.
#[derive(Serialize, Deserialize)]
pub struct Borrowed {
    /// The token.
    pub access_token: Value,
}

/// A server to register.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddServer {
    /// Its name, in `/mcp/<name>`.
    pub name: ServerName,
    /// Where it belongs.
    pub environment: Environment,
    /// Who answers for what its tools do; the platform where nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OrgRole>,
    /// How it is reached.
    pub upstream: Upstream,
    /// The raw result of `tools/list`.
    pub list: String,
    /// The menu: what is not named here is exposed to nobody.
    #[serde(default)]
    pub expose: Vec<ToolName>,
    /// The reviewer's words, by tool.
    #[serde(default)]
    pub overrides: BTreeMap<String, Override>,
    /// Prompts that are exposed.
    #[serde(default)]
    pub prompts: Vec<ToolName>,
    /// Whether resources may be read at all.
    #[serde(default)]
    pub resources: bool,
    /// Features of a client that it may use, where that was granted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<Feature>,
    /// How its access tokens are got; as before where nothing is said. The line's one credential is then the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<Oauth>,
}

/// How the authority becomes a client of a server's authorization server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oauth {
    /// On whose behalf.
    pub behalf: Behalf,
    /// Our name there, where somebody has registered us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Whether the authority makes a key, and proves itself by that.
    #[serde(default)]
    pub key: bool,
    /// What is asked for, separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The authorization server, where the server names none, or several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

impl AddServer {
    /// Whether anything of it is on the menu from the start.
    pub(crate) fn shows_something(&self) -> bool {
        !self.expose.is_empty() || !self.prompts.is_empty() || self.resources || !self.features.is_empty()
    }
}

/// A server with its tools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerShown {
    /// The registration.
    pub server: ServerRecord,
    /// Its tools, exposed or not.
    pub tools: Vec<ToolRecord>,
    /// Its credentials, as far as anybody is shown them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretShown>,
    /// How its access tokens are got, where they are; without what is sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OauthRecord>,
    /// Where its authorization server sends people back to, where it does: the redirect URI of our client there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// Who is connected to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<ConnectionShown>,
    /// Why what is registered now could not become a bundle.
    pub bundle_error: Option<String>,
}

/// That there is a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretShown {
    /// Where it goes.
    pub place: Place,
    /// Its version.
    pub version: u64,
    /// A setting that is no secret by itself.
    pub plain: bool,
    /// Whose calls it is for.
    #[serde(default, skip_serializing_if = "Scope::is_all")]
    pub scope: Scope,
    /// Since when, in seconds since 1970.
    pub at: i64,
    /// Who gave it.
    pub by: String,
}
