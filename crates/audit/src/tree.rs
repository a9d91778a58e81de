//! The Merkle tree of RFC 6962, section 2.1, with SHA-256, as a frontier that grows by one leaf at a time.
//!
//! **Invariant:** a frontier of size `n` holds one hash per set bit of `n`, the largest subtree first, and nothing else:
//! a tree of any size costs at most 64 hashes of memory.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// A SHA-256 hash: of a leaf, of a node, or of a whole tree.
pub type Hash = [u8; 32];

/// Hash of a leaf: `SHA-256(0x00 || leaf)`. The prefix keeps a leaf from ever passing for a node.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    sha256(&[&[0], leaf])
}

/// Hash of an inner node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// Root of the empty tree: `SHA-256("")`.
pub fn empty_root() -> Hash {
    copy(digest(&SHA256, b"").as_ref())
}

/// The right edge of a tree: enough to append to it and to name its root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends one leaf, given by its hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_subtree(0, leaf);
    }

    /// Appends a complete subtree of `2^height` leaves. The size must be a multiple of `2^height`,
    /// which holds when tiles are read from the highest level down.
    pub fn push_subtree(&mut self, height: u32, root: Hash) {
        let mut right = root;
        let mut below = self.size >> height;
        while below & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            right = node_hash(&left, &right);
            below >>= 1;
        }
        self.peaks.push(right);
        self.size += 1 << height;
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return empty_root();
        };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// SHA-256 over the parts, as if they were one.
pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    copy(context.finish().as_ref())
}

fn copy(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(bytes) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962, section 2.1, word for word.
    pub(crate) fn naive_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(&naive_root(&leaves[..split]), &naive_root(&leaves[split..]))
            }
        }
    }

    #[test]
    fn known_hashes() {
        // SHA-256 of nothing, and of one zero byte, in base64.
        let known = [empty_root(), leaf_hash(b"")].map(|hash| crate::checkpoint::encode_hash(&hash));
        assert_eq!(known[0], "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(known[1], "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=");
    }

    #[test]
    fn the_frontier_agrees_with_the_definition_at_every_size() {
        let leaves: Vec<Hash> = (0..600_u32).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let mut frontier = Frontier::new();
        assert_eq!(frontier.root(), empty_root());
        for (i, leaf) in leaves.iter().enumerate() {
            frontier.push(*leaf);
            assert_eq!(frontier.root(), naive_root(&leaves[..=i]), "size {}", i + 1);
            assert_eq!(frontier.peaks.len(), (i + 1).count_ones() as usize);
        }
    }

    #[test]
    fn subtrees_and_leaves_give_the_same_tree() {
        let leaves: Vec<Hash> = (0..13_u32).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let mut by_subtree = Frontier::new();
        by_subtree.push_subtree(3, naive_root(&leaves[..8]));
        by_subtree.push_subtree(2, naive_root(&leaves[8..12]));
        by_subtree.push(leaves[12]);
        assert_eq!(by_subtree.root(), naive_root(&leaves));
    }
}
