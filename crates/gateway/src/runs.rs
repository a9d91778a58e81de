//! What each root has done and read: labels, counts and loops, shared by an agent and all that it spawns.
//!
//! A root is forgotten only when its ceiling has ended, whichever grants of it were seen: nothing that is forgotten can
//! call again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_core::claims::Claims;
use remit_core::hash::Digest;
use remit_core::id::RunId;
use remit_core::input::State;
use remit_core::label::{Label, label};
use remit_core::rejection::{Code, Rejection};

/// Live roots at one gateway.
pub const ROOTS_MAX: usize = 100_000;

#[derive(Debug, Clone)]
struct Root {
    label: Label,
    calls: u64,
    minute: Minute,
    methods: Minute,
    last: Option<Digest>,
    repeats: u64,
    until: i64,
    /// No entry of the log before this one is about the root.
    first: u64,
}

/// Calls in this minute and the one before.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    number: i64,
    calls: u64,
    before: u64,
}

/// All live roots.
#[derive(Debug, Default)]
pub struct Runs {
    roots: Mutex<HashMap<RunId, Root>>,
    /// Before this, in seconds since 1970, the log's memory was lost.
    lost_before: AtomicI64,
}

impl Runs {
    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Root>> {
        // A panic while the lock was held left counts that are at worst too high.
        self.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that whatever was launched before then may have done and read anything.
    pub fn lost_before(&self, at: i64) {
        self.lost_before.fetch_max(at, Ordering::SeqCst);
    }

    /// Counts a call of the root and says how it stands with it. `next` is where the log's next entry will be.
    pub fn begin(&self, claims: &Claims, call: Digest, now: i64, next: u64) -> Result<State, Rejection> {
        let mut roots = self.lock();
        let root = self.entry(&mut roots, claims, now, next)?;
        root.calls = root.calls.saturating_add(1);
        root.repeats = if root.last == Some(call) { root.repeats.saturating_add(1) } else { 1 };
        root.last = Some(call);
        let calls_in_minute = root.minute.count(now);
        Ok(State { label: root.label, calls: root.calls, calls_in_minute, repeats: root.repeats, spend: 0 })
    }

    /// The same for a method that is no call: it has a rate of its own.
    pub fn method(&self, claims: &Claims, now: i64, next: u64) -> Result<State, Rejection> {
        let mut roots = self.lock();
        let root = self.entry(&mut roots, claims, now, next)?;
        let calls_in_minute = root.methods.count(now);
        Ok(State { label: root.label, calls: root.calls, calls_in_minute, repeats: 0, spend: 0 })
    }

    /// What the root may have read.
    pub fn label(&self, root: &RunId) -> Label {
        self.lock().get(root).map_or(Label::FRESH, |root| root.label)
    }

    /// How it stands with the root, for what is not counted.
    pub fn peek(&self, claims: &Claims, now: i64, next: u64) -> Result<State, Rejection> {
        let mut roots = self.lock();
        let root = self.entry(&mut roots, claims, now, next)?;
        Ok(State { label: root.label, calls: root.calls, calls_in_minute: 0, repeats: 0, spend: 0 })
    }

    /// Raises the root's label; nothing lowers it.
    pub fn raise(&self, root: &RunId, to: Label) {
        if let Some(root) = self.lock().get_mut(root) {
            root.label = label(root.label, to);
        }
    }

    fn entry<'a>(
        &self,
        roots: &'a mut HashMap<RunId, Root>,
        claims: &Claims,
        now: i64,
        next: u64,
    ) -> Result<&'a mut Root, Rejection> {
        let until = claims.root_until;
        if !roots.contains_key(&claims.root) {
            if roots.len() >= ROOTS_MAX {
                roots.retain(|_, root| root.until > now);
            }
            if roots.len() >= ROOTS_MAX {
                let message = "too many runs are live at this gateway";
                return Err(Rejection::new(Code::Overloaded, message, "try again in a minute"));
            }
        }
        let lost = claims.root_at < self.lost_before.load(Ordering::SeqCst);
        let first = || if lost { Root::lost(until, next) } else { Root::fresh(until, next) };
        let known = roots.entry(claims.root.clone()).or_insert_with(first);
        known.until = known.until.max(until);
        Ok(known)
    }

    /// Forgets roots whose ceiling has ended, and says where the log begins to matter for those that live.
    pub fn low_water(&self, now: i64) -> Option<u64> {
        let mut roots = self.lock();
        roots.retain(|_, root| root.until > now);
        roots.values().map(|root| root.first).min()
    }

    /// Takes over what the log says of a root, at start.
    pub fn restore(&self, root: RunId, to: Label, calls: u64, until: i64, index: u64) {
        let mut roots = self.lock();
        let known = roots.entry(root).or_insert_with(|| Root::fresh(until, index));
        known.label = label(known.label, to);
        known.calls = known.calls.max(calls);
        known.until = known.until.max(until);
    }
}

impl Root {
    /// A root of which nothing is known: it may have read anything, and its budget counts as spent.
    fn lost(until: i64, first: u64) -> Self {
        Self { label: Label::UNKNOWN, calls: u64::MAX, ..Self::fresh(until, first) }
    }

