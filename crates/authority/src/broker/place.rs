//! Where an authorization server sends browsers back to, and where it reads who its client is: a place of its own for each.
//!
//! **Invariant:** an answer that comes to one authorization server's place is none of another's, whatever its `state` says.
//! So a code of one cannot be had redeemed at another that names no `iss` (RFC 9700 section 4.4.2).

use remit_core::hash::{b64, sha256};

use crate::authority::State;

/// An authorization server, as it stands in URLs of ours: the digest of its issuer in base64url.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place(String);

/// The length of a digest in base64url.
const PLACE_BYTES: usize = 43;

impl Place {
    /// That of an issuer.
    pub(crate) fn of(issuer: &str) -> Self {
        Self(b64(&sha256(&[b"remit.upstream/v1\n", issuer.as_bytes()])))
    }

    /// What stands in a URL that somebody asks for; `None` where it is nobody's.
    pub(crate) fn read(text: String) -> Option<Self> {
        let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        (letters && text.len() == PLACE_BYTES).then_some(Self(text))
    }

    /// Where a browser is sent back to.
    pub(crate) fn redirect(&self, state: &State) -> String {
        format!("{}/callback/{}", state.config.issuer, self.0)
    }

    /// The client ID metadata document that says who we are.
    pub(crate) fn document(&self, state: &State) -> String {
        format!("{}/client/{}", state.config.issuer, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_and_nothing_else_is_one() {
        assert_ne!(Place::of("https://a.example"), Place::of("https://b.example"));
        let Place(text) = Place::of("https://a.example");
        assert_eq!(Place::read(text.clone()), Some(Place(text.clone())));
        for wrong in [
            format!("{text}x"),
            text.chars().skip(1).collect(),
            format!(".{text}").chars().take(PLACE_BYTES).collect(),
            String::new(),
        ] {
            assert_eq!(Place::read(wrong.clone()), None, "{wrong}");
        }
    }
}
