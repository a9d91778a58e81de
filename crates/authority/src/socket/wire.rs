//! What is said over the sockets: one JSON object a line each way.
//!
//! `{"pin":"…","ask":{"op":"…",…}}` is answered with `{"ok":…}` or `{"error":{"code":…,"message":…,"help":…}}`.

use std::collections::BTreeMap;

use remit_core::grant::Detail;
use remit_core::id::{AgentId, GatewayName, GrantId, Instance, RunId, ServerName, ToolName};
use remit_core::jws::Jwk;
use remit_core::rejection::Rejection;
use remit_core::revoked::{Kind, Revocation};
use remit_core::secret::{Place, Value};
use serde::{Deserialize, Serialize};

use crate::asks::record::AskShown;
#[cfg(doc)]
use crate::broker::connect::{Begun, Ended};
#[cfg(doc)]
use crate::change::GatewayRecord;
#[cfg(doc)]
use crate::change::ServerRecord;
use crate::change::{Grant, Run};
use crate::grant::Asked;
pub use crate::issuer::AddIssuer;
#[cfg(doc)]
use crate::issuer::IssuerRecord;
use crate::learn::Override;
use crate::login::LoginShown;
use crate::org::Import;

pub use super::grants::{GrantAsk, HeldAsk};
pub use super::org::{PersonGone, RegistryAsk, RoleShown, TeamAsk, TeamShown};

mod relay;
mod server;
mod status;

pub use relay::RelayGiven;
pub use server::{AddServer, Borrowed, Oauth, SecretShown, ServerShown, Whose};
pub use status::Status;

/// Longest line, in bytes.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A line that asks. No `Debug`: it may hold the PIN.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line<T> {
    /// Who asks, where that is a person who is known by name; then the PIN is theirs.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The administrators' PIN, for what needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// Credentials of a server, for what takes some. They stand beside what is asked, which may be copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Given>,
    /// What is asked.
    pub ask: T,
}

/// A credential as it is given. No `Debug`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Where it goes.
    pub place: Place,
    /// Its value.
    pub value: Value,
    /// A setting that is kept in the same way, and is no secret by itself.
    #[serde(default)]
    pub plain: bool,
}

/// A line that answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// It was done.
    Ok(T),
    /// It was refused.
    Error(Rejection),
}

