//! What other issuers send: a key set is used as another reader sees it, a configuration is its own provider's, and an
//! assertion counts under the keys of the issuer alone, with an algorithm that may be used and no key of its own.

use remit_authority::issuer::claims::{Bound, Claims};
use remit_authority::issuer::jws::Foreign;
use remit_authority::issuer::{Algorithm, IssuerRecord, KeySource, Kind, Rules, discovery, keys};
use remit_core::jws::Jwk;
use serde_json::{Value as Json, json};

use crate::parts::{choice, other_reader, texts};
use crate::token::{KEYS, signed};

const URL: &str = "https://idp.example";
/// A header of a token that brings a key, or changes what is signed.
const REFUSED: [&str; 6] = ["crit", "b64", "jwk", "jku", "x5u", "x5c"];

/// The first byte chooses: a key set, a configuration, a text that nobody signed, or a header and a payload that are signed.
pub fn issuer(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    let Some((_, own, never)) = KEYS.as_ref() else { return };
    match first % 4 {
        0 => set(rest),
        1 => configuration(rest),
        2 => unsigned(std::str::from_utf8(rest).unwrap_or_default(), (own, never)),
        _ => {
            let Some([header, payload]) = texts(rest) else { return };
            let header = if header.is_empty() { r#"{"alg":"EdDSA"}"# } else { header };
            assertion(&signed(header, payload), (header, payload), (own, never));
            claims(payload);
        }
    }
}

fn set(bytes: &[u8]) {
    let Ok(set) = keys::read(bytes) else { return };
    let Some(said) = other_reader(bytes) else { return };
    let listed = said.get("keys").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    assert!((1..=keys::KEYS_MAX).contains(&listed.len()), "{}", listed.len());
    let usable = |key: &&Json| key.get("d").is_none() && key.get("kty").and_then(Json::as_str) != Some("oct");
    assert!(listed.iter().any(|key| usable(&key)), "a private or a shared key is used");
    assert!(set.names(None));
    for kid in listed.iter().filter_map(|key| key.get("kid").and_then(Json::as_str)) {
        let of_that_name = listed.iter().filter(|key| key.get("kid").and_then(Json::as_str) == Some(kid));
        assert!(!set.names(Some(kid)) || of_that_name.into_iter().any(|key| usable(&key)), "{kid}");
    }
    assert!(!set.names(Some("a name that nobody gives")) || String::from_utf8_lossy(bytes).contains("nobody"));
}

fn configuration(bytes: &[u8]) {
    let Ok(provider) = discovery::read(URL, bytes) else { return };
    let Some(said) = other_reader(bytes) else { return };
    let text = |name: &str| said.get(name).and_then(Json::as_str);
    assert_eq!((text("issuer"), text("jwks_uri")), (Some(URL), Some(provider.jwks.as_str())));
    assert!(provider.token.as_deref().is_none_or(|url| text("token_endpoint") == Some(url)));
    assert!(provider.authorization.as_deref().is_none_or(|url| text("authorization_endpoint") == Some(url)));
    assert!(discovery::read("https://other.example", bytes).is_err());
}

/// An issuer that has this key, and may use what is named.
fn with(key: &Jwk, algorithms: &[Algorithm]) -> Option<(keys::KeySet, IssuerRecord)> {
    let set = json!({ "keys": [key] }).to_string();
    let record = IssuerRecord {
        url: URL.into(),
        kind: Kind::Workload,
        audiences: Vec::new(),
        algorithms: algorithms.iter().copied().collect(),
        keys: KeySource::Given(set.clone()),
        rules: Rules::default(),
        client: None,
        at: 0,
        by: String::new(),
    };
    Some((keys::read(set.as_bytes()).ok()?, record))
}

/// Whether an issuer with this key signed it.
fn signed_by(token: &Foreign<'_>, key: &Jwk, algorithms: &[Algorithm]) -> bool {
    // The key has a name, and a token may say another one: without a name it is tried all the same.
    let nameless = Jwk { kid: token.kid.clone(), ..key.clone() };
    with(&nameless, algorithms).is_some_and(|(keys, record)| token.is_signed_by(&keys, &record))
}

fn unsigned(text: &str, (own, never): (&Jwk, &Jwk)) {
    let Some(token) = Foreign::parse(text) else { return };
    assert!(text.is_ascii() && text.matches('.').count() == 2);
    for key in [own, never] {
        assert!(!signed_by(&token, key, &Algorithm::ALL), "opened without a signature");
    }
}

fn assertion(text: &str, (header, payload): (&str, &str), (own, never): (&Jwk, &Jwk)) {
    let Some(token) = Foreign::parse(text) else { return };
    let (Ok(said), Ok(body)) = (serde_json::from_str::<Json>(header), serde_json::from_str::<Json>(payload)) else {
        return assert!(text.is_empty(), "what is read here is read by nobody else");
    };
    let of_header = |name: &str| said.get(name).and_then(Json::as_str);
    assert!(matches!(of_header("alg"), Some("RS256" | "ES256" | "EdDSA" | "Ed25519")), "{:?}", of_header("alg"));
    assert_eq!((of_header("kid"), REFUSED.iter().any(|name| said.get(name).is_some())), (token.kid.as_deref(), false));
    assert!(body.is_object());
    let ours = token.algorithm == Algorithm::EdDSA;
    assert_eq!(signed_by(&token, own, &Algorithm::ALL), ours, "{header}");
    assert!(!signed_by(&token, never, &Algorithm::ALL), "by another key");
    assert!(!signed_by(&token, own, &[Algorithm::RS256, Algorithm::ES256]), "by an algorithm that it may not use");
    let other = Jwk { kid: Some("another name".into()), ..own.clone() };
    let named = token.kid.as_deref().is_none_or(|kid| kid == "another name");
    let by_other = with(&other, &Algorithm::ALL).is_some_and(|(keys, record)| token.is_signed_by(&keys, &record));
    assert_eq!(by_other, ours && named, "by a key of another name");
}

/// Each claim is what another reader sees.
fn claims(payload: &str) {
    let Some(claims) = Claims::read(payload.as_bytes()) else { return };
    let Ok(Json::Object(said)) = serde_json::from_str::<Json>(payload) else {
        return assert!(payload.is_empty(), "no claims by another reader");
    };
    for (name, value) in &said {
        assert!(claims.has(name), "{name}");
        let text = value.as_str().filter(|text| !text.is_empty());
        assert_eq!(claims.text(name), text, "{name}");
        let whole = value.as_i64();
        assert!(whole.is_none() || claims.time(name) == whole, "{name}");
        if let Some(text) = value.as_str() {
            assert!(claims.is(name, text) && !claims.is(name, &format!("{text}x")), "{name}");
        }
        assert!(!(value.is_array() || value.is_object() || value.is_null()) || !claims.is(name, ""), "{name}");
    }
    let jkt = said.get("cnf").and_then(|cnf| cnf.get("jkt")).and_then(Json::as_str);
    match claims.bound() {
        Bound::Nothing => assert!(!said.contains_key("cnf")),
        Bound::Key(key) => assert_eq!(jkt, Some(key)),
        Bound::Otherwise => assert!(said.contains_key("cnf")),
    }
}
