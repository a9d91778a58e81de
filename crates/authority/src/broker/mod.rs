//! The authority as an OAuth client of the servers' own authorization servers.
//!
//! A token that an agent has is no part of any of this: what is sent to an upstream or its authorization server is issued by
//! that to the authority, under the authority's own name or by a person's consent.
//!
//! **Invariant:** a client's secret, a private key and a refresh token leave the authority to one place: the authorization
//! server for which they were sealed. A person's tokens are used for runs of that person.

pub mod connect;
pub mod discover;
mod endpoint;
pub mod error;
mod key;
pub(crate) mod place;
pub mod record;
pub(crate) mod setup;
mod slot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use remit_core::hash::{b64, unb64};
use remit_core::id::{PrincipalId, ServerName};
use remit_core::secret::Value;
use zeroize::Zeroizing;

use crate::authority::State;
use crate::change::Change;
use crate::error::AuthorityError;
use connect::Pendings;
use discover::Metadata;
use endpoint::{Client, Tokens};
use error::BrokerError;
use place::Place;
use record::{Behalf, ConnectionRecord, OauthRecord};
use slot::{Kept, NEW_SECONDS, Next};

/// How long what an authorization server says of itself is used before it is asked again, in seconds.
const METADATA_SECONDS: i64 = 300;
/// Most authorization servers of which that is kept.
const METADATA_MAX: usize = 256;
/// The longest that an access token is lent for, in seconds: then the gateway asks again, and the log says so.
pub(crate) const LEASE_SECONDS_MAX: i64 = 300;

/// A server, and the person where its tokens are a person's.
type Whose = (ServerName, Option<PrincipalId>);
type Slot = Arc<tokio::sync::Mutex<Kept>>;

/// What the broker keeps in memory. Access tokens of our own are nowhere else.
#[derive(Default)]
pub(crate) struct Broker {
    slots: Mutex<HashMap<Whose, Slot>>,
    metadata: Mutex<HashMap<String, (Arc<Metadata>, i64)>>,
    pub(crate) pending: Pendings,
}

/// An access token, to be lent. No `Debug`.
pub(crate) struct Access {
    pub(crate) value: Value,
    pub(crate) until: i64,
    pub(crate) renew: i64,
    /// The version of the client to which it was issued.
    pub(crate) client: u64,
}

/// What the database says of a slot.
struct Known {
    client: Client,
    connection: Option<ConnectionRecord>,
    tokens: Option<Tokens>,
}

impl Broker {
    fn slot(&self, whose: &Whose) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(whose.clone()).or_default())
    }

    /// Forgets what there is no more.
    fn forget(&self, server: &ServerName, principal: Option<&PrincipalId>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(&(server.clone(), principal.cloned()));
    }

    /// What an authorization server says of itself, not older than some minutes.
    async fn metadata(&self, state: &State, issuer: &str) -> Result<Arc<Metadata>, BrokerError> {
        let now = state.config.clock.now();
        let all = || self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, _)) = all().get(issuer).filter(|(_, until)| *until > now) {
            return Ok(Arc::clone(known));
        }
        let found = Arc::new(discover::server(&state.fetcher, issuer).await?);
        let mut all = all();
        all.retain(|_, (_, until)| *until > now);
        if all.len() < METADATA_MAX {
            all.insert(issuer.to_owned(), (Arc::clone(&found), now.saturating_add(METADATA_SECONDS)));
        }
        Ok(found)
    }
}

/// What the document says that lies at our own URL, for authorization servers that look there.
pub(crate) fn own_metadata(state: &State, place: &Place) -> impl serde::Serialize + use<> {
    setup::own(state, Some(place.document(state)), record::ClientAuth::None, place)
}

/// What waits for the disk, off the threads that serve.
pub(crate) async fn on_disk<T: Send + 'static>(
    state: &Arc<State>,
    work: impl FnOnce(&State) -> Result<T, AuthorityError> + Send + 'static,
) -> Result<T, AuthorityError> {
    let state = Arc::clone(state);
    tokio::task::spawn_blocking(move || work(&state)).await.unwrap_or(Err(AuthorityError::Crypto))
}

/// The access token of a server, or of a person's connection to it; not the one that the server has just refused, named by
/// its digest. Whoever asks at the same time waits for the same one.
///
/// Whoever asked may go away: what was asked for is taken and recorded all the same, because a refresh token is good once.
pub(crate) async fn access(
    state: &Arc<State>,
    server: &ServerName,
    principal: Option<&PrincipalId>,
    refused: Option<&str>,
) -> Result<Access, AuthorityError> {
    let (state, server, principal) = (Arc::clone(state), server.clone(), principal.cloned());
    let refused = refused.map(str::to_owned);
    let work = tokio::spawn(async move { issue(&state, &server, principal.as_ref(), refused.as_deref()).await });
    work.await.unwrap_or(Err(AuthorityError::Crypto))
}

