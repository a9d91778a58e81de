//! What changes hold: one record for each thing that the authority knows.

use std::collections::{BTreeMap, BTreeSet};

use remit_core::feature::Feature;
use remit_core::grant::Detail;
use remit_core::id::{AgentId, GatewayName, GrantId, Instance, PrincipalId, RunId, ServerName, ToolName};
use remit_core::jws::Jwk;
use remit_core::label::Label;
use remit_core::manifest::Manifest;
use remit_core::registry::{Environment, Role, ToolTier, Upstream};
use remit_core::role::OrgRole;
use remit_core::secret::{Place, Reference};
use serde::{Deserialize, Serialize};

use crate::broker::record::Scope;
use crate::learn::Override;

/// A person or a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// The pseudonym: 128 random bits.
    pub id: PrincipalId,
    /// The name that it stands for.
    pub name: String,
    /// The name by which it is shown, where an issuer said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// Whether it is no person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub workload: bool,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// A registered agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRecord {
    /// Its identity, with the version.
    pub id: AgentId,
    /// What its author declared.
    pub manifest: Manifest,
    /// Whether it declares more than the manifest that it replaces.
    pub widened: bool,
    /// The end of its registration, in seconds since 1970; nothing where an earlier release knew none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who.
    pub by: String,
}

/// A registered server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRecord {
    /// Its name, in `/mcp/<name>`.
    pub name: ServerName,
    /// Where it belongs.
    pub environment: Environment,
    /// Who answers for what its tools do; the platform where nobody else is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OrgRole>,
    /// How it is reached.
    pub upstream: Upstream,
    /// Prompts that are exposed.
    #[serde(default)]
    pub prompts: Vec<ToolName>,
    /// Whether resources may be read at all.
    #[serde(default)]
    pub resources: bool,
    /// Features of a client that it may use, where that was granted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<Feature>,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who.
    pub by: String,
}

/// A tool as it was reviewed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolRecord {
    /// Its name.
    pub name: ToolName,
    /// Its definition, byte for byte as the server gave it.
    pub definition: String,
    /// Digest of the definition.
    pub pin: String,
    /// The harm it can do.
    pub tier: ToolTier,
    /// The worst label of what it returns.
    pub returns: Label,
    /// What each argument is for.
    pub roles: BTreeMap<String, Role>,
    /// Its input schema.
    pub input: serde_json::Value,
    /// Whether it is on the menu.
    pub exposed: bool,
    /// What a reviewer said of it, which outlives another registration and another definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Override>,
}

/// One execution of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The first run of its tree.
    pub root: RunId,
    /// The run that began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// The agent.
    pub agent: AgentId,
    /// On whose behalf.
    pub principal: PrincipalId,
    /// Its public key.
    pub key: Jwk,
    /// Whether the authority holds the private key, in memory alone.
    pub key_held: bool,
    /// The process whose descendants are the run, with its time of start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Its end, in seconds since 1970.
    pub until: i64,
    /// Whether it was launched in the prescribed way.
    #[serde(default)]
    pub golden: bool,
    /// Ids of the tokens by which it was delegated to, from the root's to the parent's; none for a root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lin: Vec<String>,
    /// Ids of the tokens from which these were exchanged for less; none where none was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// A process, told from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it began, in clock ticks since boot.
    pub started: u64,
}

