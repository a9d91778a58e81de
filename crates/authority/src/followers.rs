//! How far each registered gateway follows the feed, as it says itself with its own key: so whoever revokes something
//! learns when it is refused everywhere.
//!
//! **Invariant:** only a signature by the key of a registered gateway counts, and what was heard once is not taken back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use remit_core::confirm::{CONFIRM_TYP, Confirm};
use remit_core::id::GatewayName;
use remit_core::json::object;
use remit_core::jws::Unverified;
use serde::{Deserialize, Serialize};

use crate::authority::State;
use crate::error::AuthorityError;

/// How long whoever revoked something waits for the gateways at most.
const WAIT: Duration = Duration::from_secs(5);
/// A gateway that was not heard for so long is not waited for; one that follows asks every five seconds.
const SILENT: Duration = Duration::from_secs(30);
/// Entries of the feed, and steps of a gateway, of which the time is known.
const TIMES_MAX: usize = 64;

/// All gateways that were heard since the authority began to serve.
#[derive(Default)]
pub(crate) struct Followers {
    known: Mutex<Known>,
    news: Condvar,
}

#[derive(Default)]
struct Known {
    /// When the last entries of the feed were made.
    made: VecDeque<(u64, Instant)>,
    gateways: BTreeMap<GatewayName, Follower>,
}

struct Follower {
    /// When it was first heard to decide by which entry, and by none after it.
    steps: VecDeque<(u64, Instant)>,
    heard: Instant,
}

/// How one gateway stands to an entry of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// The gateway.
    pub gateway: GatewayName,
    /// Whether it decides by the entry.
    pub confirmed: bool,
    /// Milliseconds from the entry's making until it was heard to, where both times are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// Seconds since it was last heard; nothing where it was not, since the authority began to serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_s: Option<u64>,
}

impl Followers {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // A panic while the lock was held left a time out at worst.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An entry of the feed was made.
    pub(crate) fn made(&self, seq: u64) {
        push(&mut self.lock().made, (seq, Instant::now()));
    }

    /// A gateway decides by this entry of the feed.
    fn heard(&self, gateway: GatewayName, seq: u64) {
        let now = Instant::now();
        let mut known = self.lock();
        let first = || Follower { steps: VecDeque::new(), heard: now };
        let follower = known.gateways.entry(gateway).or_insert_with(first);
        follower.heard = now;
        if follower.steps.back().is_none_or(|(reached, _)| *reached < seq) {
            push(&mut follower.steps, (seq, now));
        }
        drop(known);
        self.news.notify_all();
    }