async fn issue(
    state: &Arc<State>,
    server: &ServerName,
    principal: Option<&PrincipalId>,
    refused: Option<&str>,
) -> Result<Access, AuthorityError> {
    let slot = state.broker.slot(&(server.clone(), principal.cloned()));
    let mut kept = slot.lock().await;
    let had = kept.of;
    let (name, person) = (server.clone(), principal.cloned());
    let known = on_disk(state, move |state| state.known(&name, person.as_ref(), had)).await;
    let known = known.inspect_err(|_| state.broker.forget(server, principal))?;
    let of = (known.client.record.version, known.connection.as_ref().map_or(0, |connection| connection.first));
    if kept.of != of {
        *kept = Kept { of, ..Kept::default() };
    }
    if kept.tokens.is_none() {
        kept.tokens = known.tokens;
    }
    let now = state.config.clock.now();
    match kept.next(refused, now) {
        Next::Use => {}
        Next::Refuse(why) => return Err(why.of(server)),
        Next::Fetch(optional) => {
            if let Err(why) = fetch(state, &mut kept, &known.client, known.connection.as_ref(), now).await {
                kept.fail(now);
                tracing::warn!(%server, %why, "an access token is not issued");
                let ended = why.is_over() && known.connection.is_some();
                if let (true, Some(connection)) = (ended, &known.connection) {
                    end(state, connection, &why).await?;
                    return Err(BrokerError::Ended.of(server));
                }
                if !optional {
                    return Err(why.of(server));
                }
            }
        }
    }
    save(state, &mut kept, known.connection.as_ref()).await?;
    lent(&kept, now).ok_or_else(|| BrokerError::Unconnected.of(server))
}

/// As long as it may be used, and no longer than anything is lent.
fn lent(kept: &Kept, now: i64) -> Option<Access> {
    let tokens = kept.tokens.as_ref()?;
    let most = now.saturating_add(LEASE_SECONDS_MAX);
    let until = tokens.end().map_or(most, |end| end.min(most));
    // Where the next one was not issued, that is tried again after the pause.
    let soon = kept.failed.map(|(_, until)| until).filter(|until| *until > now);
    let renew = soon.or(tokens.renew()).unwrap_or(i64::MAX).max(now.saturating_add(1));
    let renew = renew.min(until.saturating_sub(NEW_SECONDS).max(now.saturating_add(1)));
    Some(Access { value: Value::new(tokens.access.expose().to_owned()), until, renew, client: kept.of.0 })
}

/// Asks for the next one: by our own name, or by what the person's consent has left us.
async fn fetch(
    state: &Arc<State>,
    kept: &mut Kept,
    client: &Client,
    connection: Option<&ConnectionRecord>,
    now: i64,
) -> Result<(), BrokerError> {
    let record = &client.record;
    let refresh = kept.tokens.as_ref().and_then(|tokens| tokens.refresh.as_ref());
    let mut parameters = match (connection, refresh) {
        (None, _) => vec![("grant_type", "client_credentials")],
        (Some(_), Some(refresh)) => vec![("grant_type", "refresh_token"), ("refresh_token", refresh.expose())],
        // Nothing was given to get the next one; its own time may not be over yet, whatever the server says of it.
        (Some(_), None) if kept.is_good(now) => return Err(BrokerError::Unrenewable),
        (Some(_), None) => return Err(BrokerError::said("invalid_grant")),
    };
    parameters.push(("resource", &record.resource));
    if let (None, Some(scope)) = (connection, &record.scope) {
        parameters.push(("scope", scope));
    }
    let metadata = state.broker.metadata(state, &record.issuer).await?;
    let issued = endpoint::tokens(&state.fetcher, &metadata.token_endpoint, client, parameters, now).await;
    let (mut tokens, scope) = issued?;
    let before = kept.tokens.take();
    if tokens.refresh.is_none() {
        tokens.refresh = before.and_then(|before| before.refresh);
    }
    kept.tokens = Some(tokens);
    kept.failed = None;
    (kept.unsaved, kept.scope) = (connection.is_some(), scope);
    Ok(())
}

