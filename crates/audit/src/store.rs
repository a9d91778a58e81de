//! What the writer, the publisher and readers of one log share: where every entry is, and which segments there are.
//!
//! **Invariant:** an entry below `published` is in durable tiles and in the sealed store; every other one has a place
//! in a segment that is not recycled before it is published. The lock is never held across I/O.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    disk::Disk,
    entry::Entry,
    error::{Damage, ReadError, at},
    sealed,
    tile::{TILE_WIDTH, Tile, hashes, leaves, tile_root, width_at},
    tree::{Hash, leaf_hash},
    wal::{self, Payload},
};

/// A segment in use.
pub(crate) struct Segment<D: Disk> {
    pub(crate) file: D::File,
    pub(crate) path: PathBuf,
    pub(crate) seed: u32,
    pub(crate) first_index: u64,
    pub(crate) bytes: u64,
}

/// Where an entry is that is not in tiles yet.
pub(crate) struct Place<D: Disk> {
    pub(crate) hash: Hash,
    pub(crate) segment: Arc<Segment<D>>,
    pub(crate) offset: u64,
    pub(crate) bytes: usize,
}

impl<D: Disk> Clone for Place<D> {
    fn clone(&self) -> Self {
        Self { segment: Arc::clone(&self.segment), ..*self }
    }
}

impl<D: Disk> Place<D> {
    /// Reads the entry's frame into `buffer`, checks it, and gives the entry's two parts.
    pub(crate) fn read<'a>(&self, disk: &D, buffer: &'a mut Vec<u8>) -> Result<(&'a [u8], &'a [u8]), ReadError> {
        buffer.resize(self.bytes, 0);
        disk.read_at(&self.segment.file, buffer, self.offset).map_err(at(&self.segment.path))?;
        match wal::frame(buffer, self.segment.seed, self.offset).map(|frame| frame.payload) {
            // A checksum can be made to fit; the hash went into a signed root.
            Some(Payload::Entry { leaf, sealed }) if leaf_hash(leaf) == self.hash => Ok((leaf, sealed)),
            _ => Err(ReadError::damaged(&self.segment.path, Damage::Malformed)),
        }
    }
}

/// A segment that is ready for use.
pub(crate) struct Spare<D: Disk> {
    pub(crate) file: D::File,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// What the bundles must hash to: learned from the tree when it was opened, and kept up by every publication.
/// Thirty-two bytes for 256 entries, so it stays in memory, where nobody edits it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Root of each full bundle.
    pub(crate) full: Vec<Hash>,
    /// Leaf hashes of the partial one, 32 bytes each.
    pub(crate) edge: Vec<u8>,
}

impl Known {
    /// Takes note of a full tile; the lowest level has one for each full bundle.
    pub(crate) fn completed(&mut self, tile: Tile, bytes: &[u8]) {
        if tile.level == Some(0) {
            self.full.push(tile_root(bytes));
        }
    }

    fn of(&self, index: u64) -> Anchor {
        let bundle = usize::try_from(index / TILE_WIDTH).unwrap_or(usize::MAX);
        self.full.get(bundle).map_or_else(|| Anchor::Edge(self.edge.clone()), |root| Anchor::Full(*root))
    }
}

/// What one bundle must hash to.
enum Anchor {
    Full(Hash),
    Edge(Vec<u8>),
}

impl Anchor {
    /// Whether these leaves are the tree's, as far as the ones from `skip` on go, `most` of them.
    fn fits(&self, leaves: &[&[u8]], skip: usize, most: usize) -> bool {
        match self {
            Self::Full(root) => {
                let hashes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf_hash(leaf)).collect();
                leaves.len() as u64 == TILE_WIDTH && tile_root(&hashes) == *root
            }
            Self::Edge(edge) => {
                let mut pairs = leaves.iter().zip(hashes(edge)).skip(skip).take(most);
                leaves.len() * 32 == edge.len() && pairs.all(|(leaf, hash)| leaf_hash(leaf) == hash)
            }
        }
    }
}

/// The newest durable tree head.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) note: Arc<str>,
}

/// What changes.
pub(crate) struct State<D: Disk> {
    pub(crate) head: Head,
    pub(crate) published: u64,
    pub(crate) known: Known,
    pub(crate) tail: VecDeque<Place<D>>,
    pub(crate) segments: VecDeque<Arc<Segment<D>>>,
    pub(crate) spares: Vec<Spare<D>>,
    pub(crate) spares_made: u64,
    pub(crate) full: bool,
}

/// What writer, publisher and readers share.
pub(crate) struct Store<D: Disk> {
    pub(crate) disk: D,
    pub(crate) dir: PathBuf,
    pub(crate) epoch: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) reserve_segments: usize,
    pub(crate) state: Mutex<State<D>>,
}

