//! Signed tokens of other issuers (RFC 7515, RFC 7519). They may say more in their headers than our own do, but never where
//! the key is.
//!
//! **Invariant:** the key comes from the issuer's registration alone, and the algorithm must be one that the registration
//! allows and the key is for.

use remit_core::hash::{Digest, sha256, unb64};
use remit_core::json::Value;
use remit_core::jws::JWS_BYTES_MAX;

use super::Algorithm;
use super::claims::Claims;
use super::keys::KeySet;

/// Members of a header that bring a key, or change what is signed.
const REFUSED: [&str; 6] = ["crit", "b64", "jwk", "jku", "x5u", "x5c"];

/// A token whose signature has not been looked at.
pub struct Foreign<'a> {
    /// The algorithm that it claims.
    pub algorithm: Algorithm,
    /// Its media type, in small letters.
    pub typ: Option<String>,
    /// The name of its key.
    pub kid: Option<String>,
    /// What it says. Before its signature was verified this only tells whose keys to look up.
    pub claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Foreign<'a> {
    /// Splits a compact JWS; `None` where it is not one, has an algorithm that nobody may use, or brings its own key.
    pub fn parse(compact: &'a str) -> Option<Self> {
        if compact.len() > JWS_BYTES_MAX {
            return None;
        }
        let (signed, signature) = compact.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header = String::from_utf8(unb64(header)?).ok()?;
        let header = Value::parse(&header).ok()?;
        if REFUSED.iter().any(|name| header.get(name).is_some()) {
            return None;
        }
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        Some(Self {
            algorithm: Algorithm::named(text("alg")?)?,
            typ: text("typ").map(str::to_ascii_lowercase),
            kid: text("kid").map(str::to_owned),
            claims: Claims::read(&unb64(payload)?)?,
            signed,
            signature: unb64(signature)?,
        })
    }

    /// Whether a key of the issuer made the signature, with an algorithm that it may use.
    pub fn is_signed_by(&self, keys: &KeySet, allowed: &super::IssuerRecord) -> bool {
        let which = (self.kid.as_deref(), self.algorithm, allowed.kind);
        allowed.algorithms.contains(&self.algorithm) && keys.verify(which, self.signed.as_bytes(), &self.signature)
    }

    /// Digest of what is signed: another signature of the same text is the same token.
    pub fn digest(&self) -> Digest {
        sha256(&[self.signed.as_bytes()])
    }
}
