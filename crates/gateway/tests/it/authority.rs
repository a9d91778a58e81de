//! A tiny authority: signed bundles and revocations, tokens, and the ways in which it can fail.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use remit_audit::letter::{self, Receiver};
use remit_audit::note::{Signer, sign};
use remit_core::bundle::{Bundle, FeedPage, Versioned};
use remit_core::claims::Claims;
use remit_core::hash::b64;
use remit_core::id::TrustDomain;
use remit_core::jws::Jwk;
use remit_core::lease::{Ask, Lease};
use remit_core::revoked::{Kind, Revocation};
use remit_core::secret::Reference;
use remit_gateway::clock::Clock;
use tokio::sync::watch;

pub const DOMAIN: &str = "acme.example";
pub const ISSUER: &str = "https://as.acme.example";
const ROOT_NAME: &str = "acme.example/root";
const ROOT_SEED: [u8; 32] = [7; 32];
const TOKEN_SEED: [u8; 32] = [8; 32];

/// The machine's clock, with hands that a test can move.
#[derive(Default)]
pub struct TestClock(std::sync::atomic::AtomicI64);

impl TestClock {
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap();
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn put_back(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap();
        self.0.fetch_sub(ms, Ordering::SeqCst);
    }

    /// The same as [`Self::advance`]; gives the time that it is then, in seconds.
    pub fn advanced(&self, by: Duration) -> i64 {
        self.advance(by);
        self.now_s()
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        i64::try_from(since.as_millis()).unwrap() + self.0.load(Ordering::SeqCst)
    }
}

