//! After a crash: what an unfinished publication has left is removed, so that at rest every file belongs to the tree.
//!
//! Left may be partial tiles of earlier trees, whose removal was not durable, and files beyond the tree: of entries that
//! were read back after a failed sync and then lost with the power, acknowledged to nobody.
//! **Invariant:** nothing that the durable checkpoint covers is touched.

use std::path::{Path, PathBuf};

use crate::{
    disk::{Disk, list_if_there, remove_dir_if_empty, remove_if_there, replace},
    error::{ReadError, at},
    publish::{UNFINISHED, partials},
    sealed,
    store::Store,
    tile::{TILE_WIDTH, hashes_at, parse_index},
};

/// Removes what the tree of this size does not have.
pub(crate) fn sweep<D: Disk>(store: &Store<D>, size: u64, sealed_end: u64) -> Result<(), ReadError> {
    let disk = &store.disk;
    let kept: Vec<PathBuf> = partials(size).iter().map(|tile| store.dir.join(tile.path())).collect();
    let tiles = store.dir.join("tile");
    for level in list_if_there(disk, &tiles).map_err(at(&tiles))? {
        let full = hashes_at(level.name.parse().unwrap_or(0), size) / TILE_WIDTH;
        let dir = tiles.join(&level.name);
        let keep = |path: &Path| kept.iter().any(|kept| kept == path) || index(&dir, path).is_some_and(|at| at < full);
        sweep_top(disk, &dir, &keep)?;
    }
    if list_if_there(disk, &tiles).map_err(at(&tiles))?.is_empty() {
        remove_top(disk, &tiles)?;
    }
    let sealed = store.dir.join("sealed");
    let files = size.div_ceil(TILE_WIDTH);
    sweep_top(disk, &sealed, &|path| index(&sealed, path).is_some_and(|at| at < files))?;
    if size.is_multiple_of(TILE_WIDTH) { Ok(()) } else { cut_sealed(store, size, sealed_end) }
}

fn index(dir: &Path, path: &Path) -> Option<u64> {
    parse_index(path.strip_prefix(dir).ok()?.to_str()?)
}

/// The same of a directory that goes too when nothing is left in it: a tree without entries has none.
fn sweep_top<D: Disk>(disk: &D, dir: &Path, keep: &dyn Fn(&Path) -> bool) -> Result<(), ReadError> {
    if sweep_dir(disk, dir, keep)? { Ok(()) } else { remove_top(disk, dir) }
}

fn remove_top<D: Disk>(disk: &D, dir: &Path) -> Result<(), ReadError> {
    remove_dir_if_empty(disk, dir).map_err(at(dir))?;
    match disk.sync_dir(dir.parent().unwrap_or(dir)) {
        // It was never made.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(at(dir)),
    }
}

/// Removes files that are not to be kept, and directories that are empty then; says whether anything is left.
fn sweep_dir<D: Disk>(disk: &D, dir: &Path, keep: &dyn Fn(&Path) -> bool) -> Result<bool, ReadError> {
    let mut left = false;
    for name in list_if_there(disk, dir).map_err(at(dir))? {
        let path = dir.join(&name.name);
        if name.dir {
            if sweep_dir(disk, &path, keep)? {
                left = true;
            } else {
                disk.remove_dir(&path).map_err(at(&path))?;
            }
        } else if keep(&path) {
            left = true;
        } else {
            remove_if_there(disk, &path).map_err(at(&path))?;
        }
    }
    // Also where nothing was removed now: a run that was killed may have removed something and not synced it. When the
    // segments are gone, nothing may come back.
    match disk.sync_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(left),
        result => result.map(|()| left).map_err(at(dir)),
    }
}

/// Cuts records off the last sealed file that are not the tree's: by a copy, so that a crash leaves one or the other.
fn cut_sealed<D: Disk>(store: &Store<D>, size: u64, end: u64) -> Result<(), ReadError> {
    let path = sealed::path(&store.dir, size - 1);
    let bytes = store.disk.read(&path).map_err(at(&path))?;
    let whole = usize::try_from(end).ok().and_then(|end| bytes.get(..end));
    let Some(whole) = whole.filter(|whole| whole.len() < bytes.len()) else { return Ok(()) };
    replace(&store.disk, &path, &store.wal().join(UNFINISHED), whole).map_err(at(&path))?;
    let dir = path.parent().unwrap_or(&path);
    store.disk.sync_dir(dir).map_err(at(dir))
}
