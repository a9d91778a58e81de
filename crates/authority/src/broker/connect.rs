//! Connecting a person to a server: consent in a browser at the server's authorization server, once (OAuth 2.1 section 4.1).
//!
//! It begins in a terminal and ends there: what the browser shows in the end is typed where it began. So a link that
//! somebody else sent connects nothing, whoever consents to it.
//!
//! **Invariant:** an answer is taken once, for the state that was made here, from the authorization server that was asked
//! (RFC 9207; and each is sent back to a place of its own, RFC 9700 section 4.4.2), and its tokens are of the person who began and who typed what the browser has shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remit_core::hash::{Digest, b64, sha256};
use remit_core::id::{PrincipalId, ServerName};
use remit_core::rejection::{Code, Rejection};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::discover::{self, Metadata};
use super::endpoint::{self, Client, Tokens};
use super::error::BrokerError;
use super::on_disk;
use super::place::Place;
use super::record::{Behalf, ConnectionRecord};
use crate::authority::State;
use crate::error::AuthorityError;
use crate::form::Form;
use crate::random;

/// How long one waits to be finished, in seconds.
pub const PENDING_SECONDS: i64 = 600;
/// Most that are open at once, and most of them of one person.
pub const PENDING_MAX: usize = 1_024;
/// See [`PENDING_MAX`].
pub const PENDING_OF_ONE_MAX: usize = 16;
/// Most codes that are tried for one.
const TRIES_MAX: u8 = 5;
/// What lets a client have refresh tokens (`OpenID` Connect Core section 11).
const OFFLINE: &str = "offline_access";

/// Those that are open, by the digest of their `state`.
#[derive(Default)]
pub(crate) struct Pendings(Mutex<HashMap<Digest, Pending>>);

struct Pending {
    server: ServerName,
    principal: PrincipalId,
    verifier: String,
    metadata: Arc<Metadata>,
    until: i64,
    stage: Stage,
}

enum Stage {
    /// The browser is away.
    Asked,
    /// It is back, and the code is being redeemed.
    Taken,
    /// What was issued waits for what the browser shows.
    Issued { tokens: Box<Tokens>, of: Box<(String, String)>, scope: Option<String>, shown: String, tries: u8 },
}

/// A connection was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Where the person's browser goes.
    pub url: String,
    /// Until when it can be finished, in seconds since 1970.
    pub until: i64,
}

/// A connection as it is shown: never its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionShown {
    /// The person.
    pub principal: PrincipalId,
    /// What was granted, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// When its tokens were issued last, in seconds since 1970.
    pub renewed: i64,
}

/// A connection was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Whether there was one.
    pub was: bool,
    /// Whether the authorization server took its token back, too.
    pub revoked: bool,
}

impl Pendings {
    fn all(&self) -> MutexGuard<'_, HashMap<Digest, Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, mark: Digest, pending: Pending, now: i64) -> bool {
        let mut all = self.all();
        all.retain(|_, other| other.until > now);
        let same = all.values().filter(|other| other.principal == pending.principal).count();
        let room = all.len() < PENDING_MAX && same < PENDING_OF_ONE_MAX;
        if room {
            all.insert(mark, pending);
        }
        room
    }
}

/// Begins one for a person, and says where the browser goes.
pub(crate) async fn begin(
    state: &Arc<State>,
    server: &ServerName,
    principal: &PrincipalId,
) -> Result<Begun, AuthorityError> {
    let (client, url) = client(state, server).await?;
    let record = &client.record;
    if record.behalf != Behalf::AuthorizationCode {
        let message = format!("`{server}` is not reached on behalf of people");
        return Err(refused(&message, "nothing has to be connected: remit server show NAME"));
    }
    let found = discover::discover(&state.fetcher, &url, Some(&record.issuer)).await;
    let found = found.map_err(|why| why.of(server))?;
    let metadata = found.server;
    let endpoint = browser_endpoint(state, &metadata).map_err(|why| why.of(server))?.to_owned();
    let (mark, verifier) = (random::secret()?, random::secret()?);
    let scope = record.scope.clone().or_else(|| with_offline(found.scope, &metadata));
    let challenge = b64(&sha256(&[verifier.as_bytes()]));
    let redirect = Place::of(&metadata.issuer).redirect(state);
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([
        ("response_type", "code"),
        ("client_id", &record.client),
        ("redirect_uri", &redirect),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("state", &mark),
        ("resource", &record.resource),
    ]);
    if let Some(scope) = &scope {
        query.append_pair("scope", scope);
        // Without a question there is no consent to being there while the person is not (OpenID Connect Core section 11).
        if scope.split(' ').any(|one| one == OFFLINE) {
            query.append_pair("prompt", "consent");
        }
    }
    let joint = if endpoint.contains('?') { '&' } else { '?' };
    let url = format!("{endpoint}{joint}{}", query.finish());
    let now = state.config.clock.now();
    let until = now.saturating_add(PENDING_SECONDS);
    let (server, principal, metadata) = (server.clone(), principal.clone(), Arc::new(metadata));
    let pending = Pending { server, principal, verifier, metadata, until, stage: Stage::Asked };
    if state.broker.pending.open(sha256(&[mark.as_bytes()]), pending, now) {
        return Ok(Begun { url, until });
    }
    Err(refused("too many connections are being made", "finish one of them, or wait some minutes"))
}