/// What a run may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The run that holds it.
    pub run: RunId,
    /// The first run of its tree.
    pub root: RunId,
    /// The agent.
    pub agent: AgentId,
    /// On whose behalf.
    pub principal: PrincipalId,
    /// What may be done.
    pub details: Vec<Detail>,
    /// Why, in the words of whoever asked.
    pub why: String,
    /// Its end, in seconds since 1970.
    pub until: i64,
    /// What decided it: `policy`, or the pseudonym of an approver.
    pub by: String,
    /// Whether it is the ceiling of its run.
    pub ceiling: bool,
    /// Whether it holds a wildcard, by the manifest's exception.
    pub wildcard: bool,
    /// The ask that a person allowed; nothing where policy alone decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<String>,
    /// From the request to the decision, in microseconds; nothing where an earlier release did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// A grant holds longer than it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// The grant.
    pub grant: GrantId,
    /// The run that holds it.
    pub run: RunId,
    /// The first run of its tree.
    pub root: RunId,
    /// The agent.
    pub agent: AgentId,
    /// Its end before, in seconds since 1970.
    pub was: i64,
    /// Its end, in seconds since 1970.
    pub until: i64,
    /// Who asked for it, or `run` where it came from inside.
    pub by: String,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// A minted token: never the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Its id.
    pub jti: String,
    /// The grant that it states.
    pub grant: GrantId,
    /// The run that holds it.
    pub run: RunId,
    /// The first run of its tree.
    pub root: RunId,
    /// The agent.
    pub agent: AgentId,
    /// On whose behalf.
    pub principal: PrincipalId,
    /// Where it is accepted.
    pub audience: Vec<String>,
    /// Ids of the tokens from which it, or what is above it, was exchanged for less.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// The key to which it is bound, or none for a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
    /// What was given with it to get the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,
    /// Its end, in seconds since 1970.
    pub exp: i64,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// What gets a client the next token: never the refresh token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// SHA-256 of the refresh token, in base64url.
    pub digest: String,
    /// The client that may use it.
    pub client: String,
    /// Whether it wants proof of the run's key, as the first token did.
    pub bound: bool,
    /// The gateway's URLs that were asked for at login.
    pub resources: Vec<String>,
}

/// The answer to a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginAnswered {
    /// What was typed to answer it.
    pub id: String,
    /// The client, as it names itself.
    pub client: String,
    /// The agent that it wanted to act as.
    pub agent: AgentId,
    /// What it asked for.
    pub tools: Vec<String>,
    /// Why it was allowed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Whether it was.
    pub allowed: bool,
    /// Who answered.
    pub by: PrincipalId,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// What was refused before anybody was known. The caller's address is personal data, and is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedRecord {
    /// What was shown: `assertion` or `login`.
    pub what: String,
    /// Why, as one word.
    pub why: String,
    /// The same in a sentence.
    pub message: String,
    /// The issuer that it named, where that one is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// How many there were, where there were more than get an entry each.
    pub count: u64,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// A key that signs tokens. The private half lies in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// The public half, with its name.
    pub key: Jwk,
    /// It signs from then on, in seconds since 1970: after gateways have had time to hear of it.
    pub signs_from: i64,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// A credential of a server: never its value, but what was sealed of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRecord {
    /// The server.
    pub server: ServerName,
    /// Where it goes.
    pub place: Place,
    /// Its version: of all that the server ever had, no two have the same.
    pub version: u64,
    /// A setting that is no secret by itself.
    #[serde(default)]
    pub plain: bool,
    /// Whose calls it is for.
    #[serde(default, skip_serializing_if = "Scope::is_all")]
    pub scope: Scope,
    /// The value, sealed, in base64url.
    pub sealed: String,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who.
    pub by: String,
}

/// What a gateway was lent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leased {
    /// The server.
    pub server: ServerName,
    /// The gateway.
    pub gateway: GatewayName,
    /// Which credentials, in which versions.
    pub secrets: Vec<Reference>,
    /// The run for whose call, where the credential depends on whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Of each credential, whose calls it is for and its own version, where it is not everybody's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own: Vec<(Scope, u64)>,
    /// Until when, in seconds since 1970, where it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Id of its request.
    pub ask: String,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// A gateway that may be lent credentials. The private half of its key lies in its own home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayRecord {
    /// Its name among its siblings.
    pub name: GatewayName,
    /// Its public key.
    pub key: Jwk,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who.
    pub by: String,
}

impl Run {
    /// The agent in this run.
    pub fn instance(&self) -> Instance {
        Instance { agent: self.agent.clone(), run: self.id.clone() }
    }
}
