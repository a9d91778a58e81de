//! Where logs lie: a directory may be one epoch of a log, a log with its epochs, or a Remit home with all its logs.

use std::path::{Path, PathBuf};

use remit_audit::disk::Posix;
use remit_audit::epochs;

use crate::error::CliError;
use crate::home::Home;

const GATEWAY: &str = "gateway";
const AUTHORITY: &str = "authority";

/// A log: its epochs, the oldest first.
#[derive(Debug)]
pub(super) struct Log {
    /// `gateway` or `authority`.
    pub(super) name: &'static str,
    pub(super) epochs: Vec<Epoch>,
    /// Whether one epoch was named by itself, rather than the log that it belongs to.
    pub(super) one: bool,
}

/// One epoch of a log.
#[derive(Debug, Clone)]
pub(super) struct Epoch {
    pub(super) dir: PathBuf,
    /// Its verifier key, as the directory itself says: worth as much as the directory.
    pub(super) vkey: String,
}

impl Epoch {
    /// The log's name with its epoch.
    pub(super) fn origin(&self) -> &str {
        self.vkey.split('+').next().unwrap_or_default()
    }
}

/// The logs of a directory; at least one, or an error.
pub(super) fn find(dir: &Path) -> Result<Vec<Log>, CliError> {
    if dir.join("vkey").exists() || dir.join("checkpoint").exists() {
        return Ok(vec![Log { one: true, ..log(vec![epoch(dir.to_owned())]) }]);
    }
    let own = epochs_of(dir)?;
    if !own.is_empty() {
        return Ok(vec![log(own)]);
    }
    let home = Home::at(dir);
    let mut logs = Vec::new();
    for (name, dir) in [(GATEWAY, home.gateway_log()), (AUTHORITY, home.authority().log())] {
        let epochs = epochs_of(&dir)?;
        if !epochs.is_empty() {
            logs.push(Log { name, epochs, one: false });
        }
    }
    if logs.is_empty() { Err(none(dir)) } else { Ok(logs) }
}

/// There is no log in a directory.
pub(super) fn none(dir: &Path) -> CliError {
    CliError::unevaluated(
        format!("there is no log in {}", dir.display()),
        "name the directory of a log, of one of its epochs, or a Remit home; `remit up` begins one",
    )
}

/// A log by its own word: its origin is `<domain>/log/<instance>/<epoch>`, and the authority is the one instance of that
/// name.
fn log(epochs: Vec<Epoch>) -> Log {
    let instance = epochs.last().and_then(|epoch| epoch.origin().split('/').nth(2));
    Log { name: if instance == Some(AUTHORITY) { AUTHORITY } else { GATEWAY }, epochs, one: false }
}

fn epochs_of(dir: &Path) -> Result<Vec<Epoch>, CliError> {
    let found = epochs(&Posix, dir)
        .map_err(|error| CliError::unevaluated(error, format!("look who may read it: ls -ld {}", dir.display())))?;
    Ok(found.into_iter().map(|(_, dir)| epoch(dir)).collect())
}

/// A key that cannot be read is for the verification to find.
fn epoch(dir: PathBuf) -> Epoch {
    let vkey = std::fs::read_to_string(dir.join("vkey")).unwrap_or_default();
    Epoch { vkey: vkey.trim_end().to_owned(), dir }
}