/// The client of a server, and the server's URL.
async fn client(state: &Arc<State>, server: &ServerName) -> Result<(Client, String), AuthorityError> {
    use remit_core::registry::Upstream;
    let name = server.clone();
    on_disk(state, move |state| {
        let (registered, _) = state.server(&name)?;
        let record = state.core().journal.store().oauth(&name)?;
        let (Some(record), Upstream::Http { url }) = (record, registered.upstream) else {
            let message = format!("`{name}` is not reached by OAuth");
            return Err(refused(&message, "see how it is reached: remit server show NAME"));
        };
        let secret = record.sealed.as_deref().map(|sealed| state.opened(&record.subject(), &record.bound()?, sealed));
        Ok((Client { secret: secret.transpose()?, record }, url))
    })
    .await
}

/// Where the browser is sent: never by a way on which a code could be taken.
pub(crate) fn browser_endpoint<'a>(state: &State, metadata: &'a Metadata) -> Result<&'a str, BrokerError> {
    if !metadata.code_challenge_methods_supported.iter().any(|method| method == "S256") {
        return Err(BrokerError::Invalid("the authorization server does not say that it knows PKCE with S256"));
    }
    let endpoint = metadata.authorization_endpoint.as_deref().filter(|url| state.fetcher.allows(url));
    endpoint.ok_or(BrokerError::Invalid("the authorization server names no place for a browser that may be used"))
}

fn with_offline(scope: Option<String>, metadata: &Metadata) -> Option<String> {
    let offered = metadata.scopes_supported.as_ref().is_some_and(|all| all.iter().any(|one| one == OFFLINE));
    match scope {
        Some(scope) if offered && !scope.split(' ').any(|one| one == OFFLINE) => Some(format!("{scope} {OFFLINE}")),
        None if offered => Some(OFFLINE.to_owned()),
        scope => scope,
    }
}

/// The browser is back, at the place of one authorization server. What it shows, to be typed where it began; or why it cannot go on.
pub(crate) async fn back(state: &Arc<State>, place: &Place, form: &Form) -> Result<String, String> {
    let over = || "This connection is over. Begin it again in the terminal: remit server connect".to_owned();
    let mark = sha256(&[form.one("state").unwrap_or_default().as_bytes()]);
    let now = state.config.clock.now();
    let taken = {
        let mut all = state.broker.pending.all();
        let open = |pending: &&mut Pending| {
            pending.until > now
                && matches!(pending.stage, Stage::Asked)
                && Place::of(&pending.metadata.issuer) == *place
        };
        let pending = all.get_mut(&mark).filter(open).ok_or_else(over)?;
        pending.stage = Stage::Taken;
        (pending.server.clone(), pending.verifier.clone(), Arc::clone(&pending.metadata))
    };
    let issued = redeem(state, form, taken, now).await;
    let mut all = state.broker.pending.all();
    let (tokens, of, scope) = match issued {
        Ok(issued) => issued,
        Err(why) => {
            all.remove(&mark);
            return Err(format!("It is not connected: {why}."));
        }
    };
    let shown = random::user_code().map_err(|_| over())?;
    let pending = all.get_mut(&mark).ok_or_else(over)?;
    let (tokens, of) = (Box::new(tokens), Box::new(of));
    pending.stage = Stage::Issued { tokens, of, scope, shown: shown.clone(), tries: 0 };
    Ok(format!("remit server connect {} --code {shown}", pending.server))
}

type Issued = (Tokens, (String, String), Option<String>);

