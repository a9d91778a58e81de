//! Time that never goes back and never stands still, whatever the machine's clock does. Both readings are arguments.
//!
//! A clock that is put back an hour, or stands, would give every token and every grant more time than it was given. So
//! time passes at least as fast as a stopwatch says. A clock that was ahead and is corrected stays ahead until the
//! program starts again: what ends too early is asked for again, what ends too late is a hole.

use std::sync::atomic::{AtomicI64, Ordering};

/// How far the machine's clock was ahead of the stopwatch at most, in milliseconds.
#[derive(Debug)]
pub struct Steady(AtomicI64);

impl Default for Steady {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Steady {
    /// The time, in milliseconds since 1970, where the machine's clock shows `wall_ms` and the stopwatch `stopwatch_ms`.
    pub fn at(&self, wall_ms: i64, stopwatch_ms: i64) -> i64 {
        let ahead = wall_ms.saturating_sub(stopwatch_ms);
        self.0.fetch_max(ahead, Ordering::SeqCst).max(ahead).saturating_add(stopwatch_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_clock_that_stands_or_is_put_back_gives_nobody_more_time() {
        let steady = Steady::default();
        assert_eq!(steady.at(1_000_000, 0), 1_000_000);
        assert_eq!(steady.at(1_000_500, 500), 1_000_500);
        // It stands.
        assert_eq!(steady.at(1_000_500, 60_500), 1_060_500);
        // It is put back by an hour.
        assert_eq!(steady.at(1_000_500 - 3_600_000, 61_000), 1_061_000);
        // It is put forward, and stays so.
        assert_eq!(steady.at(2_000_000, 62_000), 2_000_000);
        assert_eq!(steady.at(1_063_000, 63_000), 2_001_000);
    }

    proptest! {
        #[test]
        fn time_passes_at_least_as_fast_as_the_stopwatch(steps in prop::collection::vec((-5_000_000_i64..5_000_000, 0_i64..100_000), 1..50)) {
            let steady = Steady::default();
            let (mut wall, mut watch, mut last) = (10_000_000_000_i64, 0_i64, None);
            for (jump, passed) in steps {
                (wall, watch) = (wall + jump, watch + passed);
                let now = steady.at(wall, watch);
                prop_assert!(now >= wall);
                if let Some((then, at)) = last {
                    prop_assert!(now - then >= watch - at);
                }
                last = Some((now, watch));
            }
        }
    }
}
