//! The log under libraries of other makers: `signed_note` opens its checkpoints, and `ct-merkle` recomputes its trees and
//! checks its proofs. Each accepts what is true and refuses what was changed.
//!
//! Nothing of `remit_audit` takes part in a judgement here: entries and proofs are read by this file's own few lines.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash, mem_backed_tree::MemoryBackedTree};
use remit_audit::{Config, Entry, Log, LogKey, proof, prove_consistency_dir, prove_dir};
use sha2::Sha256;
use signed_note::{Note, StandardVerifier, VerifierList};

type Root = RootHash<Sha256>;

/// Over two bundles, with a partial one of each level.
const SIZE: u64 = 600;

/// Writes entries into the log in this home, of which `told` tells two histories apart.
fn write(home: &Path, key: u8, told: &str, until: u64) -> (PathBuf, String) {
    let config = Config { segment_bytes: 64 << 10, reserve_bytes: 0, ..Config::new(home, "example.org", "gw1") };
    let (log, _) = Log::open(config, LogKey::from_seed([key; 32])).unwrap();
    for i in log.size()..until {
        log.commit_wait(Entry { leaf: format!("{told} {i}").into_bytes(), sealed: vec![7; 3] }).unwrap();
    }
    let (dir, vkey) = (log.dir().to_owned(), log.vkey().to_owned());
    log.close().unwrap();
    (dir, vkey)
}

/// The text of the checkpoint, if `signed_note` says that this key signed it.
fn open(note: &[u8], vkey: &str) -> Result<String, String> {
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(vkey).map_err(|error| error.to_string())?)]);
    let note = Note::from_bytes(note).map_err(|error| error.to_string())?;
    let (verified, _) = note.verify(&known).map_err(|error| error.to_string())?;
    assert_eq!(verified.len(), 1);
    Ok(String::from_utf8(note.text().to_vec()).unwrap())
}

/// What a checkpoint's text says, as `ct-merkle` wants to have it.
fn root(text: &str) -> Root {
    let [_, size, hash] = text.lines().collect::<Vec<_>>().try_into().unwrap();
    Root::new(digest(&STANDARD.decode(hash).unwrap()), size.parse().unwrap())
}

fn digest(hash: &[u8]) -> ct_merkle::digest::Output<Sha256> {
    hash.try_into().unwrap()
}

/// The entries as the files hold them, and the tree that `ct-merkle` makes of them.
fn tree(dir: &Path, size: u64) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    for bundle in 0..size.div_ceil(256) {
        let width = (size - bundle * 256).min(256);
        let suffix = if width == 256 { String::new() } else { format!(".p/{width}") };
        let bytes = fs::read(dir.join(format!("tile/entries/{bundle:03}{suffix}"))).unwrap();
        let mut rest = bytes.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (leaf, after) = after.split_at(u16::from_be_bytes(*length).into());
            tree.push(leaf.to_vec());
            rest = after;
        }
        assert!(rest.is_empty());
    }
    assert_eq!(tree.len(), size);
    tree
}

/// The index, the hashes and the checkpoint of a `.tlog-proof`.
fn parts(text: &str) -> (u64, Vec<u8>, String) {
    let (head, checkpoint) = text.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
    let index = lines.next().unwrap().strip_prefix("index ").unwrap().parse().unwrap();
    (index, lines.flat_map(|line| STANDARD.decode(line).unwrap()).collect(), checkpoint.to_owned())
}

#[test]
fn signed_note_opens_the_checkpoint_and_no_other() {
    let home = tempfile::tempdir().unwrap();
    let (dir, vkey) = write(home.path(), 1, "leaf", 5);
    let note = fs::read(dir.join("checkpoint")).unwrap();
    let text = open(&note, &vkey).unwrap();
    assert!(text.starts_with("example.org/log/gw1/") && text.contains("\n5\n"), "{text}");
    let mut refused = 0;
    for at in 0..note.len() {
        let mut changed = note.clone();
        changed[at] ^= 1;
        assert!(open(&changed, &vkey).is_err(), "byte {at} changed");
        refused += 1;
    }
    assert!(refused > 150, "{refused}");
    // Another key, under another name and under the same.
    let other = tempfile::tempdir().unwrap();
    let (_, other_vkey) = write(other.path(), 2, "leaf", 1);
    assert!(open(&note, &other_vkey).is_err());
    let name = vkey.split('+').next().unwrap();
    let (_, rest) = other_vkey.rsplit_once('+').unwrap();
    let key = STANDARD.decode(rest).unwrap();
    let same_name = format!("{name}+{:08x}+{rest}", signed_note::key_id(name, &key));
    assert!(open(&note, &same_name).unwrap_err().contains("no verifiable signatures"));
}

#[test]
fn ct_merkle_finds_the_same_root_and_another_in_a_changed_log() {
    let home = tempfile::tempdir().unwrap();
    // Sizes around the edges of tiles, and of subtrees in them.
    for size in [1, 2, 3, 255, 256, 257, 511, 512, SIZE] {
        let (dir, vkey) = write(home.path(), 1, "leaf", size);
        let signed = root(&open(&fs::read(dir.join("checkpoint")).unwrap(), &vkey).unwrap());
        let found = tree(&dir, size);
        assert_eq!(found.root(), signed, "size {size}");
        let mut changed = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        for (at, leaf) in (0..).zip(found.items()) {
            let mut leaf = leaf.clone();
            leaf[0] ^= u8::from(at == size / 2);
            changed.push(leaf);
        }
        assert_ne!(changed.root(), signed, "size {size}");
    }
}

