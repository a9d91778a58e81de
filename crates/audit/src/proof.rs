//! Inclusion and consistency proofs (RFC 6962, sections 2.1.1 and 2.1.2; verified as in RFC 9162, section 2.1.3).
//!
//! **Invariant:** verifying needs hashes only, never the log; making needs only roots of complete subtrees.

use std::ops::Range;

use crate::tree::{Hash, node_hash};

/// Why a proof is not accepted, or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index or the older size lies outside the tree.
    #[error("the tree does not reach that far")]
    OutOfRange,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root")]
    Mismatch,
    /// The text is not a proof of the format.
    #[error("not a well-formed proof")]
    Malformed,
    /// A hash that is needed cannot be read.
    #[error("a tile cannot be read: {0}")]
    Unreadable(String),
}

/// Gives the root of the complete, aligned subtree over a range of leaves.
pub type Subtree<'a> = dyn FnMut(Range<u64>) -> Result<Hash, ProofError> + 'a;

/// The inclusion proof of a leaf in the tree of that size: siblings from the leaf upwards.
pub fn inclusion(index: u64, size: u64, subtree: &mut Subtree<'_>) -> Result<Vec<Hash>, ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let mut path = Vec::new();
    let mut range = 0..size;
    while range.end - range.start > 1 {
        let split = range.start + split_point(range.end - range.start);
        let (inside, sibling) =
            if index < split { (range.start..split, split..range.end) } else { (split..range.end, range.start..split) };
        path.push(root_of(sibling, subtree)?);
        range = inside;
    }
    path.reverse();
    Ok(path)
}

/// The consistency proof from an older size to a newer one.
pub fn consistency(old: u64, new: u64, subtree: &mut Subtree<'_>) -> Result<Vec<Hash>, ProofError> {
    if old > new {
        return Err(ProofError::OutOfRange);
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let mut path = Vec::new();
    let mut range = 0..new;
    let mut whole = true;
    while range.end != old {
        let split = range.start + split_point(range.end - range.start);
        if old <= split {
            path.push(root_of(split..range.end, subtree)?);
            range.end = split;
        } else {
            path.push(root_of(range.start..split, subtree)?);
            range.start = split;
            whole = false;
        }
    }
    if !whole {
        path.push(root_of(range, subtree)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that the leaf with this hash stands at this index of the tree with this root.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Mismatch);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(ProofError::Mismatch) }
}

/// Checks that the newer tree has the older one as its beginning.
pub fn verify_consistency(old: (u64, &Hash), new: (u64, &Hash), path: &[Hash]) -> Result<(), ProofError> {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size {
        return Err(ProofError::OutOfRange);
    }
    if old_size == new_size || old_size == 0 {
        let empty_is_empty = old_size != 0 || *old_root == crate::tree::empty_root();
        let unchanged = old_size != new_size || old_root == new_root;
        return if empty_is_empty && unchanged && path.is_empty() { Ok(()) } else { Err(ProofError::Mismatch) };
    }
    let mut path = path.iter();
    let first = if old_size.is_power_of_two() { Some(old_root) } else { path.next() };
    let seed = *first.ok_or(ProofError::Mismatch)?;
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let (mut older, mut newer) = (seed, seed);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Mismatch);
        }
        if node & 1 == 1 || node == last {
            older = node_hash(sibling, &older);
            newer = node_hash(sibling, &newer);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            newer = node_hash(&newer, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    let leads = last == 0 && older == *old_root && newer == *new_root;
    if leads { Ok(()) } else { Err(ProofError::Mismatch) }
}

/// Root over any range that starts where a subtree does, from the complete subtrees in it.
fn root_of(range: Range<u64>, subtree: &mut Subtree<'_>) -> Result<Hash, ProofError> {
    let len = range.end - range.start;
    if len.is_power_of_two() {
        return subtree(range);
    }
    let split = range.start + split_point(len);
    let left = subtree(range.start..split)?;
    let right = root_of(split..range.end, subtree)?;
    Ok(node_hash(&left, &right))
}

/// The largest power of two that is smaller than `len`, for `len` above 1.
fn split_point(len: u64) -> u64 {
    1 << (len - 1).ilog2()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::cast_possible_truncation, reason = "test trees are small")]

    use super::*;
    use crate::tree::{Frontier, leaf_hash};

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    fn root(leaves: &[Hash]) -> Hash {
        let mut frontier = Frontier::new();
        for leaf in leaves {
            frontier.push(*leaf);
        }
        frontier.root()
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proved_and_nothing_else_passes() {
        for size in 1..40_u64 {
            let all = leaves(size);
            let top = root(&all);
            let mut subtree = |range: Range<u64>| Ok(root(&all[range.start as usize..range.end as usize]));
            for index in 0..size {
                let path = inclusion(index, size, &mut subtree).unwrap();
                let leaf = &all[index as usize];
                verify_inclusion(leaf, index, size, &path, &top).unwrap();
                assert!(verify_inclusion(leaf, (index + 1) % size, size, &path, &top).is_err() || size == 1);
                assert!(verify_inclusion(&[0; 32], index, size, &path, &top).is_err());
                let mut longer = path.clone();
                longer.push([0; 32]);
                assert!(verify_inclusion(leaf, index, size, &longer, &top).is_err());
                for at in 0..path.len() {
                    let mut changed = path.clone();
                    changed[at][0] ^= 1;
                    assert!(verify_inclusion(leaf, index, size, &changed, &top).is_err());
                }
            }
        }
    }

    #[test]
    fn every_pair_of_small_trees_is_consistent_and_a_fork_is_not() {
        for new in 0..34_u64 {
            let all = leaves(new);
            for old in 0..=new {
                let mut subtree = |range: Range<u64>| Ok(root(&all[range.start as usize..range.end as usize]));
                let path = consistency(old, new, &mut subtree).unwrap();
                let (old_root, new_root) = (root(&all[..old as usize]), root(&all));
                verify_consistency((old, &old_root), (new, &new_root), &path).unwrap();
                assert!(verify_consistency((old, &[9; 32]), (new, &new_root), &path).is_err());
                // Every tree grew out of nothing, and from nothing else than nothing.
                let grown = old == 0 && new > 0;
                assert_eq!(verify_consistency((old, &old_root), (new, &[9; 32]), &path).is_ok(), grown);
                assert!(verify_consistency((old, &[9; 32]), (new, &[9; 32]), &path).is_err() || old == new && old > 0);
                let longer = [path.as_slice(), &[[0; 32]]].concat();
                assert!(verify_consistency((old, &old_root), (new, &new_root), &longer).is_err());
                let shorter =
                    path.split_last().map(|(_, rest)| verify_consistency((old, &old_root), (new, &new_root), rest));
                assert!(shorter.is_none_or(|checked| checked.is_err()), "{old} {new}");
                assert!(new == old || verify_consistency((new, &new_root), (old, &old_root), &path).is_err());
            }
        }
    }
}