/// Records what was issued for a person: the refresh token before it is gone there, too.
async fn save(
    state: &Arc<State>,
    kept: &mut Kept,
    connection: Option<&ConnectionRecord>,
) -> Result<(), AuthorityError> {
    let (true, Some(tokens), Some(connection)) = (kept.unsaved, &kept.tokens, connection) else {
        return Ok(());
    };
    let plain = Zeroizing::new(serde_json::to_vec(tokens)?);
    let mut record = ConnectionRecord { at: tokens.got, ..connection.clone() };
    if kept.scope.is_some() {
        record.scope.clone_from(&kept.scope);
    }
    on_disk(state, move |state| state.put_connection(record, &plain)).await?;
    kept.unsaved = false;
    Ok(())
}

/// The authorization server has ended it: that is recorded, and every gateway forgets what it was lent.
async fn end(state: &Arc<State>, connection: &ConnectionRecord, why: &BrokerError) -> Result<(), AuthorityError> {
    let (server, principal, why) = (connection.server.clone(), connection.principal.clone(), why.to_string());
    on_disk(state, move |state| {
        state.end_connection(&server, &principal, &why)?;
        // Where it cannot be issued, what was lent ends by itself.
        state.publish().ok();
        Ok(())
    })
    .await
}

impl State {
    /// What there is of a slot; tokens are opened only where the ones in memory are of something else.
    fn known(
        &self,
        server: &ServerName,
        principal: Option<&PrincipalId>,
        had: (u64, u64),
    ) -> Result<Known, AuthorityError> {
        let core = self.core();
        let store = core.journal.store();
        let record = store.oauth(server)?.ok_or_else(|| BrokerError::Unconnected.of(server))?;
        let connection = principal.map(|principal| store.connection(server, principal)).transpose()?.flatten();
        drop(core);
        if (record.behalf == Behalf::AuthorizationCode) != connection.is_some() {
            return Err(BrokerError::Unconnected.of(server));
        }
        let secret = record.sealed.as_deref().map(|sealed| self.opened(&record.subject(), &record.bound()?, sealed));
        let secret = secret.transpose()?;
        let first = connection.as_ref().map_or(0, |connection| connection.first);
        let fresh = connection.as_ref().filter(|_| had != (record.version, first));
        let tokens = fresh.map(|connection| {
            let plain = self.opened(&connection.subject(), &connection.bound()?, &connection.sealed)?;
            Ok::<_, AuthorityError>(serde_json::from_str(plain.expose())?)
        });
        let tokens = tokens.transpose()?;
        Ok(Known { client: Client { record, secret }, connection, tokens })
    }

    /// Seals a connection's tokens, and records it under a version of its own.
    pub(crate) fn put_connection(&self, mut record: ConnectionRecord, plain: &[u8]) -> Result<(), AuthorityError> {
        let mut core = self.core();
        // Ended while its tokens were renewed, or registered with another authorization server while a person was there:
        // what is over stays over.
        let store = core.journal.store();
        let now = store.connection(&record.server, &record.principal)?;
        let same = record.first == 0 || now.is_some_and(|now| now.first == record.first);
        let of = |client: OauthRecord| client.issuer == record.issuer && client.client == record.client;
        if !same || !store.oauth(&record.server)?.is_some_and(of) {
            return Err(BrokerError::Unconnected.of(&record.server));
        }
        record.version = core.journal.store().secret_version(&record.server)?.saturating_add(1);
        if record.first == 0 {
            record.first = record.version;
        }
        record.sealed = b64(&self.secrets.seal(&record.subject(), &record.bound()?, plain)?);
        core.journal.record(&Change::Connected(record))?;
        Ok(())
    }

    /// Ends a connection; `false` where there is none.
    pub(crate) fn end_connection(
        &self,
        server: &ServerName,
        principal: &PrincipalId,
        why: &str,
    ) -> Result<bool, AuthorityError> {
        let mut core = self.core();
        if core.journal.store().connection(server, principal)?.is_none() {
            return Ok(false);
        }
        let version = core.journal.store().secret_version(server)?.saturating_add(1);
        let (server, principal, at) = (server.clone(), principal.clone(), self.config.clock.now());
        self.broker.forget(&server, Some(&principal));
        core.journal.record(&Change::Disconnected { server, principal, version, why: why.to_owned(), at })?;
        self.sweep_secrets(&core)?;
        Ok(true)
    }

    /// Opens what was sealed. The bytes move into the value, which wipes them.
    pub(crate) fn opened(&self, subject: &str, bound: &[u8], sealed: &str) -> Result<Value, AuthorityError> {
        use remit_audit::vault::VaultError;
        let sealed = unb64(sealed).ok_or(VaultError::Corrupt)?;
        let plain = self.secrets.open_sealed(subject, bound, &sealed)?;
        String::from_utf8(plain).map(Value::new).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            VaultError::Corrupt.into()
        })
    }
}
