//! Making proofs from a directory of tiles: what `remit log prove` prints.

use std::{ops::Range, path::Path};

use crate::{
    checkpoint::Checkpoint,
    disk::{Disk, Posix},
    error::ReadError,
    proof::{ProofError, consistency, inclusion},
    receipt::TlogProof,
    recover::{read_checkpoint, read_vkey},
    store::read_tile,
    tile::{LEVELS_MAX, TILE_WIDTH, Tile, tile_root, width_at},
    tree::Hash,
};

/// The proof that an entry is in the published tree of this directory.
pub fn prove_dir(dir: &Path, index: u64) -> Result<TlogProof, ProofError> {
    let (checkpoint, note) = published(&Posix, dir)?;
    let mut subtree = |range| subtree_root(&Posix, dir, checkpoint.size, range);
    let path = inclusion(index, checkpoint.size, &mut subtree)?;
    Ok(TlogProof { index, path, checkpoint: note })
}

/// The proof that the published tree of this directory begins with the tree of that size.
pub fn prove_consistency_dir(dir: &Path, old: u64) -> Result<(Vec<Hash>, String), ProofError> {
    let (checkpoint, note) = published(&Posix, dir)?;
    let mut subtree = |range| subtree_root(&Posix, dir, checkpoint.size, range);
    Ok((consistency(old, checkpoint.size, &mut subtree)?, note))
}

fn published<D: Disk>(disk: &D, dir: &Path) -> Result<(Checkpoint, String), ProofError> {
    let key = read_vkey(disk, dir).map_err(unreadable)?;
    read_checkpoint(disk, dir, &key).map_err(unreadable)
}

/// Root of a complete, aligned subtree: the highest level whose hashes fit into it holds them in one tile.
fn subtree_root<D: Disk>(disk: &D, dir: &Path, size: u64, range: Range<u64>) -> Result<Hash, ProofError> {
    let height = (range.end - range.start).ilog2();
    let level = u8::try_from(height / 8).unwrap_or(LEVELS_MAX);
    let first = range.start >> (8 * u32::from(level));
    let (index, offset) = (first / TILE_WIDTH, first % TILE_WIDTH);
    let tile = Tile { level: Some(level), index, width: width_at(level, index, size) };
    let bytes = read_tile(disk, dir, tile).map_err(unreadable)?;
    let from = usize::try_from(32 * offset).map_err(|_| ProofError::OutOfRange)?;
    let hashes = bytes.get(from..from + (32 << (height % 8))).ok_or(ProofError::OutOfRange)?;
    Ok(tile_root(hashes))
}

#[expect(clippy::needless_pass_by_value, reason = "it is the argument of `map_err`")]
fn unreadable(error: ReadError) -> ProofError {
    ProofError::Unreadable(error.to_string())
}
