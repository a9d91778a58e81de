//! What administrators and people ask of the credentials of servers, and of their own connections.

use remit_core::id::{PrincipalId, ServerName};
use remit_core::rejection::{Code, Rejection};

use super::super::reply;
use super::super::wire::{AddServer, AdminAsk, Borrowed, SecretShown, Whose};
use super::{Admin, Reply, refused};
use crate::broker::connect::{self, ConnectionShown};
use crate::broker::place::Place;
use crate::broker::record::{Behalf, OauthRecord, Scope};
use crate::broker::{access, setup};
use crate::change::Change;
use crate::error::AuthorityError;

type Credentials = (Vec<SecretShown>, Option<OauthRecord>, Vec<ConnectionShown>);

impl Admin<'_> {
    pub(super) fn broker(&self, ask: AdminAsk) -> Reply {
        match ask {
            AdminAsk::Borrow { server } => {
                self.person()?;
                reply(self.borrow(&server)?)
            }
            AdminAsk::Connect { server } => reply(wait(connect::begin(self.state, &server, &self.by))?),
            AdminAsk::Connected { server, code } => {
                connect::confirm(self.state, &server, &self.by, &code)?;
                self.shown(&server)
            }
            AdminAsk::Disconnect { server } => {
                let ended = wait(connect::end(self.state, &server, &self.by))?;
                self.published();
                reply(ended)
            }
            _ => Err(refused("this is not asked of credentials".into())),
        }
    }

    /// Where the server's authorization server sends people back to, where it does.
    pub(super) fn redirect(&self, record: &OauthRecord) -> Option<String> {
        let people = record.behalf == Behalf::AuthorizationCode;
        people.then(|| Place::of(&record.issuer).redirect(self.state))
    }

    /// Registers a server; first the authority becomes a client of its authorization server, where that is wanted.
    pub(super) fn add(&self, add: &AddServer) -> Result<(), AuthorityError> {
        let Some(wanted) = &add.oauth else { return self.state.add_server(add, self.given, None, &self.by) };
        let secret = match self.given {
            [] => None,
            [one] => Some(remit_core::secret::Value::new(one.value.expose().to_owned())),
            _ => {
                let message = "a client has one secret";
                let help = "give other credentials afterwards: remit server secret NAME";
                return Err(AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help)));
            }
        };
        let prepared = wait(setup::prepare(self.state, &add.name, &add.upstream, wanted, secret))?;
        self.state.add_server(add, &[], Some(prepared), &self.by)
    }

    /// For the one question what the server offers, which is asked by this administrator.
    fn borrow(&self, server: &ServerName) -> Result<Borrowed, AuthorityError> {
        let record = self.state.core().journal.store().oauth(server)?;
        let own = record.is_some_and(|record| record.behalf == Behalf::AuthorizationCode);
        let lent = wait(access(self.state, server, own.then_some(&self.by), None))?;
        let (server, by, at) = (server.clone(), self.by.clone(), self.state.config.clock.now());
        self.state.core().journal.record(&Change::Lent { server, by, at })?;
        Ok(Borrowed { access_token: lent.value })
    }

    /// A person is known by name or pseudonym; a new name is nobody's.
    pub(super) fn scope(&self, whose: Whose) -> Result<Scope, AuthorityError> {
        let name = match whose {
            Whose::All => return Ok(Scope::All),
            Whose::Team(team) => return Ok(Scope::Team(team)),
            Whose::Principal(name) => name,
        };
        let core = self.state.core();
        let store = core.journal.store();
        let by_id = PrincipalId::new(name.as_str()).ok().map(|id| store.principal_by_id(&id)).transpose()?.flatten();
        let found = match by_id {
            Some(known) => Some(known.id),
            None => store.principal_named(&name)?,
        };
        found.map(Scope::Principal).ok_or_else(|| {
            let message = "nobody of this name was ever met here";
            let help = "name somebody for whom a run was requested, such as uid:1000, or a pseudonym of the log";
            AuthorityError::Refused(Rejection::new(Code::Unknown, message, help))
        })
    }

    pub(super) fn credentials(&self, name: &ServerName) -> Result<Credentials, AuthorityError> {
        let core = self.state.core();
        let store = core.journal.store();
        let secrets = store.secrets(name)?.into_iter().map(|secret| SecretShown {
            place: secret.place,
            version: secret.version,
            plain: secret.plain,
            scope: secret.scope,
            at: secret.at,
            by: secret.by,
        });
        let connections = store.connections(name)?.into_iter().map(|connection| ConnectionShown {
            principal: connection.principal,
            scope: connection.scope,
            since: connection.since,
            renewed: connection.at,
        });
        let oauth = store.oauth(name)?.map(|record| OauthRecord { sealed: None, ..record });
        Ok((secrets.collect(), oauth, connections.collect()))
    }
}

/// The sockets are served on threads that may wait.
fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(work)
}
