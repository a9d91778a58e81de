//! The snapshot that the gateway decides by, and how it follows the authority.
//!
//! A bundle that is not signed by the pinned root key, is older than one that was ever logged, or does not compile
//! changes nothing: the last good one stays, and an event says so. A gateway that has not heard from the authority
//! for too long refuses.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use remit_audit::note::{self, Verifier};
use remit_core::bundle::{BUNDLE_BYTES_MAX, FeedPage, Versioned};
use remit_core::confirm::{CONFIRM_TYP, Confirm};
use remit_core::event::BundleSeen;
use remit_core::hash::{Digest, sha256, sha256_text};
use remit_core::id::TrustDomain;
use remit_core::policy;
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::Revoked;
use remit_core::snapshot::Snapshot;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::fetch::Authority;
use crate::identity::Identity;
use crate::record::Recorder;

/// Longest page of the feed that is read, in bytes.
const FEED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long the authority may hold a request back while there is nothing new.
const WAIT: Duration = Duration::from_secs(25);
/// How long it may hold back a page of the feed, in seconds: each page also says that it is alive.
const FEED_WAIT_S: u64 = 5;
/// How long to wait before asking again where there was nothing new.
const PAUSE: Duration = Duration::from_millis(50);
/// How long to wait before asking again after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// Why a signed text was not taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not signed by the pinned root key.
    #[error("not signed by the pinned root key")]
    Signature,
    /// Older than one that was logged before.
    #[error("version {found} is older than version {logged}, which was loaded before")]
    Older {
        /// What was offered.
        found: u64,
        /// The highest that was ever logged.
        logged: u64,
    },
    /// Its time is over.
    #[error("its time is over")]
    Ended,
    /// Not what it should be.
    #[error(transparent)]
    Content(#[from] remit_core::bundle::BundleError),
    /// Does not compile.
    #[error(transparent)]
    Policy(#[from] policy::PolicyError),
    /// The log is not available, so the change could not be recorded.
    #[error("the change could not be recorded")]
    Audit,
    /// Entries of the feed are missing.
    #[error(transparent)]
    Gap(#[from] remit_core::revoked::Gap),
}

/// Holds the current snapshot and takes over new ones.
pub struct Snapshots {
    current: watch::Sender<Option<Arc<Snapshot>>>,
    root: Verifier,
    trust_domain: TrustDomain,
    highest: AtomicU64,
    refused: Mutex<Option<Digest>>,
    age_max_s: i64,
    dir: PathBuf,
}

impl Snapshots {
    /// Nothing yet; `highest` is the highest version that the log names.
    pub fn new(root: Verifier, trust_domain: TrustDomain, highest: u64, age_max: Duration, dir: PathBuf) -> Self {
        let age_max_s = i64::try_from(age_max.as_secs()).unwrap_or(i64::MAX);
        Self {
            current: watch::channel(None).0,
            root,
            trust_domain,
            highest: highest.into(),
            refused: Mutex::default(),
            age_max_s,
            dir,
        }
    }

    /// The snapshot to decide by now, or the reason why nothing is decided.
    pub fn current(&self, now: i64) -> Result<Arc<Snapshot>, Rejection> {
        let snapshot = self.current.borrow().clone();
        snapshot.filter(|snapshot| snapshot.age(now) <= self.age_max_s).ok_or_else(|| {
            let message = "the gateway has not heard from the authority for too long";
            Rejection::new(Code::PolicyStale, message, "start the authority, or see: remit doctor")
        })
    }

    /// The snapshot as it is, however old.
    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.current.borrow().clone()
    }

    /// Tells of every change.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.current.subscribe()
    }

    /// Takes over a bundle, or says why not. Either way the log says so first.
    pub async fn offer(&self, note: &str, recorder: &Recorder, now: i64) -> Result<(), SnapshotError> {
        let read = self.read(note, now);
        match read {
            Ok(bundle) => {
                let version = bundle.versioned.version;
                let digest = sha256_text(&bundle.versioned.digest);
                seen(recorder, "loaded", (version, &digest), None).await.map_err(|_| SnapshotError::Audit)?;
                self.highest.fetch_max(version, Ordering::SeqCst);
                self.keep(note, version);
                let bundle = Arc::new(bundle);
                self.current.send_modify(|current| {
                    let (revoked, as_of) = current
                        .as_ref()
                        .map_or((Arc::new(Revoked::default()), 0), |s| (Arc::clone(&s.revoked), s.as_of));
                    *current = Some(Arc::new(Snapshot { bundle: Arc::clone(&bundle), revoked, as_of }));
                });
                Ok(())
            }
            Err(why) => {
                tracing::warn!(%why, "bundle refused; the last good one stays");
                // Once for each text: an authority that repeats itself does not fill the log.
                if self.is_news(note) {
                    let seen = seen(recorder, "refused", (0, ""), Some(why.code())).await;
                    seen.map_err(|_| SnapshotError::Audit)?;
                }
                Err(why)
            }
        }
    }

    /// The highest version that was ever loaded, as far as the log says so; 0 where none was.
    pub fn highest(&self) -> u64 {
        self.highest.load(Ordering::SeqCst)
    }

    fn is_news(&self, note: &str) -> bool {
        let digest = sha256(&[note.as_bytes()]);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.replace(digest) != Some(digest)
    }

    fn read(&self, note: &str, now: i64) -> Result<policy::Compiled, SnapshotError> {
        let opened = note::open(note, std::slice::from_ref(&self.root)).map_err(|_| SnapshotError::Signature)?;
        let versioned = Versioned::read(&opened.text, &self.trust_domain)?;
        let logged = self.highest();
        if versioned.version < logged {
            return Err(SnapshotError::Older { found: versioned.version, logged });
        }
        if versioned.not_after <= now {
            return Err(SnapshotError::Ended);
        }
        Ok(policy::compile(versioned, self.trust_domain.clone())?)
    }

    /// Keeps the bundle for the next start and for replay. Losing it costs a replay, not a decision.
    fn keep(&self, note: &str, version: u64) {
        for name in [format!("{version}.note"), "last.note".into()] {
            if let Err(error) = remit_audit::durable::write(&self.dir.join(name), note.as_bytes(), 0o600) {
                tracing::warn!(%error, "the bundle could not be kept");
            }
        }
    }

    /// Takes over a page of the feed.
    pub fn apply(&self, note: &str) -> Result<(), SnapshotError> {
        let opened = note::open(note, std::slice::from_ref(&self.root)).map_err(|_| SnapshotError::Signature)?;
        let page = FeedPage::read(&opened.text, &self.trust_domain)?;
        let mut result = Ok(());
        self.current.send_if_modified(|current| {
            let Some(snapshot) = current else {
                return false;
            };
            let mut revoked = Revoked::clone(&snapshot.revoked);
            let changed = !page.entries.is_empty();
            for entry in page.entries {
                // A page that was asked for twice begins with what is known already.
                if entry.seq <= revoked.seq() {
                    continue;
                }
                if let Err(gap) = revoked.apply(entry) {
                    result = Err(gap.into());
                    return false;
                }
            }
            // A page that does not reach the feed's end vouches for nothing yet.
            let as_of = if revoked.seq() == page.seq { page.at.max(snapshot.as_of) } else { snapshot.as_of };
            let revoked = if changed { Arc::new(revoked) } else { Arc::clone(&snapshot.revoked) };
            *current = Some(Arc::new(Snapshot { bundle: Arc::clone(&snapshot.bundle), revoked, as_of }));
            changed
        });
        result
    }

    /// Follows the authority's bundles for ever.
    pub async fn follow_bundles(&self, authority: &Authority, recorder: &Recorder, clock: &dyn Clock) {
        loop {
            let version = self.latest().map_or(0, |snapshot| snapshot.bundle.versioned.version);
            let path = format!("/fleet/bundle?after={version}&wait={}", WAIT.as_secs());
            match authority.get(&path, BUNDLE_BYTES_MAX, WAIT * 2).await {
                Ok(Some(note)) => {
                    if let Err(error) = self.offer(&note, recorder, clock.now_s()).await {
                        tracing::warn!(%error, "bundle not taken over");
                        tokio::time::sleep(RETRY * 2).await;
                    }
                }
                // An authority that does not hold requests back is not asked without end.
                Ok(None) => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    tracing::warn!(%error, "bundle");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Follows the authority's feed for ever, and says with each request how far.
    pub async fn follow_feed(&self, authority: &Authority, identity: &Identity, clock: &dyn Clock) {
        // At first, and after a failure, nothing is decided until a page vouches: it is not waited for news then.
        let mut vouched = false;
        loop {
            let known = self.latest();
            let seq = known.as_ref().map_or(0, |snapshot| snapshot.revoked.seq());
            let wait = if vouched { FEED_WAIT_S } else { 0 };
            let path = format!("/fleet/feed?after={seq}&wait={wait}");
            let said = known.as_deref().and_then(|snapshot| confirm(snapshot, identity, clock.now_s()));
            let page = authority.get_as(&path, said.as_deref(), FEED_BYTES_MAX, WAIT).await;
            let answered = matches!(page, Ok(Some(_)));
            let applied = match page {
                Ok(Some(note)) => {
                    let applied = self.apply(&note).map_err(|e| e.to_string());
                    if self.latest().is_some_and(|snapshot| snapshot.revoked.seq() == seq) {
                        tokio::time::sleep(PAUSE).await;
                    }
                    applied
                }
                Ok(None) => {
                    tokio::time::sleep(PAUSE).await;
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            };
            vouched = known.is_some() && answered && applied.is_ok();
            if let Err(error) = applied {
                tracing::warn!(%error, "revocation feed");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// By which entry of the feed this gateway decides, signed.
fn confirm(snapshot: &Snapshot, identity: &Identity, now: i64) -> Option<String> {
    let issuer = &snapshot.bundle.versioned.bundle.issuer;
    let said = Confirm::new(issuer, snapshot.revoked.seq(), now);
    identity.sign(CONFIRM_TYP, &said)
}

async fn seen(
    recorder: &Recorder,
    what: &str,
    (version, digest): (u64, &str),
    why: Option<&str>,
) -> Result<remit_audit::Receipt, Rejection> {
    let event = BundleSeen { what, version, digest, why, sealed: None };
    recorder.event(event.write(&recorder.head())).await
}

impl SnapshotError {
    fn code(&self) -> &'static str {
        match self {
            SnapshotError::Signature => "signature",
            SnapshotError::Older { .. } => "older",
            SnapshotError::Ended => "ended",
            SnapshotError::Content(_) => "content",
            SnapshotError::Policy(_) => "policy",
            SnapshotError::Audit => "audit",
            SnapshotError::Gap(_) => "gap",
        }
    }
}
