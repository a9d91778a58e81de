//! Permitted calls of which nobody knows yet whether they are in the log: the commit did not answer in time, or its
//! caller went away. Nothing was sent for them. One that is in the log all the same gets the outcome `not_sent`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_core::decide::{Decided, Verdict};
use remit_core::event::{Intent, Outcome, Status};
use remit_core::hash::{Digest, leaf_hash};
use remit_core::label::Label;
use remit_core::rejection::{Code, Rejection};

use crate::record::Recorder;

/// Most calls that are kept in mind; the outcome of any other is unknown at the next start, which reads the log from where
/// it may be.
const LATE_MAX: usize = 100_000;

/// One of them.
#[derive(Debug, Clone)]
struct Unsent {
    /// The log's size when the entry was handed over: it is not before.
    from: u64,
    leaf: Digest,
    run: String,
    root: String,
    subject: String,
    label: Label,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Late(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    calls: Vec<Unsent>,
    /// Where the first of those may be that were too many to keep in mind, or whose outcome could not be recorded: the next
    /// start reads the log from there.
    dropped: Option<u64>,
}

/// Remembers a call until its receipt is there; dropped before that, it is late.
pub(crate) struct Watch<'a> {
    late: &'a Late,
    call: Option<Unsent>,
}

impl Watch<'_> {
    /// The entry is in the log and has a flight, or is certainly not in it.
    pub(crate) fn done(mut self) {
        self.call = None;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            let mut kept = self.late.lock();
            if kept.calls.len() < LATE_MAX {
                kept.calls.push(call);
            } else {
                kept.give_up(call.from);
            }
        }
    }
}

impl Kept {
    fn give_up(&mut self, from: u64) {
        self.dropped = Some(self.dropped.map_or(from, |first| first.min(from)));
    }
}

impl Late {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches over a call whose record is handed to a log of this size. What was not permitted needs no outcome.
    pub(crate) fn watch(&self, decided: &Decided, written: &Intent, from: u64) -> Watch<'_> {
        let permitted = decided.input().claims().filter(|_| *decided.verdict() == Verdict::Permit);
        let call = permitted.zip(decided.leaf_hash()).map(|(claims, leaf)| Unsent {
            from,
            leaf: *leaf,
            run: claims.run.to_string(),
            root: claims.root.to_string(),
            subject: claims.sub.to_string(),
            label: written.label_after,
        });
        Watch { late: self, call }
    }

    /// The index before which none of them is, whether it is kept in mind or not.
    pub(crate) fn from(&self) -> Option<u64> {
        let kept = self.lock();
        kept.calls.iter().map(|call| call.from).chain(kept.dropped).min()
    }
}

impl Recorder {
    /// Gives late calls their outcome. `mark` is an entry that was handed over after all of them: what is not in the
    /// log before it never will be.
    pub async fn settle(&self, known: usize, mark: u64) -> Result<(), Rejection> {
        let calls: Vec<Unsent> = {
            let calls = &mut self.late.lock().calls;
            let known = known.min(calls.len());
            calls.drain(..known).collect()
        };
        let Some(from) = calls.iter().map(|call| call.from).min() else {
            return Ok(());
        };
        let settled = self.end(calls, from, mark).await;
        if settled.is_err() {
            self.late.lock().give_up(from);
        }
        settled
    }

    async fn end(&self, calls: Vec<Unsent>, from: u64, mark: u64) -> Result<(), Rejection> {
        let mut wanted: HashMap<Digest, Unsent> = calls.into_iter().map(|call| (call.leaf, call)).collect();
        for entry in self.log().entries(from) {
            let Ok((index, entry)) = entry else {
                return Err(Rejection::new(Code::AuditUnavailable, "the log cannot be read", "see: remit log verify"));
            };
            if index >= mark || wanted.is_empty() {
                break;
            }
            if let Some(call) = wanted.remove(&leaf_hash(&entry.leaf)) {
                self.not_sent(index, &call).await?;
            }
        }
        Ok(())
    }

    /// How many calls are late now.
    pub fn late(&self) -> usize {
        self.late.lock().calls.len()
    }

