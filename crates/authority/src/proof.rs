//! The proofs (RFC 9449) that the authority makes for runs whose keys it holds.

use remit_core::dpop::PROOF_TYPE;
use remit_core::hash::{b64, sha256};
use remit_core::jws::Jwk;
use serde::Serialize;

use crate::error::AuthorityError;
use crate::random;
use crate::signing::PrivateKey;

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    jwk: &'a Jwk,
}

#[derive(Serialize)]
struct Payload<'a> {
    htm: &'a str,
    htu: &'a str,
    iat: i64,
    jti: String,
    ath: String,
}

/// A proof for one request with a token.
pub(crate) fn make(key: &PrivateKey, method: &str, url: &str, token: &str, now: i64) -> Result<String, AuthorityError> {
    let header = Header { typ: PROOF_TYPE, alg: "EdDSA", jwk: key.public() };
    // RFC 9449 section 4.2: without query and fragment.
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let ath = b64(&sha256(&[token.as_bytes()]));
    let payload = Payload { htm: method, htu: url, iat: now, jti: random::jti()?, ath };
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
        // It goes with a token, and the token endpoint is asked for one.
        assert_eq!(dpop::verify_bare(&proof, "POST", url, 1_000), Err(dpop::ProofError::OtherRequest));
    }
}
