//! Start and end of a gateway: its log is recovered and read back before anything is accepted.

use std::sync::Arc;
use std::time::Duration;

use remit_audit::note::{NoteError, Verifier};
use remit_audit::vault::{Kek, Vault, VaultError};
use remit_audit::{KeyError, Log, LogKey};
use remit_core::event::{Epoch, Heartbeat};
use remit_core::rejection::Rejection;

use crate::clock::Clock;
use crate::fetch::Authority;
use crate::flights::Flights;
use crate::identity::Identity;
use crate::pins::Pins;
use crate::places::Places;
use crate::rebuild::{RebuildError, outside, rebuild};
use crate::record::Recorder;
use crate::runs::Runs;
use crate::secrets::Secrets;
use crate::send::Upstreams;
use crate::sessions::Sessions;
use crate::snapshots::Snapshots;
use crate::strangers::Strangers;
use crate::tokens::Tokens;
use crate::turns::Turns;
use crate::upstream::Deadlines;
use crate::upstream::http::HttpUpstreams;
use crate::upstream::process::Surroundings;
use crate::upstream::stdio::{ChildLimits, Children};
use crate::{Config, Gateway};

/// Where programs that are servers look for others: the same wherever they run, and nothing of whoever starts them.
pub const PROGRAM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// How often the log says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How often refusals of strangers are summed up.
const SUM_UP: Duration = Duration::from_mins(1);

