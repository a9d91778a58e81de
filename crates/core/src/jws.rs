//! Compact JWS (RFC 7515) with the algorithms that Remit accepts, and the public keys that verify it (RFC 7517).
//!
//! The algorithm comes from the key, never from the header alone: a header that names another one is refused, so
//! there is no `none` and no confusion of keys.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::hash::{b64, sha256, unb64};
use crate::json::object;

/// Longest token or proof that is looked at, in bytes.
pub const JWS_BYTES_MAX: usize = 16 * 1024;

/// A public key (RFC 7517, RFC 8037). A private member makes the key unreadable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwk {
    /// `OKP` or `EC`.
    pub kty: String,
    /// `Ed25519` or `P-256`.
    pub crv: String,
    /// The x coordinate, or the whole Ed25519 key.
    pub x: String,
    /// The y coordinate of a P-256 key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The key's name within its set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The algorithm it is for, where its owner says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig`, where its owner says so.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
}

impl Jwk {
    /// The key of an Ed25519 public key's 32 bytes.
    pub fn ed25519(public: &[u8], kid: Option<String>) -> Self {
        Self { kty: "OKP".into(), crv: "Ed25519".into(), x: b64(public), y: None, kid, alg: None, usage: None }
    }

    /// The key's SHA-256 thumbprint (RFC 7638): the `jkt` of RFC 9449.
    pub fn thumbprint(&self) -> String {
        // Only letters of base64url and fixed names stand here, so the text is already canonical JSON.
        let members = match &self.y {
            Some(y) => format!(r#"{{"crv":"{}","kty":"{}","x":"{}","y":"{y}"}}"#, self.crv, self.kty, self.x),
            None => format!(r#"{{"crv":"{}","kty":"{}","x":"{}"}}"#, self.crv, self.kty, self.x),
        };
        b64(&sha256(&[members.as_bytes()]))
    }

    /// Whether its owner means the key for signatures of this algorithm; an owner who says nothing does.
    fn is_for(&self, alg: &str) -> bool {
        // RFC 9864 names the algorithm `Ed25519`; older signers say `EdDSA`.
        let one = |alg: &str| if alg == "Ed25519" { "EdDSA" } else { alg }.to_owned();
        self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.alg.as_deref().is_none_or(|own| one(own) == one(alg))
    }

    fn verify(&self, alg: &str, message: &[u8], signature: &[u8]) -> bool {
        if !self.is_for(alg) {
            return false;
        }
        match (self.kty.as_str(), self.crv.as_str(), alg) {
            // A coordinate that such a key does not have would give it another thumbprint, under which nobody revoked it.
            ("OKP", "Ed25519", "EdDSA" | "Ed25519") if self.y.is_none() => {
                let Some(key) = unb64(&self.x).filter(|x| x.len() == 32) else {
                    return false;
                };
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
            }
            ("EC", "P-256", "ES256") => {
                let coordinate = |text: &str| unb64(text).filter(|c| c.len() == 32);
                let (Some(x), Some(y)) = (coordinate(&self.x), self.y.as_deref().and_then(coordinate)) else {
                    return false;
                };
                let point = [&[4_u8][..], &x, &y].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// A JWS protected header. `crit` and `b64` are refused by being unknown.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The algorithm that the signer claims.
    pub alg: String,
    /// The media type of the whole object.
    pub typ: Option<String>,
    /// The key's name in the issuer's set.
    pub kid: Option<String>,
    /// The key itself, in a `DPoP` proof.
    pub jwk: Option<Jwk>,
}

/// A JWS whose signature has not been looked at. Its content is reached only by verifying it.
pub struct Unverified<'a> {
    /// The protected header: what its sender claims.
    pub header: Header,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Splits a compact JWS; `None` where it is not one.
    pub fn parse(compact: &'a str) -> Option<Self> {
        if compact.len() > JWS_BYTES_MAX {
            return None;
        }
        let (signed, signature) = compact.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header = object(&unb64(header)?)?;
        Some(Self { header, signed, payload: unb64(payload)?, signature: unb64(signature)? })
    }

    /// The payload, where `key` made the signature.
    pub fn verify(self, key: &Jwk) -> Option<Vec<u8>> {
        key.verify(&self.header.alg, self.signed.as_bytes(), &self.signature).then_some(self.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    fn signed(header: &str, payload: &str) -> (String, Jwk) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let signing_input = format!("{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()));
        let compact = format!("{signing_input}.{}", b64(pair.sign(signing_input.as_bytes()).as_ref()));
        (compact, Jwk::ed25519(pair.public_key().as_ref(), Some("k".into())))
    }

    #[test]
    fn only_the_right_key_and_algorithm_open_it() {
        let (compact, key) = signed(r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k"}"#, "{}");
        assert_eq!(Unverified::parse(&compact).unwrap().verify(&key).as_deref(), Some(&b"{}"[..]));
        let other = Jwk { x: b64(&[9; 32]), ..key.clone() };
        assert_eq!(Unverified::parse(&compact).unwrap().verify(&other), None);
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"ES256"}"#] {
            let (compact, key) = signed(header, "{}");
            assert_eq!(Unverified::parse(&compact).unwrap().verify(&key), None, "{header}");
        }
        for header in [r#"{"alg":"EdDSA","crit":["exp"]}"#, r#"{"alg":"EdDSA","b64":false}"#] {
            assert!(Unverified::parse(&signed(header, "{}").0).is_none(), "{header}");
        }
    }

    #[test]
    fn another_text_of_the_same_bytes_is_not_the_same_token() {
        let (compact, key) = signed(r#"{"alg":"EdDSA"}"#, "{}");
        for bad in [format!("{compact}="), compact.replacen('.', "..", 1), format!("{compact} ")] {
            let opened = Unverified::parse(&bad).and_then(|jws| jws.verify(&key));
            assert_eq!(opened, None, "{bad}");
        }
    }

    #[test]
    fn a_private_key_is_no_jwk() {
        assert!(serde_json::from_str::<Jwk>(r#"{"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA"}"#).is_err());
    }

    /// Break: refuse every key of the second kind, or accept one by half.
    #[test]
    fn the_signature_of_rfc_7515_appendix_a3_opens_under_its_key_alone() {
        const COMPACT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
            DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let key: Jwk = serde_json::from_str(
            r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        )
        .unwrap();
        let opens = |key: &Jwk| Unverified::parse(COMPACT).unwrap().verify(key).is_some();
        assert!(opens(&key));
        let long = |text: &str| b64(&[&[0], unb64(text).unwrap().as_slice()].concat());
        let y = key.y.clone().unwrap();
        for other in [
            Jwk { x: y.clone(), y: Some(key.x.clone()), ..key.clone() },
            Jwk { x: long(&key.x), ..key.clone() },
            Jwk { y: Some(long(&y)), ..key.clone() },
            Jwk { y: None, ..key.clone() },
            Jwk { kty: "OKP".into(), ..key.clone() },
            Jwk { crv: "P-384".into(), ..key.clone() },
            Jwk { alg: Some("EdDSA".into()), ..key.clone() },
        ] {
            assert!(!opens(&other), "{other:?}");
        }
    }

    #[test]
    fn thumbprint_of_rfc_8037_appendix_a3() {
        let key: Jwk =
            serde_json::from_str(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#)
                .unwrap();
        assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
