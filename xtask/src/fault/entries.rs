//! The entries of a log as anybody reads them who knows the format: from the bundles that its checkpoint covers.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::failed;

/// Entries of a full bundle.
const BUNDLE_ENTRIES: u64 = 256;
/// How often a log in use is read again: between the checkpoint and a bundle a new tree may have been published.
const TRIES: u32 = 20;

/// The one epoch of a log: a fault must never begin another.
pub(super) fn epoch(log: &Path) -> io::Result<PathBuf> {
    let all = std::fs::read_dir(log)?.flatten().map(|entry| entry.path());
    let epochs: Vec<PathBuf> = all.filter(|path| path.join("checkpoint").is_file()).collect();
    match epochs.as_slice() {
        [epoch] => Ok(epoch.clone()),
        _ => Err(failed(format!("{} epochs in {}", epochs.len(), log.display()))),
    }
}

/// The leaves from this index on.
pub(super) fn leaves(log: &Path, from: u64) -> io::Result<Vec<Vec<u8>>> {
    let epoch = epoch(log)?;
    let mut last = failed("it was never read");
    for _ in 0..TRIES {
        match read(&epoch, from) {
            Ok(leaves) => return Ok(leaves),
            Err(error) => last = error,
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Err(last)
}

fn read(epoch: &Path, from: u64) -> io::Result<Vec<Vec<u8>>> {
    let checkpoint = std::fs::read_to_string(epoch.join("checkpoint"))?;
    let size: u64 = checkpoint.lines().nth(1).and_then(|line| line.parse().ok()).ok_or_else(malformed)?;
    let mut leaves = Vec::new();
    for bundle in from / BUNDLE_ENTRIES..size.div_ceil(BUNDLE_ENTRIES) {
        let width = (size - bundle * BUNDLE_ENTRIES).min(BUNDLE_ENTRIES);
        let name = if width < BUNDLE_ENTRIES { format!("{bundle:03}.p/{width}") } else { format!("{bundle:03}") };
        let bytes = std::fs::read(epoch.join("tile/entries").join(name))?;
        let mut rest = bytes.as_slice();
        for index in bundle * BUNDLE_ENTRIES..bundle * BUNDLE_ENTRIES + width {
            let (length, after) = rest.split_first_chunk::<2>().ok_or_else(malformed)?;
            let (leaf, after) = after.split_at_checked(u16::from_be_bytes(*length).into()).ok_or_else(malformed)?;
            if index >= from {
                leaves.push(leaf.to_vec());
            }
            rest = after;
        }
    }
    Ok(leaves)
}

fn malformed() -> io::Error {
    failed("the log's files are not what they should be")
}

/// What an entry of a gateway's log says of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// A decision, by the client's id of this use of the tool.
    Intent { id: String, permitted: bool },
    /// What became of an intent.
    Outcome { of: u64, status: String },
    /// Nothing.
    Other,
}

/// Reads one entry.
pub(super) fn said(leaf: &[u8]) -> io::Result<Said> {
    let event: Value = serde_json::from_slice(leaf)?;
    let text = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of = || event.pointer("/unmapped/remit/intent").and_then(Value::as_u64).ok_or_else(malformed);
    Ok(match text("/unmapped/remit/kind").as_str() {
        "call_intent" | "method" => Said::Intent {
            id: text("/unmapped/remit/tool_use_id"),
            permitted: text("/unmapped/remit/decision/verdict") == "permit",
        },
        "call_outcome" => Said::Outcome { of: of()?, status: text("/unmapped/remit/status") },
        "outcome_unknown" => Said::Outcome { of: of()?, status: "unknown".into() },
        _ => Said::Other,
    })
}
