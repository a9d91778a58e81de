//! Refusals of unknown callers: a few per source get an entry each, the rest is counted and summed up, so that a
//! stranger can neither fill the log nor delay anybody's commit. A run whose token is authentic, and no longer good, is
//! a source of its own: no stranger's flood hides what a revoked run tries.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_core::event::Refusals;
use remit_core::hash::{b64, sha256};
use remit_core::input::Presented;
use remit_core::rejection::Code;

use crate::record::Recorder;

/// Refusals of one source in a minute that get an entry each.
pub const OWN_ENTRIES_PER_MINUTE: u32 = 5;
/// Entries that all addresses get together in a minute, and all runs.
pub const ALL_ENTRIES_PER_MINUTE: u32 = 100;
/// Addresses that are told apart in a minute, and runs; further ones are counted together.
const SOURCES_MAX: usize = 1_024;
/// All sources beyond those that are told apart.
const OTHERS: &str = "others";

/// Where a refused request comes from, as far as that is known.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// The run of a token that the authority signed.
    Run(&'a str),
    /// A network address, where even that is known.
    Address(Option<IpAddr>),
}

impl<'a> Source<'a> {
    /// The best that is known.
    pub fn of(presented: &'a Presented, address: Option<IpAddr>) -> Self {
        match presented {
            Presented::Token(token) => Self::Run(token.claims().run.as_str()),
            _ => Self::Address(address),
        }
    }
}

#[derive(Default)]
struct Minute {
    began: i64,
    addresses: Quota,
    runs: Quota,
}

#[derive(Default)]
struct Quota {
    entries: u32,
    sources: HashMap<String, Refused>,
}

#[derive(Default)]
struct Refused {
    entries: u32,
    counted: HashMap<Code, u64>,
}

impl Quota {
    fn own_entry(&mut self, source: Option<String>, code: Code) -> bool {
        let told_apart = |name: &String| self.sources.len() < SOURCES_MAX || self.sources.contains_key(name);
        let source = source.filter(told_apart).unwrap_or_else(|| OTHERS.to_owned());
        let of = self.sources.entry(source).or_default();
        if of.entries < OWN_ENTRIES_PER_MINUTE && self.entries < ALL_ENTRIES_PER_MINUTE {
            of.entries = of.entries.saturating_add(1);
            self.entries = self.entries.saturating_add(1);
            return true;
        }
        let count = of.counted.entry(code).or_default();
        *count = count.saturating_add(1);
        false
    }
}

/// Counts refusals of strangers.
pub struct Strangers {
    minute: Mutex<Minute>,
    key: [u8; 32],
}

impl Strangers {
    /// `key` keeps addresses out of the log: a digest under it means nothing to who does not hold it.
    pub fn new(key: [u8; 32]) -> Self {
        Self { minute: Mutex::default(), key }
    }

    fn lock(&self) -> MutexGuard<'_, Minute> {
        self.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this refusal gets an entry of its own; if not, it is counted.
    pub fn own_entry(&self, source: Source<'_>, code: Code, now: i64) -> bool {
        let mut minute = self.lock();
        if minute.began == 0 {
            minute.began = now;
        }
        match source {
            Source::Run(run) => minute.runs.own_entry(Some(run.to_owned()), code),
            Source::Address(address) => minute.addresses.own_entry(address.map(|ip| ip.to_string()), code),
        }
    }

    /// Writes what was counted since the last time.
    pub async fn sum_up(&self, recorder: &Recorder, now: i64) {
        let minute = std::mem::take(&mut *self.lock());
        for (source, of) in minute.addresses.sources.into_iter().chain(minute.runs.sources) {
            if of.counted.is_empty() {
                continue;
            }
            let digest = b64(&sha256(&[b"remit-source/v1\0", &self.key, source.as_bytes()]));
            let mut counts: Vec<_> = of.counted.into_iter().collect();
            counts.sort_unstable();
            let span = (minute.began, now);
            let event = Refusals { source: &digest, counts: &counts, span };
            if let Err(error) = recorder.event(event.write(&recorder.head())).await {
                tracing::error!(%error, "refusals could not be summed up");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_gets_a_few_entries_and_is_counted() {
        let strangers = Strangers::new([1; 32]);
        let source = |n: u8| Source::Address(Some(IpAddr::from([127, 0, 0, n])));
        let own = (0..1_000).filter(|_| strangers.own_entry(source(1), Code::TokenMissing, 5)).count();
        assert_eq!(own, OWN_ENTRIES_PER_MINUTE as usize);
        assert!(strangers.own_entry(source(2), Code::TokenMissing, 5));
        let counted: u64 = strangers.lock().addresses.sources["127.0.0.1"].counted.values().sum();
        assert_eq!(counted, 1_000 - u64::from(OWN_ENTRIES_PER_MINUTE));
        let many = (0..200).filter(|n| strangers.own_entry(source(*n), Code::TokenMissing, 5)).count();
        assert!(many < ALL_ENTRIES_PER_MINUTE as usize);
    }

    #[test]
    fn no_flood_hides_what_a_revoked_run_tries() {
        let strangers = Strangers::new([1; 32]);
        for n in 0..200_000_u32 {
            strangers.own_entry(Source::Address(Some(IpAddr::from(n.to_be_bytes()))), Code::TokenMissing, 5);
        }
        let own = (0..20).filter(|_| strangers.own_entry(Source::Run("r-1"), Code::Revoked, 5)).count();
        assert_eq!(own, OWN_ENTRIES_PER_MINUTE as usize);
        assert!(strangers.own_entry(Source::Run("r-2"), Code::Revoked, 5));
        assert!(strangers.lock().addresses.sources.len() <= SOURCES_MAX + 1);
    }
}
