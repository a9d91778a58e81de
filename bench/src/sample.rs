//! Times that were measured, and what is said of them: the median and the slowest hundredth, never the mean.

use std::time::{Duration, Instant};

/// Times, sorted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// Times of single runs of `work`. What it returns is kept until the clock was read, so that it is not left out.
    pub(crate) fn of<T>(runs: usize, mut work: impl FnMut(usize) -> T) -> Self {
        let mut times = Vec::with_capacity(runs);
        for run in 0..runs {
            let began = Instant::now();
            let kept = std::hint::black_box(work(run));
            times.push(began.elapsed());
            drop(kept);
        }
        Self::new(times)
    }

    /// The same with something that is made anew before each run, off the clock; no more runs than fit into `time`.
    pub(crate) fn within<I, T>(
        (runs, time): (usize, Duration),
        mut prepare: impl FnMut() -> I,
        mut work: impl FnMut(I) -> T,
    ) -> Self {
        let (mut times, end) = (Vec::new(), Instant::now() + time);
        while times.len() < runs && (times.is_empty() || Instant::now() < end) {
            let input = prepare();
            let began = Instant::now();
            let kept = std::hint::black_box(work(input));
            times.push(began.elapsed());
            drop(kept);
        }
        Self::new(times)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn p50(&self) -> Duration {
        self.at(50)
    }

    pub(crate) fn p99(&self) -> Duration {
        self.at(99)
    }

    /// The time that so many of a hundred do not exceed.
    fn at(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(rank).copied().unwrap_or_default()
    }
}

/// A time as people read it, with three digits.
pub(crate) fn shown(time: Duration) -> String {
    let ns = time.as_nanos();
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (time.as_secs_f64() * 1e6, "µs"),
        1_000_000..1_000_000_000 => (time.as_secs_f64() * 1e3, "ms"),
        _ => (time.as_secs_f64(), "s"),
    };
    match value {
        ..10.0 => format!("{value:.2} {unit}"),
        ..100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// The same of a difference, which may be negative on a machine that is shared.
pub(crate) fn difference(more: Duration, less: Duration) -> String {
    match more.checked_sub(less) {
        Some(added) => shown(added),
        None => format!("-{}", shown(less.saturating_sub(more))),
    }
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many in that time, by the second.
pub(crate) fn rate(count: usize, time: Duration) -> u64 {
    let ns = time.as_nanos().max(1);
    u64::try_from(count as u128 * 1_000_000_000 / ns).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(times: impl IntoIterator<Item = u64>) -> Sample {
        Sample::new(times.into_iter().map(Duration::from_micros).collect())
    }

    #[test]
    fn the_median_and_the_slowest_hundredth_are_times_that_were_measured() {
        let hundred = us((1..=100).rev());
        assert_eq!((hundred.p50(), hundred.p99()), (Duration::from_micros(50), Duration::from_micros(99)));
        assert_eq!((us([7]).p50(), us([7]).p99()), (Duration::from_micros(7), Duration::from_micros(7)));
        assert_eq!(us([]).p50(), Duration::ZERO);
    }

    #[test]
    fn times_numbers_and_rates_read_well() {
        for (ns, text) in [
            (850, "850 ns"),
            (1_234, "1.23 µs"),
            (81_640, "81.6 µs"),
            (2_150_000, "2.15 ms"),
            (120_000_000_000, "120 s"),
        ] {
            assert_eq!(shown(Duration::from_nanos(ns)), text);
        }
        assert_eq!(difference(Duration::from_micros(1), Duration::from_micros(3)), "-2.00 µs");
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(rate(500, Duration::from_millis(250)), 2_000);
    }
}
