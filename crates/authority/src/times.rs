//! How long grants take, from the request to the decision: what is measured of every grant, and summed up.
//!
//! What policy grants is timed from when the request was read until it was decided, waiting for other changes included; the
//! entry's own way to the disk comes on top, as the entry holds the time. What a person allows is timed from the ask to the
//! grant.

use serde::{Deserialize, Serialize};

use crate::error::AuthorityError;
use crate::store::Store;

/// Times of the newest grants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Of what policy granted.
    pub immediate: Spread,
    /// Of what a person allowed.
    pub asked: Spread,
}

/// How many there are, and how long the newest of them took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// How many.
    pub count: u64,
    /// Half of them took no longer, in microseconds; nothing where there are none.
    pub p50_us: Option<u64>,
    /// All but one in a hundred took no longer.
    pub p99_us: Option<u64>,
}

impl Times {
    pub(crate) fn of(store: &Store) -> Result<Self, AuthorityError> {
        Ok(Self { immediate: Spread::of(store.took(false)?), asked: Spread::of(store.took(true)?) })
    }
}

impl Spread {
    fn of((count, times): (u64, Vec<u64>)) -> Self {
        Self { count, p50_us: quantile(&times, 50), p99_us: quantile(&times, 99) }
    }
}

/// The smallest time that so many in a hundred do not exceed; `times` is in order.
fn quantile(times: &[u64], percent: usize) -> Option<u64> {
    let rank = times.len().saturating_mul(percent).div_ceil(100);
    times.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: take the rank below, or the one above.
    #[test]
    fn a_quantile_is_a_time_that_there_was() {
        let upto = |most: u64| (1..=most).collect::<Vec<_>>();
        for (times, p50, p99) in [
            (upto(0), None, None),
            (upto(1), Some(1), Some(1)),
            (upto(2), Some(1), Some(2)),
            (upto(100), Some(50), Some(99)),
            (upto(101), Some(51), Some(100)),
            (upto(1000), Some(500), Some(990)),
        ] {
            assert_eq!((quantile(&times, 50), quantile(&times, 99)), (p50, p99), "{}", times.len());
        }
    }
}
