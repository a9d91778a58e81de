//! What the log takes and what it gives back: an entry, and the receipt that it is durable.

use std::sync::Arc;

pub use crate::tile::LEAF_BYTES_MAX;
use crate::tree::{Hash, leaf_hash};

/// Largest sealed part of an entry.
pub const SEALED_BYTES_MAX: usize = 8 << 20;

/// One entry: the leaf goes into the tree, the sealed bytes are committed with it but lie beside the tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// At most `LEAF_BYTES_MAX` bytes.
    pub leaf: Vec<u8>,
    /// At most `SEALED_BYTES_MAX` bytes; may be empty.
    pub sealed: Vec<u8>,
}

/// An entry of allowed size, with its leaf hash, which the caller's thread computes rather than the committer.
#[derive(Debug, Clone)]
pub struct Hashed {
    pub(crate) entry: Entry,
    pub(crate) hash: Hash,
}

impl Hashed {
    /// Nothing when a part is larger than allowed: an entry is refused whole, never cut.
    pub fn new(entry: Entry) -> Option<Self> {
        let fits = entry.leaf.len() <= LEAF_BYTES_MAX && entry.sealed.len() <= SEALED_BYTES_MAX;
        fits.then(|| Self { hash: leaf_hash(&entry.leaf), entry })
    }

    /// The RFC 6962 hash of the leaf.
    pub fn hash(&self) -> Hash {
        self.hash
    }
}

/// Proof that an entry is durable. It cannot be copied, and only the log makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(crate) index: u64,
    pub(crate) leaf_hash: Hash,
    pub(crate) origin: Arc<str>,
}

impl Receipt {
    /// The entry's place in the log.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// RFC 6962 hash of its leaf.
    pub fn leaf_hash(&self) -> [u8; 32] {
        self.leaf_hash
    }

    /// The log.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}
