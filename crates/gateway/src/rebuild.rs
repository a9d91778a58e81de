//! At start: what the log says of live roots, of bundles, and of calls that never ended. What the newest heartbeat says
//! that nothing live depends on is not read again.
//!
//! **Invariant:** only entries that the signed tree has are believed: the log compares each with it, and does not open
//! where anything differs.

use std::collections::BTreeMap;
use std::path::Path;

use remit_audit::disk::Posix;
use remit_audit::head::{self, Behind};
use remit_audit::verify::{VerifyError, verify_dir};
use remit_audit::{Opened, epochs};
use remit_core::event::{Kind, OutcomeUnknown};
use remit_core::id::RunId;
use remit_core::label::Label;
use remit_core::rejection::Rejection;

use crate::record::Recorder;
use crate::runs::Runs;

mod seen;

use seen::{Seen, seen};

/// Why the log could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// An entry cannot be read.
    #[error("an entry of the log cannot be read: {0}")]
    Read(#[from] remit_audit::ReadError),
    /// An older epoch cannot be read.
    #[error("an older epoch of the log cannot be read: {0}; to see all that is wrong: remit log verify")]
    Older(#[from] VerifyError),
    /// An entry is not one of ours.
    #[error("entry {0} of the log is not an event")]
    Foreign(u64),
    /// What has no outcome could not be given one.
    #[error("an open call could not be closed: {0}")]
    Close(Rejection),
}

/// Among so many of the last entries the newest heartbeat is looked for first.
const HEARTBEAT_WITHIN: u64 = 256;

/// What the log says.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// The highest version of a bundle that was ever loaded.
    pub highest: u64,
    /// Calls that had no outcome.
    pub unknown: usize,
}

/// Calls without an outcome, by index: the run and root, and until when the grant holds.
type Open = BTreeMap<u64, (Option<(String, String)>, i64)>;

/// Where the newest checkpoint of a gateway's log is kept, beside the log and not in it. A log that is behind it begins a
/// new epoch, so that a restored backup starts by itself: of the roots before it all is assumed that is bad.
pub fn outside(home: &Path) -> head::Config {
    head::Config { path: home.join("log.head"), behind: Behind::Begin }
}

/// Reads the log back, restores roots, and gives every intent without an outcome the outcome `unknown`.
///
/// Of an older epoch nothing is restored: what it says of roots may be older than the truth, so roots that were
/// launched before this epoch count as roots of which nothing is known. The same holds where the older epoch is gone:
/// the epoch's first entry names it, or the gateway has bundles that are older than its log.
pub async fn rebuild(recorder: &Recorder, runs: &Runs, opened: &Opened, dir: &Path) -> Result<Rebuilt, RebuildError> {
    let bundles = bundles(dir);
    let had_bundles = bundles.iter().any(|(_, written)| *written < opened.epoch);
    let highest = bundles.iter().map(|(version, _)| *version).max().unwrap_or(0);
    let mut rebuilt = Rebuilt { highest, unknown: 0 };
    let alive = alive(recorder)?;
    if let Some(alive) = alive {
        rebuilt.highest = highest.max(alive.bundle);
    } else {
        for (number, dir) in epochs(&Posix, dir)?.into_iter().filter(|(number, _)| *number < opened.epoch) {
            let open = older(&dir, &mut rebuilt)?;
            // Closed once: by the first start of the epoch that follows.
            if opened.new_epoch {
                close(recorder, runs, open, (number, false), &mut rebuilt).await?;
            }
        }
    }
    let mut open = Open::new();
    let from = alive.map_or(0, |alive| alive.low_water);
    // The first entry says what was before it.
    let first = recorder.log().leaves(0).take(usize::from(from > 0));
    for entry in first.chain(recorder.log().leaves(from)) {
        let (index, leaf) = entry?;
        let (kind, seen) = seen(&leaf).ok_or(RebuildError::Foreign(index))?;
        if kind == Kind::Epoch && (seen.previous.is_some() || had_bundles) {
            runs.lost_before(seen.time.map_or(i64::MAX, |ms| ms.div_euclid(1000).saturating_add(1)));
        }
        note(index, kind, &seen, &mut open, &mut rebuilt);
        let calls_and_until = match kind {
            Kind::CallIntent | Kind::Method => Some((natural(seen.calls).unwrap_or(0), seen.until())),
            Kind::CallOutcome => Some((0, 0)),
            // Of a root that had a call open in an older epoch nothing is known, so its budget counts as spent.
            Kind::OutcomeUnknown if natural(seen.epoch) == Some(opened.epoch) => Some((0, 0)),
            Kind::OutcomeUnknown => Some((u64::MAX, 0)),
            _ => None,
        };
        if let Some(((calls, until), root)) = calls_and_until.zip(seen.root()) {
            runs.restore(root, seen.label(), calls, until, index);
        }
    }
    close(recorder, runs, open, (opened.epoch, true), &mut rebuilt).await?;
    Ok(rebuilt)
}

