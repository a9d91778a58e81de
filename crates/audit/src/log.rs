//! The log as its callers see it: `commit` an entry, get a receipt when it is durable, read it back, close.
//!
//! **Invariant:** every commit is answered within its deadline, and with a receipt only after the sync of its group.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::fs::{FlockOperation, flock};

pub use crate::commit::Commit;
use crate::{
    commit::{Answer, Slot},
    disk::Posix,
    durable,
    entries::Entries,
    entry::{Entry, Hashed},
    error::ReadError,
    head,
    key::LogKey,
    note::NoteError,
    open::{self, Opened, Sizes},
    store::Store,
    threads::Threads,
};

/// Smallest segment: the header and a few groups.
pub const SEGMENT_BYTES_MIN: u64 = 16 << 10;
/// Largest segment; recovery reads one whole.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Where and how a log is kept.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory of the log; each epoch is a directory in it.
    pub dir: PathBuf,
    /// Trust domain, the first part of the origin.
    pub trust_domain: String,
    /// Name of the instance that writes it.
    pub instance: String,
    /// Length of a write-ahead segment.
    pub segment_bytes: u64,
    /// A commit that is not durable by then is unavailable.
    pub commit_deadline: Duration,
    /// At least this often, what is durable is published as tiles.
    pub publish_every: Duration,
    /// Space held back for the outcomes of calls in flight.
    pub reserve_bytes: u64,
    /// Where the newest checkpoint is kept once more, outside of `dir`; without it a log whose old content was written
    /// back in place is not told from one that never had more.
    pub outside: Option<head::Config>,
}

impl Config {
    /// The usual sizes and times: segments of 16 MiB, 250 ms, 1 s, a reserve of 64 MiB; nothing outside.
    pub fn new(dir: impl Into<PathBuf>, trust_domain: &str, instance: &str) -> Self {
        Self {
            dir: dir.into(),
            trust_domain: trust_domain.to_owned(),
            instance: instance.to_owned(),
            segment_bytes: 16 << 20,
            commit_deadline: Duration::from_millis(250),
            publish_every: Duration::from_secs(1),
            reserve_bytes: 64 << 20,
            outside: None,
        }
    }
}

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another process has this log open")]
    Locked,
    /// The directory could not be made or locked.
    #[error("{}: {source}", path.display())]
    Dir {
        /// The directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// What is there cannot be trusted, or not be read.
    #[error("{0}; to see all that is wrong: remit log verify")]
    Read(#[from] ReadError),
    /// The directory holds another log.
    #[error("the directory holds the log `{found}`, not `{expected}`")]
    OtherLog {
        /// Its origin.
        found: String,
        /// The configured one.
        expected: String,
    },
    /// Entries are gone that the checkpoint outside of the directory covers.
    #[error(
        "entries are gone: {} covers {signed} entries of `{origin}`, and the log does not hold them; put the log back \
         (remit log verify says what is there), or remove that file to go on without them",
        path.display()
    )]
    Behind {
        /// The log of the checkpoint.
        origin: String,
        /// Entries that it covers.
        signed: u64,
        /// Where it is.
        path: PathBuf,
    },
    /// The checkpoint outside of the directory is not one of this log.
    #[error("{}: {why}; put it back, or remove it if the log is known to be whole: remit log verify", path.display())]
    Head {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        why: NoteError,
    },
    /// Trust domain and instance do not make an origin.
    #[error("trust domain and instance do not make a valid origin: {0}")]
    Origin(NoteError),
    /// A size or time is out of its range.
    #[error("segment_bytes must lie between {SEGMENT_BYTES_MIN} and {SEGMENT_BYTES_MAX}")]
    SegmentBytes,
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// Why an entry is not durable. In no case is it known to be in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It was not durable in time. It may become so later.
    #[error("the entry was not durable within its deadline")]
    Deadline,
    /// A write failed, or the log is closed: nothing is taken until it is opened again.
    #[error("the log is stopped until it is opened again")]
    Stopped,
    /// The disk is full. Nothing was written; it resumes by itself.
    #[error("the disk of the log is full")]
    Full,
    /// The leaf or the sealed part is larger than allowed.
    #[error("the entry is larger than the log takes")]
    TooLarge,
    /// More is waiting than the queue holds.
    #[error("too many entries are waiting")]
    Busy,
}

/// Why a log did not end cleanly. What was acknowledged is safe in its segments.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// It had stopped before.
    #[error("the log had stopped before it was closed")]
    Stopped,
    /// Another handle has closed it.
    #[error("the log was closed before")]
    Closed,
    /// The last publication failed.
    #[error(transparent)]
    Publish(#[from] ReadError),
}

