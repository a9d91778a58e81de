//! Verifying a log's directory offline: every leaf, every tile, every root, and that nothing is missing or too much.
//!
//! It needs no key but the verifier key, and no running log; a directory in use, or one that a crash has left, is read as
//! far as its newest signed checkpoint, wherever that stands. **Invariant:** at rest a change of any one byte of the
//! directory is found here, except of the marker and the lock, which say nothing about entries; the sealed bytes are the
//! caller's to compare with what their leaf says of them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::mpsc::sync_channel,
    thread,
};

use crate::{
    checkpoint::{Checkpoint, decimal, encode_hash},
    disk::{Disk, Posix},
    error::{Damage, ReadError, at},
    note::{NoteError, Verifier},
    publish::partials,
    recover::{Base, Tail, read_base, read_checkpoint, read_tail, read_vkey, segment_numbers},
    sealed,
    store::{Known, read_tile},
    surplus::{has_wal, no_surplus},
    tile::{Edge, TILE_WIDTH, Tile, leaves, width_at},
    tree::{Frontier, Hash, leaf_hash},
};

/// So many bundles are read and hashed while the one before them is checked.
const BUNDLES_AHEAD: usize = 2;

/// What a log's directory was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over all of them.
    pub root: Hash,
    /// The newest signed checkpoint.
    pub checkpoint: String,
    /// Whether the key was named by the caller. If not, the log is self-consistent only.
    pub trusted: bool,
    /// How many of the entries are in segments only.
    pub unpublished: u64,
    /// Whether the directory is in use or was left by a crash.
    pub live: bool,
    /// Frames of a group that nobody was told of.
    pub torn_frames: usize,
}

/// Why a log does not verify.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Something is changed, missing or too much.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The trusted key does not parse.
    #[error("the trusted key is not a verifier key: {0}")]
    TrustedKey(NoteError),
    /// Another key signs this directory than the trusted one.
    #[error("signed by `{found}`, not by the trusted key `{trusted}`")]
    OtherKey {
        /// The key in the directory.
        found: String,
        /// The one that was named.
        trusted: String,
    },
    /// The earlier checkpoint is not this log's.
    #[error("the earlier checkpoint is not of this log: {0}")]
    Since(NoteError),
    /// Entries that were there are gone.
    #[error("truncated: the log has {size} entries, the earlier checkpoint {since}")]
    Truncated {
        /// Entries in the directory.
        size: u64,
        /// Entries that the earlier checkpoint has.
        since: u64,
    },
    /// History was rewritten.
    #[error(
        "forked: at {since} entries the root is {}, the earlier checkpoint says {}",
        encode_hash(found),
        encode_hash(signed)
    )]
    Forked {
        /// Size of the earlier checkpoint.
        since: u64,
        /// Root of the directory's tree at that size.
        found: Hash,
        /// Root of the earlier checkpoint.
        signed: Hash,
    },
    /// The caller's check refused an entry.
    #[error("entry {index}: {reason}")]
    Entry {
        /// The entry.
        index: u64,
        /// What the check said.
        reason: String,
    },
}

/// What the caller checks of each entry: index, leaf, sealed bytes.
pub type Check<'a> = dyn FnMut(u64, &[u8], &[u8]) -> Result<(), String> + 'a;

/// Verifies the directory of one epoch.
pub fn verify_dir(
    dir: &Path,
    trusted: Option<&str>,
    since: Option<&str>,
    check: &mut Check<'_>,
) -> Result<Report, VerifyError> {
    verify_on(&Posix, dir, trusted, since, check)
}

