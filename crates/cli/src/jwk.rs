//! A public key in a file, as whoever made it wrote it (RFC 7517).

use std::path::Path;

use remit_core::jws::Jwk;

use crate::error::CliError;

/// Largest file of a public key, in bytes.
const KEY_BYTES_MAX: u64 = 4096;

/// Reads a public key; `help` says where one is found.
pub(crate) fn read(path: &Path, help: &str) -> Result<Jwk, CliError> {
    let failed = |why: &dyn std::fmt::Display| CliError::unevaluated(format!("{}: {why}", path.display()), help);
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > KEY_BYTES_MAX => return Err(failed(&"larger than a key")),
        _ => {}
    }
    let text = std::fs::read(path).map_err(|error| failed(&error))?;
    serde_json::from_slice(&text).map_err(|error| failed(&format!("not a public key: {error}")))
}