/// Redeems the code of an answer, where the answer is of the authorization server that was asked.
async fn redeem(
    state: &Arc<State>,
    form: &Form,
    (server, verifier, metadata): (ServerName, String, Arc<Metadata>),
    now: i64,
) -> Result<Issued, BrokerError> {
    let other = BrokerError::Invalid("the answer is not of the authorization server that was asked (RFC 9207)");
    match form.one("iss") {
        Some(iss) if iss != metadata.issuer => return Err(other),
        None if metadata.authorization_response_iss_parameter_supported => return Err(other),
        _ => {}
    }
    if let Some(code) = form.one("error") {
        return Err(BrokerError::said(code));
    }
    let code = form.one("code").ok_or(BrokerError::Invalid("the answer has no code"))?;
    let lost = BrokerError::Invalid("the server is not registered as it was");
    let (client, _) = client(state, &server).await.map_err(|_| lost.clone())?;
    if client.record.issuer != metadata.issuer {
        return Err(lost);
    }
    let redirect = Place::of(&metadata.issuer).redirect(state);
    let parameters = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect),
        ("code_verifier", &verifier),
        ("resource", &client.record.resource),
    ];
    let issued = endpoint::tokens(&state.fetcher, &metadata.token_endpoint, &client, parameters, now).await?;
    Ok((issued.0, (client.record.issuer, client.record.client), issued.1))
}

/// The person types what the browser has shown: from here on it is connected.
pub(crate) fn confirm(
    state: &State,
    server: &ServerName,
    principal: &PrincipalId,
    typed: &str,
) -> Result<(), AuthorityError> {
    let now = state.config.clock.now();
    let issued = state.broker.pending.confirmed(server, principal, typed, now);
    let help = "type what the browser shows in the end, or begin again: remit server connect NAME";
    let (tokens, of, scope) = issued.ok_or_else(|| refused("no connection of yours waits for this code", help))?;
    let record = ConnectionRecord {
        server: server.clone(),
        principal: principal.clone(),
        version: 0,
        first: 0,
        issuer: of.0,
        client: of.1,
        scope,
        sealed: String::new(),
        since: tokens.got,
        at: tokens.got,
    };
    let plain = Zeroizing::new(serde_json::to_vec(&tokens)?);
    state.put_connection(record, &plain)?;
    state.sweep_secrets(&state.core())
}

impl Pendings {
    /// What waits for this code, used up. A few wrong ones, and it waits for none.
    fn confirmed(&self, server: &ServerName, principal: &PrincipalId, typed: &str, now: i64) -> Option<Issued> {
        let letters = |text: &str| text.to_ascii_uppercase().replace(['-', ' '], "");
        let mut all = self.all();
        let own =
            |pending: &Pending| pending.server == *server && pending.principal == *principal && pending.until > now;
        let mut found = None;
        for (mark, pending) in all.iter_mut().filter(|(_, pending)| own(pending)) {
            let Stage::Issued { shown, tries, .. } = &mut pending.stage else { continue };
            if *tries < TRIES_MAX && letters(shown) == letters(typed) {
                found = Some(*mark);
            }
            *tries = tries.saturating_add(1);
        }
        match all.remove(&found?)?.stage {
            Stage::Issued { tokens, of, scope, .. } => Some((*tokens, *of, scope)),
            _ => None,
        }
    }
}

/// Ends a person's connection: here at once, and at the authorization server where that takes tokens back.
pub(crate) async fn end(
    state: &Arc<State>,
    server: &ServerName,
    principal: &PrincipalId,
) -> Result<Ended, AuthorityError> {
    let (name, person) = (server.clone(), principal.clone());
    let held = on_disk(state, move |state| state.refresh_token(&name, &person)).await?;
    let (name, person) = (server.clone(), principal.clone());
    let was = on_disk(state, move |state| state.end_connection(&name, &person, "asked")).await?;
    let Some(token) = held.filter(|_| was) else { return Ok(Ended { was, revoked: false }) };
    let (client, _) = client(state, server).await?;
    let now = state.config.clock.now();
    let revoked = match state.broker.metadata(state, &client.record.issuer).await {
        Ok(metadata) => match &metadata.revocation_endpoint {
            Some(url) => endpoint::give_back(&state.fetcher, url, &client, &token, now).await,
            None => false,
        },
        Err(_) => false,
    };
    Ok(Ended { was, revoked })
}

impl State {
    /// What is given back at the end: the refresh token, or the access token where there is none.
    fn refresh_token(
        &self,
        server: &ServerName,
        principal: &PrincipalId,
    ) -> Result<Option<remit_core::secret::Value>, AuthorityError> {
        let Some(record) = self.core().journal.store().connection(server, principal)? else { return Ok(None) };
        let plain = self.opened(&record.subject(), &record.bound()?, &record.sealed)?;
        let tokens: Tokens = serde_json::from_str(plain.expose())?;
        Ok(Some(tokens.refresh.unwrap_or(tokens.access)))
    }
}

fn refused(message: &str, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help))
}
