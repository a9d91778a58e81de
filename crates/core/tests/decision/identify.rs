//! Who is calling: each way of not being known, and how tokens and proofs are told from forgeries.

use crate::common::{GATEWAY, NOW, bundle, claims, input_of, read};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use remit_core::hash::{b64, sha256};
use remit_core::identify::{Caller, Request, authenticate, identify, verify};
use remit_core::input::{Credential, Input, Presented};
use remit_core::jws::Jwk;
use remit_core::rejection::Code;
use serde_json::{Value, json};

#[track_caller]
fn unknown(change: impl Fn(&mut Value), code: Code) {
    let bundle = bundle(crate::common::ALL);
    let mut input = input_of("read_ticket", "{\"id\":1}");
    assert!(matches!(identify(&bundle, &read(input.clone())), Caller::Known(..)));
    change(&mut input);
    let input = read(input);
    assert_eq!(identify(&bundle, &input), Caller::Unknown(code), "{input:?}");
}

fn claim(name: &'static str, value: Value) -> impl Fn(&mut Value) {
    move |input| input["presented"]["token"]["claims"][name] = value.clone()
}

#[test]
fn what_was_presented_decides_first() {
    for (presented, code) in [
        ("nothing", Code::TokenMissing),
        ("invalid", Code::TokenInvalid),
        ("bad_proof", Code::ProofInvalid),
        ("replayed", Code::ProofReplayed),
    ] {
        unknown(|input| input["presented"] = json!(presented), code);
    }
}

#[test]
fn a_token_of_somebody_else_is_none_of_ours() {
    unknown(claim("iss", json!("https://as.example/")), Code::TokenInvalid);
    unknown(claim("iss", json!("https://as.example.evil")), Code::TokenInvalid);
    unknown(claim("aud", json!([format!("{GATEWAY}/mcp/lab")])), Code::TokenAudience);
    unknown(claim("aud", json!([format!("{GATEWAY}/mcp/tickets/")])), Code::TokenAudience);
    unknown(claim("aud", json!([])), Code::TokenAudience);
    unknown(
        |input| {
            let claims = &mut input["presented"]["token"]["claims"];
            let foreign = crate::common::AGENT.replace("acme.example", "acme.example.evil");
            claims["act"]["sub"] = json!(format!("{foreign}/run-2"));
            claims["client_id"] = json!(foreign);
        },
        Code::TokenInvalid,
    );
    unknown(
        |input| {
            let claims = &mut input["presented"]["token"]["claims"];
            let other = crate::common::AGENT.replace("1.4.2", "1.4.3");
            claims["act"]["sub"] = json!(format!("{other}/run-2"));
            claims["client_id"] = json!(other);
        },
        Code::AgentUnregistered,
    );
}

#[test]
fn claims_that_contradict_each_other_are_none_of_ours() {
    for (name, value) in [
        ("ver", json!(2)),
        ("run", json!("run-9")),
        ("root", json!("run-2")),
        ("lin", json!([])),
        ("lin", json!(["a", "b"])),
        ("del_depth", json!(0)),
        ("del_depth", json!(2)),
        ("del_max_depth", json!(0)),
        ("del_max_depth", json!(9)),
        ("grant", json!({"until": NOW + 899, "by": "policy"})),
        ("client_id", json!("spiffe://acme.example/agent/support/triage/2.0.0")),
        ("authorization_details", json!([{"type": "other", "locations": []}])),
        ("name", json!("x".repeat(1025))),
        ("iat", json!(NOW + 900)),
    ] {
        unknown(claim(name, value), Code::TokenInvalid);
    }
}

#[test]
fn a_token_has_a_beginning_and_an_end() {
    unknown(claim("iat", json!(NOW + 61)), Code::TokenInvalid);
    unknown(claim("exp", json!(NOW)), Code::TokenExpired);
    unknown(claim("exp", json!(NOW - 1)), Code::TokenExpired);
    unknown(|input| input["now"] = json!(i64::MAX), Code::TokenExpired);
    unknown(|input| input["now"] = json!(i64::MIN), Code::TokenInvalid);
    let bundle = bundle(crate::common::ALL);
    let known = |name: &'static str, value: i64| {
        let mut input = input_of("read_ticket", "{\"id\":1}");
        claim(name, json!(value))(&mut input);
        matches!(identify(&bundle, &read(input)), Caller::Known(..))
    };
    assert!(known("iat", NOW + 60) && known("exp", NOW + 1));
    for kind in ["token", "run", "root", "grant", "agent", "principal", "team", "key"] {
        unknown(|input| input["facts"]["revoked"] = json!(kind), Code::Revoked);
    }
}

/// Two keys: the authority's, and the one to which the run's token is bound.
fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn jwk(seed: u8, kid: Option<&str>) -> Jwk {
    Jwk::ed25519(key(seed).public_key().as_ref(), kid.map(Into::into))
}

fn sign(seed: u8, header: &Value, payload: &Value) -> String {
    let input = format!("{}.{}", b64(header.to_string().as_bytes()), b64(payload.to_string().as_bytes()));
    format!("{input}.{}", b64(key(seed).sign(input.as_bytes()).as_ref()))
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"})
}

/// Claims that are bound to key 2.
fn bound() -> Value {
    let mut claims = claims();
    claims["cnf"]["jkt"] = json!(jwk(2, None).thumbprint());
    claims
}

