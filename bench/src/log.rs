//! The audit log alone: entries that become durable, by the number of writers, and how fast a log is verified.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use remit_audit::verify::verify_dir;
use remit_audit::{Commit, Config, Entry, Log, LogKey};

use crate::disk;
use crate::report::Table;
use crate::sample::{Sample, grouped, rate, shown};

const WRITERS: &[usize] = &[1, 16, 64, 256];
/// What an entry holds here, in bytes: about what an intent of a short call has in clear, and in its sealed frame.
const LEAF_BYTES: usize = 2_048;
const SEALED_BYTES: usize = 3_072;
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the bare disk is measured, at most.
const SYNC_MAX: Duration = Duration::from_secs(1);
/// Entries on their way while a log is only filled.
const AHEAD: usize = 2_048;

/// A log in a directory of its own, which is removed with it.
struct Scratch {
    log: Option<Log>,
    dir: std::path::PathBuf,
}

impl Scratch {
    fn open(dir: &Path) -> io::Result<Self> {
        let dir = dir.join("log");
        Ok(Self { log: Some(open(&dir)?), dir })
    }
}

/// A log that is patient: how long an entry takes is what is measured.
pub(crate) fn open(dir: &Path) -> io::Result<Log> {
    let config = Config { commit_deadline: DEADLINE, ..Config::new(dir, "bench.example", "bench") };
    Log::open(config, LogKey::from_seed([5; 32])).map(|(log, _)| log).map_err(io::Error::other)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The log first: while it is open it writes there.
        self.log.take();
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

fn entry(number: usize) -> Entry {
    let mut entry = Entry { leaf: vec![b'x'; LEAF_BYTES], sealed: vec![b'y'; SEALED_BYTES] };
    entry.leaf.splice(0..8, number.to_be_bytes());
    entry
}

/// Appends by so many threads, each of which waits for its receipt, beside the disk's own sync just before.
pub(crate) fn append(dir: &Path, time: Duration) -> io::Result<Table> {
    let mut table = Table {
        title: "Entries of the audit log",
        about: format!(
            "Entries of {LEAF_BYTES} bytes with sealed frames of {SEALED_BYTES}, durable before their writer goes on: leaf hash, \
             write-ahead log, tree, signed checkpoint, one sync for each group. `fdatasync` is the bare disk just before: 1 KiB \
             written into a file that is long enough, and synced."
        ),
        head: vec!["writers", "fdatasync p50", "p99", "entry p50", "p99", "entries/s", "p50 / fdatasync"],
        rows: Vec::new(),
    };
    for writers in WRITERS {
        let bare = disk::sync(dir, time.min(SYNC_MAX))?;
        let (times, elapsed, failed) = with_writers(dir, *writers, time)?;
        if failed > 0 {
            return Err(io::Error::other(format!("{failed} entries did not become durable")));
        }
        table.row([
            writers.to_string(),
            shown(bare.p50()),
            shown(bare.p99()),
            shown(times.p50()),
            shown(times.p99()),
            grouped(rate(times.count(), elapsed)),
            format!("{:.1}", times.p50().as_secs_f64() / bare.p50().as_secs_f64().max(1e-9)),
        ]);
    }
    Ok(table)
}

fn with_writers(dir: &Path, writers: usize, time: Duration) -> io::Result<(Sample, Duration, usize)> {
    let scratch = Scratch::open(dir)?;
    let Some(log) = &scratch.log else { return Err(io::Error::other("no log")) };
    let failed = AtomicUsize::new(0);
    let began = Instant::now();
    let work = || {
        let mut times = Vec::new();
        while began.elapsed() < time {
            let entry = entry(times.len());
            let asked = Instant::now();
            if log.commit_wait(entry).is_ok() {
                times.push(asked.elapsed());
            } else {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        times
    };
    let times = thread::scope(|scope| {
        let threads: Vec<_> = (0..writers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    });
    Ok((Sample::new(times), began.elapsed(), failed.load(Ordering::Relaxed)))
}

/// How long it takes to verify a log of so many entries.
pub(crate) fn verify(dir: &Path, entries: usize) -> io::Result<Table> {
    let mut scratch = Scratch::open(dir)?;
    let Some(log) = scratch.log.take() else { return Err(io::Error::other("no log")) };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(fill(&log, entries))?;
    let place = log.dir().to_owned();
    log.close().map_err(io::Error::other)?;
    let began = Instant::now();
    let report = verify_dir(&place, None, None, &mut |_, _, _| Ok(())).map_err(io::Error::other)?;
    let took = began.elapsed();
    let mut table = Table {
        title: "Verifying a log",
        about: "`verify_dir` over a closed log of such entries: every leaf hashed, every tile and every sealed byte compared, up \
                to the signed root."
            .to_owned(),
        head: vec!["entries", "time", "entries/s"],
        rows: Vec::new(),
    };
    let size = usize::try_from(report.size).unwrap_or(usize::MAX);
    table.row([grouped(report.size), shown(took), grouped(rate(size, took))]);
    Ok(table)
}

async fn fill(log: &Log, entries: usize) -> io::Result<()> {
    let mut ahead: VecDeque<Commit> = VecDeque::new();
    for number in 0..entries {
        if ahead.len() == AHEAD
            && let Some(first) = ahead.pop_front()
        {
            first.await.map_err(io::Error::other)?;
        }
        ahead.push_back(log.commit(entry(number)));
    }
    for commit in ahead {
        commit.await.map_err(io::Error::other)?;
    }
    Ok(())
}
