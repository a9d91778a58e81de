//! The actor token (RFC 8693 section 2.1): an agent that shall act for a run signs with the key that its own run will have.
//!
//! The key stands in the header, so the signature proves possession and nothing else: which agent may act for whom is for
//! the exchange to judge. `iss` and `sub` are the agent, `spiffe://<trust domain>/agent/<team>/<name>/<version>`.

use remit_core::id::AgentId;
use remit_core::json::object;
use remit_core::jws::{Jwk, Unverified};

use crate::assertion::{Asserted, Payload};

/// What an actor token says, verified; whether it says so for the first time is for the caller to see.
#[derive(Debug)]
pub struct Acting {
    /// The agent that shall act.
    pub agent: AgentId,
    /// The key that it showed to be its own.
    pub key: Jwk,
    /// The token's id and times.
    pub asserted: Asserted,
}

/// Verifies an actor token by the key in its header. It is for the authority by its name alone.
pub fn verify(text: &str, issuer: &str, now: i64) -> Option<Acting> {
    let jws = Unverified::parse(text)?;
    // A token or a proof is signed by the same key, and must not pass for this.
    if !matches!(jws.header.typ.as_deref(), None | Some("JWT")) || jws.header.kid.is_some() {
        return None;
    }
    let key = plain(jws.header.jwk.as_ref()?)?;
    let payload: Payload = object(&jws.verify(&key)?)?;
    // An assertion of a run names the run too, which is no agent.
    let agent = AgentId::parse(&payload.sub).ok()?;
    let asserted = payload.asserted(&agent.to_string(), [issuer, issuer], now)?;
    Some(Acting { agent, key, asserted })
}

/// The key without what its owner says of it. One key has one thumbprint: a member that does not belong to its kind would
/// give it another, under which nobody has revoked it.
fn plain(key: &Jwk) -> Option<Jwk> {
    let bare = Jwk { kid: None, alg: None, usage: None, ..key.clone() };
    match (key.kty.as_str(), key.crv.as_str(), &key.y) {
        ("OKP", "Ed25519", None) | ("EC", "P-256", Some(_)) => Some(bare),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::PrivateKey;
    use serde_json::{Value, json};

    const ISSUER: &str = "https://as.example";
    const AGENT: &str = "spiffe://acme.example/agent/support/reader/1";
    const NOW: i64 = 1_795_250_400;

    fn verified(header: &Value, claims: &Value) -> Option<Acting> {
        let (key, _) = PrivateKey::generate().unwrap();
        let mut all = json!({"alg": "EdDSA", "typ": "JWT", "jwk": key.public()});
        let mut payload = json!({"iss": AGENT, "sub": AGENT, "aud": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": "j"});
        for (whole, changes) in [(&mut all, header), (&mut payload, claims)] {
            for (name, value) in changes.as_object().unwrap() {
                whole[name] = value.clone();
            }
        }
        let acting = verify(&key.sign(&all, &payload).unwrap(), ISSUER, NOW);
        assert!(acting.as_ref().is_none_or(|acting| acting.key == *key.public()));
        acting
    }

    /// Break: take a proof, an assertion or another algorithm for an actor token, or one that is for somebody else.
    #[test]
    fn an_actor_token_is_of_an_agent_for_this_authority_and_for_minutes() {
        let (none, other) = (json!({}), PrivateKey::generate().unwrap().0);
        assert_eq!(verified(&none, &none).unwrap().agent.to_string(), AGENT);
        let run = format!("{AGENT}/r-1");
        for claims in [
            json!({"iss": "spiffe://acme.example/agent/support/writer/1"}),
            json!({"iss": run, "sub": run}),
            json!({"iss": "support/reader@1", "sub": "support/reader@1"}),
            json!({"aud": "https://as.example/token"}),
            json!({"aud": [ISSUER, "https://other.example"]}),
            json!({"exp": NOW}),
            json!({"exp": NOW + 3_600}),
            json!({"iat": NOW + 3_600}),
            json!({"nbf": NOW + 3_600}),
            json!({"jti": ""}),
        ] {
            assert!(verified(&none, &claims).is_none(), "{claims}");
        }
        for header in [
            json!({"typ": "dpop+jwt"}),
            json!({"typ": "at+jwt"}),
            json!({"kid": "k"}),
            json!({"jwk": null}),
            json!({"jwk": other.public()}),
            json!({"alg": "none"}),
            json!({"alg": "HS256"}),
            json!({"alg": "ES256"}),
        ] {
            assert!(verified(&header, &none).is_none(), "{header}");
        }
    }

    /// Break: let a key that was revoked come back with a member more.
    #[test]
    fn a_key_has_one_thumbprint() {
        let (key, _) = PrivateKey::generate().unwrap();
        let plain = serde_json::to_value(key.public()).unwrap();
        let mut more = plain.clone();
        more["y"] = "AA".into();
        let payload = json!({"iss": AGENT, "sub": AGENT, "aud": ISSUER, "exp": NOW + 60, "jti": "j"});
        for (jwk, accepted) in [(&plain, true), (&more, false)] {
            let text = key.sign(&json!({"alg": "EdDSA", "jwk": jwk}), &payload).unwrap();
            assert_eq!(verify(&text, ISSUER, NOW).is_some(), accepted, "{jwk}");
        }
        let mut said = plain;
        (said["use"], said["alg"]) = ("sig".into(), "Ed25519".into());
        let text = key.sign(&json!({"alg": "EdDSA", "jwk": said}), &payload).unwrap();
        assert_eq!(verify(&text, ISSUER, NOW).unwrap().key, *key.public());
    }
}