impl<D: Disk> Store<D> {
    pub(crate) fn state(&self) -> MutexGuard<'_, State<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wal(&self) -> PathBuf {
        self.dir.join("wal")
    }

    /// One entry, from its segment or from the tiles.
    pub(crate) fn read(&self, index: u64) -> Result<Entry, ReadError> {
        // A publication may move the entry between the look-up and the read; it moves only once.
        self.try_read(index).or_else(|_| self.try_read(index))
    }

    /// Every entry of the bundle that covers `index`, from `index` on.
    pub(crate) fn read_bundle(&self, index: u64) -> Result<Vec<Entry>, ReadError> {
        if index >= self.state().published {
            return Ok(vec![self.read(index)?]);
        }
        // A publication may widen the bundle between the look-up and the read.
        let read = || read_bundle(&self.disk, &self.dir, index, &self.anchor(index), usize::MAX);
        read().or_else(|_| read())
    }

    /// The same without the sealed bytes, which the tree says nothing of.
    pub(crate) fn read_leaves(&self, index: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        if index >= self.state().published {
            return Ok(vec![self.read(index)?.leaf]);
        }
        let read = || read_leaves(&self.disk, &self.dir, index, &self.anchor(index), usize::MAX);
        read().or_else(|_| read())
    }

    fn anchor(&self, index: u64) -> (u64, Anchor) {
        let state = self.state();
        (state.published, state.known.of(index))
    }

    fn try_read(&self, index: u64) -> Result<Entry, ReadError> {
        let place = {
            let state = self.state();
            let offset = index.checked_sub(state.published).and_then(|offset| usize::try_from(offset).ok());
            offset.map(|offset| state.tail.get(offset).cloned())
        };
        match place {
            None => {
                let read = read_bundle(&self.disk, &self.dir, index, &self.anchor(index), 1)?;
                read.into_iter().next().ok_or(ReadError::NoEntry(index))
            }
            Some(None) => Err(ReadError::NoEntry(index)),
            Some(Some(place)) => {
                let mut buffer = Vec::new();
                let (leaf, sealed) = place.read(&self.disk, &mut buffer)?;
                Ok(Entry { leaf: leaf.to_vec(), sealed: sealed.to_vec() })
            }
        }
    }
}

/// The bytes of a tile or bundle of a tree of this size. A directory in use may have gone on:
/// then the full tile, or a wider partial one, begins with the same bytes.
pub(crate) fn read_tile<D: Disk>(disk: &D, dir: &Path, tile: Tile) -> Result<Vec<u8>, ReadError> {
    let path = dir.join(tile.path());
    let exact = disk.read(&path).map_err(at(&path));
    match exact {
        Err(error) if error.is_missing() && tile.width < TILE_WIDTH => {
            let mut wider = (tile.width + 1..=TILE_WIDTH).rev().map(|width| dir.join(Tile { width, ..tile }.path()));
            let bytes = wider.find_map(|path| disk.read(&path).ok()).ok_or(error)?;
            narrow(&bytes, tile).ok_or_else(|| ReadError::damaged(&path, Damage::Malformed))
        }
        result => result,
    }
}

fn narrow(bytes: &[u8], tile: Tile) -> Option<Vec<u8>> {
    let width = usize::try_from(tile.width).ok()?;
    if tile.level.is_some() {
        return Some(bytes.get(..32 * width)?.to_vec());
    }
    let mut bundle = Vec::new();
    leaves(bytes)?.get(..width)?.iter().for_each(|leaf| crate::tile::push_leaf(&mut bundle, leaf));
    Some(bundle)
}

/// At most so many entries of the bundle that covers `index`, from `index` on.
fn read_bundle<D: Disk>(
    disk: &D,
    dir: &Path,
    index: u64,
    anchor: &(u64, Anchor),
    most: usize,
) -> Result<Vec<Entry>, ReadError> {
    let leaves = read_leaves(disk, dir, index, anchor, most)?;
    let mut reader = sealed::Reader::open(disk, dir, index)?;
    reader.skip_to(index)?;
    leaves.into_iter().map(|leaf| Ok(Entry { leaf, sealed: reader.next()?.to_vec() })).collect()
}

/// Their leaves. **Invariant:** none is given that is not in the tree.
fn read_leaves<D: Disk>(
    disk: &D,
    dir: &Path,
    index: u64,
    (size, anchor): &(u64, Anchor),
    most: usize,
) -> Result<Vec<Vec<u8>>, ReadError> {
    let tile_index = index / TILE_WIDTH;
    let tile = Tile { level: None, index: tile_index, width: width_at(0, tile_index, *size) };
    let path = dir.join(tile.path());
    let bundle = read_tile(disk, dir, tile)?;
    let leaves = leaves(&bundle).ok_or_else(|| ReadError::damaged(&path, Damage::Malformed))?;
    let skip = usize::try_from(index % TILE_WIDTH).unwrap_or(usize::MAX);
    if !anchor.fits(&leaves, skip, most) {
        return Err(ReadError::damaged(&path, Damage::Hashes));
    }
    Ok(leaves.iter().skip(skip).take(most).map(|leaf| leaf.to_vec()).collect())
}
