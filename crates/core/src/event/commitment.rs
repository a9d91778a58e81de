//! Commitments: what the log says of a value without saying the value.
//!
//! Each sensitive field has a salted disclosure as in RFC 9901 section 4.2; the leaf holds its digest. One keyed
//! commitment covers the exact argument bytes, another the whole decision input. Salts and keys are random and stand
//! only in the sealed frame, so that destroying the frame's key leaves digests of which nothing can be learned.

use crate::hash::{b64, sha256};

/// A source of random bytes. `core` has none of its own.
pub type Random<'a> = &'a mut dyn FnMut() -> [u8; 32];

/// Encrypts a frame under the key of the subject that is named first; `None` where that cannot be done.
pub type Seal<'a> = &'a mut dyn FnMut(&str, &[u8]) -> Option<Vec<u8>>;

/// A salted statement of one field, as the base64url text that is digested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure(String);

impl Disclosure {
    /// States that the field `name` has the value whose JSON text is `value`.
    pub fn new(salt: [u8; 32], name: &str, value: &str) -> Self {
        let name = serde_json::Value::from(name);
        Self(b64(format!(r#"["{}",{name},{value}]"#, b64(&salt)).as_bytes()))
    }

    /// A disclosure as it was handed over.
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// The text that is handed to whom the field is disclosed.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What stands in the leaf.
    pub fn digest(&self) -> String {
        b64(&sha256(&[self.0.as_bytes()]))
    }

    /// The field's name and the JSON text of its value.
    pub fn open(&self) -> Option<(String, String)> {
        let bytes = crate::hash::unb64(&self.0)?;
        let parts: Vec<&serde_json::value::RawValue> = serde_json::from_slice(&bytes).ok()?;
        let [_, name, value] = parts[..] else {
            return None;
        };
        Some((serde_json::from_str(name.get()).ok()?, value.get().to_owned()))
    }
}

/// What a keyed commitment is over: each purpose has its own, so that none can stand for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The exact bytes of a call's arguments.
    Arguments,
    /// The whole input of a decision, with its evidence.
    Input,
    /// The exact bytes of a result.
    Result,
}

/// `SHA-256(domain ‖ key ‖ bytes)` with a key of fixed length, in base64url.
pub fn commit(purpose: Purpose, key: &[u8; 32], bytes: &[u8]) -> String {
    let domain: &[u8] = match purpose {
        Purpose::Arguments => b"remit-args/v1\0",
        Purpose::Input => b"remit-input/v1\0",
        Purpose::Result => b"remit-result/v1\0",
    };
    b64(&sha256(&[domain, key, bytes]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disclosure_opens_to_what_was_committed() {
        let disclosure = Disclosure::new([7; 32], "arg.amount", "12.50");
        assert_eq!(disclosure.open(), Some(("arg.amount".into(), "12.50".into())));
        assert_ne!(disclosure.digest(), Disclosure::new([8; 32], "arg.amount", "12.50").digest());
        assert_ne!(disclosure.digest(), Disclosure::new([7; 32], "arg.amount", "12.5").digest());
    }

    #[test]
    fn a_commitment_is_for_one_purpose_one_key_and_exactly_these_bytes() {
        let base = commit(Purpose::Arguments, &[1; 32], b"{}");
        assert_ne!(base, commit(Purpose::Input, &[1; 32], b"{}"));
        assert_ne!(base, commit(Purpose::Arguments, &[2; 32], b"{}"));
        assert_ne!(base, commit(Purpose::Arguments, &[1; 32], b"{ }"));
    }
}
