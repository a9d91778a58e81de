//! What is too much in a log's directory: files that the tree does not have, and that no unfinished publication explains.
//!
//! **Invariant:** without a segment nothing is unfinished, so the files are exactly those of the tree; a `wal` alone
//! excuses nothing. While there are segments, a file is explained when a tree has it that is as large as what is durable,
//! and one group more: a group that was read back after a failed sync may have been published and then lost.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    checkpoint::decimal,
    disk::{Disk, list_if_there},
    epoch::MARKER,
    error::{Damage, ReadError, at},
    note::Verifier,
    pool::segment_number,
    publish::UNFINISHED,
    recover::segment_numbers,
    threads::GROUP_ENTRIES_MAX,
    tile::{TILE_WIDTH, hashes_at, parse_index},
    verify::read_ends,
};

/// Whether a directory is in use or was left by a crash. A file of that name is nobody's.
pub(crate) fn has_wal<D: Disk>(disk: &D, dir: &Path) -> Result<bool, ReadError> {
    match disk.list(dir).map_err(at(dir))?.iter().find(|name| name.name == "wal") {
        Some(name) if !name.dir => Err(ReadError::damaged(&dir.join("wal"), Damage::Unexpected)),
        found => Ok(found.is_some()),
    }
}

/// Fails on any file that is not one of these and that nothing explains.
pub(crate) fn no_surplus<D: Disk>(
    disk: &D,
    dir: &Path,
    files: &BTreeSet<PathBuf>,
    key: &Verifier,
) -> Result<(), ReadError> {
    let mut surplus = surplus(disk, dir, files)?;
    if !surplus.is_empty() && !segment_numbers(disk, &dir.join("wal"))?.is_empty() {
        // Read after the names were: whatever was published meanwhile is in it.
        let (_, tail) = read_ends(disk, dir, key, true)?;
        let size = tail.head.size.saturating_add(GROUP_ENTRIES_MAX as u64);
        surplus.retain(|found| found.strip_prefix(dir).is_ok_and(|path| !of_tree(path, size)));
    }
    surplus.first().map_or(Ok(()), |path| Err(ReadError::damaged(path, Damage::Unexpected)))
}

/// Files that are not among these, and directories that lead to none of them.
fn surplus<D: Disk>(disk: &D, dir: &Path, files: &BTreeSet<PathBuf>) -> Result<Vec<PathBuf>, ReadError> {
    let known = ["checkpoint", "vkey", MARKER, "lock"].map(|name| dir.join(name));
    let wal = dir.join("wal");
    let mut open = vec![dir.to_owned()];
    let mut surplus = Vec::new();
    while let Some(here) = open.pop() {
        for name in list_if_there(disk, &here).map_err(at(&here))? {
            let path = here.join(&name.name);
            let leads = name.dir && files.range(path.clone()..).next().is_some_and(|file| file.starts_with(&path));
            let fits = if here == wal { !name.dir && is_wal(&name.name) } else { leads || path == wal };
            if name.dir {
                open.push(path.clone());
            }
            if !fits && !files.contains(&path) && !known.contains(&path) {
                surplus.push(path);
            }
        }
    }
    Ok(surplus)
}

fn is_wal(name: &str) -> bool {
    let spare = name.strip_prefix("spare-").and_then(decimal);
    name == UNFINISHED || segment_number(name).is_some() || spare.is_some()
}

/// Whether a tree of at most this size has the file, or the directory above such files.
fn of_tree(path: &Path, size: u64) -> bool {
    let Some(text) = path.to_str() else { return false };
    if let Some(index) = text.strip_prefix("sealed/") {
        return parse_index(index).map_or(above(index), |index| index.saturating_mul(TILE_WIDTH) < size);
    }
    let Some((level, rest)) = text.strip_prefix("tile/").map(|rest| rest.split_once('/').unwrap_or((rest, ""))) else {
        return text == "tile" || text == "sealed";
    };
    let level = if level == "entries" { Some(0) } else { level.parse().ok() };
    let Some(level) = level else { return false };
    let (index, width) = rest.split_once(".p").map_or((rest, Some(TILE_WIDTH)), |(index, width)| {
        (index, width.strip_prefix('/').map_or(width.is_empty().then_some(1), decimal))
    });
    match (parse_index(index), width) {
        (None, _) => hashes_at(level, size) > 0 && above(rest),
        (Some(index), Some(width)) => {
            (1..=TILE_WIDTH).contains(&width)
                && index.saturating_mul(TILE_WIDTH).saturating_add(width) <= hashes_at(level, size)
        }
        (Some(_), None) => false,
    }
}

/// A directory of the first digits of an index, or the level itself.
fn above(rest: &str) -> bool {
    rest.split('/').filter(|part| !part.is_empty()).all(|part| part.strip_prefix('x').and_then(parse_index).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_these_files_and_no_others() {
        let has =
            ["tile/0/000", "tile/0/001.p/44", "tile/0/001.p", "tile/entries/001.p/1", "tile/1/000.p/1", "sealed/001"];
        let has_not =
            ["tile/0/001", "tile/0/001.p/45", "tile/0/999", "tile/2/000.p/1", "sealed/002", "x", "tile/9", "tile/0/y"];
        let paths = has.iter().map(|path| (path, true)).chain(has_not.iter().map(|path| (path, false)));
        for (path, expected) in paths {
            assert_eq!(of_tree(Path::new(path), 300), expected, "{path}");
        }
        assert!(of_tree(Path::new("tile/entries/x001/000"), 257_000) && of_tree(Path::new("tile/0/x001"), 257_000));
    }
}
