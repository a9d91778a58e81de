//! Letters: bytes that are sealed for one receiver, who made a key for this one letter.
//!
//! X25519 between two keys that are both made for the letter and forgotten with it, HKDF-SHA-256, AES-256-GCM. Who
//! records the letter and later gets every long-lived key of both sides still cannot open it. **Invariant:** a letter says
//! nothing of its sender: whoever carries it signs it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand::SystemRandom;
use zeroize::Zeroizing;

const SALT: &[u8] = b"remit.letter/v1";
/// Key and nonce.
const DERIVED_BYTES: usize = 32 + NONCE_LEN;

/// A letter that does not open, or cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the letter cannot be sealed or opened")]
pub struct LetterError;

/// A public key of X25519.
pub type Public = [u8; 32];

/// The receiver of one letter. No `Debug`.
pub struct Receiver {
    private: EphemeralPrivateKey,
    public: Public,
}

impl Receiver {
    /// Makes a key for one letter.
    pub fn new() -> Result<Self, LetterError> {
        let (private, public) = pair()?;
        Ok(Self { private, public })
    }

    /// The key to which the letter is to be sealed.
    pub fn public(&self) -> &Public {
        &self.public
    }

    /// Opens the letter; after that the key is gone, whether or not it opened.
    pub fn open(self, from: &Public, bound: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, LetterError> {
        let (key, nonce) = derive(self.private, from, [from, &self.public])?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let length = key.open_in_place(nonce, Aad::from(bound), &mut bytes).map_err(|_| LetterError)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// Seals bytes for a receiver, bound to what the letter says in clear. Gives the sender's key for this letter too.
pub fn seal(to: &Public, bound: &[u8], plain: &[u8]) -> Result<(Public, Vec<u8>), LetterError> {
    let (private, public) = pair()?;
    let (key, nonce) = derive(private, to, [&public, to])?;
    let mut bytes = plain.to_vec();
    key.seal_in_place_append_tag(nonce, Aad::from(bound), &mut bytes).map_err(|_| LetterError)?;
    Ok((public, bytes))
}

fn pair() -> Result<(EphemeralPrivateKey, Public), LetterError> {
    let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(|_| LetterError)?;
    let public = private.compute_public_key().map_err(|_| LetterError)?;
    let public = public.as_ref().try_into().map_err(|_| LetterError)?;
    Ok((private, public))
}

struct Derived;

impl KeyType for Derived {
    fn len(&self) -> usize {
        DERIVED_BYTES
    }
}

/// The one key of this letter, and its nonce: as the key is used once, the nonce may come from the same derivation.
fn derive(
    private: EphemeralPrivateKey,
    peer: &Public,
    [sender, receiver]: [&Public; 2],
) -> Result<(LessSafeKey, Nonce), LetterError> {
    let peer = UnparsedPublicKey::new(&X25519, peer);
    agree_ephemeral(private, peer, LetterError, |shared| {
        let info = [&sender[..], &receiver[..]];
        let mut bytes = Zeroizing::new([0; DERIVED_BYTES]);
        let expanded = Salt::new(HKDF_SHA256, SALT).extract(shared);
        let expanded = expanded.expand(&info, Derived).map_err(|_| LetterError)?;
        expanded.fill(bytes.as_mut()).map_err(|_| LetterError)?;
        let (key, nonce) = bytes.split_at(32);
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| LetterError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| LetterError)?;
        Ok((LessSafeKey::new(key), nonce))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: leave one of the two keys, or what is said in clear, out of what the seal is bound to.
    #[test]
    fn a_letter_opens_for_its_receiver_and_as_it_was_written_alone() {
        let receiver = Receiver::new().unwrap();
        let (from, sealed) = seal(receiver.public(), b"tickets#3", b"sk-secret").unwrap();
        assert!(!sealed.windows(9).any(|part| part == b"sk-secret"));
        assert_eq!(*receiver.open(&from, b"tickets#3", &sealed).unwrap(), b"sk-secret");

        let other = |open: &dyn Fn(Receiver, Public, Vec<u8>) -> bool| {
            let receiver = Receiver::new().unwrap();
            let (from, sealed) = seal(receiver.public(), b"tickets#3", b"sk-secret").unwrap();
            assert!(!open(receiver, from, sealed));
        };
        other(&|_, from, sealed| Receiver::new().unwrap().open(&from, b"tickets#3", &sealed).is_ok());
        other(&|receiver, from, sealed| receiver.open(&from, b"tickets#4", &sealed).is_ok());
        other(&|receiver, _, sealed| receiver.open(&[9; 32], b"tickets#3", &sealed).is_ok());
        other(&|receiver, from, mut sealed| {
            sealed[0] ^= 1;
            receiver.open(&from, b"tickets#3", &sealed).is_ok()
        });
        assert!(seal(&[0; 32], b"", b"x").is_err(), "a key that gives everybody the same secret");
    }

    #[test]
    fn two_letters_of_the_same_words_have_nothing_in_common() {
        let receiver = Receiver::new().unwrap();
        let first = seal(receiver.public(), b"", b"sk-secret").unwrap();
        let second = seal(receiver.public(), b"", b"sk-secret").unwrap();
        assert!(first.0 != second.0 && first.1 != second.1);
    }
}
