//! At start: what the log says of live roots, of bundles, and of calls that never ended.

use std::collections::BTreeMap;

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
    /// An entry is not one of ours.
    #[error("entry {0} of the log is not an event")]
    Foreign(u64),
    /// What has no outcome could not be given one.
    #[error("an open call could not be closed: {0}")]
    Close(Rejection),
}

/// What the log says.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// The highest version of a bundle that was ever loaded.
    pub highest: u64,
    /// Calls that had no outcome.
    pub unknown: usize,
}

/// Reads the log back, restores roots, and gives every intent without an outcome the outcome `unknown`.
pub async fn rebuild(
    recorder: &Recorder,
    runs: &Runs,
    epoch: u64,
) -> Result<Rebuilt, RebuildError> {
    let mut open: BTreeMap<u64, (Option<(String, String)>, i64)> = BTreeMap::new();
    let mut rebuilt = Rebuilt::default();
    for entry in recorder.log().entries(0) {
        let (index, entry) = entry?;
        let (kind, node) = read(&entry.leaf).ok_or(RebuildError::Foreign(index))?;
        let until = node.int(&remit(&["grant", "until"])).unwrap_or(i64::MAX);
        match kind {
            Kind::CallIntent | Kind::Method => {
                restore(runs, &node, until);
                if node.text(&remit(&["decision", "verdict"])) == Some("permit") {
                    open.insert(index, (run(&node), until));
                }
            }
            Kind::CallOutcome | Kind::OutcomeUnknown => {
                restore(runs, &node, 0);
                let intent = node
                    .int(&remit(&["intent"]))
                    .and_then(|n| u64::try_from(n).ok());
                intent.and_then(|intent| open.remove(&intent));
            }
            Kind::Bundle if node.text(&remit(&["what"])) == Some("loaded") => {
                let version = node
                    .int(&remit(&["version"]))
                    .and_then(|n| u64::try_from(n).ok())
                    .unwrap_or(0);
                rebuilt.highest = rebuilt.highest.max(version);
            }
            _ => {}
        }
    }
    for (intent, (run, until)) in open {
        let run_and_root = run
            .as_ref()
            .map(|(run, root)| (run.as_str(), root.as_str()));
        let event = OutcomeUnknown {
            intent,
            epoch,
            run: run_and_root,
        };
        recorder.event(event.write(&recorder.head()))
            .await
            .map_err(RebuildError::Close)?;
        if let Some(root) = run.and_then(|(_, root)| RunId::new(root).ok()) {
            runs.restore(root, Label::UNKNOWN, 0, until);
        }
        rebuilt.unknown = rebuilt.unknown.saturating_add(1);
    }
    Ok(rebuilt)
}

fn remit<'p>(path: &[&'p str]) -> Vec<&'p str> {
    [&["unmapped", "remit"], path].concat()
}

fn run(node: &Node) -> Option<(String, String)> {
    let text = |name| {
        node.text(&["unmapped", "remit", name])
            .map(ToOwned::to_owned)
    };
    text("run").zip(text("root"))
}

fn restore(runs: &Runs, node: &Node, until: i64) {
    let Some(root) = run(node).and_then(|(_, root)| RunId::new(root).ok()) else {
        return;
    };
    let calls = node
        .int(&["unmapped", "remit", "counts", "calls"])
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(0);
    runs.restore(root, label(node), calls, until);
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
