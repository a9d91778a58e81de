//! Tiles and proofs over hashes: bundles parse to their last byte, and proofs lead to the one root of RFC 6962.

use remit_audit::proof::{ProofError, consistency, inclusion, verify_consistency, verify_inclusion};
use remit_audit::tile::{Edge, hashes, leaves, levels, push_leaf, tile_root};
use remit_audit::tree::{Frontier, Hash, leaf_hash, node_hash};

use crate::parts::choice;

/// Largest tree that is built whole, in leaves.
const LEAVES_MAX: usize = 40;

/// The first byte chooses: an entry bundle, a tile's edge, a proof of inclusion, a proof of consistency.
pub fn tile(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    match first % 4 {
        0 => bundle(rest),
        1 => edge(rest),
        2 => included(rest),
        _ => consistent(rest),
    }
}

fn bundle(bytes: &[u8]) {
    let Some(all) = leaves(bytes) else { return };
    let mut again = Vec::new();
    for leaf in all {
        push_leaf(&mut again, leaf);
    }
    assert_eq!(again, bytes);
}

fn number(bytes: &[u8]) -> (u64, &[u8]) {
    bytes.split_first_chunk::<8>().map_or((0, bytes), |(first, rest)| (u64::from_le_bytes(*first), rest))
}

fn path(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks(32).take(80).map(|chunk| std::array::from_fn(|at| chunk.get(at).copied().unwrap_or(0))).collect()
}

fn edge(bytes: &[u8]) {
    let (size, rest) = number(bytes);
    let mut partials: Vec<Vec<u8>> = rest.split(|byte| *byte == 0xff).map(<[u8]>::to_vec).collect();
    partials.truncate(levels(size).count());
    if let Some(edge) = Edge::from_partials(size, partials) {
        let full = edge.size() == size && edge.frontier().size() == size;
        assert!(full, "an edge of {size} has {}", edge.frontier().size());
    }
    if hashes(rest).count().is_power_of_two() {
        let root = tree(&hashes(rest).collect::<Vec<_>>());
        assert_eq!(tile_root(rest), root);
    }
}

/// The root over nodes, as RFC 6962 section 2.1 defines it.
fn tree(nodes: &[Hash]) -> Hash {
    match nodes {
        [] => Hash::default(),
        [only] => *only,
        _ => {
            let (left, right) = nodes.split_at(nodes.len().next_power_of_two() / 2);
            node_hash(&tree(left), &tree(right))
        }
    }
}

/// The root to which a path leads, by recursion from the top: the other way round than the code.
fn leads(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let Some((sibling, below)) = path.split_last() else { return (size == 1).then_some(leaf) };
    if size < 2 {
        return None;
    }
    let split = 1_u64 << (size - 1).ilog2();
    if index < split {
        Some(node_hash(&leads(leaf, index, split, below)?, sibling))
    } else {
        Some(node_hash(sibling, &leads(leaf, index - split, size - split, below)?))
    }
}

/// A path is accepted for the one root to which it leads, and for no other.
fn included(bytes: &[u8]) {
    let ((index, rest), leaf) = (number(bytes), leaf_hash(b"leaf"));
    let (size, rest) = number(rest);
    let (index, path) = (if size > 0 { index % size } else { index }, path(rest));
    let expected = (index < size).then(|| leads(leaf, index, size, &path)).flatten();
    for root in [expected.unwrap_or(leaf), [7; 32], leaf] {
        let verified = verify_inclusion(&leaf, index, size, &path, &root);
        assert_eq!(verified.is_ok(), expected == Some(root), "{index} of {size}");
    }
    let beyond = verify_inclusion(&leaf, size, size, &path, &leaf);
    assert_eq!(beyond, Err(ProofError::OutOfRange));
}

/// Of two trees that share a beginning, the true path is accepted and every other one is not.
fn consistent(bytes: &[u8]) {
    let (old, rest) = choice(bytes);
    let (new, rest) = choice(rest);
    let (new, old) = (usize::from(new) % LEAVES_MAX, usize::from(old) % LEAVES_MAX);
    let all: Vec<Hash> = (0..new as u64).map(|index| leaf_hash(&index.to_be_bytes())).collect();
    let root = |count: usize| {
        let mut frontier = Frontier::new();
        all.iter().take(count).for_each(|leaf| frontier.push(*leaf));
        frontier.root()
    };
    let mut subtree = |range: std::ops::Range<u64>| {
        let (first, count) = (usize::try_from(range.start).unwrap_or(0), range.end - range.start);
        let part: Vec<Hash> = all.iter().skip(first).take(usize::try_from(count).unwrap_or(0)).copied().collect();
        Ok(tree(&part))
    };
    let (older, newer) = ((old as u64, &root(old)), (new as u64, &root(new)));
    let given = path(rest);
    let Ok(true_path) = consistency(older.0, newer.0, &mut subtree) else {
        assert_eq!(verify_consistency(older, newer, &given), Err(ProofError::OutOfRange));
        return;
    };
    assert_eq!(verify_consistency(older, newer, &true_path), Ok(()));
    assert_eq!(verify_consistency(older, newer, &given).is_ok(), given == true_path, "{old} of {new}");
    for index in 0..newer.0 {
        let path = inclusion(index, newer.0, &mut subtree).unwrap_or_default();
        let leaf = leaf_hash(&index.to_be_bytes());
        assert_eq!(verify_inclusion(&leaf, index, newer.0, &path, newer.1), Ok(()));
    }
}
