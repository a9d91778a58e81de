//! What each root has done and read: labels, counts and loops, shared by an agent and all that it spawns.
//!
//! A root is forgotten only when its last grant has ended, so nothing that is forgotten can call again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    last: Option<Digest>,
    repeats: u64,
    until: i64,
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
pub struct Runs(Mutex<HashMap<RunId, Root>>);

impl Runs {
    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Root>> {
        // A panic while the lock was held left counts that are at worst too high.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call of the root and says how it stands with it.
    pub fn begin(
        &self,
        root: &RunId,
        until: i64,
        call: Digest,
        now: i64,
    ) -> Result<State, Rejection> {
        let mut roots = self.lock();
        let root = entry(&mut roots, root, until, now)?;
        root.calls = root.calls.saturating_add(1);
        root.repeats = if root.last == Some(call) {
            root.repeats.saturating_add(1)
        } else {
            1
        };
        root.last = Some(call);
        let calls_in_minute = root.minute.count(now);
        Ok(State {
            label: root.label,
            calls: root.calls,
            calls_in_minute,
            repeats: root.repeats,
            spend: 0,
        })
    }

    /// How it stands with the root, for what is not counted.
    pub fn peek(&self, root: &RunId, until: i64, now: i64) -> Result<State, Rejection> {
        let mut roots = self.lock();
        let root = entry(&mut roots, root, until, now)?;
        Ok(State {
            label: root.label,
            calls: root.calls,
            calls_in_minute: 0,
            repeats: 0,
            spend: 0,
        })
    }

    /// Raises the root's label; nothing lowers it.
    pub fn raise(&self, root: &RunId, to: Label) {
        if let Some(root) = self.lock().get_mut(root) {
            root.label = label(root.label, to);
        }
    }

    /// Takes over what the log says of a root, at start.
    pub fn restore(&self, root: RunId, to: Label, calls: u64, until: i64) {
        let mut roots = self.lock();
        let known = roots.entry(root).or_insert_with(|| Root::fresh(until));
        known.label = label(known.label, to);
        known.calls = known.calls.max(calls);
        known.until = known.until.max(until);
    }
}

impl Root {
    fn fresh(until: i64) -> Self {
        Self {
            label: Label::FRESH,
            calls: 0,
            minute: Minute::default(),
            last: None,
            repeats: 0,
            until,
        }
    }
}

fn entry<'a>(
    roots: &'a mut HashMap<RunId, Root>,
    root: &RunId,
    until: i64,
    now: i64,
) -> Result<&'a mut Root, Rejection> {
    if !roots.contains_key(root) {
        if roots.len() >= ROOTS_MAX {
            roots.retain(|_, root| root.until > now);
        }
        if roots.len() >= ROOTS_MAX {
            let message = "too many runs are live at this gateway";
            return Err(Rejection::new(
                Code::Overloaded,
                message,
                "try again in a minute",
            ));
        }
    }
    let known = roots
        .entry(root.clone())
        .or_insert_with(|| Root::fresh(until));
    known.until = known.until.max(until);
    Ok(known)
}

impl Minute {
    /// Counts a call and estimates how many there were in the last sixty seconds.
    fn count(&mut self, now: i64) -> u64 {
        let number = now.div_euclid(60);
        if number != self.number {
            self.before = if number == self.number.saturating_add(1) {
                self.calls
            } else {
                0
            };
            (self.number, self.calls) = (number, 0);
        }
        self.calls = self.calls.saturating_add(1);
        let left = u64::try_from(60_i64.saturating_sub(now.rem_euclid(60))).unwrap_or(60);
        self.calls
            .saturating_add(self.before.saturating_mul(left) / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_repeats_and_labels_belong_to_the_root() {
        let runs = Runs::default();
        let root = RunId::new("r1").unwrap();
        let begin = |call, now| runs.begin(&root, 10_000, [call; 32], now).unwrap();
        assert_eq!(begin(1, 0), State::FRESH);
        assert_eq!(
            (
                begin(1, 1).repeats,
                begin(2, 2).repeats,
                begin(1, 3).repeats
            ),
            (2, 1, 1)
        );
        runs.raise(&root, Label::UNKNOWN);
        runs.raise(&root, Label::FRESH);
        let state = begin(3, 4);
        assert_eq!(
            (state.label, state.calls, state.calls_in_minute),
            (Label::UNKNOWN, 5, 5)
        );
        // Half a minute later half of the calls before still count.
        assert_eq!(begin(4, 90).calls_in_minute, 1 + 5 / 2);
        assert_eq!(begin(4, 600).calls_in_minute, 1);
    }

    #[test]
    fn what_the_log_says_is_never_lowered() {
        let runs = Runs::default();
        let root = RunId::new("r1").unwrap();
        runs.restore(root.clone(), Label::UNKNOWN, 7, 100);
        runs.restore(root.clone(), Label::FRESH, 3, 50);
        let state = runs.begin(&root, 60, [0; 32], 0).unwrap();
        assert_eq!((state.label, state.calls), (Label::UNKNOWN, 8));
    }
}
