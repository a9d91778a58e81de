//! The credentials of upstream servers: lent by the authority when they are first needed, kept in memory alone, and lent
//! again when the bundle names another version.
//!
//! **Invariant:** a credential is used for the server and in the version that the bundle of this very call names, or the
//! call is not sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use remit_audit::letter::Receiver;
use remit_audit::note::{self, Verifier};
use remit_core::hash::{b64, sha256, unb64};
use remit_core::id::{PrincipalId, RunId, ServerName, TrustDomain};
use remit_core::lease::{ASK_SECONDS_MAX, ASK_TYP, Ask, LEASE_BYTES_MAX, Lease};
use remit_core::policy::Compiled;
use remit_core::registry::Server;
use remit_core::secret::{Place, Reference, Value};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::fetch::{Authority, FetchError};
use crate::identity::Identity;
use crate::upstream::UpstreamError;

/// How long a call waits for the authority.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long after a failure the authority is not asked again for the same server.
const PAUSE: Duration = Duration::from_secs(1);
/// Shortest value that is looked for in what an upstream says, in bytes: shorter ones are words.
const ECHO_BYTES_MIN: usize = 8;

/// How long after a failure a credential that is good is not asked for anew ahead of its time.
const PATIENCE: Duration = Duration::from_secs(15);
/// Most servers and callers of which something is kept.
const SLOTS_MAX: usize = 100_000;
/// The authority's answer where the credential is a person's own, and the person has connected nothing.
const STATUS_UNCONNECTED: u16 = 409;

/// Whose call it is that a credential may depend on.
pub(crate) struct Caller<'a> {
    /// The person for whom the run acts.
    pub(crate) principal: &'a PrincipalId,
    /// The team of the agent.
    pub(crate) team: &'a str,
    /// The run: by it the authority knows both.
    pub(crate) run: &'a RunId,
}

/// A server, and person and team where its credentials depend on them.
type Key = (ServerName, Option<(PrincipalId, String)>);

/// What is lent to this gateway, by server.
pub struct Secrets {
    identity: Arc<Identity>,
    authority: Authority,
    root: Verifier,
    trust_domain: TrustDomain,
    clock: Arc<dyn Clock>,
    slots: Mutex<HashMap<Key, Slot>>,
}

/// One at a time asks for the same server; the others wait for what it is told.
type Slot = Arc<tokio::sync::Mutex<Kept>>;

#[derive(Default)]
struct Kept {
    held: Option<Arc<Held>>,
    failed: Option<(Instant, UpstreamError)>,
}

/// The credentials of one server. No `Debug`; wiped when the last call that uses them has ended.
pub struct Held {
    secrets: Vec<Reference>,
    values: Vec<Value>,
    until: Option<i64>,
    renew: Option<i64>,
}

impl Secrets {
    /// Nothing yet.
    pub fn new(
        identity: Arc<Identity>,
        authority: Authority,
        root: Verifier,
        trust_domain: TrustDomain,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { identity, authority, root, trust_domain, clock, slots: Mutex::default() }
    }

    /// The server's credentials as the bundle names them, for this caller; nothing where it has none.
    pub(crate) async fn of(
        &self,
        server: &Server,
        issuer: &str,
        caller: &Caller<'_>,
    ) -> Result<Option<Arc<Held>>, UpstreamError> {
        if server.secrets.is_empty() {
            return Ok(None);
        }
        let slot = self.slot(server, caller);
        let mut kept = slot.lock().await;
        let now = self.clock.now_s();
        let good = |held: &&Arc<Held>| held.secrets == server.secrets && held.until.is_none_or(|until| now < until);
        let held = kept.held.as_ref().filter(good).cloned();
        let due = |held: &Held| held.renew.is_some_and(|renew| now >= renew);
        let failed = kept.failed.map(|(when, why)| (when.elapsed(), why));
        match (held, failed) {
            (Some(held), _) if !due(&held) => return Ok(Some(held)),
            (Some(held), Some((ago, _))) if ago < PATIENCE => return Ok(Some(held)),
            (None, Some((ago, why))) if ago < PAUSE => return Err(why),
            _ => {}
        }
        let before = kept.held.as_ref().filter(good).cloned();
        match (self.renewed(&mut kept, (server, issuer, caller), None).await, before) {
            // What is lent ahead of the end of another one can wait.
            (Err(_), Some(held)) => Ok(Some(held)),
            (lent, _) => lent.map(Some),
        }
    }

