//! The authority as one value: what it keeps, how it opens, and what it does while it serves.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use remit_audit::durable;
use remit_audit::note::Signer;
use remit_audit::vault::{Kek, Vault};
use remit_core::id::{GatewayName, RunId};
use remit_core::jws::Jwk;
use remit_core::revoked::Revoked;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::assertion::Seen;
use crate::broker::Broker;
use crate::bundle::{Loaded, Offered};
use crate::change::Change;
use crate::config::{BUNDLE_SECONDS, Config, Home, SOCKET_PATH_BYTES_MAX, TOKEN_SECONDS_MAX};
use crate::error::AuthorityError;
use crate::fetch::Fetcher;
use crate::followers::Followers;
use crate::http;
use crate::issuer::event::Ended;
use crate::issuer::keeper::Keeper;
use crate::issuer::visit::Visits;
use crate::journal::Journal;
use crate::keys::{self, Keys};
use crate::login::Logins;
use crate::metadata::Documents;
use crate::pin::Pin;
use crate::refusals::Refusals;
use crate::relay::{self, Held, Relay};
use crate::signing::PrivateKey;
use crate::socket::{self, Sockets};

/// How often runs that are over, keys that can go and bundles that end soon are looked for.
const UPKEEP: Duration = Duration::from_secs(1);

/// The control plane: one process, embedded stores.
pub struct Authority {
    pub(crate) state: Arc<State>,
    relay: Option<TcpListener>,
}

/// Everything that requests share.
pub(crate) struct State {
    pub(crate) home: Home,
    pub(crate) config: Config,
    pub(crate) root: Signer,
    pub(crate) bundle: watch::Sender<Offered>,
    pub(crate) feed: watch::Sender<u64>,
    pub(crate) followers: Followers,
    pub(crate) sockets: Sockets,
    pub(crate) pin: Pin,
    /// Keys of the credentials of servers, apart from those of the log's frames: who may read the log may not open these.
    pub(crate) secrets: Vault,
    /// When this process began to serve, in seconds since 1970.
    began: i64,
    core: Mutex<Core>,
    seen: Mutex<Seen>,
    pub(crate) logins: Logins,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) documents: Documents,
    pub(crate) keeper: Keeper,
    /// Held from the look at what is registered to the registration that was judged by it.
    pub(crate) registering: Mutex<()>,
    pub(crate) visits: Visits,
    pub(crate) ended: Ended,
    pub(crate) refusals: Refusals,
    pub(crate) broker: Broker,
    pub(crate) relay: Relay,
    publishing: Mutex<()>,
    loaded: Mutex<Loaded>,
}

/// What changes together, under one lock: the order of changes is the order of the log.
pub(crate) struct Core {
    pub(crate) journal: Journal,
    pub(crate) keys: Keys,
    pub(crate) revoked: Revoked,
    /// Private keys of runs. They exist in this process's memory alone.
    pub(crate) held: HashMap<RunId, PrivateKey>,
    /// Tokens of runs that the relay uses.
    pub(crate) relayed: Held,
}

impl Authority {
    /// Opens the home, repairs the database from the log, and issues the bundle of what is registered.
    ///
    /// Policies that do not compile do not keep it from opening: the error is shown, and no bundle is issued.
    pub fn open(home: &Path, config: Config) -> Result<Self, AuthorityError> {
        let home = Home::new(home);
        sockets_fit(&home)?;
        if !(1..=TOKEN_SECONDS_MAX).contains(&config.token_seconds) {
            return Err(AuthorityError::TokenLife { given: config.token_seconds });
        }
        durable::create_dir(home.path()).map_err(AuthorityError::at(home.path()))?;
        let journal = Journal::open(&home, &config)?;
        let root = keys::root(&home, config.trust_domain.as_str())?;
        let vkey = format!("{}\n", root.vkey());
        let path = home.root_vkey();
        durable::write(&path, vkey.as_bytes(), 0o644).map_err(AuthorityError::at(&path))?;
        let mut core = Core {
            keys: Keys::load(&home, journal.store().keys()?)?,
            journal,
            revoked: Revoked::default(),
            held: HashMap::new(),
            relayed: Held::new(),
        };
        core.follow_feed()?;
        State::end_the_endless(&mut core, config.clock.now())?;
        let state = State {
            pin: Pin::new(&home),
            secrets: Vault::open(&home.secrets(), Kek::load_or_create(&home.keys().join("secrets.key"))?)?,
            root,
            bundle: watch::Sender::default(),
            feed: watch::Sender::new(core.revoked.seq()),
            followers: Followers::default(),
            sockets: Sockets::default(),
            began: config.clock.now(),
            core: Mutex::new(core),
            seen: Mutex::default(),
            logins: Logins::default(),
            fetcher: Arc::new(Fetcher::new(&config.internal_hosts)),
            documents: Documents::default(),
            keeper: Keeper::default(),
            registering: Mutex::default(),
            visits: Visits::default(),
            ended: Ended::default(),
            refusals: Refusals::default(),
            broker: Broker::default(),
            relay: Relay::new()?,
            publishing: Mutex::default(),
            loaded: Mutex::default(),
            home,
            config,
        };
        if state.core().keys.public().is_empty() {
            state.add_key()?;
        }
        state.sweep_secrets(&state.core())?;
        // The error is kept beside the bundle, where the status shows it.
        state.publish().ok();
        Ok(Self { state: Arc::new(state), relay: None })
    }

