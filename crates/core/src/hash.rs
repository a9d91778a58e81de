//! Digests and their texts: SHA-256, base64url without padding, hexadecimal.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// SHA-256 of the parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut out = Digest::default();
    if let [only] = parts {
        out.copy_from_slice(digest(&SHA256, only).as_ref());
        return out;
    }
    let mut context = aws_lc_rs::digest::Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// The hash of a log's leaf (RFC 6962 section 2.1).
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    sha256(&[&[0], leaf])
}

/// base64url without padding (RFC 7515 section 2).
pub fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding; stray bits, padding and white space are refused.
pub fn unb64(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// `sha256:<hex>`, as pins and bundle digests are written.
pub fn sha256_text(digest: &Digest) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in digest {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}