/// What the newest heartbeat says of the entries before it.
#[derive(Debug, Clone, Copy)]
struct Alive {
    low_water: u64,
    bundle: u64,
}

/// The newest heartbeat; none where it is of no use, and all is read. One from the future is of none: what it held to be
/// over may not be over by the clock of now.
fn alive(recorder: &Recorder) -> Result<Option<Alive>, RebuildError> {
    let (log, now_ms) = (recorder.log(), recorder.head().at_ms);
    let (mut end, mut entries) = (log.size(), HEARTBEAT_WITHIN);
    while end > 0 {
        let start = end.saturating_sub(entries);
        let mut newest = None;
        for entry in log.leaves(start).take(usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX)) {
            let (index, leaf) = entry?;
            // Only a member of the leaf itself is written so: within a text its quotes are escaped.
            if std::str::from_utf8(&leaf).is_ok_and(|leaf| leaf.contains(r#""kind":"heartbeat""#)) {
                let (_, seen) = seen(&leaf).ok_or(RebuildError::Foreign(index))?;
                let past = seen.time.is_some_and(|ms| ms <= now_ms);
                let alive = natural(seen.low_water).zip(natural(seen.bundle));
                let alive = alive.filter(|(low_water, _)| past && *low_water <= index);
                newest = Some(alive.map(|(low_water, bundle)| Alive { low_water, bundle }));
            }
        }
        if let Some(alive) = newest {
            return Ok(alive);
        }
        (end, entries) = (start, entries.saturating_mul(4));
    }
    Ok(None)
}

/// The bundles that were kept beside the log, each with the second in which it was written: every one was loaded once, so
/// they say how far the versions had come where the log that says so is gone.
fn bundles(log: &Path) -> Vec<(u64, u64)> {
    let kept = log.parent().map(|home| home.join("bundles")).and_then(|dir| std::fs::read_dir(dir).ok());
    let version_and_time = |file: std::fs::DirEntry| {
        let version = file.file_name().to_str()?.strip_suffix(".note")?.parse().ok()?;
        let written = file.metadata().ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some((version, written.as_secs()))
    };
    kept.into_iter().flatten().filter_map(Result::ok).filter_map(version_and_time).collect()
}

/// What an older epoch left open, and the bundles that it loaded.
fn older(dir: &Path, rebuilt: &mut Rebuilt) -> Result<Open, RebuildError> {
    let mut open = Open::new();
    let mut each = |index, leaf: &[u8], _: &[u8]| {
        let (kind, seen) = seen(leaf).ok_or_else(|| "not an event".to_owned())?;
        note(index, kind, &seen, &mut open, rebuilt);
        Ok(())
    };
    verify_dir(dir, None, None, &mut each)?;
    Ok(open)
}

fn note(index: u64, kind: Kind, seen: &Seen<'_>, open: &mut Open, rebuilt: &mut Rebuilt) {
    match kind {
        Kind::CallIntent | Kind::Method if seen.verdict.as_deref() == Some("permit") => {
            let run = seen.run().map(|(run, root)| (run.to_owned(), root.to_owned()));
            open.insert(index, (run, seen.until()));
        }
        Kind::CallOutcome | Kind::OutcomeUnknown => {
            natural(seen.intent).and_then(|intent| open.remove(&intent));
        }
        Kind::Bundle if seen.what.as_deref() == Some("loaded") => {
            rebuilt.highest = rebuilt.highest.max(natural(seen.version).unwrap_or(0));
        }
        _ => {}
    }
}

async fn close(
    recorder: &Recorder,
    runs: &Runs,
    open: Open,
    (epoch, own): (u64, bool),
    rebuilt: &mut Rebuilt,
) -> Result<(), RebuildError> {
    for (intent, (run, until)) in open {
        let run_and_root = run.as_ref().map(|(run, root)| (run.as_str(), root.as_str()));
        let event = OutcomeUnknown { intent, epoch, run: run_and_root };
        recorder.event(event.write(&recorder.head())).await.map_err(RebuildError::Close)?;
        if let Some(root) = run.and_then(|(_, root)| RunId::new(root).ok()) {
            let calls = if own { 0 } else { u64::MAX };
            runs.restore(root, Label::UNKNOWN, calls, until, recorder.log().size());
        }
        rebuilt.unknown = rebuilt.unknown.saturating_add(1);
    }
    Ok(())
}

fn natural(n: Option<i64>) -> Option<u64> {
    n.and_then(|n| u64::try_from(n).ok())
}
