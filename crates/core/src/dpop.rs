//! Proof of possession (RFC 9449): a fresh signature by the key to which a token is bound, over this very request.

use serde::Deserialize;

use crate::hash::{b64, sha256};
use crate::json::object;
use crate::jws::{Jwk, Unverified};

/// How far a proof's `iat` may be from the clock, in seconds, either way.
pub const PROOF_WINDOW_S: i64 = 60;
/// The `typ` of a proof.
pub const PROOF_TYPE: &str = "dpop+jwt";
/// Longest `jti` of a proof, in bytes.
pub const PROOF_JTI_BYTES_MAX: usize = 128;

/// What the request says of itself; the proof must say the same. No `Debug`: it holds a token.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The URL as the client sees it, without query and fragment.
    pub url: &'a str,
    /// The access token that came with the proof.
    pub token: &'a str,
}

/// A proof that was verified. Whether it is used for the first time is for the caller to see: `jti` by `jkt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The proof's own id.
    pub jti: String,
    /// Thumbprint of the key that signed it.
    pub jkt: String,
}

/// The one answer to every bad proof: which check failed is for the log, not for the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not a `DPoP` proof, or its signature does not verify.
    #[error("the proof is not a signed DPoP proof")]
    Malformed,
    /// Made for another request, or for another token.
    #[error("the proof was made for another request")]
    OtherRequest,
    /// Made too long ago, or in the future.
    #[error("the proof is not fresh")]
    Stale,
}

/// A verified proof that goes with no access token, such as one for the token endpoint (RFC 9449 section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bare {
    /// The key that signed it.
    pub key: Jwk,
    /// The proof's own id.
    pub jti: String,
    /// When it was made, in seconds since 1970.
    pub made: i64,
}

#[derive(Deserialize)]
struct Payload {
    htm: String,
    htu: String,
    iat: i64,
    jti: String,
    #[serde(default)]
    ath: Option<String>,
}

/// Verifies a `DPoP` header's value for `request` (RFC 9449 section 4.3, all but the replay check).
pub fn verify(proof: &str, request: Request<'_>, now: i64) -> Result<Proof, ProofError> {
    let ath = b64(&sha256(&[request.token.as_bytes()]));
    let (key, payload) = check(proof, (request.method, request.url, Some(&ath)), now)?;
    Ok(Proof { jti: payload.jti, jkt: key.thumbprint() })
}

/// The same where there is no access token yet.
pub fn verify_bare(proof: &str, method: &str, url: &str, now: i64) -> Result<Bare, ProofError> {
    let (key, payload) = check(proof, (method, url, None), now)?;
    Ok(Bare { key, jti: payload.jti, made: payload.iat })
}

fn check(proof: &str, on: (&str, &str, Option<&str>), now: i64) -> Result<(Jwk, Payload), ProofError> {
    let jws = Unverified::parse(proof).ok_or(ProofError::Malformed)?;
    let key = jws.header.jwk.clone().ok_or(ProofError::Malformed)?;
    if jws.header.typ.as_deref() != Some(PROOF_TYPE) {
        return Err(ProofError::Malformed);
    }
    let payload = jws.verify(&key).ok_or(ProofError::Malformed)?;
    let payload: Payload = object(&payload).ok_or(ProofError::Malformed)?;
    if payload.jti.is_empty() || payload.jti.len() > PROOF_JTI_BYTES_MAX {
        return Err(ProofError::Malformed);
    }
    if (payload.htm.as_str(), payload.htu.as_str(), payload.ath.as_deref()) != on {
        return Err(ProofError::OtherRequest);
    }
    if now.saturating_sub(payload.iat).saturating_abs() > PROOF_WINDOW_S {
        return Err(ProofError::Stale);
    }
    Ok((key, payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jws::Jwk;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    const NOW: i64 = 1_795_250_400;
    const REQUEST: Request<'_> = Request { method: "POST", url: "https://gw.example/mcp/tickets", token: "token" };

    fn proof(typ: &str, method: &str, url: &str, iat: i64, token: &str) -> String {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap();
        let key = serde_json::to_string(&Jwk::ed25519(pair.public_key().as_ref(), None)).unwrap();
        let ath = b64(&sha256(&[token.as_bytes()]));
        let header = format!(r#"{{"typ":"{typ}","alg":"EdDSA","jwk":{key}}}"#);
        let payload = format!(r#"{{"htm":"{method}","htu":"{url}","iat":{iat},"jti":"j1","ath":"{ath}"}}"#);
        let input = format!("{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()));
        format!("{input}.{}", b64(pair.sign(input.as_bytes()).as_ref()))
    }

    #[track_caller]
    fn check(proof: &str, expected: Result<&str, ProofError>) {
        assert_eq!(verify(proof, REQUEST, NOW).as_ref().map(|p| p.jti.as_str()).map_err(|e| *e), expected);
    }

    #[test]
    fn a_proof_is_for_one_request_one_token_and_one_minute() {
        let good = |iat| proof("dpop+jwt", REQUEST.method, REQUEST.url, iat, REQUEST.token);
        check(&good(NOW), Ok("j1"));
        check(&good(NOW - PROOF_WINDOW_S), Ok("j1"));
        check(&good(NOW - PROOF_WINDOW_S - 1), Err(ProofError::Stale));
        check(&good(NOW + PROOF_WINDOW_S + 1), Err(ProofError::Stale));
        check(&proof("dpop+jwt", "GET", REQUEST.url, NOW, REQUEST.token), Err(ProofError::OtherRequest));
        check(&proof("dpop+jwt", "POST", "https://gw.example/mcp/x", NOW, "token"), Err(ProofError::OtherRequest));
        check(&proof("dpop+jwt", "POST", REQUEST.url, NOW, "another"), Err(ProofError::OtherRequest));
        check(&proof("jwt", "POST", REQUEST.url, NOW, "token"), Err(ProofError::Malformed));
        // Where there is no token, nothing of one is proved; else all is checked alike.
        let bare = |proof: &str, url| verify_bare(proof, REQUEST.method, url, NOW).map(|bare| bare.made);
        assert_eq!(bare(&good(NOW), REQUEST.url), Err(ProofError::OtherRequest));
        let mut forged = good(NOW);
        forged.replace_range(forged.len() - 4.., "AAAA");
        check(&forged, Err(ProofError::Malformed));
    }
}
