//! Tokens whose signatures were verified, and proofs that were seen: both bounded, both only memory.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remit_core::chain::{self, SEPARATOR};
use remit_core::claims::Claims;
use remit_core::dpop::{PROOF_WINDOW_S, Proof};
use remit_core::hash::{Digest, sha256};
use remit_core::identify::{Authentic, Request, authenticate};
use remit_core::input::Presented;
use remit_core::snapshot::Snapshot;

/// Verified tokens that are kept.
const TOKENS_MAX: usize = 20_000;
/// Verified chains that are kept. Whoever has a token makes as many as they like, so they have a place of their own.
const CHAINS_MAX: usize = 1_000;
/// Proofs that are remembered in one window; beyond it every proof is refused, because a replay could not be seen.
const PROOFS_MAX: usize = 1_000_000;

/// What was verified and seen.
#[derive(Default)]
pub struct Tokens {
    verified: Mutex<Verified>,
    proofs: Mutex<Proofs>,
}

/// Verified tokens of one bundle: another bundle may have other keys.
#[derive(Default)]
struct Verified {
    bundle: Digest,
    tokens: HashMap<Digest, Authentic>,
    chains: HashMap<Digest, Authentic>,
}

impl Verified {
    fn of(&mut self, text: &str) -> (&mut HashMap<Digest, Authentic>, usize) {
        let chain = text.contains(SEPARATOR);
        if chain { (&mut self.chains, CHAINS_MAX) } else { (&mut self.tokens, TOKENS_MAX) }
    }

    /// Where there is no room all are forgotten: each is verified again when it comes again, and none is refused.
    fn keep(&mut self, text: &str, key: Digest, authentic: Authentic) {
        let (kept, most) = self.of(text);
        if kept.len() >= most {
            kept.clear();
        }
        kept.insert(key, authentic);
    }
}

/// Half of a digest. Two proofs that share it would make the second one refused; there are a million of them at most.
type Seen = [u8; 16];

/// Proofs of this window and the one before.
#[derive(Default)]
struct Proofs {
    began: i64,
    now: HashSet<Seen>,
    before: HashSet<Seen>,
}

impl Tokens {
    /// What a request presents. A proof counts as used from here on.
    pub fn present(&self, snapshot: &Snapshot, request: Request<'_>, now: i64) -> Presented {
        authenticate(request, now, |token| self.lookup(snapshot, token), |proof| self.first_use(proof, now))
    }

    /// Whose token this value of `Authorization` holds, if one that is authentic and not over. Proves nothing of who
    /// sends it, and uses no proof up: enough to read on, never enough to decide.
    pub fn holder(&self, snapshot: &Snapshot, authorization: &str, now: i64) -> Option<Arc<Claims>> {
        let (_, token) = authorization.split_once(' ')?;
        let claims = Arc::clone(self.lookup(snapshot, token)?.claims());
        (claims.exp > now).then_some(claims)
    }

    fn lookup(&self, snapshot: &Snapshot, token: &str) -> Option<Authentic> {
        let key = sha256(&[token.as_bytes()]);
        let versioned = &snapshot.bundle.versioned;
        if let Some(known) = self.of(versioned.digest).of(token).0.get(&key) {
            return Some(known.clone());
        }
        let authentic = chain::verify(&snapshot.bundle, token)?;
        self.of(versioned.digest).keep(token, key, authentic.clone());
        Some(authentic)
    }

