//! What can change in the authority: each change is one entry of its log, and the database is what they add up to.
//!
//! **Invariant:** a change holds everything that applying it needs, so that applying is the same today and after a loss
//! of the database.

mod record;

use remit_core::id::{GatewayName, PrincipalId, RunId, ServerName};
use remit_core::jws::Jwk;
use remit_core::revoked::Revocation;
use remit_core::secret::Place;
use serde::{Deserialize, Serialize};

use crate::asks::record::{AskAnswered, AskEnded, AskRecord};
use crate::broker::record::{ConnectionRecord, OauthRecord, Scope};
use crate::issuer::IssuerRecord;
use crate::org::{Import, Owned, Renewal, RoleRecord, TeamRecord};

pub use record::{
    AgentRecord, Extension, GatewayRecord, Grant, KeyRecord, Leased, LoginAnswered, Principal, Process, Refresh,
    RefusedRecord, Run, SecretRecord, ServerRecord, TokenRecord, ToolRecord,
};

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A person or workload was met for the first time.
    Principal(Principal),
    /// An agent, or a new manifest of one, was registered.
    Agent(AgentRecord),
    /// A server was registered, or its registration changed.
    Server(ServerRecord),
    /// Tools of a server were reviewed: pinned, exposed, or taken from the menu.
    Tools {
        /// The server.
        server: ServerName,
        /// The tools, whole.
        tools: Vec<ToolRecord>,
        /// When, in seconds since 1970.
        at: i64,
        /// Who.
        by: String,
    },
    /// A run was begun with its ceiling: from outside as a root, or from inside another one as its child.
    Launched {
        /// The run.
        run: Box<Run>,
        /// The grant that it can never exceed.
        grant: Box<Grant>,
    },
    /// A run was granted something within its ceiling.
    Granted(Box<Grant>),
    /// A grant was renewed, within its run's ceiling.
    Extended(Extension),
    /// A person is asked for more than is granted at once.
    Ask(Box<AskRecord>),
    /// A person answered.
    AskAnswered(AskAnswered),
    /// An ask ended otherwise.
    AskEnded(AskEnded),
    /// A run ended.
    Ended {
        /// The run.
        run: RunId,
        /// When, in seconds since 1970.
        at: i64,
    },
    /// A run has another key, because the authority was restarted and the old one existed in memory alone.
    Rekeyed {
        /// The run.
        run: RunId,
        /// Its new key.
        key: Jwk,
        /// When, in seconds since 1970.
        at: i64,
    },
    /// A token was minted.
    Token(TokenRecord),
    /// Something was taken back, locked down or lifted.
    Revoked {
        /// The feed's entry.
        revocation: Revocation,
        /// Why.
        why: String,
        /// Who.
        by: String,
    },
    /// A person let an OAuth client act as an agent, or did not.
    Login(LoginAnswered),
    /// A key for signing tokens was added.
    Key(KeyRecord),
    /// A key's last token has expired.
    KeyRetired {
        /// The key.
        kid: String,
        /// When, in seconds since 1970.
        at: i64,
    },
    /// A person's key was destroyed: whatever was sealed under it can never be read again.
    Erased {
        /// The pseudonym.
        principal: PrincipalId,
        /// The ground, such as `erasure-request`.
        ground: String,
        /// Who.
        by: String,
    },
    /// A credential of a server was sealed, in the place of the one that was there.
    Secret(SecretRecord),
    /// A credential that was only for some calls was taken away: theirs is the less specific one again.
    SecretGone {
        /// The server.
        server: ServerName,
        /// Where it went.
        place: Place,
        /// Whose calls it was for.
        scope: Scope,
        /// A version that none ever had: what was lent before is another one.
        version: u64,
        /// When, in seconds since 1970.
        at: i64,
        /// Who.
        by: String,
    },
    /// A gateway was lent the credentials of a server.
    Leased(Leased),
    /// An administrator was lent the access token of a server, to ask it what it offers.
    Lent {
        /// The server.
        server: ServerName,
        /// Who.
        by: PrincipalId,
        /// When, in seconds since 1970.
        at: i64,
    },
    /// The authority became a client of a server's authorization server.
    Oauth(OauthRecord),
    /// A person connected a server, or the tokens of the connection were issued anew.
    Connected(ConnectionRecord),
    /// A connection ended: what was lent of it is not to be used any more.
    Disconnected {
        /// The server.
        server: ServerName,
        /// The person.
        principal: PrincipalId,
        /// A version that none ever had.
        version: u64,
        /// Why: `asked`, or what the authorization server said.
        why: String,
        /// When, in seconds since 1970.
        at: i64,
    },
    /// A gateway was registered, or another key of it.
    Gateway(GatewayRecord),
    /// A gateway is lent nothing any more.
    GatewayGone {
        /// Its name.
        name: GatewayName,
        /// When, in seconds since 1970.
        at: i64,
        /// Who.
        by: String,
    },
    /// A team was registered, given up, or taken up again.
    Team(TeamRecord),
    /// A person was given a role, or it was taken from them.
    Role(RoleRecord),
    /// A registration was renewed.
    Renewed(Renewal),
    /// An agent got another owner.
    Owned(Owned),
    /// Another authority's agent was brought here, or somebody answered.
    Import(Box<Import>),
    /// An issuer of people or workloads is trusted, or for something else than before.
    Issuer(Box<IssuerRecord>),
    /// An issuer is trusted no more.
    IssuerGone {
        /// Its name.
        url: String,
        /// When, in seconds since 1970.
        at: i64,
        /// Who.
        by: String,
    },
    /// What somebody showed was refused.
    Refused(RefusedRecord),
    /// A bundle was issued.
    Bundle {
        /// Its version.
        version: u64,
        /// Its end, in seconds since 1970.
        not_after: i64,
        /// Digest of its content, `sha256:<hex>`.
        digest: String,
        /// When, in seconds since 1970.
        at: i64,
    },
}

impl Change {
    /// The person whose data it holds, where it holds any.
    pub fn subject(&self) -> Option<&PrincipalId> {
        match self {
            Change::Principal(principal) => Some(&principal.id),
            Change::Launched { run, .. } => Some(&run.principal),
            Change::Granted(grant) => Some(&grant.principal),
            Change::Token(token) => Some(&token.principal),
            Change::Login(login) => Some(&login.by),
            Change::Ask(ask) => Some(&ask.principal),
            Change::AskAnswered(answer) => Some(&answer.by),
            Change::Role(role) => Some(&role.person),
            Change::Connected(connection) => Some(&connection.principal),
            _ => None,
        }
    }
}