    /// How these gateways stand to an entry: at once where each confirmed it or is silent, and after [`WAIT`] at the latest.
    fn confirmed(&self, gateways: Vec<GatewayName>, seq: u64) -> Vec<Confirmed> {
        let waited_for = |known: &mut Known| {
            let now = Instant::now();
            gateways.iter().filter_map(|name| known.gateways.get(name)).any(|follower| {
                now.saturating_duration_since(follower.heard) < SILENT && follower.reached(seq).is_none()
            })
        };
        let waited = self.news.wait_timeout_while(self.lock(), WAIT, waited_for);
        let (known, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let made = known.made.iter().find(|(made, _)| *made == seq).map(|(_, at)| *at);
        gateways.into_iter().map(|gateway| known.stand(gateway, seq, made)).collect()
    }
}

impl Known {
    fn stand(&self, gateway: GatewayName, seq: u64, made: Option<Instant>) -> Confirmed {
        let follower = self.gateways.get(&gateway);
        let reached = follower.and_then(|follower| follower.reached(seq));
        let after = reached.zip(made).map(|(reached, made)| reached.saturating_duration_since(made));
        Confirmed {
            confirmed: reached.is_some(),
            after_ms: after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            heard_s: follower.map(|follower| follower.heard.elapsed().as_secs()),
            gateway,
        }
    }
}

impl Follower {
    /// When it was heard to decide by this entry; the first time that is known, where it was longer ago.
    fn reached(&self, seq: u64) -> Option<Instant> {
        self.steps.iter().find(|(reached, _)| *reached >= seq).map(|(_, at)| *at)
    }
}

fn push(times: &mut VecDeque<(u64, Instant)>, time: (u64, Instant)) {
    if times.len() >= TIMES_MAX {
        times.pop_front();
    }
    times.push_back(time);
}

impl State {
    /// Takes note of how far a gateway follows, where it is a registered one that says so. Nothing else depends on it.
    pub(crate) fn follows(&self, text: &str) -> Result<(), AuthorityError> {
        let Some(jws) = Unverified::parse(text).filter(|jws| jws.header.typ.as_deref() == Some(CONFIRM_TYP)) else {
            return Ok(());
        };
        // The key's name only says which key to look up; the signature says whether it is that one.
        let Some(jkt) = jws.header.kid.clone() else { return Ok(()) };
        let Some(gateway) = self.core().journal.store().gateway_of_key(&jkt)? else { return Ok(()) };
        let said = jws.verify(&gateway.key).and_then(|payload| object::<Confirm>(&payload));
        let now = self.config.clock.now();
        if let Some(said) = said.filter(|said| said.is_for(&self.config.issuer, now)) {
            self.followers.heard(gateway.name, said.seq);
        }
        Ok(())
    }

    /// How every registered gateway stands to an entry of the feed; waits a little for those that follow.
    pub(crate) fn confirmed(&self, seq: u64) -> Result<Vec<Confirmed>, AuthorityError> {
        let gateways = self.core().journal.store().gateways()?;
        Ok(self.followers.confirmed(gateways.into_iter().map(|gateway| gateway.name).collect(), seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<GatewayName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn confirmed(followers: &Followers, seq: u64) -> Vec<(String, bool, bool)> {
        let stand = followers.confirmed(names(&["a", "b"]), seq);
        stand.iter().map(|one| (one.gateway.to_string(), one.confirmed, one.after_ms.is_some())).collect()
    }

    /// Break: say that all confirmed what some did; count a gateway as behind once it confirmed something older again.
    #[test]
    fn each_gateway_stands_for_itself_and_never_goes_back() {
        let followers = Followers::default();
        let silent = [("a".to_owned(), false, false), ("b".to_owned(), false, false)];
        assert_eq!(confirmed(&followers, 1), silent, "nobody was heard, so nobody is waited for");
        followers.made(1);
        followers.heard(names(&["a"]).remove(0), 1);
        assert_eq!(confirmed(&followers, 1), [("a".to_owned(), true, true), ("b".to_owned(), false, false)]);
        followers.heard(names(&["a"]).remove(0), 0);
        assert!(confirmed(&followers, 1)[0].1);
        // One that jumps over an entry decides by it too.
        followers.made(2);
        followers.heard(names(&["b"]).remove(0), 2);
        assert_eq!(confirmed(&followers, 1)[1], ("b".to_owned(), true, true));
    }

    /// Break: answer before a gateway that follows has said so.
    #[test]
    fn one_that_follows_is_waited_for() {
        let followers = Followers::default();
        for name in names(&["a", "b"]) {
            followers.heard(name, 0);
        }
        followers.made(1);
        let told = std::thread::scope(|scope| {
            let asked = scope.spawn(|| confirmed(&followers, 1));
            for name in names(&["a", "b"]) {
                followers.heard(name, 1);
            }
            asked.join().unwrap()
        });
        assert!(told.iter().all(|(_, confirmed, timed)| *confirmed && *timed), "{told:?}");
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let followers = Followers::default();
        for seq in 0..200 {
            followers.made(seq);
            followers.heard(names(&["a"]).remove(0), seq);
        }
        let known = followers.lock();
        assert_eq!((known.made.len(), known.gateways.values().next().unwrap().steps.len()), (64, 64));
    }
}
