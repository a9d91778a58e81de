//! What an authority is told at start, and where in its home things lie.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use remit_core::id::TrustDomain;
use remit_core::steady::Steady;

use crate::random::RUN_ID_BYTES;

/// Longest life of a token, in seconds.
pub const TOKEN_SECONDS_MAX: i64 = 600;
/// Life of a bundle, in seconds; it is issued anew when half of it is over.
pub const BUNDLE_SECONDS: i64 = 86_400;
/// Longest path of a unix socket, in bytes: `sun_path` of Linux without its end.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// A page of the feed is sent at least this often, so that gateways see that the authority is alive.
pub const FEED_IDLE: Duration = Duration::from_secs(2);

/// What an authority is told. Nothing here has a default that grants trust.
#[derive(Debug, Clone)]
pub struct Config {
    /// The domain of trust whose identities it issues.
    pub trust_domain: TrustDomain,
    /// Its own URL as clients see it, without a slash at the end: `iss`.
    pub issuer: String,
    /// The gateway's URL as clients see it, without a slash at the end.
    pub gateway: String,
    /// Where the time comes from.
    pub clock: Clock,
    /// Life of a token, in seconds, at most [`TOKEN_SECONDS_MAX`].
    pub token_seconds: i64,
    /// How often an idle page of the feed is sent.
    pub feed_idle: Duration,
    /// Hosts inside the organization from which documents that others name may be fetched, as URLs have them.
    pub internal_hosts: Vec<String>,
}

impl Config {
    /// The usual times.
    pub fn new(trust_domain: TrustDomain, issuer: impl Into<String>, gateway: impl Into<String>) -> Self {
        Self {
            trust_domain,
            issuer: issuer.into(),
            gateway: gateway.into(),
            clock: Clock::system(),
            token_seconds: TOKEN_SECONDS_MAX,
            feed_idle: FEED_IDLE,
            internal_hosts: Vec::new(),
        }
    }
}

/// Where the time comes from: the system, or a test that sets it.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System(Arc<(Steady, Instant)>),
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock, and a stopwatch that keeps it going ([`Steady`]).
    pub fn system() -> Self {
        Self(Source::System(Arc::new((Steady::default(), Instant::now()))))
    }

    /// A clock that stands still until it is set.
    pub fn stopped(at: i64) -> Self {
        Self(Source::Set(Arc::new(AtomicI64::new(at))))
    }

    /// Sets a stopped clock; the system's is left alone.
    pub fn set(&self, at: i64) {
        if let Source::Set(time) = &self.0 {
            time.store(at, Ordering::SeqCst);
        }
    }

    /// Seconds since 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the clock from which all others take the time")]
    pub fn now(&self) -> i64 {
        match &self.0 {
            Source::Set(time) => time.load(Ordering::SeqCst),
            Source::System(kept) => {
                let (steady, began) = &**kept;
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
                steady.at(ms(since), ms(began.elapsed())).div_euclid(1000)
            }
        }
    }
}

/// The authority's directory. It belongs to its owner alone (0700).
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// The layout under a directory.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The database, which follows the log.
    pub fn database(&self) -> PathBuf {
        self.0.join("authority.db")
    }

    /// The authority's own log.
    pub fn log(&self) -> PathBuf {
        self.0.join("log").join("authority")
    }

    /// Keys of the people whose data stand sealed in the log.
    pub fn vault(&self) -> PathBuf {
        self.0.join("vault")
    }

    /// Keys of the credentials that gateways are lent: one for each value, wrapped under `secrets.key`.
    pub fn secrets(&self) -> PathBuf {
        self.0.join("secrets")
    }

    /// Private keys.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// A file for each person who is known by name, with the hash of their PIN.
    pub fn people(&self) -> PathBuf {
        self.keys().join("people")
    }

    /// The public half of the root key, in the form that a gateway pins.
    pub fn root_vkey(&self) -> PathBuf {
        self.0.join("root.vkey")
    }

    /// The org floor: `*.cedar`.
    pub fn floor(&self) -> PathBuf {
        self.0.join("policies").join("floor")
    }

    /// A directory of `*.cedar` for each team.
    pub fn teams(&self) -> PathBuf {
        self.0.join("policies").join("teams")
    }

    /// The administrators' socket.
    pub fn admin_socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }

    /// A directory for each live run.
    pub fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }

    /// One run's socket.
    pub fn run_socket(&self, run: &str) -> PathBuf {
        self.runs().join(run).join("sock")
    }

    /// Length of the path of a run's socket, in bytes. Beyond [`SOCKET_PATH_BYTES_MAX`] no run can have one.
    pub fn run_socket_bytes(&self) -> usize {
        self.run_socket(&"r".repeat(RUN_ID_BYTES)).as_os_str().len()
    }
}
