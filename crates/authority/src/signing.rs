//! Ed25519 private keys: how they are made, kept in a file, and used for compact JWS.
//!
//! **Invariant:** a private key is never printed, never serialized, and leaves this module only into its own file.

use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use remit_audit::durable;
use remit_core::hash::b64;
use remit_core::jws::Jwk;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::AuthorityError;
use crate::random;

/// A private key. No `Debug`.
pub(crate) struct PrivateKey {
    pair: Ed25519KeyPair,
    public: Jwk,
}

impl PrivateKey {
    /// A new key, and the seed that has to be written where it shall outlive the process.
    pub(crate) fn generate() -> Result<(Self, Zeroizing<[u8; 32]>), AuthorityError> {
        let seed = Zeroizing::new(random::bytes::<32>()?);
        Ok((Self::from_seed(&seed)?, seed))
    }

    pub(crate) fn from_seed(seed: &[u8; 32]) -> Result<Self, AuthorityError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| AuthorityError::Crypto)?;
        let public = Jwk::ed25519(pair.public_key().as_ref(), None);
        Ok(Self { pair, public })
    }

    /// Reads a key file; nothing where there is none.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, AuthorityError> {
        let found = read_seed(path)?;
        found.map(|seed| Self::from_seed(&seed)).transpose()
    }

    /// The public half.
    pub(crate) fn public(&self) -> &Jwk {
        &self.public
    }

    /// A compact JWS of `payload` (RFC 7515).
    pub(crate) fn sign(&self, header: &impl Serialize, payload: &impl Serialize) -> Result<String, AuthorityError> {
        let header = b64(&serde_json::to_vec(header)?);
        let payload = b64(&serde_json::to_vec(payload)?);
        let mut compact = format!("{header}.{payload}");
        let signature = self.pair.sign(compact.as_bytes());
        compact.push('.');
        compact.push_str(&b64(signature.as_ref()));
        Ok(compact)
    }
}

/// Reads 32 secret bytes from a file that its owner alone can read; nothing where there is none.
pub(crate) fn read_seed(path: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, AuthorityError> {
    use std::os::unix::fs::PermissionsExt as _;
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AuthorityError::at(path)(error)),
    };
    let mode = meta.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(remit_audit::KeyError::Exposed(mode & 0o777).into());
    }
    let bytes = Zeroizing::new(std::fs::read(path).map_err(AuthorityError::at(path))?);
    let mut seed = Zeroizing::new([0; 32]);
    if bytes.len() != seed.len() {
        return Err(remit_audit::KeyError::Malformed.into());
    }
    seed.copy_from_slice(&bytes);
    Ok(Some(seed))
}

/// Writes a seed where its owner alone can read it; it is durable before it is used.
pub(crate) fn write_seed(path: &Path, seed: &[u8; 32]) -> Result<(), AuthorityError> {
    durable::write(path, seed, 0o600).map_err(AuthorityError::at(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_core::jws::Unverified;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_file_is_private_and_reads_back_as_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        assert!(PrivateKey::load(&path).unwrap().is_none());
        let (key, seed) = PrivateKey::generate().unwrap();
        write_seed(&path, &seed).unwrap();
        let read = PrivateKey::load(&path).unwrap().unwrap();
        let compact = read.sign(&serde_json::json!({"alg": "EdDSA"}), &1).unwrap();
        let opened = Unverified::parse(&compact).unwrap().verify(key.public());
        assert_eq!(opened.as_deref(), Some(&b"1"[..]));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(PrivateKey::load(&path), Err(AuthorityError::Key(_))));
    }
}
