//! The log's private key: 32 random bytes in a file that only its owner can read, outside the log's directory.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::durable;

const HEADER: &str = "remit-log-key-v1 ";

/// Why a key file is not used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system failed.
    #[error("key file: {0}")]
    Io(#[from] io::Error),
    /// Others than the owner may read or write it.
    #[error("key file can be read by others than its owner (mode {0:03o}, expected 600)")]
    Exposed(u32),
    /// It does not hold a key.
    #[error("key file does not hold a key")]
    Malformed,
    /// The system gives no random bytes.
    #[error("no randomness")]
    NoRandomness,
}

/// The log's Ed25519 seed. No `Debug`, and wiped when dropped.
pub struct LogKey(Zeroizing<[u8; 32]>);

impl LogKey {
    /// Reads the key, or makes one when there is no file. It is durable before it is first used.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        load_or_create(path, HEADER).map(Self)
    }

    /// A key from its seed: for tests and golden vectors.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }

    pub(crate) fn seed(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 32 secret bytes that are a key of somebody else than the log. No `Debug`, and wiped when dropped.
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Reads the bytes, or makes them when there is no file; `header` is the file's first word.
    pub fn load_or_create(path: &Path, header: &str) -> Result<Self, KeyError> {
        load_or_create(path, &format!("{header} ")).map(Self)
    }

    /// The bytes, for what makes a key of them.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Reads 32 secret bytes under a header, or makes them.
pub(crate) fn load_or_create(path: &Path, header: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    match fs::metadata(path) {
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => Err(KeyError::Exposed(meta.permissions().mode() & 0o777)),
        Ok(_) => parse(&Zeroizing::new(fs::read_to_string(path)?), header).ok_or(KeyError::Malformed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut seed = Zeroizing::new([0; 32]);
            rand::fill(seed.as_mut()).map_err(|_| KeyError::NoRandomness)?;
            let text = Zeroizing::new(format!("{header}{}\n", STANDARD.encode(seed.as_ref())));
            durable::write(path, text.as_bytes(), 0o600)?;
            Ok(seed)
        }
        Err(error) => Err(error.into()),
    }
}

fn parse(text: &str, header: &str) -> Option<Zeroizing<[u8; 32]>> {
    let encoded = text.strip_prefix(header)?.strip_suffix('\n')?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let mut seed = Zeroizing::new([0; 32]);
    (bytes.len() == seed.len()).then(|| seed.copy_from_slice(&bytes))?;
    Some(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_private_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.key");
        let made = LogKey::load_or_create(&path).unwrap();
        assert_eq!(LogKey::load_or_create(&path).unwrap().seed(), made.seed());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_exposed_or_damaged_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.key");
        LogKey::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(LogKey::load_or_create(&path), Err(KeyError::Exposed(0o644))));
        durable::write(&path, b"remit-log-key-v1 AAAA\n", 0o600).unwrap();
        assert!(matches!(LogKey::load_or_create(&path), Err(KeyError::Malformed)));
    }
}