/// The same on any disk.
pub fn verify_on<D: Disk>(
    disk: &D,
    dir: &Path,
    trusted: Option<&str>,
    since: Option<&str>,
    check: &mut Check<'_>,
) -> Result<Report, VerifyError> {
    let key = check_key(disk, dir, trusted)?;
    let since = since.map(|note| Checkpoint::open(note, &key)).transpose().map_err(VerifyError::Since)?;
    let live = has_wal(disk, dir)?;
    let (base, tail) = read_ends(disk, dir, &key, live)?;
    let mut walk = Walk::new(disk, dir, base.head.size, since, check);
    let files = walk.published(&|| segment_numbers(disk, &dir.join("wal")).is_ok_and(|numbers| numbers.is_empty()))?;
    no_surplus(disk, dir, &files, &key)?;
    let mut buffer = Vec::new();
    for place in &tail.places {
        let (leaf, sealed) = place.read(disk, &mut buffer)?;
        walk.entry(place.hash, leaf, sealed)?;
    }
    if let Some(since) = walk.since {
        return Err(VerifyError::Truncated { size: tail.head.size, since: since.size });
    }
    let root = walk.frontier.root();
    let signed = Checkpoint::open(&tail.head.note, &key).map_err(|error| ReadError::damaged(dir, error))?;
    if (signed.size, signed.root) != (walk.frontier.size(), root) {
        let damage = Damage::Root { size: walk.frontier.size(), found: root, signed: signed.root };
        return Err(ReadError::damaged(&dir.join("checkpoint"), damage).into());
    }
    Ok(Report {
        origin: key.name().to_owned(),
        size: signed.size,
        root,
        checkpoint: tail.head.note.to_string(),
        trusted: trusted.is_some(),
        unpublished: tail.places.len() as u64,
        live,
        torn_frames: tail.torn_frames,
    })
}

/// The directory's own key, which must be the trusted one if one is named.
fn check_key<D: Disk>(disk: &D, dir: &Path, trusted: Option<&str>) -> Result<Verifier, VerifyError> {
    let trusted = trusted.map(|vkey| Verifier::parse(vkey.trim_end())).transpose().map_err(VerifyError::TrustedKey)?;
    let own = read_vkey(disk, dir)?;
    match trusted {
        Some(trusted) if trusted != own => {
            // A checkpoint that the trusted key did sign means that only the vkey file was changed.
            if read_checkpoint(disk, dir, &trusted).is_ok() {
                return Err(ReadError::damaged(&dir.join("vkey"), NoteError::VerifierKey).into());
            }
            Err(VerifyError::OtherKey { found: own.vkey(), trusted: trusted.vkey() })
        }
        _ => Ok(own),
    }
}

/// Both ends of the log. In a directory in use, segments may be recycled and tiles widened between two reads: again, then.
pub(crate) fn read_ends<D: Disk>(
    disk: &D,
    dir: &Path,
    key: &Verifier,
    live: bool,
) -> Result<(Base, Tail<D>), ReadError> {
    let epoch = key.name().rsplit('/').next().and_then(decimal).unwrap_or(0);
    let read = || {
        let base = read_base(disk, dir, key)?;
        let tail = read_tail(disk, dir, epoch, &base, key)?;
        Ok((base, tail))
    };
    let mut result = read();
    for _ in 0..if live { 5 } else { 0 } {
        if result.is_ok() {
            break;
        }
        result = read();
    }
    result
}

/// Goes through a tree from its first entry, compares every tile with what the entries say, and folds their hashes.
pub(crate) struct Walk<'a, 'b, D: Disk> {
    disk: &'a D,
    dir: &'a Path,
    size: u64,
    frontier: Frontier,
    since: Option<Checkpoint>,
    check: &'a mut Check<'b>,
    /// Roots of the full bundles, and the hashes of the partial one.
    known: Known,
}

impl<'a, 'b, D: Disk> Walk<'a, 'b, D> {
    /// From the first entry to that size.
    pub(crate) fn new(
        disk: &'a D,
        dir: &'a Path,
        size: u64,
        since: Option<Checkpoint>,
        check: &'a mut Check<'b>,
    ) -> Self {
        Self { disk, dir, size, frontier: Frontier::new(), since, check, known: Known::default() }
    }

