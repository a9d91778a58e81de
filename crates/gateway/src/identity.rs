//! Who this gateway is, for the authority: a key that it made at its first start.
//!
//! **Invariant:** the private half leaves its own file into this process's memory only.

use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use remit_audit::{KeyError, Seed, durable};
use remit_core::hash::b64;
use remit_core::jws::Jwk;
use serde::Serialize;

/// The public half, in the gateway's home: what is registered at the authority.
pub const IDENTITY: &str = "identity.jwk";
const HEADER: &str = "remit-gateway-key-v1";

/// The gateway's key. No `Debug`.
pub struct Identity {
    pair: Ed25519KeyPair,
    public: Jwk,
}

impl Identity {
    /// Reads the key of a gateway's home, or makes it; its public half is there for whoever registers it.
    pub fn load_or_create(home: &Path) -> Result<Self, KeyError> {
        let keys = home.join("keys");
        durable::create_dir(&keys)?;
        let seed = Seed::load_or_create(&keys.join("identity"), HEADER)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.bytes()).map_err(|_| KeyError::Malformed)?;
        let public = Jwk::ed25519(pair.public_key().as_ref(), None);
        let text = serde_json::to_vec(&public).map_err(|_| KeyError::Malformed)?;
        durable::write(&home.join(IDENTITY), &text, 0o600)?;
        Ok(Self { pair, public })
    }

    /// The public half.
    pub fn public(&self) -> &Jwk {
        &self.public
    }

    /// A compact JWS of this type (RFC 7515), which names the key by its thumbprint.
    pub(crate) fn sign(&self, typ: &str, payload: &impl Serialize) -> Option<String> {
        let header = serde_json::json!({ "alg": "EdDSA", "typ": typ, "kid": self.public.thumbprint() });
        let payload = serde_json::to_vec(payload).ok()?;
        let signed = format!("{}.{}", b64(header.to_string().as_bytes()), b64(&payload));
        Some(format!("{signed}.{}", b64(self.pair.sign(signed.as_bytes()).as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_gateway_stays_who_it_is_and_says_so_in_a_file() {
        let home = tempfile::tempdir().unwrap();
        let first = Identity::load_or_create(home.path()).unwrap();
        let again = Identity::load_or_create(home.path()).unwrap();
        assert_eq!(first.public(), again.public());
        let said: Jwk = serde_json::from_slice(&std::fs::read(home.path().join(IDENTITY)).unwrap()).unwrap();
        assert_eq!(&said, first.public());
        let mode = std::fs::metadata(home.path().join("keys/identity")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
