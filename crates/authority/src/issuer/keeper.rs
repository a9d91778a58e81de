//! Keys of issuers, fetched when they are needed and kept for a while.
//!
//! **Invariant:** an issuer is asked at most once in [`AGAIN_SECONDS`], however many tokens name keys that nobody knows, and
//! what it said is used no longer than [`KEPT_SECONDS`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::discovery::{self, DiscoveryError, Provider};
use super::keys::{self, KeySet, KeysError};
use super::{IssuerRecord, KeySource};
use crate::fetch::{FetchError, Fetcher};

/// How long keys are used before they are asked for again, in seconds.
pub(crate) const FRESH_SECONDS: i64 = 300;
/// How long they are used where the issuer does not answer, in seconds.
pub(crate) const KEPT_SECONDS: i64 = 3_600;
/// An issuer is not asked again before then, in seconds.
pub(crate) const AGAIN_SECONDS: i64 = 30;

/// What an issuer says of itself.
pub(crate) struct Known {
    pub(crate) keys: KeySet,
    /// Where people log in; nothing where its keys were given or stand at a URL of their own.
    pub(crate) provider: Option<Provider>,
}

/// Why an issuer's keys cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeeperError {
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("{0}")]
    Discovery(#[from] DiscoveryError),
    #[error("{0}")]
    Keys(#[from] KeysError),
}

/// What is kept of one issuer. Its lock is held while it is asked, so that it is asked once.
#[derive(Default)]
struct Held {
    known: Option<(Arc<Known>, i64)>,
    /// When it was asked last, and how that went.
    asked: Option<(i64, Result<(), KeeperError>)>,
}

type Slot = Arc<tokio::sync::Mutex<Held>>;

/// Everything that is kept.
#[derive(Default)]
pub(crate) struct Keeper(Mutex<HashMap<String, Slot>>);

impl Keeper {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what an issuer said: it was registered again, or is trusted no more.
    pub(crate) fn forget(&self, url: &str) {
        self.all().remove(url);
    }

    /// The keys of an issuer; asked for again where none of those that are kept has this name.
    pub(crate) async fn get(
        &self,
        fetcher: &Arc<Fetcher>,
        issuer: &IssuerRecord,
        kid: Option<&str>,
        now: i64,
    ) -> Result<Arc<Known>, KeeperError> {
        if let KeySource::Given(text) = &issuer.keys {
            return Ok(Arc::new(Known { keys: keys::read(text.as_bytes())?, provider: None }));
        }
        let slot = Arc::clone(self.all().entry(issuer.url.clone()).or_default());
        let (fetcher, issuer, kid) = (Arc::clone(fetcher), issuer.clone(), kid.map(str::to_owned));
        // Whoever brought the token may go away; that the issuer was asked is noted all the same.
        let work = tokio::spawn(async move { slot.lock().await.get(&fetcher, &issuer, kid.as_deref(), now).await });
        work.await.unwrap_or_else(|_| Err(FetchError::Unreachable.into()))
    }
}

impl Held {
    async fn get(
        &mut self,
        fetcher: &Fetcher,
        issuer: &IssuerRecord,
        kid: Option<&str>,
        now: i64,
    ) -> Result<Arc<Known>, KeeperError> {
        let fresh = |since: i64| now.saturating_sub(since) < FRESH_SECONDS;
        if let Some((known, since)) = &self.known
            && fresh(*since)
            && known.keys.names(kid)
        {
            return Ok(Arc::clone(known));
        }
        let soon = self.asked.as_ref().is_some_and(|(at, _)| now.saturating_sub(*at) < AGAIN_SECONDS);
        if !soon {
            let asked = ask(fetcher, issuer).await;
            let went = asked.as_ref().map(|_| ()).map_err(Clone::clone);
            self.asked = Some((now, went));
            if let Ok(known) = asked {
                self.known = Some((Arc::new(known), now));
            }
        }
        self.known.take_if(|(_, since)| now.saturating_sub(*since) >= KEPT_SECONDS);
        match (&self.known, &self.asked) {
            (Some((known, _)), _) => Ok(Arc::clone(known)),
            (None, Some((_, Err(error)))) => Err(error.clone()),
            (None, _) => Err(FetchError::Unreachable.into()),
        }
    }
}

async fn ask(fetcher: &Fetcher, issuer: &IssuerRecord) -> Result<Known, KeeperError> {
    let (url, provider) = match &issuer.keys {
        KeySource::At(url) => (url.clone(), None),
        KeySource::Discovered | KeySource::Given(_) => {
            let document = fetcher.json(&discovery::url(&issuer.url)).await?;
            let provider = discovery::read(&issuer.url, &document)?;
            (provider.jwks.clone(), Some(provider))
        }
    };
    Ok(Known { keys: keys::read(&fetcher.json(&url).await?)?, provider })
}
