//! The key with which the authority proves itself at an authorization server. It is made here, and its private half is kept
//! like every other secret of a client: P-256, which every implementation of `private_key_jwt` knows.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use remit_core::hash::{b64, unb64};
use remit_core::jws::Jwk;
use remit_core::secret::Value;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::error::AuthorityError;

/// Length of one coordinate, in bytes.
const COORDINATE_BYTES: usize = 32;

/// A private key. No `Debug`.
pub(crate) struct ClientKey {
    pair: EcdsaKeyPair,
    public: Jwk,
}

impl ClientKey {
    /// A new key, and its private half as it is sealed.
    pub(crate) fn generate() -> Result<(Self, Value), AuthorityError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
        let text = Value::new(b64(document.as_ref()));
        Ok((Self::read(&text).ok_or(AuthorityError::Crypto)?, text))
    }

    /// Reads a private half that was unsealed.
    pub(crate) fn read(text: &Value) -> Option<Self> {
        let document = Zeroizing::new(unb64(text.expose())?);
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document).ok()?;
        let point = pair.public_key().as_ref();
        let (x, y) = point.get(1..)?.split_at_checked(COORDINATE_BYTES)?;
        let mut public = Jwk {
            kty: "EC".into(),
            crv: "P-256".into(),
            x: b64(x),
            y: Some(b64(y)),
            kid: None,
            alg: Some("ES256".into()),
            usage: Some("sig".into()),
        };
        public.kid = Some(public.thumbprint());
        Some(Self { pair, public })
    }

    /// The public half, as the authorization server is told it.
    pub(crate) fn public(&self) -> &Jwk {
        &self.public
    }

    /// A compact JWS of these claims (RFC 7515).
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<Value, AuthorityError> {
        let header = serde_json::json!({ "alg": "ES256", "typ": "JWT", "kid": self.public.kid });
        let signed = format!("{}.{}", b64(header.to_string().as_bytes()), b64(&serde_json::to_vec(claims)?));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(Value::new(format!("{signed}.{}", b64(signature.as_ref()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_core::jws::Unverified;

    #[test]
    fn what_it_signs_verifies_by_its_public_half() {
        let (key, text) = ClientKey::generate().unwrap();
        let again = ClientKey::read(&text).unwrap();
        assert_eq!(key.public(), again.public());
        let signed = again.sign(&serde_json::json!({ "iss": "x" })).unwrap();
        let claims = Unverified::parse(signed.expose()).unwrap().verify(key.public()).unwrap();
        assert_eq!(claims, br#"{"iss":"x"}"#);
        let other = ClientKey::generate().unwrap().0;
        assert!(Unverified::parse(signed.expose()).unwrap().verify(other.public()).is_none());
    }
}
