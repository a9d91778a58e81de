//! A copy of what a server of tiles would serve of a log, and everything that can be done to it.
//!
//! **Invariant:** what is changed is a copy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use remit_audit::checkpoint::Checkpoint;
use remit_audit::note::Signer;
use remit_audit::tile::{self, Edge, TILE_WIDTH, Tile, width_at};
use remit_audit::tree::{Hash, leaf_hash};

/// A directory with a checkpoint and tiles.
pub(crate) struct Served {
    pub(crate) dir: PathBuf,
    /// What its checkpoint says.
    pub(crate) head: Checkpoint,
}

impl Served {
    /// Copies what is to be served of a log.
    pub(crate) fn copy(log: &Path, to: &Path) -> io::Result<Self> {
        fs::create_dir_all(to)?;
        fs::copy(log.join("checkpoint"), to.join("checkpoint"))?;
        copy_all(&log.join("tile"), &to.join("tile"))?;
        Self::open(to)
    }

    /// What is served there. It must be a copy if anything is to be done to it.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let note = fs::read_to_string(dir.join("checkpoint"))?;
        let text = note.split_once("\n\n").map(|(text, _)| format!("{text}\n"));
        let text = text.ok_or_else(|| io::Error::other("a checkpoint without a signature"))?;
        Ok(Self { dir: dir.to_owned(), head: Checkpoint::parse(&text).map_err(io::Error::other)? })
    }

    /// The path of a tile, or of a bundle of entries, in this tree.
    pub(crate) fn path(&self, level: Option<u8>, index: u64) -> PathBuf {
        let width = width_at(level.unwrap_or(0), index, self.head.size);
        self.dir.join(Tile { level, index, width }.path())
    }

    /// The bundle in which an entry stands.
    fn bundle(&self, entry: u64) -> io::Result<(PathBuf, Vec<Vec<u8>>)> {
        let path = self.path(None, entry / TILE_WIDTH);
        let bytes = fs::read(&path)?;
        let leaves = tile::leaves(&bytes).ok_or_else(|| io::Error::other("not a bundle of entries"))?;
        Ok((path, leaves.into_iter().map(<[u8]>::to_vec).collect()))
    }

    /// Every entry.
    pub(crate) fn entries(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut entries = Vec::new();
        for first in (0..self.head.size).step_by(at(TILE_WIDTH)) {
            entries.extend(self.bundle(first)?.1);
        }
        Ok(entries)
    }

    /// One entry.
    pub(crate) fn entry(&self, index: u64) -> io::Result<Vec<u8>> {
        let found = self.bundle(index)?.1.into_iter().nth(at(index % TILE_WIDTH));
        found.ok_or_else(|| io::Error::other("no such entry"))
    }

    /// Changes the bundle in which an entry stands.
    pub(crate) fn entries_of(&self, entry: u64, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> io::Result<()> {
        let (path, mut leaves) = self.bundle(entry)?;
        change(&mut leaves);
        put(&path, &bundled(&leaves))
    }

    /// Makes the hashes of a bundle's entries those of the entries that it holds now.
    pub(crate) fn hash_again(&self, entry: u64) -> io::Result<()> {
        let (_, leaves) = self.bundle(entry)?;
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        put(&self.path(Some(0), entry / TILE_WIDTH), &hashes.concat())
    }

    /// Changes the checkpoint as a text.
    pub(crate) fn note(&self, change: impl FnOnce(&str) -> String) -> io::Result<()> {
        let path = self.dir.join("checkpoint");
        let changed = change(&fs::read_to_string(&path)?);
        put(&path, changed.as_bytes())
    }

    /// Writes a whole log of other entries in its place, and signs it.
    pub(crate) fn rewrite(&self, entries: &[Vec<u8>], seed: &[u8; 32]) -> io::Result<()> {
        fs::remove_dir_all(self.dir.join("tile"))?;
        let mut edge = Edge::default();
        for (number, bundle) in (0..).zip(entries.chunks(at(TILE_WIDTH))) {
            for leaf in bundle {
                edge.push(leaf_hash(leaf), |tile, bytes| put(&self.dir.join(tile.path()), bytes))?;
            }
            let tile = Tile { level: None, index: number, width: bundle.len() as u64 };
            put(&self.dir.join(tile.path()), &bundled(bundle))?;
        }
        let size = edge.size();
        for level in tile::levels(size).filter(|level| !edge.partial(*level).is_empty()) {
            let hashes = tile::hashes_at(level, size);
            let tile = Tile { level: Some(level), index: hashes / TILE_WIDTH, width: hashes % TILE_WIDTH };
            put(&self.dir.join(tile.path()), edge.partial(level))?;
        }
        let head = Checkpoint { origin: self.head.origin.clone(), size, root: edge.frontier().root() };
        self.note(|_| head.sign(&signer(&head.origin, seed)))
    }
}

/// Changes one bit in the middle of a file.
pub(crate) fn flip_file(path: &Path) -> io::Result<()> {
    let mut bytes = fs::read(path)?;
    let middle = bytes.len() / 2;
    bytes.get_mut(middle).map(|byte| *byte ^= 1).ok_or_else(|| io::Error::other("an empty file"))?;
    put(path, &bytes)
}

/// The key of this name with this seed.
#[expect(clippy::expect_used, reason = "the name of a log that exists is a name")]
pub(crate) fn signer(origin: &str, seed: &[u8; 32]) -> Signer {
    Signer::from_seed(origin, seed).expect("a valid name")
}

fn bundled(leaves: &[Vec<u8>]) -> Vec<u8> {
    let mut bundle = Vec::new();
    for leaf in leaves {
        tile::push_leaf(&mut bundle, leaf);
    }
    bundle
}

fn at(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Writes a file, and the folders above it.
#[expect(clippy::disallowed_methods, reason = "a scratch file need not be durable")]
pub(crate) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    fs::write(path, bytes)
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
