//! `DPoP` at the token endpoint (RFC 9449 section 5), and the proofs that the authority makes for runs whose keys it holds.

use remit_core::dpop::{PROOF_JTI_BYTES_MAX, PROOF_WINDOW_S};
use remit_core::hash::{b64, sha256};
use remit_core::jws::{Jwk, Unverified};
use serde::{Deserialize, Serialize};

use crate::error::AuthorityError;
use crate::random;
use crate::signing::PrivateKey;

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    jwk: &'a Jwk,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    htm: String,
    htu: String,
    iat: i64,
    jti: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
}

/// A verified proof: the key that made it, and the id by which it is seen only once.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) key: Jwk,
    pub(crate) jti: String,
    /// When it was made.
    pub(crate) made: i64,
}

/// Verifies a proof for `POST` to the token endpoint, where there is no access token yet. All but the replay check.
pub(crate) fn verify(proof: &str, url: &str, now: i64) -> Option<Proven> {
    let jws = Unverified::parse(proof)?;
    let key = jws.header.jwk.clone()?;
    if jws.header.typ.as_deref() != Some("dpop+jwt") {
        return None;
    }
    let payload: Payload = serde_json::from_slice(&jws.verify(&key)?).ok()?;
    let fresh = now.saturating_sub(payload.iat).saturating_abs() <= PROOF_WINDOW_S;
    let named = !payload.jti.is_empty() && payload.jti.len() <= PROOF_JTI_BYTES_MAX;
    let here = payload.htm == "POST" && payload.htu == url;
    (fresh && named && here).then_some(Proven { key, jti: payload.jti, made: payload.iat })
}

/// A proof for one request with a token.
pub(crate) fn make(key: &PrivateKey, method: &str, url: &str, token: &str, now: i64) -> Result<String, AuthorityError> {
    let header = Header { typ: "dpop+jwt", alg: "EdDSA", jwk: key.public() };
    // RFC 9449 section 4.2: without query and fragment.
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let payload = Payload {
        htm: method.to_owned(),
        htu: url.to_owned(),
        iat: now,
        jti: random::jti()?,
        ath: Some(b64(&sha256(&[token.as_bytes()]))),
    };
    key.sign(&header, &payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_core::dpop::{self, Request};

    #[test]
    fn the_gateway_accepts_our_proofs_and_the_token_endpoint_does_not() {
        let (key, _) = PrivateKey::generate().unwrap();
        let url = "https://gw.example/mcp/tickets";
        let proof = make(&key, "POST", &format!("{url}?x#y"), "token", 1_000).unwrap();
        let request = Request { method: "POST", url, token: "token" };
        let proven = dpop::verify(&proof, request, 1_000).unwrap();
        assert_eq!(proven.jkt, key.public().thumbprint());
        assert!(verify(&proof, url, 1_000).is_some());
        assert!(verify(&proof, "https://as.example/token", 1_000).is_none());
        assert!(verify(&proof, url, 1_061).is_none());
    }
}
