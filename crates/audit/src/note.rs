//! Signed notes (c2sp.org/signed-note@v1.0.0): a text, a blank line, and one or more signature lines.
//!
//! **Invariant:** `open` gives text back only when a key that the caller named has signed exactly these bytes;
//! there is no other way from a note to its text.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::tree::sha256;

/// A note longer than this is refused unread.
pub const NOTE_BYTES_MAX: usize = 16 << 20;
/// Signature lines beyond this are refused; the specification asks for at least 16.
pub const SIGNATURES_MAX: usize = 64;

const ED25519_TYPE: u8 = 0x01;
const DASH: &str = "\u{2014} ";

/// Why a note, a verifier key or a signer key is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The bytes are not a note of the grammar.
    #[error("not a well-formed signed note")]
    Malformed,
    /// The verifier key does not parse, or its id does not belong to its key.
    #[error("not a well-formed verifier key")]
    VerifierKey,
    /// The key name holds a space, a plus, a control character, or nothing.
    #[error("not a valid key name")]
    KeyName,
    /// A known key's signature does not match the text.
    #[error("a signature of a known key does not match the text")]
    BadSignature,
    /// No known key has signed.
    #[error("no known key has signed the note")]
    UnknownSigner,
}

/// Signs notes with Ed25519 (type `0x01`) under a key name. No `Debug`: it holds a private key.
pub struct Signer {
    name: String,
    id: [u8; 4],
    vkey: String,
    key: Ed25519KeyPair,
}

impl Signer {
    /// A signer from a 32-byte Ed25519 seed (RFC 8032, section 5.1.5).
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        let key = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::VerifierKey)?;
        let public = key.public_key().as_ref();
        let id = key_id(name, public);
        let vkey = encode_vkey(name, id, public);
        Ok(Self { name: name.to_owned(), id, vkey, key })
    }

    /// The key name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half in the `name+id+key` form.
    pub fn vkey(&self) -> &str {
        &self.vkey
    }
}

/// Checks one key's signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl Verifier {
    /// Parses `name+id+key`: the id in eight lowercase hex digits, the key in strict base64.
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::VerifierKey);
        };
        check_name(name)?;
        let key = STANDARD.decode(key).map_err(|_| NoteError::VerifierKey)?;
        let Some((&ED25519_TYPE, public)) = key.split_first() else {
            return Err(NoteError::VerifierKey);
        };
        let public: [u8; 32] = public.try_into().map_err(|_| NoteError::VerifierKey)?;
        let expected = key_id(name, &public);
        if id != hex(expected) {
            return Err(NoteError::VerifierKey);
        }
        Ok(Self { name: name.to_owned(), id: expected, public })
    }

    /// The key name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `name+id+key` form.
    pub fn vkey(&self) -> String {
        encode_vkey(&self.name, self.id, &self.public)
    }
}

/// A note whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The signed text, with its final newline.
    pub text: String,
    /// Names of the known keys that signed it, at least one.
    pub by: Vec<String>,
}

/// Signs a text. A missing final newline is added, because a note's text always ends in one.
pub fn sign(text: &str, signer: &Signer) -> String {
    let mut note = String::with_capacity(text.len() + signer.name.len() + 110);
    note.push_str(text);
    if !text.ends_with('\n') {
        note.push('\n');
    }
    let mut blob = [0; 68];
    let signature = signer.key.sign(note.as_bytes());
    for (to, from) in blob.iter_mut().zip(signer.id.iter().chain(signature.as_ref())) {
        *to = *from;
    }
    note.push('\n');
    note.push_str(DASH);
    note.push_str(&signer.name);
    note.push(' ');
    STANDARD.encode_string(blob, &mut note);
    note.push('\n');
    note
}