#[test]
fn only_the_named_key_and_its_own_algorithm_verify() {
    let keys = [jwk(1, Some("k1")), jwk(3, Some("k3"))];
    let accepted = |seed, change: &dyn Fn(&mut Value)| {
        let mut header = header();
        change(&mut header);
        verify(&keys, &sign(seed, &header, &bound())).is_some()
    };
    assert!(accepted(1, &|_| {}));
    assert!(accepted(1, &|h| h["typ"] = json!("application/at+jwt")));
    assert!(accepted(1, &|h| h["alg"] = json!("Ed25519")));
    assert!(accepted(3, &|h| h["kid"] = json!("k3")));
    for bad in [
        json!({"alg": "none"}),
        json!({"alg": "HS256"}),
        json!({"alg": "ES256"}),
        json!({"alg": "EDDSA"}),
        json!({"typ": "JWT"}),
        json!({"typ": "dpop+jwt"}),
        json!({"typ": null}),
        json!({"kid": "k3"}),
        json!({"kid": "k2"}),
        json!({"kid": ""}),
        json!({"kid": null}),
        json!({"jwk": jwk(1, None)}),
        json!({"crit": ["exp"]}),
        json!({"jku": "https://evil.example/keys"}),
    ] {
        let merge = |header: &mut Value| {
            let (Some(header), Some(bad)) = (header.as_object_mut(), bad.as_object()) else { return };
            header.extend(bad.clone());
        };
        assert!(!accepted(1, &merge), "{bad}");
    }
    assert!(!accepted(3, &|_| {}), "another key under the name of the first");
}

#[test]
fn a_key_is_used_only_as_its_owner_says() {
    let token = sign(1, &header(), &bound());
    let with = |alg: Option<&str>, usage: Option<&str>| {
        let key = Jwk { alg: alg.map(Into::into), usage: usage.map(Into::into), ..jwk(1, Some("k1")) };
        verify(&[key], &token).is_some()
    };
    assert!(with(Some("EdDSA"), Some("sig")) && with(Some("Ed25519"), None) && with(None, None));
    assert!(!with(Some("ES256"), None) && !with(None, Some("enc")));
}

#[test]
fn every_byte_of_a_token_counts() {
    let token = sign(1, &header(), &bound());
    let keys = [jwk(1, Some("k1"))];
    for place in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        assert!(verify(&keys, std::str::from_utf8(&changed).unwrap()).is_none(), "{place}");
    }
    assert!(verify(&keys, "").is_none() && verify(&keys, "..").is_none());
    assert!(verify(&keys, &"a".repeat(20_000)).is_none());
}

const URL: &str = "https://gw.example/mcp/tickets";

fn proof(seed: u8, token: &str) -> String {
    let payload =
        json!({"htm": "POST", "htu": URL, "iat": NOW, "jti": "p-1", "ath": b64(&sha256(&[token.as_bytes()]))});
    sign(seed, &json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk(seed, None)}), &payload)
}

/// What comes of these headers, with proofs that are all seen for the first time.
fn presented(authorization: Option<&str>, proof: Option<&str>, first: bool) -> Presented {
    let request = Request { authorization, proof, method: "POST", url: URL };
    let keys = [jwk(1, Some("k1"))];
    authenticate(request, NOW, |token| verify(&keys, token), |_| first)
}

fn credential(presented: Presented) -> Option<Credential> {
    let mut input: Input = read(input_of("read_ticket", "{}"));
    input.presented = presented;
    input.credential()
}

#[test]
fn a_bound_token_needs_its_own_key() {
    let token = sign(1, &header(), &bound());
    let (dpop, bearer) = (format!("DPoP {token}"), format!("Bearer {token}"));
    let good = proof(2, &token);
    assert_eq!(credential(presented(Some(&dpop), Some(&good), true)), Some(Credential::Dpop));
    assert_eq!(presented(Some(&dpop), Some(&good), false), Presented::Replayed);
    assert_eq!(presented(Some(&dpop), None, true), Presented::BadProof);
    assert_eq!(presented(Some(&dpop), Some(&proof(4, &token)), true), Presented::BadProof);
    assert_eq!(presented(Some(&dpop), Some(&proof(2, "another")), true), Presented::BadProof);
    // A stolen token presented as a bearer token, with or without a proof.
    assert_eq!(presented(Some(&bearer), None, true), Presented::BadProof);
    assert_eq!(presented(Some(&bearer), Some(&good), true), Presented::BadProof);
}

#[test]
fn an_unbound_token_is_a_bearer_token_and_nothing_else() {
    let mut unbound = claims();
    unbound.as_object_mut().unwrap().remove("cnf");
    let token = sign(1, &header(), &unbound);
    assert_eq!(credential(presented(Some(&format!("Bearer {token}")), None, true)), Some(Credential::Bearer));
    assert_eq!(credential(presented(Some(&format!("bearer {token}")), None, true)), Some(Credential::Bearer));
    assert_eq!(presented(Some(&format!("DPoP {token}")), Some(&proof(2, &token)), true), Presented::BadProof);
    assert_eq!(presented(None, None, true), Presented::Nothing);
    for authorization in [token.as_str(), "Bearer", "", "Basic dTpw", &format!("Bearer  {token}"), "Bearer x"] {
        assert_eq!(presented(Some(authorization), None, true), Presented::Invalid, "{authorization}");
    }
}