    /// Serves the relay for clients on this machine on a listener of its own, which nobody else may reach.
    pub fn relay(mut self, listener: TcpListener) -> Result<Self, AuthorityError> {
        let address = listener.local_addr().map_err(|source| AuthorityError::Relay { source })?;
        if !address.ip().is_loopback() {
            return Err(AuthorityError::RelayOpen { address });
        }
        self.state.relay.at(address);
        self.relay = Some(listener);
        Ok(self)
    }

    /// The verifier key that gateways pin.
    pub fn root_vkey(&self) -> &str {
        self.state.root.vkey()
    }

    /// Registers the gateway that shares this home: what lies in it vouches for both.
    pub fn admit_gateway(&self, name: &GatewayName, key: &Jwk) -> Result<(), AuthorityError> {
        self.state.add_gateway(name, key, "up").map(drop)
    }

    /// The verifier key of the authority's own log.
    pub fn log_vkey(&self) -> String {
        self.state.core().journal.log().vkey().to_owned()
    }

    /// Serves HTTP on `listener`, and the sockets of the home, until `shutdown` ends; then closes the log.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), AuthorityError> {
        let state = self.state;
        let admin = socket::serve_admin(&state)?;
        socket::serve_runs(&state)?;
        let upkeep = tokio::spawn(upkeep(Arc::clone(&state)));
        let relay = self.relay.map(|listener| tokio::spawn(relay::serve(Arc::clone(&state), listener)));
        http::serve(&state, listener, shutdown).await;
        upkeep.abort();
        if let Some(relay) = relay {
            relay.abort();
            // Its address is free again before this returns. What it ended with is that it was told to.
            relay.await.ok();
        }
        admin.abort();
        state.sockets.close_all();
        let log = state.core().journal.log().clone();
        if let Err(error) = log.close() {
            tracing::error!(%error, "the log did not end cleanly; it is repaired at the next start");
        }
        Ok(())
    }
}

impl State {
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        // What a panic leaves behind is consistent: every change is one transaction.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publishing(&self) -> MutexGuard<'_, ()> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an id that may be used once, until it ends; `false` where it was used before.
    ///
    /// What was made before this process began may have been used then, and nobody remembers: it counts as used.
    pub(crate) fn first_use(&self, id: String, made: i64, until: i64) -> bool {
        if made < self.began {
            return false;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.first(id, until, self.config.clock.now())
    }

    /// Adds a signing key; the bundle that follows makes it known before it signs.
    pub(crate) fn add_key(&self) -> Result<String, AuthorityError> {
        let mut core = self.core();
        let record = core.keys.make(&self.home, self.config.clock.now())?;
        let kid = record.key.kid.clone().unwrap_or_default();
        core.journal.record(&Change::Key(record))?;
        core.keys = Keys::load(&self.home, core.journal.store().keys()?)?;
        Ok(kid)
    }

    /// Forgets the keys whose last token has expired; `true` where there were any.
    fn retire_keys(&self) -> Result<bool, AuthorityError> {
        let mut core = self.core();
        let at = self.config.clock.now();
        let over = core.keys.retirable(at);
        for key in &over {
            let kid = key.kid.clone().unwrap_or_default();
            core.journal.record(&Change::KeyRetired { kid, at })?;
            core.keys = Keys::load(&self.home, core.journal.store().keys()?)?;
            let path = keys::file(&self.home, key);
            durable::remove(&path).map_err(AuthorityError::at(&path))?;
        }
        Ok(!over.is_empty())
    }

    /// What has to be done as time passes.
    pub(crate) fn upkeep(&self) -> Result<(), AuthorityError> {
        let now = self.config.clock.now();
        {
            let mut core = self.core();
            let mut over = core.journal.store().over_runs(now)?;
            // The deepest first, as a run ends with those below it.
            over.sort_by_key(|run| std::cmp::Reverse(run.lin.len()));
            for run in over {
                self.end(&mut core, &run.id)?;
            }
        }
        self.end_asks(now)?;
        self.sum_up_refusals(now)?;
        let retired = self.retire_keys()?;
        let ends_soon = self
            .bundle
            .borrow()
            .bundle
            .as_ref()
            .is_some_and(|bundle| bundle.not_after.saturating_sub(now) <= BUNDLE_SECONDS / 2);
        if retired || ends_soon || self.terms_changed()? {
            self.publish()?;
        }
        Ok(())
    }
}

impl Core {
    /// Brings the revocations in memory to the state of the database.
    pub(crate) fn follow_feed(&mut self) -> Result<(), AuthorityError> {
        loop {
            let feed = self.journal.store().feed(self.revoked.seq())?;
            if feed.entries.is_empty() {
                return Ok(());
            }
            for entry in feed.entries {
                // The database numbers them without a gap; one that is not is a damaged database.
                self.revoked
                    .apply(entry)
                    .map_err(|gap| AuthorityError::Entry { index: gap.found, why: gap.to_string() })?;
            }
        }
    }
}

/// Before anything is made in a home where no run could be reached.
fn sockets_fit(home: &Home) -> Result<(), AuthorityError> {
    let bytes = home.run_socket_bytes();
    if bytes <= SOCKET_PATH_BYTES_MAX {
        return Ok(());
    }
    Err(AuthorityError::HomeTooLong { home: home.path().to_owned(), bytes })
}

async fn upkeep(state: Arc<State>) {
    let mut every = tokio::time::interval(UPKEEP);
    loop {
        every.tick().await;
        let state = Arc::clone(&state);
        let done = tokio::task::spawn_blocking(move || state.upkeep()).await;
        if let Ok(Err(error)) = done {
            tracing::error!(%error, "upkeep failed, it is tried again");
        }
    }
}