/// What can be asked of the admin socket. No `Debug`: one of them holds a PIN.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AdminAsk {
    /// How the authority is: [`Status`].
    Status {},
    /// Sets the PIN; needs the old one where there is one.
    SetPin {
        /// The new PIN.
        new: String,
    },
    /// Registers an agent, or another manifest of it: [`Registered`]. Widening needs the PIN.
    RegisterAgent {
        /// The text of `agent.toml`.
        manifest: String,
    },
    /// Registered agents: a list of [`crate::change::AgentRecord`].
    Agents {},
    /// Registers a server with what it offers: [`ServerShown`]. Replacing one needs the PIN. The line's credentials are
    /// sealed for it.
    AddServer(Box<AddServer>),
    /// Registered servers: a list of [`ServerRecord`].
    Servers {},
    /// One server with its tools: [`ServerShown`].
    Server {
        /// Its name.
        name: ServerName,
    },
    /// What the server offers now against what was reviewed: [`Diff`].
    Diff {
        /// The server.
        server: ServerName,
        /// The raw result of `tools/list`.
        list: String,
    },
    /// Accepts what the named tools are now: [`ServerShown`]. Needs the PIN.
    Pin {
        /// The server.
        server: ServerName,
        /// The raw result of `tools/list`.
        list: String,
        /// The tools.
        tools: Vec<ToolName>,
        /// The reviewer's words.
        #[serde(default)]
        overrides: BTreeMap<String, Override>,
    },
    /// Puts tools on the menu (needs the PIN) or takes them from it: [`ServerShown`].
    Menu {
        /// The server.
        server: ServerName,
        /// Tools to expose.
        #[serde(default)]
        expose: Vec<ToolName>,
        /// Tools to hide.
        #[serde(default)]
        hide: Vec<ToolName>,
    },
    /// Seals the line's credentials for a server: [`ServerShown`]. Needs the PIN.
    Secret {
        /// The server.
        server: ServerName,
        /// Whether they take the place of some that are there.
        rotate: bool,
        /// Whose calls they are for.
        #[serde(default, skip_serializing_if = "Whose::is_all")]
        whose: Whose,
    },
    /// Takes away the credentials of a server that are for some calls only: [`ServerShown`]. Needs the PIN.
    TakeSecret {
        /// The server.
        server: ServerName,
        /// Whose calls.
        whose: Whose,
    },
    /// The access token of a server, or of one's own connection to it, to ask it what it offers: [`Borrowed`]. Needs the PIN.
    Borrow {
        /// The server.
        server: ServerName,
    },
    /// Begins to connect oneself to a server: [`Begun`].
    Connect {
        /// The server.
        server: ServerName,
    },
    /// Finishes it with what the browser has shown: [`ServerShown`].
    Connected {
        /// The server.
        server: ServerName,
        /// What the browser has shown.
        code: String,
    },
    /// Ends one's own connection to a server: [`Ended`].
    Disconnect {
        /// The server.
        server: ServerName,
    },
    /// Registers a gateway, or another key of it: [`GatewayRecord`]. Needs the PIN.
    AddGateway {
        /// Its name.
        name: GatewayName,
        /// Its public key.
        key: Jwk,
    },
    /// Registered gateways: a list of [`GatewayRecord`].
    Gateways {},
    /// Lends a gateway nothing any more: `{}`.
    RemoveGateway {
        /// Its name.
        name: GatewayName,
    },
    /// How every registered gateway stands to an entry of the feed, waiting a little for those that follow: a list of
    /// [`crate::followers::Confirmed`].
    Confirmed {
        /// The entry's number.
        seq: u64,
    },
    /// Trusts an issuer, or for something else than before: [`IssuerRecord`]. Needs the PIN. The line may hold the secret of
    /// its client.
    AddIssuer(Box<AddIssuer>),
    /// Trusted issuers: a list of [`IssuerRecord`].
    Issuers {},
    /// Trusts an issuer no more: `{}`.
    RemoveIssuer {
        /// Its name.
        url: String,
    },
    /// Begins a new root run: [`Requested`].
    Request(Box<Request>),
    /// Ends a run of one's own: `{}`.
    End {
        /// The run.
        run: RunId,
    },
    /// Takes something back: [`Revocation`]. What is somebody else's needs the PIN, and so does lifting.
    Revoke {
        /// What.
        kind: Kind,
        /// Which one.
        id: String,
        /// Why.
        #[serde(default)]
        why: String,
    },
    /// Forgets a person for good: their pseudonym. Needs the PIN.
    Erase {
        /// Name or pseudonym.
        principal: String,
        /// The ground, such as `erasure-request`: letters, digits and `-_.:/`.
        ground: String,
    },
    /// What waits for a person's word: a list of [`Approval`].
    Approvals {},
    /// A person's word on it: [`Answered`].
    Answer(Word),
    /// Live runs: a list of [`Run`].
    Runs {},
    /// Grants that hold: a list of [`Grant`].
    Grants {},
    /// What was taken back: a list of [`Revocation`].
    Revocations {},
    /// Adds a signing key: [`Rotated`]. Needs the PIN.
    RotateKeys {},
    /// Reads the policy files again: [`Issued`].
    Reload {},
    /// Something about teams, roles and people.
    Team(TeamAsk),
    /// Something about how agents stand.
    Registry(RegistryAsk),
    /// Something about what is held, or asked of a person.
    Grant(GrantAsk),
}

/// What waits for a person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Approval {
    /// An OAuth client wants to act as an agent.
    Login(Box<LoginShown>),
    /// An agent of another authority shall be one of this one's.
    Import(Box<Import>),
    /// More is wanted than policy grants at once.
    Scope(Box<AskShown>),
}

/// A person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// What it is about, as it is shown.
    pub id: String,
    /// Yes or no.
    pub allow: bool,
    /// Why, where it is a yes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// For how long; the longest that the manifest allows where nothing is said.
    #[serde(default, rename = "for", skip_serializing_if = "String::is_empty")]
    pub duration: String,
    /// Digest of what was shown, where the word is for this and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What came of a person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// What it was about.
    pub approval: Approval,
    /// What is granted when the client comes for it; nothing where the word was no.
    pub asked: Option<Asked>,
}

