//! A file or a directory of the simulated disk: what is seen now, what a power cut leaves, and what is between the two.

use std::collections::BTreeMap;

use crate::random::Random;

const SECTOR_BYTES: usize = 512;

pub(super) enum Inode {
    File { live: Vec<u8>, durable: Vec<u8>, dirty: Vec<(usize, Vec<u8>)> },
    Dir { live: BTreeMap<String, usize>, durable: BTreeMap<String, usize>, dirty: Vec<Change> },
}

#[derive(Clone)]
pub(super) enum Change {
    Link(String, usize),
    Unlink(String),
    Move(String, String, usize),
}

impl Inode {
    /// An empty file.
    pub(super) fn file() -> Self {
        Self::File { live: Vec::new(), durable: Vec::new(), dirty: Vec::new() }
    }

    /// An empty directory.
    pub(super) fn dir() -> Self {
        Self::Dir { live: BTreeMap::new(), durable: BTreeMap::new(), dirty: Vec::new() }
    }

    /// Another content, at once and for good.
    pub(super) fn fill(&mut self, content: &[u8]) {
        if let Self::File { live, durable, dirty } = self {
            (*live, *durable) = (content.to_vec(), content.to_vec());
            dirty.clear();
        }
    }

    /// Writes into memory; on its way to the disk each sector is by itself.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let Self::File { live, dirty, .. } = self else { return };
        put(live, offset, bytes);
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let sector = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
            let piece = rest.get(..sector).unwrap_or(rest);
            dirty.push((offset + at, piece.to_vec()));
            at += piece.len();
        }
    }

    /// Makes each pending piece durable if `keep` says so.
    pub(super) fn settle(&mut self, keep: &mut dyn FnMut(()) -> bool) {
        match self {
            Self::File { durable, dirty, .. } => {
                for (offset, bytes) in dirty.drain(..) {
                    if keep(()) {
                        put(durable, offset, &bytes);
                    }
                }
            }
            Self::Dir { durable, dirty, .. } => {
                for change in dirty.drain(..) {
                    if keep(()) {
                        change.apply(durable);
                    }
                }
            }
        }
    }

    /// A power cut: pending pieces survive by chance, often all or none of them, and memory is what the disk says.
    pub(super) fn cut(&mut self, random: &mut Random) {
        let odds = [0, 1, 2, 4, 7, 8].get(usize::try_from(random.up_to(6)).unwrap_or(0)).copied().unwrap_or(4);
        self.settle(&mut |()| random.up_to(8) < odds);
        match self {
            Self::File { live, durable, .. } => live.clone_from(durable),
            Self::Dir { live, durable, .. } => live.clone_from(durable),
        }
    }
}

impl Change {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
            Self::Move(from, to, inode) => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}