/// Longer than from the decision on a call to its being counted as in flight, in seconds: as long the root of a call that
/// was decided in its last moment is not forgotten.
const DECIDED_MAX_S: i64 = 60;
/// How long calls in flight may take to be recorded at the end.
const LANDING_MAX: Duration = Duration::from_secs(5);

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The log.
    #[error(transparent)]
    Log(#[from] remit_audit::OpenError),
    /// What the log says.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// The pinned root key.
    #[error("the pinned root key is not a vkey: {0}")]
    Root(NoteError),
    /// A directory.
    #[error("{path}: {source}", path = path.display())]
    Directory {
        /// Which.
        path: std::path::PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The log takes no entry.
    #[error("the log takes no entry: {0}")]
    Record(Rejection),
    /// The machine gives no random bytes.
    #[error("the system's random generator failed")]
    Random(#[from] aws_lc_rs::error::Unspecified),
}

impl Gateway {
    /// Recovers the log, reads it back, and closes what was left open. Nothing is accepted before.
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Arc<Self>, OpenError> {
        Self::open_within(config, clock, Deadlines::default()).await
    }

    /// The same, where upstreams have other deadlines.
    pub async fn open_within(
        config: Config,
        clock: Arc<dyn Clock>,
        deadlines: Deadlines,
    ) -> Result<Arc<Self>, OpenError> {
        let root = Verifier::parse(&config.root).map_err(OpenError::Root)?;
        let dir = |name: &str| {
            let path = config.home.join(name);
            let made = remit_audit::durable::create_dir(&path);
            made.map(|()| path.clone()).map_err(|source| OpenError::Directory { path, source })
        };
        let (keys, bundles, scratch) = (dir("keys")?, dir("bundles")?, dir("scratch")?);
        let key = LogKey::load_or_create(&keys.join("log"))?;
        let kek = Kek::load_or_create(&keys.join("vault"))?;
        let vault = Arc::new(Vault::open(&dir("vault")?, kek)?);
        let log_dir = dir("log")?;
        let mut log_config = remit_audit::Config::new(&log_dir, config.trust_domain.as_str(), &config.instance);
        log_config.outside = Some(outside(&config.home));
        let (log, opened) = Log::open(log_config, key)?;
        let name = format!("{}/log/{}", config.trust_domain, config.instance);
        let recorder = Recorder::new(log, vault, name, Arc::clone(&clock));
        if opened.size == 0 {
            let event = Epoch { epoch: opened.epoch, previous: opened.previous.as_deref() };
            recorder.event(event.write(&recorder.head())).await.map_err(OpenError::Record)?;
        }
        let runs = Runs::default();
        let rebuilt = rebuild(&recorder, &runs, &opened, &log_dir).await?;
        tracing::info!(origin = %opened.origin, entries = opened.size, unknown = rebuilt.unknown, "log recovered");
        let age_max = config.snapshot_age_max;
        let snapshots = Snapshots::new(root.clone(), config.trust_domain.clone(), rebuilt.highest, age_max, bundles);
        let mut source_key = [0; 32];
        aws_lc_rs::rand::fill(&mut source_key)?;
        let identity = Arc::new(Identity::load_or_create(&config.home)?);
        let authority = Authority::new(&config.authority);
        let domain = config.trust_domain.clone();
        let secrets = Secrets::new(Arc::clone(&identity), authority, root.clone(), domain, Arc::clone(&clock));
        let around = Surroundings { path: PROGRAM_PATH.into(), scratch };
        Ok(Arc::new(Self {
            clock,
            identity,
            snapshots,
            tokens: Tokens::default(),
            runs,
            pins: Pins::default(),
            sessions: Sessions::new()?,
            questions: Arc::default(),
            flights: Flights::default(),
            strangers: Strangers::new(source_key),
            recorder,
            upstreams: Upstreams {
                http: HttpUpstreams::new(deadlines),
                children: Children::new(around, deadlines, ChildLimits::default()),
                secrets,
            },
            places: Places::new(config.calls_max),
            turns: Turns::default(),
            config,
        }))
    }

    /// What runs beside the calls: following the authority, the heartbeat, and the summing up of refusals.
    pub async fn follow(self: Arc<Self>) {
        let authority = Authority::new(&self.config.authority);
        let bundles = self.snapshots.follow_bundles(&authority, &self.recorder, self.clock.as_ref());
        let feed = async {
            // Revocations mean something only beside a bundle.
            while self.snapshots.latest().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.snapshots.follow_feed(&authority, &self.identity, self.clock.as_ref()).await;
        };
        tokio::join!(bundles, feed, self.forget(), self.beat(), self.sum_up());
    }

    /// Credentials of servers that are gone, or have none any more, do not stay in memory.
    async fn forget(&self) {
        let mut changed = self.snapshots.watch();
        while changed.changed().await.is_ok() {
            if let Some(snapshot) = self.snapshots.latest() {
                self.upstreams.secrets.keep_only(&snapshot.bundle);
            }
        }
    }

    async fn beat(&self) {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            self.heartbeat().await;
        }
    }

    /// Says that the log is alive, and gives calls that came too late their outcome.
    async fn heartbeat(&self) {
        let late = self.recorder.late();
        // In this order: what begins while the low-water mark is looked for stands behind it.
        let bundle = self.snapshots.highest();
        let event = Heartbeat { low_water: self.low_water(), open: self.flights.len() as u64, bundle };
        let settled = match self.recorder.event(event.write(&self.recorder.head())).await {
            Ok(receipt) => self.recorder.settle(late, receipt.index()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = settled {
            tracing::error!(%error, "no heartbeat");
        }
    }

    /// Entries before this one say nothing of live roots or of calls without an outcome.
    fn low_water(&self) -> u64 {
        let end = self.recorder.log().size();
        let ended = self.clock.now_s().saturating_sub(DECIDED_MAX_S);
        let needed = [self.runs.low_water(ended), self.flights.oldest(), self.recorder.late.from()];
        needed.into_iter().flatten().min().unwrap_or(end)
    }

    async fn sum_up(&self) {
        loop {
            tokio::time::sleep(SUM_UP).await;
            self.strangers.sum_up(&self.recorder, self.clock.now_s()).await;
        }
    }

    /// Every entry of the log from this one to its end as it is now.
    pub fn entries(
        &self,
        from: u64,
    ) -> impl Iterator<Item = Result<(u64, remit_audit::Entry), remit_audit::ReadError>> + use<> {
        self.recorder.log().entries(from)
    }

    /// Waits for the outcomes of calls in flight, ends children, sums up what was counted, and closes the log, so that
    /// at rest every byte of it counts.
    pub async fn close(self: Arc<Self>) {
        self.flights.ended(LANDING_MAX).await;
        self.heartbeat().await;
        self.upstreams.children.shut_down().await;
        self.strangers.sum_up(&self.recorder, self.clock.now_s()).await;
        if let Err(error) = self.recorder.log().clone().close() {
            tracing::error!(%error, "the log did not end cleanly; what was acknowledged is safe");
        }
    }
}