/// A request from outside every run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `<team>/<name>` or `<team>/<name>@<version>`.
    pub agent: String,
    /// What is asked for.
    pub asked: Asked,
    /// On whose behalf; the operating-system user where nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The process whose descendants are the run: the asking one, or one that it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The run's public key, where its private half is not to be kept by the authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Jwk>,
    /// Whether it is launched in the prescribed way.
    #[serde(default)]
    pub golden: bool,
}

/// What can be asked of a run's socket. All of it concerns that run and what it begins, and none of it widens what it
/// may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum RunAsk {
    /// What the run is and holds: [`RunStatus`].
    Status {},
    /// Asks for a grant within the ceiling: [`Requested`].
    Request {
        /// What is asked for.
        asked: Asked,
    },
    /// Begins a run of another agent below this one: [`Requested`].
    Spawn(Box<Spawn>),
    /// Something about what the run holds, or asks a person for.
    Held(HeldAsk),
    /// A token for one server: [`TokenGiven`].
    Token {
        /// The server.
        server: ServerName,
        /// The grant to state, the ceiling where none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<GrantId>,
    },
    /// What a client that cannot prove possession of a key brings to the relay: [`RelayGiven`].
    Relay {
        /// The server.
        server: ServerName,
        /// The grant to state, the ceiling where none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<GrantId>,
        /// Also where the agent's tokens need no proof.
        always: bool,
    },
    /// Headers for one HTTP request: a map of name to value.
    Headers {
        /// The URL, under the gateway's `/mcp/<server>`.
        url: String,
        /// The method.
        method: String,
        /// The grant to state, the ceiling where none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<GrantId>,
    },
}

/// A request from inside a run for a run below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spawn {
    /// `<team>/<name>` or `<team>/<name>@<version>`.
    pub agent: String,
    /// What is asked for.
    pub asked: Asked,
    /// The process whose descendants are the run: the asking one, or one that it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
}

/// An agent was registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Its identity.
    pub agent: AgentId,
    /// The control tier that the three questions give.
    pub tier: String,
    /// What it declares more than before; empty where it does not.
    pub widened: Vec<String>,
    /// Why what is registered now could not become a bundle.
    pub bundle_error: Option<String>,
}

/// What a server offers now against what was reviewed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// Tools that nobody has reviewed.
    pub added: Vec<ToolName>,
    /// Tools that are gone.
    pub removed: Vec<ToolName>,
    /// Tools that are no longer what was reviewed.
    pub changed: Vec<Changed>,
}

/// A tool that is no longer what was reviewed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// Its name.
    pub tool: ToolName,
    /// The definition that was reviewed.
    pub reviewed: String,
    /// The definition now.
    pub now: String,
}

/// A grant was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    /// The run.
    pub run: Run,
    /// The grant.
    pub grant: Grant,
    /// The run's socket.
    pub socket: std::path::PathBuf,
    /// The instances that delegated to the run, the nearest first; none where it is a root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spawned_by: Vec<Instance>,
    /// What the agent's owner should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// The narrower request that the agent's past use would have needed, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrower: Option<String>,
}

/// A signing key was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// Its name.
    pub kid: String,
}

/// A bundle was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Its version.
    pub version: u64,
    /// Digest of its content.
    pub digest: String,
    /// Its end, in seconds since 1970.
    pub not_after: i64,
}

/// What a run is and holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStatus {
    /// The run.
    pub run: Run,
    /// Its grants, the ceiling first.
    pub grants: Vec<Grant>,
    /// The instances that delegated to it, the nearest first; none where it is a root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spawned_by: Vec<Instance>,
}

/// A token. No `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenGiven {
    /// The token.
    pub access_token: String,
    /// `DPoP` or `Bearer`.
    pub token_type: String,
    /// Its life, in seconds.
    pub expires_in: i64,
    /// What it states.
    pub authorization_details: Vec<Detail>,
}

/// The revocations, for callers that only list them.
pub type Revocations = Vec<Revocation>;
