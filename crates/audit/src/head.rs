//! The newest checkpoint, kept once more outside the log's directory.
//!
//! A directory whose old content was written back in place agrees with itself and has its marker: nothing in it says
//! that it once held more. The copy outside does. It holds the newest *durable* head at the time of a publication, so it
//! is written at least once a second under load, and after the checkpoint in the directory: a crash leaves it behind the
//! directory, never ahead. What was acknowledged after the last publication before a crash it does not know of.
//!
//! **Invariant:** a log that does not reach what the copy covers is never gone on with under the same name.

use std::path::{Path, PathBuf};

use crate::{
    checkpoint::{Checkpoint, decimal},
    disk::{Disk, replace},
    error::{ReadError, at},
    log::OpenError,
    note::{NoteError, Signer, Verifier},
    recover::read_vkey,
};

/// Where the copy is, and what happens to a log that is behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file. Its directory must exist, and should not be writable by whoever can write the log's.
    pub path: PathBuf,
    /// What to do.
    pub behind: Behind,
}

/// What to do with a log that lacks entries which were signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// Begin a new epoch that names the lost one. For a log whose user can count all that it does not know as the worst,
    /// so that a restored backup starts by itself.
    Begin,
    /// Do not start. For a log that is the only source of what its user knows: somebody must look.
    Refuse,
}

/// The copy as it was found.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) note: String,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) epoch: u64,
}

/// Reads the copy; nothing where there is none. `prefix` is the origin without its epoch. It was signed by this key, or,
/// where the key has changed since, by that of its epoch.
pub(crate) fn read<D: Disk>(
    disk: &D,
    path: &Path,
    (log, prefix, seed): (&Path, &str, &[u8; 32]),
) -> Result<Option<Kept>, OpenError> {
    let bytes = match disk.read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(at(path))?,
    };
    let malformed = |why| OpenError::Head { path: path.to_owned(), why };
    let note = String::from_utf8(bytes).map_err(|_| malformed(NoteError::Malformed))?;
    let origin = note.lines().next().unwrap_or_default();
    let epoch = origin.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')).and_then(decimal);
    let Some(epoch) = epoch else {
        return Err(OpenError::OtherLog { found: origin.to_owned(), expected: prefix.to_owned() });
    };
    let own = Signer::from_seed(origin, seed).and_then(|signer| Verifier::parse(signer.vkey())).map_err(malformed)?;
    let checkpoint = Checkpoint::open(&note, &own).or_else(|why| {
        let before = read_vkey(disk, &log.join(epoch.to_string())).ok();
        before.map_or(Err(why), |key| Checkpoint::open(&note, &key))
    });
    let checkpoint = checkpoint.map_err(malformed)?;
    Ok(Some(Kept { note, checkpoint, epoch }))
}

/// The size that a note states, whose signature was looked at before.
pub(crate) fn size(note: &str) -> Option<u64> {
    let (text, _) = note.rsplit_once("\n\n")?;
    Some(Checkpoint::parse(&format!("{text}\n")).ok()?.size)
}

/// Writes the copy.
pub(crate) struct Outside {
    path: PathBuf,
    last: Option<String>,
}

impl Outside {
    pub(crate) fn new(path: PathBuf, last: Option<String>) -> Self {
        Self { path, last }
    }

    /// Replaces the copy, unless it says so already.
    pub(crate) fn keep<D: Disk>(&mut self, disk: &D, note: &str) -> Result<(), ReadError> {
        if self.last.as_deref() == Some(note) {
            return Ok(());
        }
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(".tmp");
        let dir = self.path.parent().unwrap_or(&self.path);
        replace(disk, &self.path, Path::new(&temporary), note.as_bytes()).map_err(at(&self.path))?;
        disk.sync_dir(dir).map_err(at(dir))?;
        self.last = Some(note.to_owned());
        Ok(())
    }
}
