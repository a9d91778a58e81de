//! Tokens and proofs: nothing opens that a known key did not sign, and what opens says what it was asked.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use remit_core::claims::Claims;
use remit_core::dpop::{self, PROOF_WINDOW_S, ProofError};
use remit_core::hash::{b64, sha256};
use remit_core::identify::{Request, authenticate, verify};
use remit_core::input::Presented;
use remit_core::jws::{Jwk, Unverified};
use serde_json::Value as Json;

use crate::parts::{choice, texts};

pub(crate) const NOW: i64 = 1_795_250_400;
const URL: &str = "https://gw.example/mcp/tickets";
const TOKEN: &str = "token";

/// The key that signs here, and one that never does.
pub(crate) static KEYS: LazyLock<Option<(Ed25519KeyPair, Jwk, Jwk)>> = LazyLock::new(|| {
    let pair = |seed| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).ok();
    let public = |pair: &Ed25519KeyPair| Jwk::ed25519(pair.public_key().as_ref(), Some("k".into()));
    let (signs, never) = (pair(7)?, pair(9)?);
    let (own, other) = (public(&signs), public(&never));
    Some((signs, own, other))
});

/// The first byte chooses: a text as it is, or a header and a payload that are signed.
pub fn token(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    let Some((_, own, never)) = KEYS.as_ref() else { return };
    let Some([header, payload]) = texts(rest) else { return };
    match first % 4 {
        0 => forged(header, never),
        1 => minted(&signed(header, payload), (header, payload), (own, never)),
        2 => proof(header, payload),
        _ => key(header),
    }
}

/// A compact JWS by that key.
pub(crate) fn signed(header: &str, payload: &str) -> String {
    let input = format!("{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()));
    let signature = KEYS.as_ref().map(|(pair, _, _)| b64(pair.sign(input.as_bytes()).as_ref()));
    format!("{input}.{}", signature.unwrap_or_default())
}

/// A text that nobody signed is no token and no proof, in whatever header it comes.
fn forged(text: &str, never: &Jwk) {
    assert!(verify(std::slice::from_ref(never), text).is_none(), "opened without a signature");
    let request = Request { authorization: Some(text), proof: Some(text), method: "POST", url: URL };
    let mut asked = None;
    let presented = authenticate(request, NOW, |token| (asked = Some(token.to_owned()), None).1, |_| true);
    assert_eq!(presented, Presented::Invalid);
    assert!(asked.is_none_or(|token| text.ends_with(&format!(" {token}"))), "another token was looked up");
    if let Some(jws) = Unverified::parse(text) {
        assert!(text.is_ascii() && text.matches('.').count() == 2);
        assert_eq!(jws.verify(never), None);
    }
}

/// A token of a known key opens to its payload, as another reader reads it; with one bit less it is nothing.
fn minted(compact: &str, (header, payload): (&str, &str), (own, never): (&Jwk, &Jwk)) {
    assert!(verify(std::slice::from_ref(never), compact).is_none(), "the key was chosen by its name alone");
    let Some(authentic) = verify(std::slice::from_ref(own), compact) else { return };
    let (Ok(said), Ok(body)) = (serde_json::from_str::<Json>(header), serde_json::from_str::<Json>(payload)) else {
        return;
    };
    let alg = said.get("alg").and_then(Json::as_str);
    assert!(matches!(alg, Some("EdDSA" | "Ed25519")), "{alg:?}");
    assert!(said.get("crit").is_none() && said.get("jwk").is_none_or(Json::is_null));
    let claims = authentic.claims();
    assert!(claims.coherent());
    let text = |name: &str| body.get(name).and_then(Json::as_str);
    let number = |name: &str| body.get(name).and_then(Json::as_i64);
    assert_eq!(
        (text("sub"), text("jti"), text("run")),
        (Some(claims.sub.as_str()), Some(&*claims.jti), Some(claims.run.as_str()))
    );
    assert_eq!((number("exp"), number("iat")), (Some(claims.exp), Some(claims.iat)));
    let written = serde_json::to_string(&**claims).unwrap_or_default();
    assert_eq!(serde_json::from_str::<Claims>(&written).ok().as_ref(), Some(&**claims));
    for at in (0..compact.len()).step_by(compact.len().div_ceil(16).max(1)) {
        let mut changed = compact.to_owned().into_bytes();
        changed.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
        let changed = String::from_utf8(changed).unwrap_or_default();
        assert!(verify(std::slice::from_ref(own), &changed).is_none(), "byte {at} does not count");
    }
}

/// A proof is for one method, one URL, one token and two minutes. An empty header stands for a lawful one.
fn proof(header: &str, payload: &str) {
    let Some((_, own, _)) = KEYS.as_ref() else { return };
    let key = serde_json::to_string(own).unwrap_or_default();
    let lawful = format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{key}}}"#);
    let proof = signed(if header.is_empty() { &lawful } else { header }, payload);
    let request = |method, url, token| dpop::Request { method, url, token };
    let _bare = dpop::verify_bare(&proof, "POST", URL, NOW);
    let Ok(found) = dpop::verify(&proof, request("POST", URL, TOKEN), NOW) else { return };
    assert_eq!(found.jkt, own.thumbprint());
    for other in [request("GET", URL, TOKEN), request("POST", "https://gw.example/", TOKEN), request("POST", URL, "x")]
    {
        assert_eq!(dpop::verify(&proof, other, NOW), Err(ProofError::OtherRequest));
    }
    assert!(dpop::verify(&proof, request("POST", URL, TOKEN), NOW + 2 * PROOF_WINDOW_S + 1).is_err());
    assert_eq!(dpop::verify_bare(&proof, "POST", URL, NOW).map(|bare| bare.jti), Err(ProofError::OtherRequest));
    let Ok(body) = serde_json::from_str::<Json>(payload) else { return };
    let text = |name: &str| body.get(name).and_then(Json::as_str).unwrap_or_default();
    assert_eq!((text("htm"), text("htu"), text("jti")), ("POST", URL, &*found.jti));
    assert_eq!(text("ath"), b64(&sha256(&[TOKEN.as_bytes()])));
}

/// A key reads back as it was written, and never holds a private half.
fn key(text: &str) {
    let Ok(key) = serde_json::from_str::<Jwk>(text) else { return };
    assert_eq!(key.thumbprint().len(), 43);
    let written = serde_json::to_string(&key).unwrap_or_default();
    assert_eq!(serde_json::from_str::<Jwk>(&written).ok().as_ref(), Some(&key));
    let private = |body: Json| body.get("d").is_some() || body.get("k").is_some();
    assert!(!serde_json::from_str(text).is_ok_and(private), "a private key passed for a public one");
}
