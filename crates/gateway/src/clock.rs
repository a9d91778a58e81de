//! Time, as an argument of everything that needs it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use remit_core::steady::Steady;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;

    /// Seconds since 1970.
    fn now_s(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }
}

/// The machine's clock, and a stopwatch that keeps it going ([`Steady`]).
#[derive(Debug)]
pub struct System {
    steady: Steady,
    began: Instant,
}

impl Default for System {
    fn default() -> Self {
        Self { steady: Steady::default(), began: Instant::now() }
    }
}

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.steady.at(ms(since), ms(self.began.elapsed()))
    }
}

/// A clock that stands where it is put.
#[derive(Debug, Default)]
pub struct Fixed(AtomicI64);

impl Fixed {
    /// A clock that shows this many milliseconds since 1970.
    pub fn at_ms(now: i64) -> Self {
        Self(AtomicI64::new(now))
    }

    /// Puts the clock to this many milliseconds since 1970.
    pub fn set_ms(&self, now: i64) {
        self.0.store(now, Ordering::Relaxed);
    }
}

impl Clock for Fixed {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}
