//! The `.tlog-proof` (c2sp.org/tlog-proof@v1): index, inclusion proof and signed checkpoint in one text,
//! which proves an entry to anybody who has the log's verifier key and nothing else.

use crate::{
    checkpoint::{Checkpoint, decimal, decode_hash, encode_hash},
    note::Verifier,
    proof::{ProofError, verify_inclusion},
    tree::{Hash, leaf_hash},
};

/// A proof text longer than this is refused unread.
pub const PROOF_BYTES_MAX: usize = 1 << 20;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// An offline proof that an entry is in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Place of the entry.
    pub index: u64,
    /// Siblings from the leaf upwards.
    pub path: Vec<Hash>,
    /// The signed checkpoint, as the log issued it.
    pub checkpoint: String,
}

impl TlogProof {
    /// The text.
    pub fn text(&self) -> String {
        let mut text = format!("{HEADER}\nindex {}\n", self.index);
        for hash in &self.path {
            text.push_str(&encode_hash(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Parses the text. Extra data is not authenticated, so it is dropped unread.
    pub fn parse(text: &str) -> Result<Self, ProofError> {
        Self::read(text).ok_or(ProofError::Malformed)
    }

    /// Checks that the leaf is in the log of this key, and returns the checkpoint that says so.
    pub fn verify(&self, leaf: &[u8], key: &Verifier) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key).map_err(|_| ProofError::Mismatch)?;
        verify_inclusion(&leaf_hash(leaf), self.index, checkpoint.size, &self.path, &checkpoint.root)?;
        Ok(checkpoint)
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() > PROOF_BYTES_MAX {
            return None;
        }
        let (head, checkpoint) = text.split_once("\n\n")?;
        let mut lines = head.split('\n');
        if lines.next()? != HEADER {
            return None;
        }
        let mut line = lines.next()?;
        if line.starts_with("extra ") {
            line = lines.next()?;
        }
        let index = decimal(line.strip_prefix("index ")?)?;
        let path = lines.map(decode_hash).collect::<Option<Vec<Hash>>>()?;
        (path.len() <= 64).then(|| Self { index, path, checkpoint: checkpoint.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{note::Signer, tree::node_hash};

    #[test]
    fn a_proof_verifies_and_every_changed_byte_of_it_fails() {
        let signer = Signer::from_seed("example.org/log/gw1/1", &[1; 32]).unwrap();
        let key = Verifier::parse(signer.vkey()).unwrap();
        let (left, right) = (leaf_hash(b"one"), leaf_hash(b"two"));
        let head = Checkpoint { origin: signer.name().into(), size: 2, root: node_hash(&left, &right) };
        let proof = TlogProof { index: 1, path: vec![left], checkpoint: head.sign(&signer) };
        let text = proof.text();
        assert_eq!(TlogProof::parse(&text).unwrap(), proof);
        assert_eq!(proof.verify(b"two", &key).unwrap(), head);
        assert_eq!(proof.verify(b"one", &key), Err(ProofError::Mismatch));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            let verified = String::from_utf8(changed)
                .ok()
                .and_then(|text| TlogProof::parse(&text).ok())
                .and_then(|proof| proof.verify(b"two", &key).ok());
            assert_eq!(verified, None, "byte {at}");
        }
    }

    #[test]
    fn extra_data_is_skipped() {
        let text = format!("{HEADER}\nextra AAAA\nindex 0\n\nx\n");
        assert_eq!(TlogProof::parse(&text).unwrap().index, 0);
        for bad in ["", "c2sp.org/tlog-proof@v2\nindex 0\n\nx", "c2sp.org/tlog-proof@v1\nindex 00\n\nx"] {
            assert_eq!(TlogProof::parse(bad), Err(ProofError::Malformed));
        }
    }
}