/// Opens a note: at least one of the known keys must have signed it, and none of them wrongly.
pub fn open(note: &str, known: &[Verifier]) -> Result<Opened, NoteError> {
    let (text, signatures) = split(note)?;
    let mut by: Vec<String> = Vec::new();
    for line in signatures {
        let (name, blob) = parse_signature(line)?;
        let Some((id, signature)) = blob.split_first_chunk::<4>() else {
            return Err(NoteError::Malformed);
        };
        let Some(key) = known.iter().find(|key| key.name == name && key.id == *id) else {
            continue;
        };
        UnparsedPublicKey::new(&ED25519, &key.public)
            .verify(text.as_bytes(), signature)
            .map_err(|_| NoteError::BadSignature)?;
        if !by.iter().any(|seen| seen == name) {
            by.push(name.to_owned());
        }
    }
    if by.is_empty() {
        return Err(NoteError::UnknownSigner);
    }
    Ok(Opened { text: text.to_owned(), by })
}

/// Splits a note into its text and its signature lines, by the grammar alone.
fn split(note: &str) -> Result<(&str, Vec<&str>), NoteError> {
    if note.len() > NOTE_BYTES_MAX || note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(NoteError::Malformed);
    }
    let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
    let text = note.get(..text.len() + 1).ok_or(NoteError::Malformed)?;
    let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    let lines: Vec<&str> = signatures.split('\n').take(SIGNATURES_MAX + 1).collect();
    if lines.len() > SIGNATURES_MAX {
        return Err(NoteError::Malformed);
    }
    Ok((text, lines))
}

fn parse_signature(line: &str) -> Result<(&str, Vec<u8>), NoteError> {
    let rest = line.strip_prefix(DASH).ok_or(NoteError::Malformed)?;
    let (name, blob) = rest.split_once(' ').ok_or(NoteError::Malformed)?;
    check_name(name).map_err(|_| NoteError::Malformed)?;
    let blob = STANDARD.decode(blob).map_err(|_| NoteError::Malformed)?;
    if blob.len() < 5 {
        return Err(NoteError::Malformed);
    }
    Ok((name, blob))
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let bad = |c: char| c.is_whitespace() || matches!(c, '+' | '\0'..='\x1f');
    if name.is_empty() || name.contains(bad) {
        return Err(NoteError::KeyName);
    }
    Ok(())
}

/// `SHA-256(name || 0x0A || type || public key)[:4]`.
fn key_id(name: &str, public: &[u8]) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), &[b'\n', ED25519_TYPE], public]);
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}