    /// Another credential in the place of one that the server has just refused: where it is issued anew by itself, and is
    /// another one now. Whoever comes second gets what the first one was lent.
    pub(crate) async fn instead(
        &self,
        server: &Server,
        issuer: &str,
        caller: &Caller<'_>,
        refused: &Held,
    ) -> Result<Arc<Held>, UpstreamError> {
        const SAME: UpstreamError = UpstreamError::Denied("another one is not to be had");
        let Some(value) = refused.access().filter(|_| refused.renew.is_some()) else {
            return Err(UpstreamError::Denied("it is the one that was registered"));
        };
        let slot = self.slot(server, caller);
        let mut kept = slot.lock().await;
        let other = |held: &&Arc<Held>| held.secrets == server.secrets && held.access() != Some(value);
        if let Some(held) = kept.held.as_ref().filter(other) {
            return Ok(Arc::clone(held));
        }
        if kept.failed.is_some_and(|(when, _)| when.elapsed() < PAUSE) {
            return Err(SAME);
        }
        let digest = b64(&sha256(&[value.as_bytes()]));
        let lent = self.renewed(&mut kept, (server, issuer, caller), Some(digest)).await.map_err(|_| SAME)?;
        if lent.access() == Some(value) { Err(SAME) } else { Ok(lent) }
    }

    /// One that the server did not want, although it was new: nobody asks for the next one at once.
    pub(crate) async fn pause(&self, server: &Server, caller: &Caller<'_>) {
        let slot = self.slot(server, caller);
        slot.lock().await.failed = Some((Instant::now(), UpstreamError::Denied("another one is not to be had")));
    }

    fn slot(&self, server: &Server, caller: &Caller<'_>) -> Slot {
        let own = server.secrets.iter().any(|secret| secret.own);
        let key = (server.name.clone(), own.then(|| (caller.principal.clone(), caller.team.to_owned())));
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= SLOTS_MAX && !slots.contains_key(&key) {
            // What nobody uses at this moment is lent again when somebody does.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key).or_default())
    }

    async fn renewed(
        &self,
        kept: &mut Kept,
        (server, issuer, caller): (&Server, &str, &Caller<'_>),
        refused: Option<String>,
    ) -> Result<Arc<Held>, UpstreamError> {
        match self.lent(server, issuer, caller, refused).await {
            Ok(held) => {
                let held = Arc::new(held);
                *kept = Kept { held: Some(Arc::clone(&held)), failed: None };
                Ok(held)
            }
            Err(why) => {
                tracing::warn!(server = %server.name, %why, "a credential cannot be had");
                kept.failed = Some((Instant::now(), why));
                Err(why)
            }
        }
    }

    /// Forgets the credentials of servers that have none any more.
    pub(crate) fn keep_only(&self, bundle: &Compiled) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(name, _), _| bundle.server(name).is_some_and(|server| !server.secrets.is_empty()));
    }

    async fn lent(
        &self,
        server: &Server,
        issuer: &str,
        caller: &Caller<'_>,
        refused: Option<String>,
    ) -> Result<Held, UpstreamError> {
        let broken = UpstreamError::Credential("the authority's answer is not for this gateway");
        let receiver = Receiver::new().map_err(|_| broken)?;
        let mut ask = self.ask(server, issuer, self.clock.now_s(), &receiver).ok_or(broken)?;
        ask.run = server.secrets.iter().any(|secret| secret.own).then(|| caller.run.clone());
        ask.refused = refused;
        let signed = self.identity.sign(ASK_TYP, &ask).ok_or(broken)?;
        let path = format!("/fleet/secret/{}", server.name);
        let note = self.authority.get_as(&path, Some(&signed), LEASE_BYTES_MAX, DEADLINE).await.map_err(why)?;
        let note = note.ok_or(broken)?;
        // Whoever is between the two could seal a credential of their own to the key, and read what is sent with it.
        let opened = note::open(&note, std::slice::from_ref(&self.root)).map_err(|_| broken)?;
        let lease = Lease::read(&opened.text, &self.trust_domain, &ask).ok_or(broken)?;
        let from = unb64(&lease.epk).and_then(|key| key.try_into().ok()).ok_or(broken)?;
        let sealed = unb64(&lease.sealed).ok_or(broken)?;
        let bound = Lease::bound(&ask.jti, &server.name, &lease.secrets);
        let plain = receiver.open(&from, &bound, &sealed).map_err(|_| broken)?;
        let values: Vec<Value> = serde_json::from_slice(&plain).map_err(|_| broken)?;
        let placed = lease.secrets.iter().zip(&values).all(|(secret, value)| secret.place.takes(value.expose()));
        if values.len() != lease.secrets.len() || !placed {
            return Err(broken);
        }
        Ok(Held { secrets: lease.secrets, values, until: lease.until, renew: lease.renew })
    }

    fn ask(&self, server: &Server, issuer: &str, now: i64, receiver: &Receiver) -> Option<Ask> {
        let mut jti = [0; 16];
        aws_lc_rs::rand::fill(&mut jti).ok()?;
        Some(Ask {
            iss: self.identity.public().thumbprint(),
            aud: issuer.to_owned(),
            iat: now,
            exp: now.saturating_add(ASK_SECONDS_MAX),
            jti: b64(&jti),
            server: server.name.clone(),
            secrets: server.secrets.clone(),
            run: None,
            refused: None,
            epk: b64(receiver.public()),
        })
    }
}

