//! The bearer value of a run: what it is of stands in it, and a MAC under a key of this process shows that it was given here.
//!
//! **Invariant:** the key was drawn by this process and leaves it never, so no value outlives it, and none can be guessed.

use aws_lc_rs::hmac;
use remit_core::hash::{b64, unb64};
use remit_core::id::{GrantId, RunId, ServerName};
use zeroize::Zeroizing;

use crate::error::AuthorityError;
use crate::random;

/// How a value begins, so that whoever finds one knows what it is.
pub(super) const PREFIX: &str = "relay~";
/// Longest value, in bytes: three names of the longest kind, a MAC, and what stands between them.
const VALUE_BYTES_MAX: usize = 512;

/// What a value is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Of {
    /// The run.
    pub(crate) run: RunId,
    /// The one server that it is for.
    pub(crate) server: ServerName,
    /// The grant to state; the run's ceiling where none is named.
    pub(crate) grant: Option<GrantId>,
}

impl Of {
    /// `~` stands in no name, and in a bearer token it may.
    fn said(&self) -> String {
        let grant = self.grant.as_ref().map_or("", GrantId::as_str);
        format!("{PREFIX}{}~{}~{grant}", self.run, self.server)
    }

    fn read(said: &str) -> Option<Self> {
        let mut parts = said.strip_prefix(PREFIX)?.split('~');
        let (run, server, grant) = (parts.next()?, parts.next()?, parts.next()?);
        let grant = if grant.is_empty() { None } else { Some(grant.parse().ok()?) };
        parts.next().is_none().then_some(Self { run: run.parse().ok()?, server: server.parse().ok()?, grant })
    }
}

/// The key under which values are given. No `Debug`.
pub(super) struct ValueKey(hmac::Key);

impl ValueKey {
    /// 256 random bits.
    pub(super) fn new() -> Result<Self, AuthorityError> {
        let secret = Zeroizing::new(random::bytes::<32>()?);
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_slice())))
    }

    /// The same value each time: whoever asks twice takes nothing from whom it was given before.
    pub(super) fn issue(&self, of: &Of) -> String {
        let said = of.said();
        let tag = hmac::sign(&self.0, said.as_bytes());
        format!("{said}~{}", b64(tag.as_ref()))
    }

    /// What a value is of; nothing where it was not given here. The MAC is compared in constant time.
    pub(super) fn read(&self, value: &str) -> Option<Of> {
        let (said, tag) = value.rsplit_once('~').filter(|_| value.len() <= VALUE_BYTES_MAX)?;
        hmac::verify(&self.0, said.as_bytes(), &unb64(tag)?).ok()?;
        Of::read(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(run: &str, server: &str, grant: Option<&str>) -> Of {
        let grant = grant.map(|grant| grant.parse().unwrap());
        Of { run: run.parse().unwrap(), server: server.parse().unwrap(), grant }
    }

    /// Break: leave the run, the server or the grant out of what is said; do not verify.
    #[test]
    fn a_value_reads_back_as_what_it_was_given_for_and_as_nothing_else() {
        let key = ValueKey::new().unwrap();
        let mut seen = std::collections::HashSet::new();
        for of in [
            of("r-1", "tickets", None),
            of("r-1", "tickets", Some("g-1")),
            of("r-1", "docs", None),
            of("r-2", "tickets", None),
            of(&"r".repeat(128), &"s".repeat(128), Some(&"g".repeat(128))),
        ] {
            let value = key.issue(&of);
            assert!(value.len() <= VALUE_BYTES_MAX && value.starts_with("relay~"), "{value}");
            // RFC 6750 section 2.1: what a bearer token may consist of.
            assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b)), "{value}");
            assert_eq!((key.read(&value), key.issue(&of)), (Some(of), value.clone()));
            assert_eq!(ValueKey::new().unwrap().read(&value), None, "another process gave it");
            assert!(seen.insert(value));
        }
    }

    proptest! {
        /// Break: verify less than all of it.
        #[test]
        fn a_value_with_any_byte_changed_is_none(at in 0_usize..90, to in proptest::char::range(' ', '~')) {
            let key = ValueKey::new().unwrap();
            let value = key.issue(&of("r-aaaaaaaaaaaaaaaaaaaa", "tickets", None));
            let changed: String = value.chars().enumerate().map(|(i, c)| if i == at { to } else { c }).collect();
            prop_assert_eq!(key.read(&changed).is_some(), changed == value);
            prop_assert_eq!(key.read(value.get(..at.min(value.len() - 1)).unwrap()), None);
        }
    }
}
