//! The children of all stdio upstreams: one per server, credential owner and root run, never shared further.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::child::Child;
use super::process::{Program, Surroundings};
use super::{Deadlines, Outgoing, Reply, UpstreamError};

/// Most children at a time, in processes.
pub const CHILDREN_MAX: usize = 256;

/// Whose child it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChildKey {
    /// The registered server.
    pub server: String,
    /// The principal for whom it acts: a credential is a person's, never a root's.
    pub owner: String,
    /// The root run.
    pub root: String,
}

/// How many children there are, and how long they live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildLimits {
    /// Most at a time, in processes.
    pub children: usize,
    /// How long one may have nothing to do.
    pub idle: Duration,
    /// How long one that failed is not started again; doubles with each failure.
    pub backoff: Duration,
    /// The longest that it grows to; a child that lived as long begins anew.
    pub backoff_max: Duration,
}

impl Default for ChildLimits {
    fn default() -> Self {
        Self {
            children: CHILDREN_MAX,
            idle: Duration::from_mins(5),
            backoff: Duration::from_millis(200),
            backoff_max: Duration::from_secs(30),
        }
    }
}

/// All children.
#[derive(Debug)]
pub struct Children {
    slots: Mutex<HashMap<ChildKey, Slot>>,
    around: Surroundings,
    deadlines: Deadlines,
    limits: ChildLimits,
}

struct Slot {
    program: Program,
    /// None where the program did not even start.
    child: Option<Arc<Child>>,
    started: Instant,
    failures: u32,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("program", &self.program).field("failures", &self.failures).finish_non_exhaustive()
    }
}

/// The message on one line, as a child reads it. Called before the message is judged, so that what is judged is what
/// is sent. JSON holds raw line ends only between tokens, where a space does as well.
pub fn one_line(body: Bytes) -> Bytes {
    let ends = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if !body.iter().any(ends) {
        return body;
    }
    body.iter().map(|byte| if ends(byte) { b' ' } else { *byte }).collect()
}

impl Children {
    /// None yet; they start when they are first needed.
    pub fn new(around: Surroundings, deadlines: Deadlines, limits: ChildLimits) -> Self {
        Self { slots: Mutex::default(), around, deadlines, limits }
    }

    /// Sends one message to the child of this key, and starts it where it does not run. `scope` is the caller's run.
    pub(crate) async fn send(
        &self,
        key: &ChildKey,
        program: &Program,
        scope: &str,
        outgoing: Outgoing,
    ) -> Result<Reply, UpstreamError> {
        let child = self.child(key, program)?;
        match child.send(scope, outgoing.clone()).await {
            // It was reaped after it was chosen; nothing was sent to it.
            Err(UpstreamError::Busy) if child.was_stopped() => self.child(key, program)?.send(scope, outgoing).await,
            answer => answer,
        }
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.slots().values().filter(|slot| slot.lives()).count()
    }

    /// Ends the children of a root, and waits until they are gone.
    pub async fn end_root(&self, root: &str) {
        self.end(|key| key.root == root).await;
    }

    /// Ends all of them, and waits until they are gone.
    pub async fn shut_down(&self) {
        self.end(|_| true).await;
    }

