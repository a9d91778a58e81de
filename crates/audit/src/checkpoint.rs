//! Checkpoints (c2sp.org/tlog-checkpoint@v1.0.0): origin, tree size and root hash, as the text of a signed note.
//!
//! **Invariant:** what is parsed prints back to the same text, so nothing in a checkpoint can be said in two ways.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    note::{self, NoteError, Signer, Verifier},
    tree::Hash,
};

/// A tree head: which log, how many entries, which root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity, `<trust domain>/log/<instance>/<epoch>`.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root of the tree of that size.
    pub root: Hash,
}

impl Checkpoint {
    /// The note text: three lines. No extension lines, because no monitor would audit them.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Parses a note text. Extension lines are allowed by the specification, and ignored.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let body = text.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NoteError::Malformed);
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(NoteError::Malformed);
        }
        let size = decimal(size).ok_or(NoteError::Malformed)?;
        let root = decode_hash(root).ok_or(NoteError::Malformed)?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// The signed note of this checkpoint.
    pub fn sign(&self, signer: &Signer) -> String {
        note::sign(&self.text(), signer)
    }

    /// Opens a signed checkpoint: the key must have signed it, and its origin must be the key's name.
    pub fn open(signed: &str, key: &Verifier) -> Result<Self, NoteError> {
        let opened = note::open(signed, std::slice::from_ref(key))?;
        let checkpoint = Self::parse(&opened.text)?;
        if checkpoint.origin != key.name() {
            return Err(NoteError::UnknownSigner);
        }
        Ok(checkpoint)
    }
}

/// An unsigned decimal without leading zeroes, or nothing.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A hash in strict base64, or nothing.
pub(crate) fn decode_hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// A hash in base64.
pub(crate) fn encode_hash(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_key_gives_this_very_checkpoint() {
        let signer = Signer::from_seed("example.org/log/gw1/1", &[1; 32]).unwrap();
        let checkpoint = Checkpoint { origin: "example.org/log/gw1/1".into(), size: 3, root: [2; 32] };
        assert_eq!(signer.vkey(), "example.org/log/gw1/1+7130c35b+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c");
        assert_eq!(
            checkpoint.sign(&signer),
            "example.org/log/gw1/1\n3\nAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n\n\
             \u{2014} example.org/log/gw1/1 cTDDWyADMIWuPSDQlAeXrZL+NhYmMMFOmwIXIjrOFyuRldme8Uav04WEbBlUbE+1ba0u+RKdtgbw/BMYxTMszQFhrQQ=\n"
        );
    }

    #[test]
    fn texts_that_are_not_canonical_are_refused() {
        let root = STANDARD.encode([0; 32]);
        for text in [
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("\n1\n{root}\n"),
            format!("o\n1\n{root}"),
            format!("o\n1\n{root}\n\n"),
            "o\n1\nAAAA\n".to_owned(),
            format!("o\n18446744073709551616\n{root}\n"),
        ] {
            assert_eq!(Checkpoint::parse(&text), Err(NoteError::Malformed), "{text:?}");
        }
        let good = format!("o\n1\n{root}\n");
        assert_eq!(Checkpoint::parse(&good).unwrap().text(), good);
    }
}
