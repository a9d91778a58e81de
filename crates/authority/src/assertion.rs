//! Client authentication by `private_key_jwt` (RFC 7523 section 2.2): a run signs with its own key.
//!
//! `iss` and `sub` are the acting instance, `spiffe://<trust domain>/agent/<team>/<name>/<version>/<run>`.

use std::collections::HashMap;

use remit_core::id::Instance;
use remit_core::json::object;
use remit_core::jws::{Jwk, Unverified};
use serde::Deserialize;

/// The one value of `client_assertion_type`.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Longest life of an assertion, in seconds.
pub const ASSERTION_SECONDS_MAX: i64 = 300;
/// How far an assertion's times may be ahead of the clock, in seconds.
pub const SKEW_S: i64 = 30;
/// Longest id of an assertion, in bytes.
pub const JTI_BYTES_MAX: usize = 128;
/// Most ids of assertions and proofs that are remembered; beyond that none is accepted.
const SEEN_MAX: usize = 100_000;

/// The claims of whoever signs for itself.
#[derive(Deserialize)]
pub(crate) struct Payload {
    iss: String,
    pub(crate) sub: String,
    aud: Audience,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    iat: Option<i64>,
    jti: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// What an assertion says, verified; whether it says so for the first time is for the caller to see.
#[derive(Debug)]
pub struct Asserted {
    /// Its id.
    pub jti: String,
    /// When it was made, or the earliest time at which it can have been.
    pub made: i64,
    /// When it ends.
    pub exp: i64,
}

/// The instance that an assertion claims to be of. Nothing of it is verified: it only says whose key to look up.
pub fn claimed(assertion: &str) -> Option<Instance> {
    use remit_core::hash::unb64;
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    let mut parts = assertion.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let subject: Subject = object(&unb64(payload)?)?;
    Instance::try_from(subject.sub).ok()
}

/// Verifies an assertion of `instance` by its registered key, for one of our own URLs.
pub fn verify(assertion: &str, instance: &Instance, key: &Jwk, audiences: [&str; 2], now: i64) -> Option<Asserted> {
    let jws = Unverified::parse(assertion)?;
    let typ = jws.header.typ.as_deref().unwrap_or("JWT");
    // A token or a DPoP proof is signed by the same key, and must not pass for an assertion.
    if !matches!(typ, "JWT" | "client-authentication+jwt") {
        return None;
    }
    let payload: Payload = object(&jws.verify(key)?)?;
    payload.asserted(&instance.to_string(), audiences, now)
}

impl Payload {
    /// What it asserts, where `id` says it of itself, here and now.
    pub(crate) fn asserted(self, id: &str, audiences: [&str; 2], now: i64) -> Option<Asserted> {
        let here = match &self.aud {
            Audience::One(aud) => audiences.contains(&aud.as_str()),
            Audience::Many(many) => many.len() == 1 && many.iter().all(|a| audiences.contains(&a.as_str())),
        };
        let soon = now.saturating_add(SKEW_S);
        let fresh = self.exp > now
            && self.exp <= soon.saturating_add(ASSERTION_SECONDS_MAX)
            && self.nbf.is_none_or(|nbf| nbf <= soon)
            && self.iat.is_none_or(|iat| iat <= soon);
        let named = !self.jti.is_empty() && self.jti.len() <= JTI_BYTES_MAX;
        let made = self.iat.unwrap_or(self.exp.saturating_sub(ASSERTION_SECONDS_MAX + SKEW_S));
        let of_it = self.iss == id && self.sub == id;
        (of_it && here && fresh && named).then_some(Asserted { jti: self.jti, made, exp: self.exp })
    }
}

/// Ids that were seen and could be sent again.
#[derive(Debug, Default)]
pub(crate) struct Seen(HashMap<String, i64>);

impl Seen {
    /// Notes an id until its end; `false` where it was seen before, or no more can be remembered.
    pub(crate) fn first(&mut self, id: String, until: i64, now: i64) -> bool {
        if self.0.len() >= SEEN_MAX {
            self.0.retain(|_, end| *end >= now);
        }
        if self.0.len() >= SEEN_MAX || self.0.get(&id).is_some_and(|end| *end >= now) {
            return false;
        }
        self.0.insert(id, until);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::PrivateKey;
    use serde_json::{Value, json};

    const NOW: i64 = 1_795_250_400;
    const ID: &str = "spiffe://acme.example/agent/support/triage/1/r-1";
    const HERE: [&str; 2] = ["https://as.example", "https://as.example/token"];

    fn good() -> Value {
        json!({"iss": ID, "sub": ID, "aud": HERE[0], "exp": NOW + 60, "jti": "j"})
    }

    #[track_caller]
    fn check(typ: &str, changes: &Value, accepted: bool) {
        let (key, _) = PrivateKey::generate().unwrap();
        let mut payload = good();
        for (name, value) in changes.as_object().unwrap() {
            payload[name] = value.clone();
        }
        let text = key.sign(&json!({"alg": "EdDSA", "typ": typ}), &payload).unwrap();
        let instance = Instance::try_from(ID.to_owned()).unwrap();
        let verified = verify(&text, &instance, key.public(), HERE, NOW);
        assert_eq!(verified.is_some(), accepted, "{typ} {changes}");
        let (other, _) = PrivateKey::generate().unwrap();
        assert!(verify(&text, &instance, other.public(), HERE, NOW).is_none());
    }

    #[test]
    fn an_assertion_is_of_one_instance_for_one_audience_and_for_minutes() {
        check("JWT", &json!({}), true);
        check("client-authentication+jwt", &json!({"aud": [HERE[1]]}), true);
        check("at+jwt", &json!({}), false);
        check("dpop+jwt", &json!({}), false);
        check("JWT", &json!({"iss": "other"}), false);
        check("JWT", &json!({"sub": "spiffe://acme.example/agent/support/triage/1/r-2"}), false);
        check("JWT", &json!({"aud": "https://other.example"}), false);
        check("JWT", &json!({"aud": [HERE[0], "https://other.example"]}), false);
        check("JWT", &json!({"exp": NOW}), false);
        check("JWT", &json!({"exp": NOW + 3_600}), false);
        check("JWT", &json!({"iat": NOW + 3_600}), false);
        check("JWT", &json!({"nbf": NOW + 3_600}), false);
        check("JWT", &json!({"jti": ""}), false);
    }

    /// Break: take claims for what they are by the order in which they stand.
    #[test]
    fn claims_without_names_are_none() {
        let (key, _) = PrivateKey::generate().unwrap();
        let instance = Instance::try_from(ID.to_owned()).unwrap();
        let list = json!([ID, ID, HERE[0], NOW + 60, null, null, "j"]);
        for (payload, accepted) in [(good(), true), (list, false), (json!([ID]), false)] {
            let text = key.sign(&json!({"alg": "EdDSA"}), &payload).unwrap();
            assert_eq!(claimed(&text).is_some(), accepted, "{payload}");
            assert_eq!(verify(&text, &instance, key.public(), HERE, NOW).is_some(), accepted, "{payload}");
        }
    }

    #[test]
    fn an_id_is_new_once_until_its_end() {
        let mut seen = Seen::default();
        assert!(seen.first("a".into(), 10, 5));
        assert!(!seen.first("a".into(), 10, 10));
        assert!(seen.first("a".into(), 20, 11));
    }

    /// Break: remember ids without end, or forget one that could be sent again to make room for another.
    #[test]
    fn where_no_more_ids_can_be_remembered_none_is_new() {
        let mut seen = Seen::default();
        for n in 0..100_000 {
            assert!(seen.first(n.to_string(), 10, 5), "{n}");
        }
        assert!(!seen.first("one more".into(), 10, 5));
        assert!(!seen.first("0".into(), 10, 10), "the oldest is not forgotten");
        assert!(!seen.first("one more".into(), 20, 10));
        // Those that nobody can send again make room.
        assert!(seen.first("one more".into(), 20, 11));
        assert_eq!(seen.0.len(), 1);
    }
}
