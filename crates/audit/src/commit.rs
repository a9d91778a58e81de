//! What a caller holds while its entry is on the way: a future without a runtime.
//!
//! **Invariant:** a slot is answered exactly once. Until it is taken into a group its owner can withdraw it;
//! afterwards the entry becomes durable whether anybody waits or not.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use crate::{entry::Receipt, log::Unavailable};

pub(crate) type Answer = Result<Receipt, Unavailable>;

enum Phase {
    Queued,
    Taken,
    Answered(Option<Answer>),
}

struct Inner {
    phase: Phase,
    waker: Option<Waker>,
}

/// The place where committer and caller meet.
pub(crate) struct Slot(Mutex<Inner>);

impl Slot {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner { phase: Phase::Queued, waker: None })))
    }

    /// Takes the entry into a group; false when it was withdrawn or answered before.
    pub(crate) fn take(&self) -> bool {
        let mut inner = self.lock();
        let queued = matches!(inner.phase, Phase::Queued);
        if queued {
            inner.phase = Phase::Taken;
        }
        queued
    }

    /// Answers, unless that was done.
    pub(crate) fn answer(&self, answer: Answer) {
        let mut inner = self.lock();
        if matches!(inner.phase, Phase::Answered(_)) {
            return;
        }
        inner.phase = Phase::Answered(Some(answer));
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry on its way. Dropping it withdraws the entry, if it is not in a group yet.
#[must_use = "an entry is durable only when its receipt is there"]
pub struct Commit(pub(crate) Arc<Slot>);

impl Future for Commit {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let mut inner = self.0.lock();
        if let Phase::Answered(answer) = &mut inner.phase {
            return Poll::Ready(answer.take().unwrap_or(Err(Unavailable::Stopped)));
        }
        match &mut inner.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        if matches!(inner.phase, Phase::Queued) {
            inner.phase = Phase::Answered(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_dropped_commit_is_withdrawn_before_it_is_taken_and_not_after() {
        let slot = Slot::new();
        drop(Commit(Arc::clone(&slot)));
        assert!(!slot.take());
        let slot = Slot::new();
        let commit = Commit(Arc::clone(&slot));
        assert!(slot.take());
        drop(commit);
        slot.answer(Err(Unavailable::Full));
    }

    #[test]
    fn the_first_answer_stands_and_wakes_once() {
        let slot = Slot::new();
        let mut commit = Commit(Arc::clone(&slot));
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut commit).poll(&mut context).is_pending());
        slot.answer(Err(Unavailable::Deadline));
        slot.answer(Err(Unavailable::Full));
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        let Poll::Ready(answer) = Pin::new(&mut commit).poll(&mut context) else { panic!("not answered") };
        assert!(matches!(answer, Err(Unavailable::Deadline)));
    }
}
