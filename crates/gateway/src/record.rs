//! The gateway's pen: events become entries of its log, and what must not stand in clear goes into the sealed frame
//! that is durable in the same commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::rand;
use remit_audit::vault::Vault;
use remit_audit::{Commit, Entry, Log, Receipt, Unavailable};
use remit_core::decide::Decided;
use remit_core::event::{EventError, Head, Intent, IntentContext, Outcome, intent};
use remit_core::rejection::{Code, Rejection};
use remit_core::snapshot::Snapshot;

use crate::clock::Clock;
use crate::late::Late;

/// Writes events.
pub struct Recorder {
    log: Log,
    vault: Arc<Vault>,
    name: String,
    clock: Arc<dyn Clock>,
    pub(crate) late: Late,
    failing: AtomicBool,
}

impl Recorder {
    /// A pen for this log; `name` is its origin without the epoch.
    pub fn new(log: Log, vault: Arc<Vault>, name: String, clock: Arc<dyn Clock>) -> Self {
        Self { log, vault, name, clock, late: Late::default(), failing: AtomicBool::new(false) }
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The head of a new event.
    pub fn head(&self) -> Head {
        Head { uid: uid(), at_ms: self.clock.now_ms(), log: self.name.clone() }
    }

    /// Records a decision, durably, before anything else happens.
    pub async fn intent(&self, decided: &mut Decided, snapshot: &Snapshot) -> Result<(Intent, Receipt), Rejection> {
        let context = IntentContext { head: self.head(), bundle: &snapshot.bundle, snapshot: snapshot.id() };
        let seal = &mut |subject: &str, frame: &[u8]| self.seal(&context.head.uid, subject, frame);
        let mut written = intent(decided, &context, &mut random, seal).map_err(unwritable)?;
        let entry = Entry { leaf: std::mem::take(&mut written.leaf), sealed: std::mem::take(&mut written.sealed) };
        let watch = self.late.watch(decided, &written, self.log.size());
        match self.take(self.log.commit(entry)).await {
            Ok(receipt) => {
                watch.done();
                Ok((written, receipt))
            }
            // It may become durable later; then the log must say that nothing was sent.
            Err(Unavailable::Deadline) => Err(unavailable(Unavailable::Deadline)),
            Err(error) => {
                watch.done();
                Err(unavailable(error))
            }
        }
    }

    /// Records an outcome, durably; it may use the reserve of a full disk.
    pub async fn outcome(&self, outcome: &Outcome<'_>) -> Result<Receipt, Rejection> {
        let head = self.head();
        let seal = &mut |subject: &str, frame: &[u8]| self.seal(&head.uid, subject, frame);
        let (leaf, sealed) = outcome.write(&head, &mut random, seal).map_err(|error| withheld(&error))?;
        self.take(self.log.commit_reserved(Entry { leaf, sealed })).await.map_err(|error| withheld(&error))
    }

    /// Records any other event, written with a [`Self::head`] of its own.
    pub async fn event(&self, leaf: Result<Vec<u8>, EventError>) -> Result<Receipt, Rejection> {
        let leaf = leaf.map_err(unwritable)?;
        self.take(self.log.commit_reserved(Entry { leaf, sealed: Vec::new() })).await.map_err(unavailable)
    }

    /// Whether the last entry that was handed to the log became durable, as far as that is known.
    pub fn works(&self) -> bool {
        !self.failing.load(Ordering::Relaxed)
    }

    async fn take(&self, commit: Commit) -> Result<Receipt, Unavailable> {
        let answer = commit.await;
        match answer {
            // An entry that is too large says nothing of the log.
            Err(Unavailable::TooLarge) => {}
            _ => self.failing.store(answer.is_err(), Ordering::Relaxed),
        }
        answer
    }

    /// The event's id binds the frame to its leaf: a frame under another leaf does not open.
    fn seal(&self, uid: &str, subject: &str, frame: &[u8]) -> Option<Vec<u8>> {
        match self.vault.seal(subject, uid.as_bytes(), frame) {
            Ok(sealed) => Some(sealed),
            Err(error) => {
                tracing::error!(%error, "a frame could not be sealed");
                None
            }
        }
    }
}

/// 32 random bytes. A machine whose generator fails must not go on: salts would repeat.
#[expect(clippy::expect_used, reason = "nothing can be committed to without randomness")]
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the system's random generator works");
    bytes
}

fn uid() -> String {
    let random = random();
    remit_core::hash::b64(random.first_chunk::<16>().unwrap_or(&[0; 16]))
}

fn unwritable(error: EventError) -> Rejection {
    match error {
        EventError::TooLarge => Rejection::new(
            Code::RequestTooLarge,
            "the call cannot be recorded whole",
            "send fewer or shorter arguments",
        ),
        EventError::Seal => Rejection::new(Code::AuditUnavailable, "the call could not be recorded", doctor()),
    }
}

fn unavailable(error: Unavailable) -> Rejection {
    match error {
        Unavailable::TooLarge => Rejection::new(
            Code::RequestTooLarge,
            "the call cannot be recorded whole",
            "send fewer or shorter arguments",
        ),
        error => {
            tracing::error!(%error, "audit log");
            Rejection::new(Code::AuditUnavailable, "the call could not be recorded, so it was not made", doctor())
        }
    }
}

/// The call was made, as far as anybody knows: whoever is told that it was not makes it again.
fn withheld(error: &dyn std::error::Error) -> Rejection {
    tracing::error!(%error, "audit log");
    let message = "what became of the call could not be recorded, so its answer is withheld";
    Rejection::new(Code::AuditUnavailable, message, "it may have had its effect: look before you repeat it")
}

fn doctor() -> &'static str {
    "try again in a moment, or see: remit doctor"
}
