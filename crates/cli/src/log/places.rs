//! Where logs lie: a directory may be one epoch of a log, a log with its epochs, or a Remit home with all its logs.

use std::path::{Path, PathBuf};

use remit_audit::disk::Posix;
use remit_audit::epochs;

use crate::error::CliError;
use crate::home::Home;

/// A log: its epochs, the oldest first.
#[derive(Debug)]
pub(super) struct Log {
    /// `gateway`, `authority`, or the directory's name.
    pub(super) name: String,
    pub(super) epochs: Vec<Epoch>,
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
    let name = dir.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    if dir.join("vkey").exists() || dir.join("checkpoint").exists() {
        return Ok(vec![Log { name, epochs: vec![epoch(dir.to_owned())] }]);
    }
    let own = log(name, dir)?;
    if !own.epochs.is_empty() {
        return Ok(vec![own]);
    }
    let home = Home::at(dir);
    let logs = [("gateway", home.gateway_log()), ("authority", home.authority().log())];
    let logs: Result<Vec<Log>, CliError> = logs.iter().map(|(name, dir)| log((*name).to_owned(), dir)).collect();
    let mut logs = logs?;
    logs.retain(|log| !log.epochs.is_empty());
    if logs.is_empty() { Err(none(dir)) } else { Ok(logs) }
}

/// There is no log in a directory.
pub(super) fn none(dir: &Path) -> CliError {
    CliError::unevaluated(
        format!("there is no log in {}", dir.display()),
        "name the directory of a log, of one of its epochs, or a Remit home; `remit up` begins one",
    )
}

fn log(name: String, dir: &Path) -> Result<Log, CliError> {
    let found = epochs(&Posix, dir)
        .map_err(|error| CliError::unevaluated(error, format!("look who may read it: ls -ld {}", dir.display())))?;
    let epochs = found.into_iter().map(|(_, dir)| epoch(dir)).collect();
    Ok(Log { name, epochs })
}

/// A key that cannot be read is for the verification to find.
fn epoch(dir: PathBuf) -> Epoch {
    let vkey = std::fs::read_to_string(dir.join("vkey")).unwrap_or_default();
    Epoch { vkey: vkey.trim_end().to_owned(), dir }
}
