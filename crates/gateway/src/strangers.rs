//! Refusals of unknown callers: a few per source get an entry each, the rest is counted and summed up, so that a
//! stranger can neither fill the log nor delay anybody's commit.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_core::event::Refusals;
use remit_core::hash::{b64, sha256};
use remit_core::rejection::Code;

use crate::record::Recorder;

/// Refusals of one source in a minute that get an entry each.
pub const OWN_ENTRIES_PER_MINUTE: u32 = 5;
/// Entries that strangers of all sources get in a minute.
pub const ALL_ENTRIES_PER_MINUTE: u32 = 100;
/// Sources that are told apart in a minute; further ones are counted together.
const SOURCES_MAX: usize = 1_024;

#[derive(Default)]
struct Minute {
    began: i64,
    entries: u32,
    sources: HashMap<Option<IpAddr>, Source>,
}

#[derive(Default)]
struct Source {
    entries: u32,
    counted: HashMap<Code, u64>,
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
    pub fn own_entry(&self, source: Option<IpAddr>, code: Code, now: i64) -> bool {
        let mut minute = self.lock();
        if minute.began == 0 {
            minute.began = now;
        }
        let source = source.filter(|ip| minute.sources.len() < SOURCES_MAX || minute.sources.contains_key(&Some(*ip)));
        let all = minute.entries;
        let of = minute.sources.entry(source).or_default();
        if of.entries < OWN_ENTRIES_PER_MINUTE && all < ALL_ENTRIES_PER_MINUTE {
            of.entries = of.entries.saturating_add(1);
            minute.entries = all.saturating_add(1);
            return true;
        }
        let count = of.counted.entry(code).or_default();
        *count = count.saturating_add(1);
        false
    }

    /// Writes what was counted since the last time.
    pub async fn sum_up(&self, recorder: &Recorder, now: i64) {
        let minute = std::mem::take(&mut *self.lock());
        for (source, of) in minute.sources {
            if of.counted.is_empty() {
                continue;
            }
            let address = source.map_or_else(|| "others".to_owned(), |ip| ip.to_string());
            let digest = b64(&sha256(&[b"remit-source/v1\0", &self.key, address.as_bytes()]));
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
        let source = |n: u8| Some(IpAddr::from([127, 0, 0, n]));
        let own = (0..1_000).filter(|_| strangers.own_entry(source(1), Code::TokenMissing, 5)).count();
        assert_eq!(own, OWN_ENTRIES_PER_MINUTE as usize);
        assert!(strangers.own_entry(source(2), Code::TokenMissing, 5));
        let counted: u64 = strangers.lock().sources[&source(1)].counted.values().sum();
        assert_eq!(counted, 1_000 - u64::from(OWN_ENTRIES_PER_MINUTE));
        let many = (0..200).filter(|n| strangers.own_entry(source(*n), Code::TokenMissing, 5)).count();
        assert!(many < ALL_ENTRIES_PER_MINUTE as usize);
    }
}
