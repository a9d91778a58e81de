//! All calls in flight: who may cancel one, how many are open, and from where on the log is still needed for them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use remit_core::claims::Claims;
use remit_core::id::{RunId, ServerName};
use tokio::sync::{Notify, watch};

use crate::Gateway;
use crate::accept::Asked;
use crate::mcp::id::IdKey;

/// A request as its sender knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The run that sent it.
    pub run: RunId,
    /// To which server.
    pub server: ServerName,
    /// Its id, where it has one.
    pub id: Option<IdKey>,
}

impl Sent {
    /// What this run asks of this server.
    pub fn of(claims: &Claims, server: &ServerName, asked: &Asked) -> Self {
        let id = asked.id.as_ref().map(|(key, _)| key.clone());
        Self { run: claims.run.clone(), server: server.clone(), id }
    }
}

impl Gateway {
    /// Ends the request of the same run that this message takes back, where it is such a message.
    pub(crate) fn take_back(&self, claims: &Claims, server: &ServerName, asked: &Asked) {
        if let Some(id) = &asked.cancels {
            self.flights.cancel(&claims.run, server, id);
        }
    }
}

#[derive(Debug, Default)]
struct Open {
    calls: HashMap<u64, (Sent, Arc<Notify>)>,
    /// Calls that have ended and whose outcome could not be recorded: the next start gives them one.
    lost: BTreeSet<u64>,
}

/// All of them, by the index of their intent.
#[derive(Debug)]
pub struct Flights {
    open: Mutex<Open>,
    count: watch::Sender<usize>,
}

impl Default for Flights {
    fn default() -> Self {
        Self { open: Mutex::default(), count: watch::channel(0).0 }
    }
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call was recorded; the handle tells when its sender takes it back.
    pub fn enter(&self, intent: u64, sent: Sent) -> Arc<Notify> {
        let cancel = Arc::new(Notify::new());
        let mut open = self.lock();
        open.calls.insert(intent, (sent, Arc::clone(&cancel)));
        self.count.send_replace(open.calls.len());
        cancel
    }

    /// A call has ended; `recorded` says whether its outcome is in the log.
    pub fn leave(&self, intent: u64, recorded: bool) {
        let mut open = self.lock();
        open.calls.remove(&intent);
        if !recorded {
            open.lost.insert(intent);
        }
        self.count.send_replace(open.calls.len());
    }

    /// Takes back what this run sent to this server under this id. Nobody else's request is touched.
    pub fn cancel(&self, run: &RunId, server: &ServerName, id: &IdKey) {
        let open = self.lock();
        let mine = |sent: &Sent| sent.run == *run && sent.server == *server && sent.id.as_ref() == Some(id);
        // A permit is kept for whoever waits later.
        open.calls.values().filter(|(sent, _)| mine(sent)).for_each(|(_, cancel)| cancel.notify_one());
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.lock().calls.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The oldest intent that has no outcome in the log.
    pub fn oldest(&self) -> Option<u64> {
        let open = self.lock();
        open.calls.keys().chain(&open.lost).min().copied()
    }

    /// Waits until none is open, at most for so long.
    pub async fn ended(&self, within: Duration) {
        let mut count = self.count.subscribe();
        // The sender lives as long as `self`; a call that does not end has an outcome at the next start.
        let _late = tokio::time::timeout(within, count.wait_for(|count| *count == 0)).await.map(|_| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_sender_takes_a_call_back() {
        let flights = Flights::default();
        let sent = |run: &str, server: &str, id| Sent {
            run: RunId::new(run).unwrap(),
            server: ServerName::new(server).unwrap(),
            id: Some(IdKey::number(id)),
        };
        let handles: Vec<_> = [("r1", "a", 1), ("r2", "a", 1), ("r1", "b", 1), ("r1", "a", 2)]
            .into_iter()
            .zip(10..)
            .map(|((run, server, id), intent)| flights.enter(intent, sent(run, server, id)))
            .collect();
        let mine = sent("r1", "a", 1);
        flights.cancel(&mine.run, &mine.server, &IdKey::number(1));
        let told = handles.iter().map(|handle| {
            let told = handle.notified();
            futures_util::FutureExt::now_or_never(told).is_some()
        });
        assert_eq!(told.collect::<Vec<_>>(), [true, false, false, false]);
        assert_eq!((flights.len(), flights.oldest()), (4, Some(10)));
        flights.leave(10, true);
        flights.leave(11, false);
        assert_eq!((flights.len(), flights.oldest()), (2, Some(11)));
        flights.leave(12, true);
        flights.leave(13, true);
        flights.ended(Duration::from_mins(1)).await;
        assert_eq!(flights.oldest(), Some(11));
    }
}
