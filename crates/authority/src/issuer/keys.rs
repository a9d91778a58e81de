//! Key sets of others (RFC 7517). Whatever is not understood of one is passed over: a set may hold keys for somebody else.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use remit_core::hash::unb64;
use remit_core::json::Value;

use super::{Algorithm, Kind};

/// Most keys of one set.
pub const KEYS_MAX: usize = 128;
/// Most keys that one signature is tried with: without a name each of them could be meant.
const TRIED_MAX: usize = 8;

/// Why a key set is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Not a key set.
    #[error("it is not a key set of at most {KEYS_MAX} keys")]
    Form,
    /// None of the keys can be used.
    #[error("it holds no public key for signatures of the kinds RSA, P-256 and Ed25519")]
    None,
}

/// The usable keys of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    kid: Option<String>,
    alg: Option<String>,
    usage: Option<String>,
    public: Public,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Reads a key set.
pub fn read(bytes: &[u8]) -> Result<KeySet, KeysError> {
    let text = std::str::from_utf8(bytes).map_err(|_| KeysError::Form)?;
    let document = Value::parse(text).map_err(|_| KeysError::Form)?;
    let Some(Value::Array(keys)) = document.get("keys") else { return Err(KeysError::Form) };
    if keys.len() > KEYS_MAX {
        return Err(KeysError::Form);
    }
    let keys: Vec<Key> = keys.iter().filter_map(key).collect();
    if keys.is_empty() { Err(KeysError::None) } else { Ok(KeySet(keys)) }
}

fn key(jwk: &Value<'_>) -> Option<Key> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| text(name).and_then(unb64);
    // A private key that was published is nobody's any more.
    if jwk.get("d").is_some() {
        return None;
    }
    let public = match (text("kty")?, text("crv")) {
        ("RSA", None) => Public::Rsa { n: unsigned(bytes("n")?), e: unsigned(bytes("e")?) },
        ("EC", Some("P-256")) => {
            let coordinate = |name: &str| bytes(name).filter(|bytes| bytes.len() == 32);
            Public::P256([&[4_u8][..], &coordinate("x")?, &coordinate("y")?].concat())
        }
        ("OKP", Some("Ed25519")) => Public::Ed25519(bytes("x").filter(|bytes| bytes.len() == 32)?),
        _ => return None,
    };
    let owned = |name: &str| text(name).map(str::to_owned);
    Some(Key { kid: owned("kid"), alg: owned("alg"), usage: owned("use"), public })
}

/// Without the zeros that some put in front.
fn unsigned(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

impl KeySet {
    /// Whether a key has this name; anybody's has none.
    pub fn names(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.0.iter().any(|key| key.kid.as_deref() == Some(kid)))
    }

    /// Whether a key that is for this, of this name where there is one, made the signature.
    pub fn verify(
        &self,
        (name, algorithm, kind): (Option<&str>, Algorithm, Kind),
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let named = |key: &&Key| name.is_none_or(|name| key.kid.as_deref() == Some(name));
        let fit = |key: &&Key| key.is_for(algorithm, kind);
        self.0.iter().filter(named).filter(fit).take(TRIED_MAX).any(|key| key.public.verify(message, signature))
    }
}

impl Key {
    fn is_for(&self, algorithm: Algorithm, kind: Kind) -> bool {
        let usage = match (kind, self.usage.as_deref()) {
            // What stands beside these in a bundle is for certificates.
            (Kind::Spiffe, usage) => usage == Some("jwt-svid"),
            (_, usage) => usage.is_none_or(|usage| usage == "sig"),
        };
        let own = match &self.public {
            Public::Rsa { .. } => Algorithm::RS256,
            Public::P256(_) => Algorithm::ES256,
            Public::Ed25519(_) => Algorithm::EdDSA,
        };
        let said = self.alg.as_deref().is_none_or(|alg| Algorithm::named(alg) == Some(algorithm));
        usage && said && own == algorithm
    }
}

impl Public {
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Public::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            Public::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Public::Ed25519(x) => UnparsedPublicKey::new(&ED25519, x).verify(message, signature).is_ok(),
        }
    }
}
