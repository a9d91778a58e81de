//! Tiles and entry bundles (c2sp.org/tlog-tiles, "Merkle Tree" and "Log entries"): their paths, widths and contents.
//!
//! **Invariant:** the files that a tree of a given size has are a function of that size alone, so a missing
//! and a surplus file are both visible.

use std::path::PathBuf;

use crate::tree::{Frontier, Hash, node_hash};

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// Bytes of a full hash tile.
pub const TILE_BYTES: usize = 8192;
/// Largest leaf: bundles prefix each with a 16-bit length.
pub const LEAF_BYTES_MAX: usize = 65_535;
/// Levels that a tree of 2^64 entries can have.
pub const LEVELS_MAX: u8 = 8;

/// One file of the tile tree: a level of hashes, or the entries themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// Level of the hashes; `None` for an entry bundle.
    pub level: Option<u8>,
    /// Index within the level.
    pub index: u64,
    /// Hashes or entries in it, 1 to 256.
    pub width: u64,
}

impl Tile {
    /// Path below the log's directory: `tile/<L>/<N>[.p/<W>]`.
    pub fn path(&self) -> PathBuf {
        let level = self.level.map_or_else(|| "entries".to_owned(), |level| level.to_string());
        let mut path = format!("tile/{level}/{}", index_path(self.index));
        if self.width < TILE_WIDTH {
            path.push_str(".p/");
            path.push_str(&self.width.to_string());
        }
        PathBuf::from(path)
    }
}

/// The index in a path as `index_path` writes it, or nothing.
pub(crate) fn parse_index(path: &str) -> Option<u64> {
    let digits: String = path.split('/').map(|part| part.strip_prefix('x').unwrap_or(part)).collect();
    let index = digits.parse().ok()?;
    (index_path(index) == path).then_some(index)
}

/// The index in groups of three digits, all but the last marked with an `x`: 1234067 is `x001/x234/067`.
pub fn index_path(index: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

/// Hashes at a level of a tree of this size, in all its tiles together.
pub fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

/// Width of tile `index` at `level` in a tree of this size; zero when there is none.
pub fn width_at(level: u8, index: u64, size: u64) -> u64 {
    let first = index.saturating_mul(TILE_WIDTH);
    hashes_at(level, size).saturating_sub(first).min(TILE_WIDTH)
}

/// Levels that a tree of this size has tiles at.
pub fn levels(size: u64) -> impl Iterator<Item = u8> {
    (0..LEVELS_MAX).take_while(move |level| hashes_at(*level, size) > 0)
}

/// The rightmost partial tiles of every level: what is needed to go on writing tiles.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<u8>>,
}

impl Edge {
    /// The edge of a tree from its partial tiles, the lowest level first, as read back.
    pub fn from_partials(size: u64, levels: Vec<Vec<u8>>) -> Option<Self> {
        let fits = |(level, tile): (usize, &Vec<u8>)| {
            let level = u8::try_from(level).ok()?;
            (tile.len() as u64 == 32 * (hashes_at(level, size) % TILE_WIDTH)).then_some(())
        };
        levels.iter().enumerate().try_for_each(fits)?;
        (levels.len() >= self::levels(size).count()).then_some(Self { size, levels })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of the partial tile of a level; empty when that level ends in a full tile.
    pub fn partial(&self, level: u8) -> &[u8] {
        self.levels.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// Appends a leaf hash and gives every tile that this completes to `full`.
    pub fn push<E>(&mut self, leaf: Hash, mut full: impl FnMut(Tile, &[u8]) -> Result<(), E>) -> Result<(), E> {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..LEVELS_MAX {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Vec::new());
            }
            let Some(tile) = self.levels.get_mut(usize::from(level)) else {
                break;
            };
            tile.extend_from_slice(&hash);
            if tile.len() < TILE_BYTES {
                break;
            }
            let index = hashes_at(level, self.size) / TILE_WIDTH - 1;
            full(Tile { level: Some(level), index, width: TILE_WIDTH }, tile)?;
            hash = tile_root(tile);
            tile.clear();
        }
        Ok(())
    }