    fn of(&self, bundle: Digest) -> MutexGuard<'_, Verified> {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.bundle != bundle {
            *verified = Verified { bundle, ..Verified::default() };
        }
        verified
    }

    fn first_use(&self, proof: &Proof, now: i64) -> bool {
        // A proof is acceptable for one window on each side of its time, so two windows are remembered.
        const WINDOW_S: i64 = 2 * PROOF_WINDOW_S + 1;
        let digest = sha256(&[proof.jkt.as_bytes(), b"\0", proof.jti.as_bytes()]);
        let Some(key) = digest.first_chunk::<16>().copied() else { return false };
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(proofs.began) >= WINDOW_S {
            let older = now.saturating_sub(proofs.began) >= 2 * WINDOW_S;
            let last = std::mem::take(&mut proofs.now);
            proofs.before = if older { HashSet::new() } else { last };
            proofs.began = now;
        }
        proofs.now.len() < PROOFS_MAX && !proofs.before.contains(&key) && proofs.now.insert(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use remit_core::hash::b64;
    use remit_core::identify::verify;
    use remit_core::jws::Jwk;

    /// A digest of its own for each number.
    fn digest(n: u32) -> Digest {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        digest
    }

    fn seen(n: u32) -> Seen {
        u128::from(n).to_be_bytes()
    }

    fn authentic() -> Authentic {
        let claims = serde_json::json!({
            "ver": 1, "iss": "i", "aud": [], "exp": 1, "iat": 0, "jti": "t", "sub": "p", "sub_profile": "user",
            "client_id": "spiffe://acme.example/agent/support/triage/1",
            "act": { "sub": "spiffe://acme.example/agent/support/triage/1/r1", "iss": "i", "sub_profile": "a" },
            "authorization_details": [], "task": { "id": "t", "purpose": "p", "why": "w" }, "run": "r1", "root": "r1",
            "root_at": 0, "root_until": 10, "gid": "g", "del_depth": 0, "del_max_depth": 0,
            "grant": { "until": 10, "by": "policy" },
        });
        let pair = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let header = br#"{"typ":"at+jwt","alg":"EdDSA","kid":"k1"}"#;
        let signed = format!("{}.{}", b64(header), b64(claims.to_string().as_bytes()));
        let token = format!("{signed}.{}", b64(pair.sign(signed.as_bytes()).as_ref()));
        verify(&[Jwk::ed25519(pair.public_key().as_ref(), Some("k1".into()))], &token).unwrap()
    }

    /// Break: keep every token that was ever verified.
    #[test]
    fn tokens_that_are_kept_have_an_end() {
        let (authentic, mut verified) = (authentic(), Verified::default());
        let mut most = 0;
        for n in 0..50_000 {
            verified.keep("token", digest(n), authentic.clone());
            most = most.max(verified.tokens.len());
            assert!(verified.tokens.contains_key(&digest(n)), "the newest is always kept");
        }
        assert_eq!((most, verified.tokens.len()), (20_000, 10_000));
    }

    /// Break: keep chains among the tokens, so that one who makes many has all others verified again and again.
    #[test]
    fn chains_take_no_place_of_tokens() {
        let (authentic, mut verified) = (authentic(), Verified::default());
        verified.keep("token", digest(0), authentic.clone());
        for n in 1..2_501 {
            verified.keep("token~link", digest(n), authentic.clone());
            assert!(verified.chains.len() <= 1_000 && verified.chains.contains_key(&digest(n)));
        }
        assert_eq!((verified.tokens.len(), verified.chains.len()), (1, 500));
    }

    /// Break: forget proofs to make room for others, so that those can be used again; or remember more and more.
    #[test]
    fn where_no_proof_can_be_remembered_each_is_refused() {
        let tokens = Tokens::default();
        let proof = |jti: &str| Proof { jti: jti.into(), jkt: "k".into() };
        assert!(tokens.first_use(&proof("a"), 1_000));
        tokens.proofs.lock().unwrap().now.extend((1..1_000_000).map(seen));
        assert!(!tokens.first_use(&proof("b"), 1_001));
        assert_eq!(tokens.proofs.lock().unwrap().now.len(), 1_000_000);
        tokens.proofs.lock().unwrap().now.remove(&seen(9));
        assert!(tokens.first_use(&proof("b"), 1_001), "there was room for exactly one");
        // A window later there is room again, and what was seen before it is still known.
        assert!(!tokens.first_use(&proof("a"), 1_122));
        assert!(tokens.first_use(&proof("c"), 1_122));
    }

    #[test]
    fn a_proof_is_used_once_for_as_long_as_it_could_be_accepted() {
        let tokens = Tokens::default();
        let proof = |jti: &str| Proof { jti: jti.into(), jkt: "k".into() };
        assert!(tokens.first_use(&proof("a"), 1_000));
        for later in [1_000, 1_060, 1_121, 1_122, 1_240] {
            assert!(!tokens.first_use(&proof("a"), later), "{later}");
        }
        assert!(tokens.first_use(&proof("b"), 1_240));
        assert!(tokens.first_use(&Proof { jkt: "other".into(), ..proof("a") }, 1_240));
    }
}
