//! Who waits for what a child says: each number that was given out, and the one request behind it.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};

use super::UpstreamError;
use super::rewrite::Original;
use crate::mcp::id::IdKey;

/// Most requests in flight to one child, in requests.
pub(super) const IN_FLIGHT_MAX: usize = 256;
/// Most notifications that wait for a slow reader, in messages; more are dropped, answers never are.
const NOTES_MAX: usize = 64;

/// How a request ends.
#[derive(Debug)]
pub(super) enum Answer {
    /// With a response.
    Message(String),
    /// Without one: it was cancelled, or a subscription was closed.
    Ended,
}

/// Who sent a request; nobody, for the gateway's own.
#[derive(Default)]
pub(super) struct Caller {
    /// Tells callers apart that share the child.
    pub(super) scope: String,
    pub(super) id: Option<IdKey>,
}

/// One request in flight.
pub(super) struct Pending {
    pub(super) caller: Caller,
    pub(super) original: Original,
    pub(super) standing: bool,
    notes: mpsc::Sender<String>,
    answer: oneshot::Sender<Answer>,
}

impl Pending {
    /// Whether there was room for it.
    pub(super) fn note(&self, message: String) -> bool {
        let taken = self.notes.try_send(message).is_ok();
        if !taken {
            tracing::debug!("a message is dropped, because nobody reads them");
        }
        taken
    }

    pub(super) fn answer(self, answer: Answer) {
        // Nobody may be waiting any more.
        let _gone = self.answer.send(answer);
    }
}

/// What the sender of a request waits on.
pub(super) struct Waiting {
    pub(super) number: u64,
    pub(super) notes: mpsc::Receiver<String>,
    pub(super) answer: oneshot::Receiver<Answer>,
}

/// All requests in flight to one child.
#[derive(Default)]
pub(super) struct Routes {
    pending: HashMap<u64, Pending>,
    last: u64,
    closed: bool,
}

impl Routes {
    /// Gives out a number; fails where the child has ended or has too much to do.
    pub(super) fn enter(
        &mut self,
        caller: Caller,
        original: Original,
        standing: bool,
    ) -> Result<Waiting, UpstreamError> {
        if self.closed || self.pending.len() >= IN_FLIGHT_MAX {
            return Err(UpstreamError::Busy);
        }
        self.last += 1;
        let (notes_in, notes) = mpsc::channel(NOTES_MAX);
        let (answer_in, answer) = oneshot::channel();
        let pending = Pending { caller, original, standing, notes: notes_in, answer: answer_in };
        self.pending.insert(self.last, pending);
        Ok(Waiting { number: self.last, notes, answer })
    }

    pub(super) fn get(&self, number: u64) -> Option<&Pending> {
        self.pending.get(&number)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Pending> {
        self.pending.remove(&number)
    }

    /// The numbers of a caller's requests with this id.
    pub(super) fn of(&self, scope: &str, id: &IdKey) -> Vec<u64> {
        let matches = |pending: &Pending| pending.caller.scope == scope && pending.caller.id.as_ref() == Some(id);
        self.pending.iter().filter(|(_, pending)| matches(pending)).map(|(number, _)| *number).collect()
    }

    /// The latest call in flight, where all calls are of one caller. The gateway's own have none.
    pub(super) fn of_one_caller(&self) -> Option<&Pending> {
        let calls = || self.pending.iter().filter(|(_, pending)| !pending.standing);
        let (_, latest) = calls().max_by_key(|(number, _)| **number)?;
        let scope = &latest.caller.scope;
        let alone = !scope.is_empty() && calls().all(|(_, pending)| pending.caller.scope == *scope);
        alone.then_some(latest)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Lets everybody know that nothing more comes.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(routes: &mut Routes) -> Result<Waiting, UpstreamError> {
        let caller = Caller { scope: "run".into(), id: Some(IdKey::number(1)) };
        routes.enter(caller, Original { id: "1".into(), token: None }, false)
    }

    /// Break: keep as many requests as are sent to a child that answers none.
    #[test]
    fn a_child_that_answers_nothing_is_asked_no_more() {
        let mut routes = Routes::default();
        let asked: Vec<_> = (0..300).map_while(|_| enter(&mut routes).ok()).collect();
        assert_eq!((asked.len(), routes.pending.len()), (256, 256));
        assert_eq!(enter(&mut routes).map(|_| ()).unwrap_err(), UpstreamError::Busy);
        routes.remove(asked[9].number).unwrap();
        assert!(enter(&mut routes).is_ok(), "what has ended makes room");
        assert_eq!(routes.pending.len(), 256);
    }

    /// Break: keep all that is said to somebody who does not read; or lose the answer with it.
    #[test]
    fn what_nobody_reads_is_dropped_and_the_answer_is_not() {
        let mut routes = Routes::default();
        let mut waiting = enter(&mut routes).unwrap();
        let pending = routes.remove(waiting.number).unwrap();
        let taken = (0..100).filter(|n| pending.note(n.to_string())).count();
        assert_eq!((taken, waiting.notes.len()), (64, 64));
        pending.answer(Answer::Message("42".into()));
        let read: Vec<String> = std::iter::from_fn(|| waiting.notes.try_recv().ok()).collect();
        assert_eq!(read, (0..64).map(|n| n.to_string()).collect::<Vec<_>>(), "the newest are dropped");
        assert!(matches!(waiting.answer.try_recv(), Ok(Answer::Message(answer)) if answer == "42"));
    }
}