    /// The frontier of the same tree: the partial tiles say all that is needed for it.
    pub fn frontier(&self) -> Frontier {
        let mut frontier = Frontier::new();
        for (level, tile) in self.levels.iter().enumerate().rev() {
            let height = u32::try_from(level * 8).unwrap_or(u32::MAX);
            for hash in hashes(tile) {
                frontier.push_subtree(height, hash);
            }
        }
        frontier
    }
}

/// The hashes of a tile.
pub fn hashes(tile: &[u8]) -> impl Iterator<Item = Hash> {
    tile.as_chunks::<32>().0.iter().copied()
}

/// Root over the hashes of one tile; they must be a power of two in number.
pub fn tile_root(tile: &[u8]) -> Hash {
    let mut row: Vec<Hash> = hashes(tile).collect();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied().unwrap_or_default()
}

/// Appends a leaf to an entry bundle. The caller has checked `LEAF_BYTES_MAX`.
pub fn push_leaf(bundle: &mut Vec<u8>, leaf: &[u8]) {
    let len = u16::try_from(leaf.len()).unwrap_or(u16::MAX);
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(leaf);
}

/// The leaves of an entry bundle, or nothing when it does not parse to its last byte.
pub fn leaves(bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut leaves = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk::<2>()?;
        let (leaf, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        leaves.push(leaf);
        rest = after;
    }
    Some(leaves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::leaf_hash;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(index_path(0), "000");
        assert_eq!(index_path(1_234_067), "x001/x234/067");
        let path = |level, index, width| Tile { level, index, width }.path().display().to_string();
        assert_eq!(path(Some(0), 273, 112), "tile/0/273.p/112");
        assert_eq!(path(None, 1000, 256), "tile/entries/x001/000");
    }

    #[test]
    fn a_tree_of_70000_has_the_tiles_of_the_specifications_example() {
        assert_eq!(hashes_at(0, 70_000), 70_000);
        assert_eq!(width_at(0, 272, 70_000), 256);
        assert_eq!(width_at(0, 273, 70_000), 112);
        assert_eq!((width_at(1, 0, 70_000), width_at(1, 1, 70_000)), (256, 17));
        assert_eq!((width_at(2, 0, 70_000), width_at(3, 0, 70_000)), (1, 0));
        assert_eq!(levels(70_000).count(), 3);
        assert_eq!((levels(256).count(), levels(255).count(), levels(0).count()), (2, 1, 0));
    }

    #[test]
    fn an_edge_names_the_same_root_as_a_frontier_and_survives_reading_back() {
        let mut edge = Edge::default();
        let mut frontier = Frontier::new();
        for i in 0..70_000_u32 {
            let leaf = leaf_hash(&i.to_be_bytes());
            frontier.push(leaf);
            edge.push(leaf, |tile, bytes| {
                assert_eq!((bytes.len(), tile.width), (TILE_BYTES, 256));
                Ok::<(), ()>(())
            })
            .unwrap();
        }
        assert_eq!(edge.frontier(), frontier);
        let partials = (0..3).map(|level| edge.partial(level).to_vec()).collect();
        assert_eq!(Edge::from_partials(70_000, partials).unwrap().frontier(), frontier);
        assert!(Edge::from_partials(70_001, vec![vec![], vec![], vec![]]).is_none());
    }

    #[test]
    fn bundles_parse_to_their_last_byte_or_not_at_all() {
        let mut bundle = Vec::new();
        push_leaf(&mut bundle, b"");
        push_leaf(&mut bundle, b"abc");
        assert_eq!(leaves(&bundle).unwrap(), [b"".as_slice(), b"abc"]);
        assert!(leaves(&bundle[..bundle.len() - 1]).is_none());
    }
}
