//! Epochs: one log per directory, and a new one whenever the directory cannot be trusted to be the one that was left.
//!
//! A directory restored from a backup may lack entries that others have already seen under its origin; going on in it
//! would fork the log. Each epoch therefore keeps a marker with its own device, inode and time of birth, which a copy
//! does not share. Numbers are seconds since 1970, or one more than the last: two restorations of one backup must not
//! arrive at the same origin.
//! **Invariant:** an epoch's directory appears under its number only when key, checkpoint and marker in it are durable.

use std::path::{Path, PathBuf};

use crate::{
    checkpoint::{Checkpoint, decimal},
    disk::{Disk, list_if_there, remove_if_there},
    error::{ReadError, at},
    head::{self, Behind, Kept},
    log::OpenError,
    note::Signer,
    recover::{read_base, read_checkpoint, read_tail, read_vkey},
    tree::empty_root,
};

/// File in which an epoch records its own identity.
pub const MARKER: &str = "marker";

/// The epoch to go on with.
pub(crate) struct Chosen {
    pub(crate) epoch: u64,
    pub(crate) dir: PathBuf,
    pub(crate) signer: Signer,
    pub(crate) new: bool,
    pub(crate) previous: Option<String>,
    /// What was kept outside of the directory.
    pub(crate) kept: Option<Kept>,
}

/// Epochs in a log's directory, the oldest first.
pub fn epochs<D: Disk>(disk: &D, dir: &Path) -> Result<Vec<(u64, PathBuf)>, ReadError> {
    let names = list_if_there(disk, dir).map_err(at(dir))?;
    let numbers = names.iter().filter(|name| name.dir).filter_map(|name| decimal(&name.name));
    let mut epochs: Vec<(u64, PathBuf)> = numbers.map(|epoch| (epoch, dir.join(epoch.to_string()))).collect();
    epochs.sort();
    Ok(epochs)
}

/// Goes on with the newest epoch, or begins one: where there is none, where the newest is a copy or another key's, and
/// where it lacks what the checkpoint outside of the directory covers. `prefix` is the origin without the epoch.
pub(crate) fn choose<D: Disk>(
    disk: &D,
    dir: &Path,
    prefix: &str,
    seed: &[u8; 32],
    now: u64,
    outside: Option<&head::Config>,
) -> Result<Chosen, OpenError> {
    let epochs = epochs(disk, dir)?;
    let sign_as = |epoch: u64| Signer::from_seed(&format!("{prefix}/{epoch}"), seed).map_err(OpenError::Origin);
    let kept = match outside {
        Some(outside) => head::read(disk, &outside.path, (dir, prefix, seed))?,
        None => None,
    };
    let behind = kept.as_ref().filter(|kept| is_behind(disk, epochs.last(), kept));
    if let (Some(kept), Some(outside)) = (behind, outside.filter(|outside| outside.behind == Behind::Refuse)) {
        let signed = kept.checkpoint.size;
        return Err(OpenError::Behind { origin: kept.checkpoint.origin.clone(), signed, path: outside.path.clone() });
    }
    let begin = |after: Option<u64>, previous: Option<String>| {
        let epoch = now.max(after.map_or(0, |last| last.saturating_add(1)));
        let signer = sign_as(epoch)?;
        let path = create(disk, dir, epoch, &signer)?;
        Ok(Chosen { epoch, dir: path, signer, new: true, previous, kept: kept.clone() })
    };
    let Some((last, last_dir)) = epochs.last() else {
        return begin(kept.as_ref().map(|kept| kept.epoch), kept.as_ref().map(|kept| kept.note.clone()));
    };
    // A run that ended between making the epoch and syncing its name has left the name unsynced.
    disk.sync_dir(dir).map_err(at(dir))?;
    let found = read_vkey(disk, last_dir)?;
    let signer = sign_as(*last)?;
    if found.name() != signer.name() {
        return Err(OpenError::OtherLog { found: found.name().to_owned(), expected: signer.name().to_owned() });
    }
    if let Some(behind) = behind {
        return begin(Some(behind.epoch.max(*last)), Some(behind.note.clone()));
    }
    if found.vkey() == signer.vkey() && is_the_same(disk, last_dir)? {
        let before = epochs.iter().rev().nth(1).and_then(|(_, dir)| final_checkpoint(disk, dir));
        let kept = kept.clone();
        return Ok(Chosen { epoch: *last, dir: last_dir.clone(), signer, new: false, previous: before, kept });
    }
    begin(Some(*last), final_checkpoint(disk, last_dir))
}

/// Whether the log lacks what the checkpoint outside of it covers. A directory that cannot be read is for the opening to
/// refuse, in its own words.
fn is_behind<D: Disk>(disk: &D, last: Option<&(u64, PathBuf)>, kept: &Kept) -> bool {
    match last {
        Some((last, dir)) if *last == kept.epoch => {
            let newest = final_checkpoint(disk, dir);
            newest.and_then(|note| head::size(&note)).is_some_and(|size| size < kept.checkpoint.size)
        }
        Some((last, _)) => *last < kept.epoch,
        None => true,
    }
}

/// The last signed checkpoint of an epoch that is left as it is: of its segments if they are sound, else the published one.
fn final_checkpoint<D: Disk>(disk: &D, dir: &Path) -> Option<String> {
    let key = read_vkey(disk, dir).ok()?;
    let epoch = key.name().rsplit('/').next().and_then(decimal)?;
    let base = read_base(disk, dir, &key).ok();
    let tail = base.as_ref().and_then(|base| read_tail(disk, dir, epoch, base, &key).ok());
    let newest = tail.map(|tail| tail.head.note.to_string());
    newest.or_else(|| read_checkpoint(disk, dir, &key).ok().map(|(_, note)| note))
}

fn is_the_same<D: Disk>(disk: &D, dir: &Path) -> Result<bool, ReadError> {
    let path = dir.join(MARKER);
    match disk.read(&path).map_err(at(&path)) {
        Ok(marker) => Ok(marker == disk.identity(&path).map_err(at(&path))?.as_bytes()),
        Err(error) if error.is_missing() => Ok(false),
        Err(error) => Err(error),
    }
}

fn create<D: Disk>(disk: &D, dir: &Path, epoch: u64, signer: &Signer) -> Result<PathBuf, ReadError> {
    let new = dir.join("new");
    for name in list_if_there(disk, &new).map_err(at(&new))? {
        let path = new.join(name.name);
        remove_if_there(disk, &path).map_err(at(&path))?;
    }
    crate::disk::ensure_dir(disk, &new).map_err(at(&new))?;
    let checkpoint = Checkpoint { origin: signer.name().to_owned(), size: 0, root: empty_root() };
    put(disk, &new.join("vkey"), |_| Ok(format!("{}\n", signer.vkey())))?;
    put(disk, &new.join("checkpoint"), |_| Ok(checkpoint.sign(signer)))?;
    put(disk, &new.join(MARKER), |path| disk.identity(path).map_err(at(path)))?;
    disk.sync_dir(&new).map_err(at(&new))?;
    let path = dir.join(epoch.to_string());
    disk.rename(&new, &path).map_err(at(&path))?;
    disk.sync_dir(dir).map_err(at(dir))?;
    Ok(path)
}

fn put<D: Disk>(
    disk: &D,
    path: &Path,
    content: impl FnOnce(&Path) -> Result<String, ReadError>,
) -> Result<(), ReadError> {
    let file = disk.create(path).map_err(at(path))?;
    let text = content(path)?;
    disk.write_at(&file, text.as_bytes(), 0).map_err(at(path))?;
    disk.sync(&file).map_err(at(path))
}
