//! The threads on a disk that stops answering, and on one whose sync fails: no caller waits longer than the deadline,
//! and after a failure nothing is taken until the log is opened again.

use std::path::Path;

use super::*;
use crate::{
    disk::{Name, Posix},
    entry::Entry,
    log::{self, Commit, Unavailable},
    open::{Opened, Sizes, open},
};

const DEADLINE: Duration = Duration::from_millis(200);
/// What a loaded machine may add.
const SLACK: Duration = Duration::from_secs(2);

/// Steps at which a disk can stop answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    Sync,
    SyncDir,
    Rename,
    Create,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Fine,
    /// Never comes back from this step.
    Hangs(Step),
    /// The next sync fails, once; whatever comes after it works.
    FailsOnce,
}

/// The real disk, with moods.
#[derive(Clone)]
struct Moody(Arc<(Mutex<Mood>, Condvar)>);

impl Moody {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(Mood::Fine), Condvar::new())))
    }

    fn is(&self, mood: Mood) {
        *lock(&self.0.0) = mood;
        self.0.1.notify_all();
    }

    fn step(&self, step: Step) -> io::Result<()> {
        let mut mood = lock(&self.0.0);
        while *mood == Mood::Hangs(step) {
            mood = wait(&self.0.1, mood);
        }
        if *mood == Mood::FailsOnce && step == Step::Sync {
            *mood = Mood::Fine;
            return Err(io::Error::other("simulated I/O error"));
        }
        Ok(())
    }
}

impl Disk for Moody {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        self.step(Step::Create)?;
        Posix.create(path)
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<File> {
        Posix.open(path, write)
    }

    fn len(&self, file: &File) -> io::Result<u64> {
        Posix.len(file)
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Posix.read_at(file, buffer, offset)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.step(Step::Write)?;
        Posix.write_at(file, bytes, offset)
    }

    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        Posix.reserve(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.step(Step::Sync)?;
        Posix.sync(file)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Posix.read(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Name>> {
        Posix.list(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        Posix.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Step::Rename)?;
        Posix.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Posix.remove(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        Posix.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step(Step::SyncDir)?;
        Posix.sync_dir(path)
    }

    fn identity(&self, path: &Path) -> io::Result<String> {
        Posix.identity(path)
    }
}

/// A test that fails must end: the log's threads are waited for when it is dropped.
struct Well(Moody);

impl Drop for Well {
    fn drop(&mut self) {
        self.0.is(Mood::Fine);
    }
}

fn start(disk: &Moody, dir: &Path) -> (Threads<Moody>, Opened) {
    let config = Config {
        segment_bytes: 16 << 10,
        reserve_bytes: 16 << 10,
        commit_deadline: DEADLINE,
        publish_every: Duration::from_millis(5),
        ..Config::new(dir, "example.org", "gw1")
    };
    let sizes = Sizes { segment_bytes: config.segment_bytes, reserve_bytes: config.reserve_bytes };
    let parts = open(disk.clone(), dir, "example.org/log/gw1", &[1; 32], sizes, 1, None).unwrap();
    let (opened, lock) = (parts.opened.clone(), File::open(dir).unwrap());
    (Threads::start(parts, &config, "example.org/log/gw1/1".into(), lock).unwrap(), opened)
}

fn commit(threads: &Threads<Moody>, reserved: bool) -> Commit {
    let slot = Slot::new();
    let entry = Entry { leaf: vec![1; 500], sealed: vec![2; 500] };
    threads.enqueue(Hashed::new(entry).unwrap(), Arc::clone(&slot), reserved);
    Commit(slot)
}

/// Waits far beyond the deadline: what answers must be the log, and not the wait itself.
fn answer(commit: Commit) -> Result<Receipt, Unavailable> {
    log::wait(commit, 10 * DEADLINE)
}

fn commit_wait(threads: &Threads<Moody>) -> Result<Receipt, Unavailable> {
    answer(commit(threads, false))
}

/// Every step of writer and publisher may hang, and for each the callers go on: those whose entries are in the group
/// that hangs, those that come later, and the outcomes of calls in flight.
#[test]
fn a_disk_that_hangs_costs_its_callers_the_deadline_and_no_more() {
    for step in [Step::Sync, Step::Write, Step::SyncDir, Step::Rename, Step::Create] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Moody::new();
        let (threads, _) = start(&disk, dir.path());
        let _well = Well(disk.clone());
        commit_wait(&threads).unwrap();
        disk.is(Mood::Hangs(step));
        let mut late = 0;
        let since = Instant::now();
        // More than a segment holds, so that every step is met by the writer too.
        for round in 0..4 {
            let began = Instant::now();
            let commits: Vec<_> = (0..8).map(|n| commit(&threads, n == 7)).collect();
            assert!(began.elapsed() < DEADLINE, "{step:?}: taking an entry waited");
            for commit in commits {
                match answer(commit) {
                    Ok(_) => {}
                    Err(Unavailable::Deadline) => late += 1,
                    Err(other) => panic!("{step:?}: {other}"),
                }
            }
            assert!(began.elapsed() < DEADLINE + SLACK, "{step:?} round {round}: {:?}", began.elapsed());
            assert!(threads.store().state().head.size >= 1);
        }
        assert!(late > 0, "{step:?} was never met");
        assert!(since.elapsed() < 4 * (DEADLINE + SLACK));
        // It answers again: so does the log, and nothing that was acknowledged is missing.
        disk.is(Mood::Fine);
        let receipt = (0..50).find_map(|_| commit_wait(&threads).ok()).unwrap();
        assert!(receipt.index() >= 1);
        threads.close().unwrap();
    }
}

#[test]
fn a_failed_sync_stops_the_log_until_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Moody::new();
    let (threads, _) = start(&disk, dir.path());
    let kept = commit_wait(&threads).unwrap();
    // The publisher syncs too, so that whoever is first meets the failure: either stops the log.
    disk.is(Mood::FailsOnce);
    let began = Instant::now();
    while commit_wait(&threads).is_ok() {
        assert!(began.elapsed() < SLACK, "the failure was not seen");
    }
    assert_eq!(*lock(&disk.0.0), Mood::Fine, "the disk is well again");
    for reserved in [false, true] {
        assert_eq!(answer(commit(&threads, reserved)), Err(Unavailable::Stopped));
    }
    assert!(matches!(threads.close(), Err(CloseError::Stopped)));
    drop(threads);
    let (threads, opened) = start(&disk, dir.path());
    assert!(opened.size > kept.index() && !opened.new_epoch);
    assert_eq!(commit_wait(&threads).unwrap().index(), opened.size);
    threads.close().unwrap();
}