    async fn end(&self, which: impl Fn(&ChildKey) -> bool) {
        let ended: Vec<Slot> = self.slots().extract_if(|key, _| which(key)).map(|(_, slot)| slot).collect();
        for child in ended.iter().filter_map(|slot| slot.child.as_ref()) {
            child.stop();
        }
        for child in ended.iter().filter_map(|slot| slot.child.as_ref()) {
            child.ended().await;
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<ChildKey, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn child(&self, key: &ChildKey, program: &Program) -> Result<Arc<Child>, UpstreamError> {
        let mut slots = self.slots();
        let mut failures = 0;
        if let Some(slot) = slots.get(key) {
            match &slot.child {
                Some(child) if child.is_alive() && slot.program == *program => {
                    return Ok(Arc::clone(child));
                }
                // Another credential or another version: the old one ends.
                Some(child) if child.is_alive() => child.stop(),
                _ => failures = self.may_start_again(slot)?,
            }
        }
        self.make_room(&mut slots)?;
        let started = Instant::now();
        let child = Child::start(program, &self.around, self.deadlines, self.limits.idle);
        let slot = Slot { program: program.clone(), child: child.as_ref().ok().cloned(), started, failures };
        slots.insert(key.clone(), slot);
        child
    }

    /// The failures so far, where it is time for another attempt.
    fn may_start_again(&self, slot: &Slot) -> Result<u32, UpstreamError> {
        let ended = match &slot.child {
            None => slot.started,
            Some(child) if child.was_stopped() => return Ok(0),
            // Where there is no end yet, it comes at once.
            Some(child) => child.end().ok_or(UpstreamError::Busy)?,
        };
        let lived = ended.saturating_duration_since(slot.started);
        let failures = if lived >= self.limits.backoff_max { 1 } else { slot.failures.saturating_add(1) };
        let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        let wait = self.limits.backoff.saturating_mul(factor).min(self.limits.backoff_max);
        if ended.elapsed() < wait { Err(UpstreamError::Busy) } else { Ok(failures) }
    }

    fn make_room(&self, slots: &mut HashMap<ChildKey, Slot>) -> Result<(), UpstreamError> {
        let forgotten = |slot: &Slot| !slot.lives() && slot.started.elapsed() > self.limits.backoff_max * 2;
        slots.retain(|_, slot| !forgotten(slot));
        if slots.values().filter(|slot| slot.lives()).count() < self.limits.children {
            return Ok(());
        }
        let children = slots.values().filter_map(|slot| slot.child.as_ref());
        let idle = children.filter(|child| child.is_alive() && child.is_idle()).min_by_key(|child| child.used());
        match idle {
            Some(child) => {
                child.stop();
                Ok(())
            }
            None => Err(UpstreamError::Busy),
        }
    }
}

impl Slot {
    fn lives(&self) -> bool {
        self.child.as_ref().is_some_and(|child| child.is_alive())
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in self.slots().values().filter_map(|slot| slot.child.as_ref()) {
            child.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn children() -> Children {
        let around = Surroundings { path: String::new(), scratch: "nowhere".into() };
        let limits = ChildLimits { backoff: 10 * S, ..ChildLimits::default() };
        Children::new(around, Deadlines::default(), limits)
    }

    /// A program that did not start, so long ago.
    fn failed(failures: u32, ago: Duration) -> Slot {
        let program = Program { command: "none".into(), args: vec![], vars: vec![] };
        Slot { program, child: None, started: Instant::now().checked_sub(ago).unwrap(), failures }
    }

    /// Break: wait as long after the tenth failure as after the first, or let it grow until nobody waits for its end.
    #[tokio::test]
    async fn each_failure_doubles_the_wait_up_to_an_end() {
        let children = children();
        for (before, wait) in [(0, 10), (1, 20), (2, 30), (9, 30), (31, 30), (100, 30), (u32::MAX, 30)] {
            let again = |ago| children.may_start_again(&failed(before, ago * S));
            assert_eq!(again(wait - 5), Err(UpstreamError::Busy), "{before}");
            assert_eq!(again(wait), Ok(before.saturating_add(1)), "{before}");
        }
    }

    /// Break: remember every program that ever failed.
    #[tokio::test]
    async fn what_failed_long_ago_is_forgotten() {
        let children = children();
        let mut slots: HashMap<_, _> = (0..1_000)
            .map(|n: u32| {
                let key = ChildKey { server: "s".into(), owner: "o".into(), root: n.to_string() };
                (key, failed(0, if n < 990 { 61 * S } else { 30 * S }))
            })
            .collect();
        children.make_room(&mut slots).unwrap();
        assert_eq!(slots.len(), 10);
    }
}
