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

/// One request in flight.
pub(super) struct Pending {
    pub(super) scope: String,
    pub(super) id: Option<IdKey>,
    pub(super) original: Original,
    pub(super) standing: bool,
    notes: mpsc::Sender<String>,
    answer: oneshot::Sender<Answer>,
}

impl Pending {
    pub(super) fn note(&self, message: String) {
        if self.notes.try_send(message).is_err() {
            tracing::debug!("a notification is dropped, because nobody reads them");
        }
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
        scope: &str,
        id: Option<IdKey>,
        original: Original,
        standing: bool,
    ) -> Result<Waiting, UpstreamError> {
        if self.closed || self.pending.len() >= IN_FLIGHT_MAX {
            return Err(UpstreamError::Busy);
        }
        self.last += 1;
        let (notes_in, notes) = mpsc::channel(NOTES_MAX);
        let (answer_in, answer) = oneshot::channel();
        let scope = scope.to_owned();
        let pending = Pending { scope, id, original, standing, notes: notes_in, answer: answer_in };
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
        let matches = |pending: &Pending| pending.scope == scope && pending.id.as_ref() == Some(id);
        self.pending.iter().filter(|(_, pending)| matches(pending)).map(|(number, _)| *number).collect()
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