    fn fresh(until: i64, first: u64) -> Self {
        Self {
            label: Label::FRESH,
            calls: 0,
            minute: Minute::default(),
            methods: Minute::default(),
            last: None,
            repeats: 0,
            until,
            first,
        }
    }
}

impl Minute {
    /// Counts a call and estimates how many there were in the last sixty seconds.
    fn count(&mut self, now: i64) -> u64 {
        let number = now.div_euclid(60);
        if number != self.number {
            self.before = if number == self.number.saturating_add(1) { self.calls } else { 0 };
            (self.number, self.calls) = (number, 0);
        }
        self.calls = self.calls.saturating_add(1);
        let left = u64::try_from(60_i64.saturating_sub(now.rem_euclid(60))).unwrap_or(60);
        self.calls.saturating_add(self.before.saturating_mul(left) / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(root: &str, root_at: i64) -> Claims {
        let instance = format!("spiffe://acme.example/agent/support/triage/1/{root}");
        serde_json::from_value(serde_json::json!({
            "ver": 1, "iss": "i", "aud": [], "exp": 1, "iat": 0, "jti": "t", "sub": "p", "sub_profile": "user",
            "client_id": "spiffe://acme.example/agent/support/triage/1",
            "act": { "sub": instance, "iss": "i", "sub_profile": "a" }, "authorization_details": [],
            "task": { "id": "t", "purpose": "p", "why": "w" }, "run": root, "root": root, "root_at": root_at, "root_until": 10_000,
            "gid": "g", "del_depth": 0, "del_max_depth": 0, "grant": { "until": 10_000, "by": "policy" },
        }))
        .unwrap()
    }

    #[test]
    fn counts_repeats_and_labels_belong_to_the_root() {
        let runs = Runs::default();
        let claims = claims("r1", 5);
        let begin = |call, now| runs.begin(&claims, [call; 32], now, 0).unwrap();
        assert_eq!(begin(1, 0), State::FRESH);
        assert_eq!((begin(1, 1).repeats, begin(2, 2).repeats, begin(1, 3).repeats), (2, 1, 1));
        runs.raise(&claims.root, Label::UNKNOWN);
        runs.raise(&claims.root, Label::FRESH);
        let state = begin(3, 4);
        assert_eq!((state.label, state.calls, state.calls_in_minute), (Label::UNKNOWN, 5, 5));
        // Half a minute later half of the calls before still count.
        assert_eq!(begin(4, 90).calls_in_minute, 1 + 5 / 2);
        assert_eq!(begin(4, 600).calls_in_minute, 1);
    }

    #[test]
    fn methods_have_a_rate_of_their_own() {
        let runs = Runs::default();
        let claims = claims("r1", 5);
        let method = |now| runs.method(&claims, now, 0).unwrap();
        let call = |now| runs.begin(&claims, [1; 32], now, 0).unwrap();
        assert_eq!((method(0).calls_in_minute, method(1).calls_in_minute, method(1).calls), (1, 2, 0));
        assert_eq!((call(2).calls_in_minute, method(2).calls_in_minute, method(2).calls), (1, 4, 1));
        assert_eq!(method(600).calls_in_minute, 1);
        assert_eq!(runs.peek(&claims, 600, 0).unwrap().calls_in_minute, 0);
        assert_eq!(runs.label(&claims.root), Label::FRESH);
        runs.raise(&claims.root, Label::UNKNOWN);
        assert_eq!(runs.label(&claims.root), Label::UNKNOWN);
    }

    #[test]
    fn what_the_log_says_is_never_lowered() {
        let runs = Runs::default();
        let claims = claims("r1", 5);
        runs.restore(claims.root.clone(), Label::UNKNOWN, 7, 100, 3);
        runs.restore(claims.root.clone(), Label::FRESH, 3, 50, 9);
        let state = runs.begin(&claims, [0; 32], 0, 12).unwrap();
        assert_eq!((state.label, state.calls), (Label::UNKNOWN, 8));
        assert_eq!((runs.low_water(9_999), runs.low_water(10_000)), (Some(3), None));
    }

    /// Break: forget a root with the last grant that was seen, though its ceiling still allows another.
    #[test]
    fn a_short_grant_does_not_make_a_root_forgotten() {
        let runs = Runs::default();
        let mut short = claims("r1", 5);
        (short.grant.until, short.exp) = (60, 60);
        runs.begin(&short, [0; 32], 0, 3).unwrap();
        runs.raise(&short.root, Label::UNKNOWN);
        assert_eq!(runs.low_water(61), Some(3));
        assert_eq!(runs.begin(&claims("r1", 5), [1; 32], 62, 9).unwrap().label, Label::UNKNOWN);
        assert_eq!(runs.low_water(10_000), None);
    }

    #[test]
    fn a_root_from_before_the_loss_may_have_done_anything() {
        let runs = Runs::default();
        runs.lost_before(100);
        let state = |root, at| runs.begin(&claims(root, at), [0; 32], 0, 0).unwrap();
        let lost = state("old", 99);
        assert_eq!((lost.label, lost.calls), (Label::UNKNOWN, u64::MAX));
        assert_eq!(state("new", 100), State::FRESH);
    }
}