fn encode_vkey(name: &str, id: [u8; 4], public: &[u8]) -> String {
    let mut key = vec![ED25519_TYPE];
    key.extend_from_slice(public);
    format!("{name}+{}+{}", hex(id), STANDARD.encode(key))
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(name: &str) -> Signer {
        Signer::from_seed(name, &[7; 32]).unwrap()
    }

    #[test]
    fn the_specifications_own_checkpoint_key_verifies() {
        // The key and note that the Go reference, golang.org/x/mod/sumdb/note, documents.
        let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let note = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\
                    \n\
                    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let key = Verifier::parse(vkey).unwrap();
        assert_eq!(key.vkey(), vkey);
        assert_eq!(open(note, &[key]).unwrap().by, ["PeterNeumann"]);
    }

    #[test]
    fn a_note_opens_under_its_key_and_no_other() {
        let alice = signer("example.org/alice");
        let note = sign("hello\n\nworld", &alice);
        let known = Verifier::parse(alice.vkey()).unwrap();
        assert_eq!(open(&note, &[known]).unwrap().text, "hello\n\nworld\n");
        let other = Verifier::parse(signer("example.org/bob").vkey()).unwrap();
        assert_eq!(open(&note, &[other]), Err(NoteError::UnknownSigner));
    }

    #[test]
    fn every_changed_byte_of_a_note_is_refused() {
        let alice = signer("example.org/alice");
        let known = [Verifier::parse(alice.vkey()).unwrap()];
        let note = sign("origin\n7\n", &alice).into_bytes();
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut changed = note.clone();
                changed[at] ^= 1 << bit;
                let opened = std::str::from_utf8(&changed).ok().map(|text| open(text, &known));
                assert!(!matches!(opened, Some(Ok(_))), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn every_changed_byte_of_a_verifier_key_is_refused_or_another_key() {
        let alice = signer("example.org/alice");
        let note = sign("x\n", &alice);
        for at in 0..alice.vkey().len() {
            let mut changed = alice.vkey().as_bytes().to_vec();
            changed[at] ^= 1;
            let key = String::from_utf8(changed).ok().and_then(|text| Verifier::parse(&text).ok());
            assert!(key.is_none_or(|key| open(&note, &[key]).is_err()), "byte {at}");
        }
    }

    #[test]
    fn signatures_of_strangers_are_ignored() {
        let alice = signer("example.org/alice");
        let note = sign("x\n", &alice) + "\u{2014} witness.example AAAAAAEC\n";
        let known = [Verifier::parse(alice.vkey()).unwrap()];
        assert_eq!(open(&note, &known).unwrap().by.len(), 1);
        // An id and one byte are the least that may be a signature.
        let with = |blob: &str| {
            open(&(sign("x\n", &alice) + "\u{2014} w " + blob + "\n"), &known).map(|opened| opened.by.len())
        };
        assert_eq!(with("AAAAAAA="), Ok(1));
        assert_eq!(with("AAAAAA=="), Err(NoteError::Malformed));
    }

    #[test]
    fn a_name_is_one_word_without_signs() {
        for bad in ["", "a b", "a+b", "a\tb", "a\u{1}b", "a\u{1f}b", "a\nb", "a\u{2003}b"] {
            assert_eq!(Signer::from_seed(bad, &[7; 32]).err(), Some(NoteError::KeyName), "{bad:?}");
        }
        for good in ["a", "example.org/log/gw1/1", "a\u{7f}b", "\u{e9}"] {
            assert!(Signer::from_seed(good, &[7; 32]).is_ok(), "{good:?}");
        }
    }

    /// Break: count who signed twice as two signers.
    #[test]
    fn a_signer_counts_once_and_another_beside_it() {
        let (alice, bob) = (signer("example.org/alice"), signer("example.org/bob"));
        let known = [&alice, &bob].map(|signer| Verifier::parse(signer.vkey()).unwrap());
        let line = |signer| sign("x\n", signer).rsplit_once("\n\n").unwrap().1.to_owned();
        let by = |lines: &[&str]| open(&format!("x\n\n{}", lines.concat()), &known).unwrap().by;
        let (a, b) = (line(&alice), line(&bob));
        assert_eq!(by(&[&a, &a]), ["example.org/alice"]);
        assert_eq!(by(&[&a, &b, &a, &b]), ["example.org/alice", "example.org/bob"]);
    }

    #[test]
    fn a_note_is_so_long_and_no_longer() {
        let alice = signer("example.org/alice");
        let known = [Verifier::parse(alice.vkey()).unwrap()];
        let rest = sign("\n", &alice).len() - 1;
        let of = |bytes: usize| {
            let note = sign(&format!("{}\n", "x".repeat(bytes - rest - 1)), &alice);
            assert_eq!(note.len(), bytes);
            open(&note, &known).map(|opened| opened.by.len())
        };
        assert_eq!(of(NOTE_BYTES_MAX), Ok(1));
        assert_eq!(of(NOTE_BYTES_MAX + 1), Err(NoteError::Malformed));
    }

    /// Break: look only at the first signatures, so that a note has another meaning to who reads on.
    #[test]
    fn every_signature_is_looked_at_or_none() {
        let alice = signer("example.org/alice");
        let known = [Verifier::parse(alice.vkey()).unwrap()];
        let (text, own) = sign("x\n", &alice).split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let after = |strangers: usize| {
            let strangers = "\u{2014} witness.example AAAAAAEC\n".repeat(strangers);
            open(&format!("{text}\n\n{strangers}{own}"), &known).map(|opened| opened.by.len())
        };
        assert_eq!(after(SIGNATURES_MAX - 1), Ok(1));
        assert_eq!(after(SIGNATURES_MAX), Err(NoteError::Malformed));
    }

    #[test]
    fn malformed_notes_are_refused() {
        let known = [Verifier::parse(signer("a").vkey()).unwrap()];
        for note in [
            "",
            "\n",
            "x\n",
            "x\n\n",
            "x\n\n\n",
            "x\n\n\u{2014} a\n",
            "x\n\n\u{2014} a !!\n",
            "x\r\n\n\u{2014} a AAAAAAEC\n",
        ] {
            assert_eq!(open(note, &known), Err(NoteError::Malformed), "{note:?}");
        }
    }
}