fn why(error: FetchError) -> UpstreamError {
    if error == FetchError::Status(STATUS_UNCONNECTED) {
        return UpstreamError::Unconnected;
    }
    UpstreamError::Credential(match error {
        FetchError::Status(403) => "the authority does not know this gateway",
        FetchError::Status(_) => "the authority does not give it",
        FetchError::Unreachable => "the authority cannot be reached",
        FetchError::Invalid => "the authority's answer is not understood",
    })
}

impl Held {
    fn each(&self) -> impl Iterator<Item = (&Reference, &str)> {
        self.secrets.iter().zip(self.values.iter().map(Value::expose))
    }

    /// The one that is an access token.
    fn access(&self) -> Option<&str> {
        self.each().find(|(secret, _)| secret.place == Place::Bearer).map(|(_, value)| value)
    }

    /// Whether one of them is issued anew by itself.
    pub(crate) fn renews(&self) -> bool {
        self.renew.is_some()
    }

    /// Whether they depend on whose call it is.
    pub(crate) fn is_own(&self) -> bool {
        self.secrets.iter().any(|secret| secret.own)
    }

    /// Puts them among the headers of a request, over whatever has their names there.
    pub(crate) fn put(&self, headers: &mut HeaderMap) -> Result<(), UpstreamError> {
        let broken = UpstreamError::Credential("it cannot stand in a header");
        for (secret, value) in self.each() {
            let Some((name, text)) = secret.place.header_of(value) else { continue };
            let name = HeaderName::try_from(name).map_err(|_| broken)?;
            let mut value = HeaderValue::try_from(text.as_str()).map_err(|_| broken)?;
            // Neither in a `Debug` of the headers, nor in a table of compression.
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(())
    }

    /// The variables of a child.
    pub(crate) fn vars(&self) -> Vec<(String, Zeroizing<String>)> {
        let vars = self.each().filter_map(|(secret, value)| match &secret.place {
            Place::Env(name) => Some((name.clone(), Zeroizing::new(value.to_owned()))),
            _ => None,
        });
        vars.collect()
    }

    /// Whether these bytes of an upstream repeat one of them, as it was sent. A setting may be repeated.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        self.each().filter(|(secret, _)| !secret.plain).any(|(secret, value)| {
            let part = if secret.place == Place::Basic {
                value.split_once(':').map_or(value, |(_, password)| password)
            } else {
                // `Token abc`: the scheme is a word, what follows it is the secret.
                value.rsplit(' ').next().unwrap_or(value)
            };
            let whole = if secret.place == Place::Basic { STANDARD.encode(value) } else { value.to_owned() };
            let parts = [Zeroizing::new(whole), Zeroizing::new(part.to_owned())];
            parts
                .iter()
                .any(|part| part.len() >= ECHO_BYTES_MIN && memchr::memmem::find(bytes, part.as_bytes()).is_some())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(place: &str, value: &str, plain: bool) -> Held {
        let secret = Reference { place: place.parse().unwrap(), version: 1, plain, own: false };
        Held { secrets: vec![secret], values: vec![Value::new(value.into())], until: None, renew: None }
    }

    #[test]
    fn each_goes_to_its_place_and_is_not_shown_there() {
        for (place, value, header) in [
            ("bearer", "sk-12345678", "Bearer sk-12345678"),
            ("basic", "ada:pass word", "Basic YWRhOnBhc3Mgd29yZA=="),
            ("header:authorization", "Token sk-12345678", "Token sk-12345678"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", HeaderValue::from_static("Bearer of-the-caller"));
            let held = held(place, value, false);
            held.put(&mut headers).unwrap();
            assert_eq!(headers.get_all("authorization").iter().collect::<Vec<_>>(), [header], "{place}");
            assert!(!format!("{headers:?}").contains("12345678"));
            assert!(held.vars().is_empty());
        }
        let held = held("env:TOKEN", "sk-1", false);
        let mut headers = HeaderMap::new();
        held.put(&mut headers).unwrap();
        assert_eq!((held.vars(), headers.len()), (vec![("TOKEN".into(), Zeroizing::new("sk-1".into()))], 0));
    }

    #[test]
    fn what_repeats_a_credential_is_seen() {
        let said = |held: Held, text: &str| held.is_in(text.as_bytes());
        assert!(said(held("bearer", "sk-12345678", false), "bad token sk-12345678!"));
        assert!(said(held("header:x-key", "Token sk-12345678", false), r#"{"got":"sk-12345678"}"#));
        assert!(said(held("basic", "ada:correct-horse", false), "no: correct-horse"));
        assert!(said(held("basic", "ada:pass word", false), "Basic YWRhOnBhc3Mgd29yZA=="));
        assert!(!said(held("bearer", "sk-12345678", false), "sk-1234567"));
        assert!(!said(held("env:MODE", "production", true), "in production"));
        assert!(!said(held("env:A", "short", false), "short"));
    }
}