#[test]
fn ct_merkle_accepts_our_receipts_and_refuses_changed_ones() {
    let home = tempfile::tempdir().unwrap();
    let (dir, vkey) = write(home.path(), 1, "leaf", SIZE);
    let entries = tree(&dir, SIZE);
    for (at, leaf) in (0..).zip(entries.items()) {
        let (index, path, checkpoint) = parts(&prove_dir(&dir, at).unwrap().text());
        assert_eq!(index, at);
        let head = root(&open(checkpoint.as_bytes(), &vkey).unwrap());
        let accepts = |index, leaf: &[u8], path: &[u8]| {
            let proof = InclusionProof::try_from_bytes(path.to_vec()).unwrap();
            head.verify_inclusion(&leaf, index, &proof).is_ok()
        };
        assert!(accepts(index, leaf, &path), "entry {at}");
        assert!(!accepts(index, b"another leaf", &path), "entry {at} with another leaf");
        assert!(!accepts((index + 1) % SIZE, leaf, &path), "entry {at} at another place");
        let mut changed = path.clone();
        changed[usize::try_from(at).unwrap() % path.len()] ^= 1;
        assert!(!accepts(index, leaf, &changed), "entry {at} by another path");
        assert!(!accepts(index, leaf, &path[32..]), "entry {at} by a shorter path");
    }
}

#[test]
fn ct_merkle_accepts_growth_and_refuses_another_history() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (dir, _) = write(home.path(), 1, "leaf", SIZE);
    let (forked, _) = write(other.path(), 1, "another", SIZE);
    let head = tree(&dir, SIZE).root();
    let mut older = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for (at, leaf) in (0..).zip(tree(&dir, SIZE).items()) {
        if at > 0 {
            let bytes = |dir| prove_consistency_dir(dir, at).unwrap().0.concat();
            let accepts = |new: &Root, path: Vec<u8>| {
                let proof = ConsistencyProof::try_from_bytes(path).unwrap();
                new.verify_consistency(&older.root(), &proof).is_ok()
            };
            assert!(accepts(&head, bytes(&dir)), "from {at}");
            assert!(!accepts(&tree_root(&forked), bytes(&forked)), "from {at} into another history");
            let mut changed = bytes(&dir);
            changed[31] ^= 1;
            assert!(!accepts(&head, changed), "from {at} by another path");
        }
        older.push(leaf.clone());
    }
}

/// The root that the checkpoint of a directory names; whose key signed it does not matter here.
fn tree_root(dir: &Path) -> Root {
    let note = fs::read_to_string(dir.join("checkpoint")).unwrap();
    root(&format!("{}\n", note.split_once("\n\n").unwrap().0))
}

#[test]
fn proofs_of_ct_merkle_are_accepted_here() {
    let home = tempfile::tempdir().unwrap();
    let size = 100;
    let (dir, _) = write(home.path(), 1, "leaf", size);
    let theirs = tree(&dir, size);
    let whole: [u8; 32] = (*theirs.root().as_bytes()).into();
    let hashes = |bytes: &[u8]| bytes.as_chunks::<32>().0.to_vec();
    let mut older = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for (at, leaf) in (0..).zip(theirs.items()) {
        let path = hashes(theirs.prove_inclusion(usize::try_from(at).unwrap()).as_bytes());
        let hash = remit_audit::tree::leaf_hash(leaf);
        assert_eq!(proof::verify_inclusion(&hash, at, size, &path, &whole), Ok(()), "entry {at}");
        older.push(leaf.clone());
        let (grown, added) = (at + 1, usize::try_from(size - at - 1).unwrap());
        let path = hashes(theirs.prove_consistency(added).as_bytes());
        let root: [u8; 32] = (*older.root().as_bytes()).into();
        assert_eq!(proof::verify_consistency((grown, &root), (size, &whole), &path), Ok(()), "from {grown}");
    }
}

/// A reader of tiles of another maker (CVE-2026-56865) took some that nobody had compared with their parent, so a changed
/// entry passed if its tile was changed with it. Break: compare a tile with its entries alone.
#[test]
fn a_tile_that_fits_its_entries_and_not_its_parent_is_found() {
    let home = tempfile::tempdir().unwrap();
    let (dir, vkey) = write(home.path(), 1, "leaf", SIZE);
    let verify = || remit_audit::verify::verify_dir(&dir, Some(&vkey), None, &mut |_, _, _| Ok(()));
    assert_eq!(verify().unwrap().size, SIZE);
    for bundle in ["000", "001", "002.p/88"] {
        let paths = [format!("tile/entries/{bundle}"), format!("tile/0/{bundle}")].map(|path| dir.join(path));
        let [entries, hashes] = paths.each_ref().map(|path| fs::read(path).unwrap());
        let mut changed = entries.clone();
        *changed.last_mut().unwrap() ^= 1;
        let fitting: Vec<u8> =
            remit_audit::tile::leaves(&changed).unwrap().into_iter().flat_map(remit_audit::tree::leaf_hash).collect();
        assert!(fitting.len() == hashes.len() && fitting != hashes);
        for (path, bytes) in paths.iter().zip([&changed, &fitting]) {
            remit_audit::durable::write(path, bytes, 0o600).unwrap();
        }
        assert!(verify().is_err(), "{bundle}");
        for (path, bytes) in paths.iter().zip([&entries, &hashes]) {
            remit_audit::durable::write(path, bytes, 0o600).unwrap();
        }
    }
    assert_eq!(verify().unwrap().size, SIZE);
}