    /// What is in tiles. Where the log is at rest, the last sealed file ends with the last entry's frame.
    pub(crate) fn published(&mut self, at_rest: &dyn Fn() -> bool) -> Result<BTreeSet<PathBuf>, VerifyError> {
        self.at_since()?;
        let mut edge = Edge::default();
        let mut files = BTreeSet::new();
        let (disk, dir, size) = (self.disk, self.dir, self.size);
        thread::scope(|scope| {
            let (send, bundles) = sync_channel(BUNDLES_AHEAD);
            // It ends early when nobody takes what it sends: something was wrong.
            let read = move || {
                (0..size.div_ceil(TILE_WIDTH)).all(|index| send.send(Bundle::read(disk, dir, size, index)).is_ok())
            };
            thread::Builder::new().spawn_scoped(scope, read).map_err(at(dir))?;
            bundles.into_iter().try_for_each(|bundle| self.bundle(&bundle?, &mut edge, &mut files, at_rest))
        })?;
        for tile in partials(self.size).into_iter().filter(|tile| tile.level.is_some()) {
            self.compare(tile, edge.partial(tile.level.unwrap_or(0)), &mut files)?;
        }
        self.known.edge = edge.partial(0).to_vec();
        Ok(files)
    }

    /// What is in segments only, given by the hash that was compared with a signed root.
    pub(crate) fn unpublished(&mut self, hash: Hash) -> Result<(), VerifyError> {
        self.frontier.push(hash);
        self.at_since()
    }

    /// Root of what was walked so far.
    pub(crate) fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// What the walk learned, for reading single entries later.
    pub(crate) fn known(self) -> Known {
        self.known
    }

    /// One bundle with its sealed bytes, and every tile that it completes.
    fn bundle(
        &mut self,
        bundle: &Bundle,
        edge: &mut Edge,
        files: &mut BTreeSet<PathBuf>,
        at_rest: &dyn Fn() -> bool,
    ) -> Result<(), VerifyError> {
        let first = self.frontier.size();
        let mut sealed = sealed::Reader::open(self.disk, self.dir, first)?;
        let mut completed = Vec::new();
        for (leaf, hash) in leaves(&bundle.bytes).unwrap_or_default().into_iter().zip(bundle.hashes.iter().copied()) {
            edge.push(hash, |tile, bytes| {
                completed.push((tile, bytes.to_vec()));
                Ok::<(), VerifyError>(())
            })?;
            self.entry(hash, leaf, sealed.next()?)?;
        }
        if bundle.hashes.len() as u64 == TILE_WIDTH || at_rest() {
            sealed.expect_end()?;
        }
        files.insert(bundle.path.clone());
        files.insert(sealed::path(self.dir, first));
        for (tile, bytes) in completed {
            self.known.completed(tile, &bytes);
            self.compare(tile, &bytes, files)?;
        }
        Ok(())
    }

    fn compare(&self, tile: Tile, expected: &[u8], files: &mut BTreeSet<PathBuf>) -> Result<(), ReadError> {
        let path = self.dir.join(tile.path());
        if read_tile(self.disk, self.dir, tile)? != expected {
            return Err(ReadError::damaged(&path, Damage::Hashes));
        }
        files.insert(path);
        Ok(())
    }

    fn entry(&mut self, hash: Hash, leaf: &[u8], sealed: &[u8]) -> Result<(), VerifyError> {
        let index = self.frontier.size();
        (self.check)(index, leaf, sealed).map_err(|reason| VerifyError::Entry { index, reason })?;
        self.frontier.push(hash);
        self.at_since()
    }

    fn at_since(&mut self) -> Result<(), VerifyError> {
        let Some(since) = self.since.take_if(|since| since.size == self.frontier.size()) else {
            return Ok(());
        };
        let found = self.frontier.root();
        if found == since.root {
            return Ok(());
        }
        Err(VerifyError::Forked { since: since.size, found, signed: since.root })
    }
}

/// One bundle's file, with the hashes of its leaves.
struct Bundle {
    path: PathBuf,
    bytes: Vec<u8>,
    hashes: Vec<Hash>,
}

impl Bundle {
    fn read<D: Disk>(disk: &D, dir: &Path, size: u64, index: u64) -> Result<Self, ReadError> {
        let tile = Tile { level: None, index, width: width_at(0, index, size) };
        let path = dir.join(tile.path());
        let bytes = read_tile(disk, dir, tile)?;
        let leaves = leaves(&bytes).filter(|leaves| leaves.len() as u64 == tile.width);
        let leaves = leaves.ok_or_else(|| ReadError::damaged(&path, Damage::Malformed))?;
        let hashes = leaves.into_iter().map(leaf_hash).collect();
        Ok(Self { path, bytes, hashes })
    }
}
