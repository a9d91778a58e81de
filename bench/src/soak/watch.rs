//! What a process holds while it works, read again and again, and whether that grows.

use std::time::{Duration, Instant};

use crate::machine;
use crate::report::remark;

/// How often it is read, and how often what was read is said.
const EVERY: Duration = Duration::from_secs(2);
const SAY_EVERY: Duration = Duration::from_mins(1);
const HOUR_MS: i128 = 3_600_000;

/// A quantity of a reading, with its name and its unit.
type Quantity = (&'static str, fn(&Reading) -> u64, &'static str);

/// What must not grow.
pub(crate) const QUANTITIES: [Quantity; 2] =
    [("resident memory", |reading| reading.kib, "KiB"), ("open files", |reading| reading.files, "files")];

/// What a process held at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Since the watch began.
    pub(crate) at: Duration,
    pub(crate) kib: u64,
    pub(crate) files: u64,
}

/// Reads for ever, into `readings`; dropped, it stops.
pub(crate) async fn watch(pid: u32, readings: &mut Vec<Reading>) {
    let (began, mut said) = (Instant::now(), Duration::ZERO);
    loop {
        let at = began.elapsed();
        let reading = Reading { at, kib: machine::resident_kib(pid), files: machine::files(pid) };
        readings.push(reading);
        if at >= said {
            said += SAY_EVERY;
            remark(&format!(
                "minute {}: {} KiB resident, {} files open",
                at.as_secs() / 60,
                reading.kib,
                reading.files
            ));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// How a quantity went: its mean in an earlier and in the last quarter, and what a straight line through all from the
/// earlier quarter on gains in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trend {
    pub(crate) early: u64,
    pub(crate) late: u64,
    pub(crate) per_hour: i64,
}

impl Trend {
    /// From the readings of that quantity; `quarter` is the earlier one, from 1. Nothing of too few readings.
    pub(crate) fn of(readings: &[Reading], quarter: usize, quantity: fn(&Reading) -> u64) -> Option<Self> {
        let series: Vec<(Duration, u64)> = readings.iter().map(|reading| (reading.at, quantity(reading))).collect();
        let length = series.len() / 4;
        let (early, late) = (series.get(length * (quarter - 1)..length * quarter)?, series.get(length * 3..)?);
        let from_early = series.get(length * (quarter - 1)..)?;
        Some(Self { early: mean(early)?, late: mean(late)?, per_hour: slope(from_early)? })
    }

    /// Whether the last quarter's mean is no more above the earlier one's than so many percent of it.
    pub(crate) fn is_flat(&self, percent: u64) -> bool {
        self.late * 100 <= self.early * (100 + percent)
    }
}

fn mean(series: &[(Duration, u64)]) -> Option<u64> {
    series.iter().map(|(_, value)| value).sum::<u64>().checked_div(series.len() as u64)
}

/// Least squares.
fn slope(series: &[(Duration, u64)]) -> Option<i64> {
    let count = i128::try_from(series.len()).ok()?;
    let points: Vec<(i128, i128)> =
        series.iter().map(|(at, value)| (at.as_millis().cast_signed(), i128::from(*value))).collect();
    let sum = |of: fn(&(i128, i128)) -> i128| points.iter().map(of).sum::<i128>();
    let (x, y, xx, xy) = (sum(|p| p.0), sum(|p| p.1), sum(|p| p.0 * p.0), sum(|p| p.0 * p.1));
    let per_hour = ((count * xy - x * y) * HOUR_MS).checked_div(count * xx - x * x)?;
    i64::try_from(per_hour).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(kib: impl Fn(u64) -> u64) -> Vec<Reading> {
        (0..1_800).map(|n| Reading { at: Duration::from_secs(2 * n), kib: kib(n), files: 0 }).collect()
    }

    /// A line of so much an hour may be off by what whole KiB leave of it.
    #[track_caller]
    fn check(kib: impl Fn(u64) -> u64, per_hour: i64, flat: bool) {
        let trend = Trend::of(&series(kib), 2, |reading| reading.kib).unwrap();
        assert!((trend.per_hour - per_hour).abs() < 50 && trend.is_flat(5) == flat, "{trend:?}");
    }

    #[test]
    fn what_rises_is_not_flat_and_what_swings_is() {
        check(|_| 50_000, 0, true);
        // Twelve bytes for each of two hundred calls a second.
        check(|n| 50_000 + n * 2 * 200 * 12 / 1024, 8_437, false);
        check(|n| 50_000 - n, -1_800, true);
        // It fills up before the second quarter begins, and then swings.
        check(|n| 40_000 + n.min(400) * 25 + n % 60 * 2, 0, true);
        assert_eq!(Trend::of(&series(|n| n)[..3], 2, |reading| reading.kib), None);
    }

    #[test]
    fn a_leak_in_the_last_quarter_alone_is_seen() {
        let late = series(|n| 50_000 + n.saturating_sub(1_350) * 20);
        assert!(!Trend::of(&late, 2, |reading| reading.kib).unwrap().is_flat(5));
    }
}
