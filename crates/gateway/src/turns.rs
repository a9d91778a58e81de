//! Turns at the processors. A call is read, verified, decided and written down only when it has one, so that what is to be
//! refused does not wait behind the work of what is not: under any load the tasks that are ready to run stay few.
//!
//! **Invariant:** nobody holds a turn while it waits for a client or an upstream.

use std::future::Future;
use std::sync::Arc;

use remit_core::rejection::{Code, Rejection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Calls that are worked on at a time, for each processor: while some wait for the disk, others use it.
const WORKED_ON_PER_PROCESSOR: usize = 16;
/// Calls that are worked on or wait for that, for each processor: some hundredths of a second of work.
const CALLS_PER_PROCESSOR: usize = 128;

/// All turns.
#[derive(Debug)]
pub struct Turns {
    calls: Arc<Semaphore>,
    worked_on: Arc<Semaphore>,
}

/// The turn of one call.
#[derive(Debug)]
pub struct Turn {
    worked_on: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    _call: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }
}

impl Turns {
    fn new(processors: usize) -> Self {
        let each = |per_processor: usize| Arc::new(Semaphore::new(per_processor.saturating_mul(processors)));
        Self { calls: each(CALLS_PER_PROCESSOR), worked_on: each(WORKED_ON_PER_PROCESSOR) }
    }

    /// Whether anybody would wait for a turn; otherwise nothing else need be done before the refusal.
    pub fn any_left(&self) -> Result<(), Rejection> {
        if self.calls.available_permits() > 0 { Ok(()) } else { Err(too_many()) }
    }

    /// As if too many waited.
    #[cfg(test)]
    pub(crate) fn take_all(&self) -> OwnedSemaphorePermit {
        let all = u32::try_from(self.calls.available_permits()).unwrap();
        Arc::clone(&self.calls).try_acquire_many_owned(all).unwrap()
    }

    /// Waits for a turn; refused at once where too many wait.
    pub async fn take(&self) -> Result<Turn, Rejection> {
        let call = Arc::clone(&self.calls).try_acquire_owned().map_err(|_| too_many())?;
        let mut turn = Turn { worked_on: Arc::clone(&self.worked_on), held: None, _call: call };
        turn.wait().await;
        Ok(turn)
    }
}

fn too_many() -> Rejection {
    Rejection::new(Code::Overloaded, "more calls come in than can be decided", "try again in a second")
}

impl Turn {
    /// Lets others have it while something else is waited for.
    pub async fn away<T>(&mut self, waiting: impl Future<Output = T>) -> T {
        self.held = None;
        let result = waiting.await;
        self.wait().await;
        result
    }

    async fn wait(&mut self) {
        // It is never closed; if it were, the call would go on without a turn.
        self.held = Arc::clone(&self.worked_on).acquire_owned().await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn all(turns: &Turns) -> (usize, usize) {
        (turns.calls.available_permits(), turns.worked_on.available_permits())
    }

    /// Break: work on all at once, or let any number wait.
    #[tokio::test]
    async fn few_are_worked_on_some_wait_and_the_rest_is_refused() {
        let turns = Arc::new(Turns::new(1));
        let mut worked_on = Vec::new();
        for _ in 0..16 {
            worked_on.push(turns.take().await.unwrap());
        }
        let one = || {
            let turns = Arc::clone(&turns);
            tokio::spawn(async move { turns.take().await })
        };
        let waiting: Vec<_> = (16..128).map(|_| one()).collect();
        while turns.calls.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(turns.take().await.unwrap_err().code, Code::Overloaded);
        assert_eq!(turns.any_left().unwrap_err().code, Code::Overloaded);
        assert!(waiting.iter().all(|task| !task.is_finished()));
        worked_on.clear();
        for task in waiting {
            drop(task.await.unwrap().unwrap());
        }
        assert_eq!((all(&turns), turns.any_left()), ((128, 16), Ok(())));
    }

    /// Break: keep the turn while an upstream is waited for.
    #[tokio::test]
    async fn whoever_waits_for_something_else_lets_others_work() {
        let turns = Turns { calls: Arc::new(Semaphore::new(2)), worked_on: Arc::new(Semaphore::new(1)) };
        let mut first = turns.take().await.unwrap();
        first.away(async { drop(turns.take().await.unwrap()) }).await;
        assert_eq!(all(&turns), (1, 0));
        let mut gone = Box::pin(first.away(std::future::pending::<()>()));
        let timeout = tokio::time::timeout(Duration::from_millis(1), &mut gone).await;
        assert!(timeout.is_err());
        assert_eq!(all(&turns), (1, 1));
        drop(gone);
        drop(first);
        assert_eq!(all(&turns), (2, 1));
    }
}
