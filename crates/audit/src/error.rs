//! What can be wrong with a log on disk, said precisely enough to act on.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{checkpoint::encode_hash, note::NoteError, tree::Hash};

/// Why something cannot be read back from a log.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log does not reach that far.
    #[error("the log has no entry {0}")]
    NoEntry(u64),
    /// The file system failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The bytes are not what the log wrote.
    #[error("{}: {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In which way.
        damage: Damage,
    },
}

/// In which way a file of the log is not what the log wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A file that the tree of this size has is not there.
    #[error("the file is missing")]
    Missing,
    /// A file that the tree of this size does not have is there.
    #[error("the file does not belong to the log")]
    Unexpected,
    /// The checkpoint or the verifier key does not check out.
    #[error("{0}")]
    Note(#[from] NoteError),
    /// The verifier key's name is not this log's origin.
    #[error("the origin is `{found}`, expected `{expected}`")]
    Origin {
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// A tile, a bundle or a sealed store has the wrong length or does not parse.
    #[error("the content does not parse to its last byte")]
    Malformed,
    /// An entry does not hash to what the tree says.
    #[error("entry {0} does not match the tree")]
    Entry(u64),
    /// A tile does not hash to what the tree says.
    #[error("the hashes do not match the tree")]
    Hashes,
    /// The sealed bytes of an entry do not match their checksum.
    #[error("the sealed bytes of entry {0} do not match their checksum")]
    Sealed(u64),
    /// Tree and signed checkpoint differ.
    #[error(
        "the tree of {size} entries has root {}, the signed checkpoint says {}",
        encode_hash(found),
        encode_hash(signed)
    )]
    Root {
        /// Size of the tree.
        size: u64,
        /// Root of what is on disk.
        found: Hash,
        /// Root that was signed.
        signed: Hash,
    },
    /// A group's footer speaks of another size than its place in the log.
    #[error("the group that ends at entry {found} has a footer for {signed}")]
    Footer {
        /// Size by counting.
        found: u64,
        /// Size by the footer.
        signed: u64,
    },
    /// A segment's header is not readable or is another segment's.
    #[error("the segment's header is not readable or belongs to another segment")]
    Header,
    /// Acknowledged entries in the middle are damaged: a whole group stands behind a broken one.
    #[error("damaged at byte {offset}, with a later group intact at byte {later}")]
    Group {
        /// First byte that is not valid.
        offset: usize,
        /// Valid frame behind it.
        later: usize,
    },
    /// Entries between two segments, or between the tiles and the segments, are gone.
    #[error("the segment begins at entry {first}, but only {have} entries are there before it")]
    Gap {
        /// Entries that are there.
        have: u64,
        /// First entry of the segment.
        first: u64,
    },
    /// The directory holds more than its checkpoint knows of: it was rolled back.
    #[error("the directory holds entries beyond the {size} of its newest checkpoint")]
    Beyond {
        /// Size of the newest checkpoint.
        size: u64,
    },
}

impl ReadError {
    pub(crate) fn damaged(path: &Path, damage: impl Into<Damage>) -> Self {
        Self::Damaged { path: path.to_owned(), damage: damage.into() }
    }

    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if crate::disk::is_full(source))
    }

    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Damaged { damage: Damage::Missing, .. })
    }
}

/// Adds the path to an I/O error; an absent file is damage, because the log only asks for files that it wrote.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::NotFound => ReadError::damaged(&path, Damage::Missing),
        _ => ReadError::Io { path, source },
    }
}