    async fn not_sent(&self, intent: u64, call: &Unsent) -> Result<(), Rejection> {
        let outcome = Outcome {
            intent,
            run: Some((&call.run, &call.root)),
            status: Status::NotSent,
            duration_us: 0,
            label_after: call.label,
            result: None,
            subject: &call.subject,
        };
        self.outcome(&outcome).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use remit_audit::vault::{Kek, Vault};
    use remit_audit::{Config, Entry, Log, LogKey};
    use remit_core::event::read;

    fn unsent(leaf: &[u8]) -> Unsent {
        let text = |text: &str| text.to_owned();
        let (run, root, subject) = (text("r1"), text("r1"), text("p-1"));
        Unsent { from: 0, leaf: leaf_hash(leaf), run, root, subject, label: Label::UNKNOWN }
    }

    /// Break: keep every call in mind that came too late, for as long as the log does not answer.
    #[test]
    fn late_calls_that_are_kept_in_mind_have_an_end() {
        let late = Late::default();
        late.lock().calls.extend(vec![unsent(b"one"); 99_999]);
        for _ in 0..3 {
            drop(Watch { late: &late, call: Some(Unsent { from: 7, ..unsent(b"two") }) });
        }
        let all = late.lock();
        assert_eq!(all.calls.len(), 100_000);
        // The newest are not kept: what is known already still gets its outcome.
        assert_eq!(all.calls.iter().filter(|call| call.from == 7).count(), 1);
    }

    /// Break: say that nothing is left to be known of what was not kept in mind, before or after the rest has settled, or
    /// remember the last of it alone.
    #[tokio::test]
    async fn what_was_not_kept_in_mind_is_read_at_the_next_start() {
        let home = tempfile::tempdir().unwrap();
        let recorder = recorder(home.path());
        let late = |from| drop(Watch { late: &recorder.late, call: Some(Unsent { from, ..unsent(b"one") }) });
        recorder.late.lock().calls.extend(vec![Unsent { from: 20, ..unsent(b"one") }; LATE_MAX]);
        assert_eq!(recorder.late.from(), Some(20));
        for from in [9, 7, 8] {
            late(from);
        }
        assert_eq!(recorder.late.from(), Some(7));
        recorder.settle(recorder.late(), 0).await.unwrap();
        assert_eq!((recorder.late(), recorder.late.from()), (0, Some(7)));
        late(3);
        assert_eq!(recorder.late.from(), Some(3));
        recorder.settle(1, 0).await.unwrap();
        assert_eq!(recorder.late.from(), Some(7));
    }

    /// Break: forget a call that is in the log because its outcome cannot be recorded now.
    #[tokio::test]
    async fn what_could_not_be_settled_is_read_at_the_next_start() {
        let home = tempfile::tempdir().unwrap();
        let recorder = recorder(home.path());
        for leaf in [b"one", b"two"] {
            recorder.log().commit_wait(Entry { leaf: leaf.to_vec(), sealed: vec![] }).unwrap();
        }
        drop(Watch { late: &recorder.late, call: Some(Unsent { from: 1, ..unsent(b"two") }) });
        recorder.log().clone().close().unwrap();
        assert!(recorder.settle(1, 2).await.is_err());
        assert_eq!((recorder.late(), recorder.late.from()), (0, Some(1)));
    }

    fn recorder(home: &std::path::Path) -> Recorder {
        let key = LogKey::load_or_create(&home.join("key")).unwrap();
        let (log, _) = Log::open(Config::new(home.join("log"), "acme.example", "gw1"), key).unwrap();
        let kek = Kek::load_or_create(&home.join("kek")).unwrap();
        let vault = Arc::new(Vault::open(&home.join("vault"), kek).unwrap());
        let clock = Arc::new(crate::clock::Fixed::at_ms(1_000));
        Recorder::new(log, vault, "acme.example/log/gw1".into(), clock)
    }

    #[tokio::test]
    async fn what_is_in_the_log_after_all_was_not_sent() {
        let home = tempfile::tempdir().unwrap();
        let recorder = recorder(home.path());
        let entry = |leaf: &[u8]| Entry { leaf: leaf.to_vec(), sealed: vec![] };
        for leaf in [b"one", b"two"] {
            recorder.log().commit_wait(entry(leaf)).unwrap();
        }
        for leaf in [&b"two"[..], b"never"] {
            drop(Watch { late: &recorder.late, call: Some(unsent(leaf)) });
        }
        Watch { late: &recorder.late, call: Some(unsent(b"one")) }.done();
        let known = recorder.late();
        assert_eq!((known, recorder.late.from()), (2, Some(0)));
        let mark = recorder.log().commit_wait(entry(b"mark")).unwrap();
        recorder.settle(known, mark.index()).await.unwrap();
        assert_eq!(recorder.late(), 0);
        let written: Vec<_> = recorder.log().entries(mark.index() + 1).map(|entry| entry.unwrap().1.leaf).collect();
        assert_eq!(written.len(), 1);
        let (_, node) = read(&written[0]).unwrap();
        let at = |name| ["unmapped", "remit", name];
        assert_eq!((node.int(&at("intent")), node.text(&at("status"))), (Some(1), Some("not_sent")));
    }
}