/// What is answered to a gateway that asks for a credential of the only place that tests use.
#[derive(Debug, Clone, Copy, Default)]
pub enum Lent {
    /// That there is none.
    #[default]
    Nothing,
    /// This version of it.
    Good(u64, &'static str),
    /// What somebody else than the authority has signed.
    Forged(&'static str),
    /// An answer to another request.
    Replayed(&'static str),
    /// What is sealed to another gateway's key.
    ForAnother(&'static str),
    /// An access token of this version: of the run where one is named, and another one for each that was refused. With it
    /// how many seconds it is good, and after how many the next one can be had.
    Issued(u64, i64, i64),
    /// That the person has connected nothing.
    Unconnected,
}

impl Lent {
    pub fn good(version: u64, value: &'static str) -> Self {
        Self::Good(version, value)
    }
}

#[derive(Default)]
struct Fleet {
    lent: Lent,
    lent_count: u64,
    /// What was refused, of those who asked again.
    refused: Vec<String>,
    /// What is served as the newest bundle, and as which version.
    bundle: Option<(u64, String)>,
    feed: Vec<Revocation>,
    down: bool,
    feed_down: bool,
}

/// The authority and its keys.
pub struct Authority {
    pub url: String,
    pub clock: Arc<TestClock>,
    fleet: Arc<Mutex<Fleet>>,
    changed: watch::Sender<()>,
    asked: AtomicU64,
}

impl Authority {
    pub async fn start(clock: Arc<TestClock>) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            clock,
            fleet: Arc::default(),
            changed: watch::channel(()).0,
            asked: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/fleet/bundle", get(bundle))
            .route("/fleet/feed", get(feed))
            .route("/fleet/secret/{server}", get(secret))
            .with_state(Arc::clone(&authority));
        tokio::spawn(async move { axum::serve(listener, router).await });
        authority
    }

    pub fn root_vkey() -> String {
        root().vkey().to_owned()
    }

    /// A signed bundle.
    pub fn note(&self, version: u64, bundle: &Bundle) -> String {
        Self::until(version, bundle, self.clock.now_s() + 30 * 86_400)
    }

    /// A signed bundle whose time is over.
    pub fn ended(&self, version: u64, bundle: &Bundle) -> String {
        Self::until(version, bundle, self.clock.now_s())
    }

    fn until(version: u64, bundle: &Bundle, not_after: i64) -> String {
        let domain = TrustDomain::new(DOMAIN).unwrap();
        sign(&Versioned::write(&domain, version, not_after, bundle).unwrap(), &root())
    }

    /// The same, signed by somebody else under the same name.
    pub fn forged(&self, version: u64, bundle: &Bundle) -> String {
        let text = self.note(version, bundle);
        let text = text.rsplit_once("\n\n").unwrap().0;
        sign(text, &Signer::from_seed(ROOT_NAME, &[9; 32]).unwrap())
    }

    /// Serves this text as the bundle of this version.
    pub fn serve(&self, version: u64, note: String) {
        self.fleet.lock().unwrap().bundle = Some((version, note));
        self.changed.send_replace(());
    }

    /// Serves a good bundle.
    pub fn publish(&self, version: u64, bundle: &Bundle) {
        self.serve(version, self.note(version, bundle));
    }

    /// Takes something back; gives the position in the feed.
    pub fn revoke(&self, kind: Kind, id: &str) -> u64 {
        let mut fleet = self.fleet.lock().unwrap();
        let seq = fleet.feed.len() as u64 + 1;
        fleet.feed.push(Revocation { seq, kind, id: id.into(), at: self.clock.now_s() });
        drop(fleet);
        self.changed.send_replace(());
        seq
    }

    /// Goes away, or comes back.
    pub fn set_down(&self, down: bool) {
        self.fleet.lock().unwrap().down = down;
        self.changed.send_replace(());
    }

    /// Has no news, or has it again; bundles are given out all the same.
    pub fn set_feed_down(&self, down: bool) {
        self.fleet.lock().unwrap().feed_down = down;
        self.changed.send_replace(());
    }

    /// What gateways that ask for a credential are answered.
    pub fn lend(&self, lent: Lent) {
        self.fleet.lock().unwrap().lent = lent;
    }

    /// How often a credential was lent.
    pub fn lent(&self) -> u64 {
        self.fleet.lock().unwrap().lent_count
    }

    /// How many were refused by an upstream.
    pub fn refused(&self) -> usize {
        self.fleet.lock().unwrap().refused.len()
    }

    /// How often anything was asked.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

fn root() -> Signer {
    Signer::from_seed(ROOT_NAME, &ROOT_SEED).unwrap()
}

/// The keys that a bundle names.
pub fn token_keys() -> Vec<Jwk> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&TOKEN_SEED).unwrap();
    vec![Jwk::ed25519(pair.public_key().as_ref(), Some("k1".into()))]
}

/// A token that states these claims.
pub fn mint(claims: &Claims) -> String {
    minted_by(claims, TOKEN_SEED)
}

/// A token of whoever holds another seed.
pub fn minted_by(claims: &Claims, seed: [u8; 32]) -> String {
    let payload = serde_json::to_string(claims).unwrap();
    jws(r#"{"typ":"at+jwt","alg":"EdDSA","kid":"k1"}"#, &payload, seed)
}

/// A compact JWS.
pub fn jws(header: &str, payload: &str, seed: [u8; 32]) -> String {
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let signed = format!("{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()));
    format!("{signed}.{}", b64(pair.sign(signed.as_bytes()).as_ref()))
}

#[derive(serde::Deserialize)]
struct After {
    after: u64,
    wait: u64,
}

async fn bundle(State(authority): State<Arc<Authority>>, Query(q): Query<After>) -> Response {
    answer(
        &authority,
        q.wait,
        |fleet| fleet.down,
        |fleet| {
            let (version, note) = fleet.bundle.as_ref()?;
            (*version > q.after).then(|| note.clone())
        },
    )
    .await
    .unwrap_or_else(|| StatusCode::NOT_MODIFIED.into_response())
}

async fn feed(State(authority): State<Arc<Authority>>, Query(q): Query<After>) -> Response {
    let page = |fleet: &Fleet, after: u64| {
        let page = FeedPage {
            seq: fleet.feed.len() as u64,
            at: authority.clock.now_s(),
            entries: fleet.feed.iter().filter(|e| e.seq > after).cloned().collect(),
        };
        sign(&page.write(&TrustDomain::new(DOMAIN).unwrap()).unwrap(), &root())
    };
    // The first page at once, so that a gateway that starts need not wait.
    let fresh = q.after == 0 && authority.asked() < 4;
    let down = |fleet: &Fleet| fleet.down || fleet.feed_down;
    let answered = answer(&authority, q.wait.min(1), down, |fleet| {
        (fresh || fleet.feed.len() as u64 > q.after).then(|| page(fleet, q.after))
    })
    .await;
    answered.unwrap_or_else(|| {
        let fleet = authority.fleet.lock().unwrap();
        let gone = || StatusCode::SERVICE_UNAVAILABLE.into_response();
        if down(&fleet) { gone() } else { page(&fleet, q.after).into_response() }
    })
}

async fn secret(State(authority): State<Arc<Authority>>, headers: http::HeaderMap) -> Response {
    let mut fleet = authority.fleet.lock().unwrap();
    if fleet.down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let jws = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let payload = remit_core::hash::unb64(jws.split('.').nth(1).unwrap()).unwrap();
    let ask: Ask = serde_json::from_slice(&payload).unwrap();
    assert_eq!(ask.aud, ISSUER);
    let signer = |seed| Signer::from_seed(ROOT_NAME, &[seed; 32]).unwrap();
    let own = ask.key().unwrap();
    let token = format!("token-of-{}-{}", ask.run.as_ref().map_or("all", |run| run.as_str()), fleet.refused.len());
    let known = ask.refused.is_none_or(|refused| {
        let known = refused == b64(&remit_core::hash::sha256(&[token.as_bytes()]));
        fleet.refused.push(refused);
        known
    });
    assert!(known, "what is refused is what was lent");
    let token = format!("token-of-{}-{}", ask.run.as_ref().map_or("all", |run| run.as_str()), fleet.refused.len());
    let now = authority.clock.now_s();
    let (until, renew) = match fleet.lent {
        Lent::Issued(_, until, renew) => (Some(now + until), Some(now + renew)),
        _ => (None, None),
    };
    let (version, value, key, id, signer) = match fleet.lent {
        Lent::Nothing => return StatusCode::FORBIDDEN.into_response(),
        Lent::Unconnected => return StatusCode::CONFLICT.into_response(),
        Lent::Issued(version, ..) => (version, token.as_str(), own, ask.jti.clone(), root()),
        Lent::Good(version, value) => (version, value, own, ask.jti.clone(), root()),
        Lent::Forged(value) => (1, value, own, ask.jti.clone(), signer(9)),
        Lent::Replayed(value) => (1, value, own, "another".to_owned(), root()),
        Lent::ForAnother(value) => (1, value, *Receiver::new().unwrap().public(), ask.jti.clone(), root()),
    };
    fleet.lent_count += 1;
    let secrets: Vec<_> = ask.secrets.iter().map(|secret| Reference { version, ..secret.clone() }).collect();
    let bound = Lease::bound(&id, &ask.server, &secrets);
    let plain = serde_json::to_vec(&[value]).unwrap();
    let (epk, sealed) = letter::seal(&key, &bound, &plain).unwrap();
    let (epk, sealed) = (b64(&epk), b64(&sealed));
    let lease = Lease { ask: id, server: ask.server, secrets, until, renew, epk, sealed };
    sign(&lease.write(&TrustDomain::new(DOMAIN).unwrap()).unwrap(), &signer).into_response()
}

/// Waits until there is something to say; `None` where there is nothing for as long as the caller waits.
async fn answer(
    authority: &Authority,
    wait: u64,
    down: impl Fn(&Fleet) -> bool,
    what: impl Fn(&Fleet) -> Option<String>,
) -> Option<Response> {
    authority.asked.fetch_add(1, Ordering::SeqCst);
    let mut changed = authority.changed.subscribe();
    let end = tokio::time::Instant::now() + Duration::from_secs(wait);
    loop {
        {
            let fleet = authority.fleet.lock().unwrap();
            if down(&fleet) {
                return Some(StatusCode::SERVICE_UNAVAILABLE.into_response());
            }
            if let Some(text) = what(&fleet) {
                return Some(text.into_response());
            }
        }
        if tokio::time::timeout_at(end, changed.changed()).await.is_err() {
            return None;
        }
    }
}