/// An open log. Cloning gives another handle to the same one; it stops when the last is dropped.
#[derive(Clone)]
pub struct Log {
    threads: Arc<Threads<Posix>>,
    origin: Arc<str>,
    vkey: Arc<str>,
}

impl Log {
    #[expect(clippy::needless_pass_by_value, reason = "the log keeps both, as far as its callers are concerned")]
    /// Opens the log, which is also how it recovers. One writer: a second is refused.
    pub fn open(config: Config, key: LogKey) -> Result<(Self, Opened), OpenError> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&config.segment_bytes) {
            return Err(OpenError::SegmentBytes);
        }
        let lock = lock(&config.dir)?;
        let prefix = format!("{}/log/{}", config.trust_domain, config.instance);
        let sizes = Sizes { segment_bytes: config.segment_bytes, reserve_bytes: config.reserve_bytes };
        let parts = open::open(Posix, &config.dir, &prefix, key.seed(), sizes, seconds_now(), config.outside.as_ref())?;
        let opened = parts.opened.clone();
        let origin: Arc<str> = opened.origin.as_str().into();
        let vkey: Arc<str> = parts.vkey.as_str().into();
        let threads = Threads::start(parts, &config, Arc::clone(&origin), lock).map_err(OpenError::Thread)?;
        Ok((Self { threads: Arc::new(threads), origin, vkey }, opened))
    }

    /// Takes an entry. The receipt comes when it is durable.
    pub fn commit(&self, entry: Entry) -> Commit {
        self.enqueue(entry, false)
    }

    /// Takes the outcome of a call in flight, for which space is held back when the disk is full.
    pub fn commit_reserved(&self, entry: Entry) -> Commit {
        self.enqueue(entry, true)
    }

    /// Takes an entry and waits for its receipt, at most until the deadline.
    pub fn commit_wait(&self, entry: Entry) -> Result<crate::entry::Receipt, Unavailable> {
        wait(self.commit(entry), self.threads.deadline())
    }

    /// Number of durable entries.
    pub fn size(&self) -> u64 {
        self.threads.store().state().head.size
    }

    /// The newest signed checkpoint; what it covers is durable.
    pub fn checkpoint(&self) -> String {
        self.threads.store().state().head.note.to_string()
    }

    /// Verifier key of this epoch.
    pub fn vkey(&self) -> &str {
        &self.vkey
    }

    /// Origin of this epoch, `<trust domain>/log/<instance>/<epoch>`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Directory of this epoch: what `verify` reads.
    pub fn dir(&self) -> &Path {
        &self.threads.store().dir
    }

    /// One entry.
    pub fn read(&self, index: u64) -> Result<Entry, ReadError> {
        self.threads.store().read(index)
    }

    /// Every entry from this one to the end as it is now.
    pub fn entries(&self, from: u64) -> impl Iterator<Item = Result<(u64, Entry), ReadError>> + use<> {
        Entries::new(Arc::clone(self.threads.store()), Store::read_bundle, from, self.size())
    }

    /// The same without the sealed bytes.
    pub fn leaves(&self, from: u64) -> impl Iterator<Item = Result<(u64, Vec<u8>), ReadError>> + use<> {
        Entries::new(Arc::clone(self.threads.store()), Store::read_leaves, from, self.size())
    }

    /// Publishes what is durable now, for whoever needs a proof at once.
    pub fn publish(&self) -> Result<(), ReadError> {
        self.threads.publish()
    }

    /// Ends cleanly: everything is published and the segments are removed, so that at rest every byte counts.
    pub fn close(self) -> Result<(), CloseError> {
        self.threads.close()
    }

    fn enqueue(&self, entry: Entry, reserved: bool) -> Commit {
        let slot = Slot::new();
        match Hashed::new(entry) {
            None => slot.answer(Err(Unavailable::TooLarge)),
            Some(hashed) => self.threads.enqueue(hashed, Arc::clone(&slot), reserved),
        }
        Commit(slot)
    }
}

fn lock(dir: &Path) -> Result<std::fs::File, OpenError> {
    let failed = |source| OpenError::Dir { path: dir.to_owned(), source };
    durable::create_dir(dir).map_err(failed)?;
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.create(true).truncate(false).write(true).open(dir.join("lock")).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked),
        Err(error) => Err(failed(error.into())),
    }
}

#[expect(clippy::disallowed_methods, reason = "it only names a new epoch, and the log has no clock of its own")]
fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Waits on a future with nothing but the thread itself.
pub(crate) fn wait(mut commit: Commit, deadline: Duration) -> Answer {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let until = Instant::now() + deadline;
    loop {
        if let Poll::Ready(answer) = Pin::new(&mut commit).poll(&mut context) {
            return answer;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Unavailable::Deadline);
        }
        std::thread::park_timeout(left);
    }
}
