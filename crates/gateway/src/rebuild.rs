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
use remit_core::event::canon::Node;
use remit_core::event::{Kind, OutcomeUnknown, read};
use remit_core::id::RunId;
use remit_core::label::{Label, Sensitivity, Trust};
use remit_core::rejection::Rejection;

use crate::record::Recorder;
use crate::runs::Runs;

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
    let first = recorder.log().entries(0).take(usize::from(from > 0));
    for entry in first.chain(recorder.log().entries(from)) {
        let (index, entry) = entry?;
        let (kind, node) = read(&entry.leaf).ok_or(RebuildError::Foreign(index))?;
        if kind == Kind::Epoch && (node.text(&remit(&["previous"])).is_some() || had_bundles) {
            runs.lost_before(node.int(&["time"]).map_or(i64::MAX, |ms| ms.div_euclid(1000).saturating_add(1)));
        }
        note(index, kind, &node, &mut open, &mut rebuilt);
        match kind {
            Kind::CallIntent | Kind::Method => restore(runs, &node, (calls(&node), until(&node)), index),
            Kind::CallOutcome => restore(runs, &node, (0, 0), index),
            Kind::OutcomeUnknown => restore(runs, &node, (unknown(&node, opened.epoch), 0), index),
            _ => {}
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
    let log = recorder.log();
    let (mut end, mut entries) = (log.size(), HEARTBEAT_WITHIN);
    while end > 0 {
        let start = end.saturating_sub(entries);
        let mut newest = None;
        for entry in log.entries(start).take(usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX)) {
            let (index, entry) = entry?;
            // Only a member of the leaf itself is written so: within a text its quotes are escaped.
            if std::str::from_utf8(&entry.leaf).is_ok_and(|leaf| leaf.contains(r#""kind":"heartbeat""#)) {
                let (_, node) = read(&entry.leaf).ok_or(RebuildError::Foreign(index))?;
                newest = Some((index, node));
            }
        }
        if let Some((index, node)) = newest {
            let number = |name| node.int(&["unmapped", "remit", name]).and_then(|n| u64::try_from(n).ok());
            let past = node.int(&["time"]).is_some_and(|ms| ms <= recorder.head().at_ms);
            let alive = number("low_water").zip(number("bundle"));
            let alive = alive.filter(|(low_water, _)| past && *low_water <= index);
            return Ok(alive.map(|(low_water, bundle)| Alive { low_water, bundle }));
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
        let (kind, node) = read(leaf).ok_or_else(|| "not an event".to_owned())?;
        note(index, kind, &node, &mut open, rebuilt);
        Ok(())
    };
    verify_dir(dir, None, None, &mut each)?;
    Ok(open)
}

fn note(index: u64, kind: Kind, node: &Node, open: &mut Open, rebuilt: &mut Rebuilt) {
    let number = |name| node.int(&["unmapped", "remit", name]).and_then(|n| u64::try_from(n).ok());
    match kind {
        Kind::CallIntent | Kind::Method if node.text(&remit(&["decision", "verdict"])) == Some("permit") => {
            open.insert(index, (run(node), until(node)));
        }
        Kind::CallOutcome | Kind::OutcomeUnknown => {
            number("intent").and_then(|intent| open.remove(&intent));
        }
        Kind::Bundle if node.text(&remit(&["what"])) == Some("loaded") => {
            rebuilt.highest = rebuilt.highest.max(number("version").unwrap_or(0));
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

fn until(node: &Node) -> i64 {
    node.int(&remit(&["root_until"])).unwrap_or(i64::MAX)
}

fn remit<'p>(path: &[&'p str]) -> Vec<&'p str> {
    [&["unmapped", "remit"], path].concat()
}

fn run(node: &Node) -> Option<(String, String)> {
    let text = |name| node.text(&["unmapped", "remit", name]).map(ToOwned::to_owned);
    text("run").zip(text("root"))
}

fn calls(node: &Node) -> u64 {
    node.int(&remit(&["counts", "calls"])).and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}

/// Of a root that had a call open in an older epoch nothing is known, so its budget counts as spent.
fn unknown(node: &Node, epoch: u64) -> u64 {
    let own = node.int(&remit(&["epoch"])).and_then(|n| u64::try_from(n).ok()) == Some(epoch);
    if own { 0 } else { u64::MAX }
}

fn restore(runs: &Runs, node: &Node, (calls, until): (u64, i64), index: u64) {
    let Some(root) = run(node).and_then(|(_, root)| RunId::new(root).ok()) else {
        return;
    };
    runs.restore(root, label(node), calls, until, index);
}

/// The label after the entry; what cannot be read is unknown.
fn label(node: &Node) -> Label {
    let text = |name| node.text(&["unmapped", "remit", "labels_after", name]);
    let trust = match text("trust") {
        Some("verified") => Trust::Verified,
        Some("internal") => Trust::Internal,
        _ => Trust::Untrusted,
    };
    let sensitivity = match text("sensitivity") {
        Some("public") => Sensitivity::Public,
        Some("internal") => Sensitivity::Internal,
        Some("confidential") => Sensitivity::Confidential,
        _ => Sensitivity::Regulated,
    };
    Label { trust, sensitivity }
}
