//! The key of a run, and what it signs: proofs of possession, made before anything is measured, and client assertions.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use remit_core::dpop::PROOF_TYPE;
use remit_core::hash::{b64, sha256};
use remit_core::jws::Jwk;
use serde_json::{Value, json};

/// How long an assertion holds, in seconds.
const ASSERTION_SECONDS: i64 = 240;

/// An Ed25519 key of this process. No `Debug`.
pub(crate) struct Key {
    pair: Ed25519KeyPair,
    next: AtomicU64,
}

impl Key {
    pub(crate) fn generate() -> io::Result<Self> {
        let pair = Ed25519KeyPair::generate().map_err(|_| io::Error::other("the system gives no random bytes"))?;
        Ok(Self { pair, next: AtomicU64::new(1) })
    }

    pub(crate) fn public(&self) -> Jwk {
        Jwk::ed25519(self.pair.public_key().as_ref(), None)
    }

    /// Proofs for requests of one kind with one token, each to be used once, within a minute.
    pub(crate) fn proofs(&self, count: usize, url: &str, token: Option<&str>) -> Vec<String> {
        self.proofs_of(("POST", url), token, count)
    }

    /// The same for any method of HTTP.
    pub(crate) fn proofs_of(&self, (method, url): (&str, &str), token: Option<&str>, count: usize) -> Vec<String> {
        let header = json!({ "typ": PROOF_TYPE, "alg": "EdDSA", "jwk": self.public() });
        let mut payload = json!({ "htm": method, "htu": url, "iat": now() });
        if let Some(token) = token {
            insert(&mut payload, "ath", b64(&sha256(&[token.as_bytes()])));
        }
        let proof = |_| {
            insert(&mut payload, "jti", self.id());
            self.sign(&header, &payload)
        };
        (0..count).map(proof).collect()
    }

    /// That the holder of this key is the instance, for the authority (RFC 7523).
    pub(crate) fn assertion(&self, instance: &str, issuer: &str) -> String {
        let (now, id) = (now(), self.id());
        let payload = json!({
            "iss": instance, "sub": instance, "aud": issuer, "iat": now, "exp": now + ASSERTION_SECONDS, "jti": id,
        });
        self.sign(&json!({ "typ": "JWT", "alg": "EdDSA" }), &payload)
    }

    /// A compact JWS.
    pub(crate) fn sign(&self, header: &Value, payload: &Value) -> String {
        let input = format!("{}.{}", b64(header.to_string().as_bytes()), b64(payload.to_string().as_bytes()));
        format!("{input}.{}", b64(self.pair.sign(input.as_bytes()).as_ref()))
    }

    fn id(&self) -> String {
        format!("j{:016x}", self.next.fetch_add(1, Ordering::Relaxed))
    }
}

fn insert(payload: &mut Value, name: &str, value: String) {
    if let Some(members) = payload.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "proofs are for the clock of the machine, which the gateway has too")]
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_core::dpop::{Request, verify};

    #[test]
    fn every_proof_is_accepted_and_is_another_one() {
        let key = Key::generate().unwrap();
        let url = "http://127.0.0.1:1/mcp/echo";
        let request = Request { method: "POST", url, token: "token" };
        let proofs = key.proofs(3, url, Some("token"));
        let mut ids: Vec<String> = proofs.iter().map(|proof| verify(proof, request, now()).unwrap().jti).collect();
        ids.dedup();
        assert_eq!(ids.len(), 3);
        assert_ne!(key.assertion("a", "b"), key.assertion("a", "b"));
    }
}
