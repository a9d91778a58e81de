//! Token requests: a parameter has the one value that another reader sees, and an assertion opens for its signer alone,
//! as nothing else than an assertion; and an actor token for whoever holds the key that it shows, as nothing else than that.

use std::collections::HashSet;

use remit_authority::actor::{self, Acting};
use remit_authority::assertion::{ASSERTION_SECONDS_MAX, Asserted, JTI_BYTES_MAX, SKEW_S, claimed, verify};
use remit_authority::form::{Form, FormError, RESOURCES_MAX};
use remit_core::dpop;
use remit_core::id::Instance;
use remit_core::jws::Jwk;
use serde_json::Value as Json;

use crate::parts::{choice, texts};
use crate::token::{KEYS, NOW, signed};

const HERE: [&str; 2] = ["https://as.example", "https://as.example/token"];
const ELSEWHERE: [&str; 2] = ["https://other.example", "https://as.example/"];

/// The first byte chooses: a body, an assertion that nobody signed, or a header and a payload that are signed.
pub fn form(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    let Some((_, own, never)) = KEYS.as_ref() else { return };
    match first % 3 {
        0 => body(rest),
        1 => unsigned(std::str::from_utf8(rest).unwrap_or_default(), never),
        _ => {
            let Some([header, payload]) = texts(rest) else { return };
            let header = if header.is_empty() { r#"{"alg":"EdDSA"}"# } else { header };
            let text = signed(header, payload);
            assertion(&text, (header, payload), (own, never));
            acting(&text, payload, own);
        }
    }
}

fn body(bytes: &[u8]) {
    let pairs = pairs(bytes);
    let mut names = HashSet::new();
    let twice = pairs.iter().any(|(name, _)| name != "resource" && !names.insert(name));
    let resources: Vec<&String> = pairs.iter().filter(|(name, _)| name == "resource").map(|(_, value)| value).collect();
    let form = match Form::read(bytes) {
        Ok(form) => form,
        Err(FormError::Twice) => return assert!(twice, "another reader sees each parameter once"),
        Err(FormError::Resources) => return assert!(resources.len() > RESOURCES_MAX, "{}", resources.len()),
    };
    assert!(!twice && resources.len() <= RESOURCES_MAX, "another reader sees more");
    assert_eq!(form.resources.iter().collect::<Vec<_>>(), resources);
    for (name, value) in pairs.iter().filter(|(name, _)| name != "resource") {
        assert_eq!(form.one(name), Some(value.as_str()).filter(|value| !value.is_empty()), "{name}");
    }
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
    let written: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    assert_eq!(Form::read(written.join("&").as_bytes()), Ok(form), "written in another way it says something else");
}

/// Another reader of forms (WHATWG URL, `application/x-www-form-urlencoded` parsing).
fn pairs(bytes: &[u8]) -> Vec<(String, String)> {
    let sequences = bytes.split(|byte| *byte == b'&').filter(|sequence| !sequence.is_empty());
    let pair = |sequence: &[u8]| {
        let mut halves = sequence.splitn(2, |byte| *byte == b'=').map(decoded);
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    };
    sequences.map(pair).collect()
}

fn decoded(bytes: &[u8]) -> String {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::new();
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        rest = after;
        let escape = match after {
            [high, low, beyond @ ..] if *first == b'%' => digit(high).zip(digit(low)).map(|digits| (digits, beyond)),
            _ => None,
        };
        match (first, escape) {
            (_, Some(((high, low), beyond))) => {
                out.push(high << 4 | low);
                rest = beyond;
            }
            (b'+', None) => out.push(b' '),
            (byte, None) => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What nobody signed opens for nobody, whoever it says that it is of.
fn unsigned(text: &str, never: &Jwk) {
    assert!(actor::verify(text, HERE[0], NOW).is_none_or(|acting| acting.key.x != never.x), "acts without a signature");
    let Some(instance) = claimed(text) else { return };
    assert_eq!(Instance::try_from(instance.to_string()).ok().as_ref(), Some(&instance));
    assert!(verify(text, &instance, never, HERE, NOW).is_none(), "opened without a signature");
}

/// What opens says what it was asked, for one place and some minutes; with one bit less it is nothing.
fn assertion(text: &str, (header, payload): (&str, &str), (own, never): (&Jwk, &Jwk)) {
    let Some(instance) = claimed(text) else { return };
    assert!(verify(text, &instance, never, HERE, NOW).is_none(), "opened by another key");
    let Some(Asserted { jti, made, exp }) = verify(text, &instance, own, HERE, NOW) else { return };
    let (Ok(said), Ok(body)) = (serde_json::from_str::<Json>(header), serde_json::from_str::<Json>(payload)) else {
        return assert!(text.is_empty(), "what opens is read by nobody else");
    };
    let kind = said.get("typ").and_then(Json::as_str);
    assert!(matches!(kind, None | Some("JWT" | "client-authentication+jwt")), "{kind:?}");
    let id = instance.to_string();
    let text_of = |name: &str| body.get(name).and_then(Json::as_str);
    assert_eq!((text_of("iss"), text_of("sub"), text_of("jti")), (Some(&*id), Some(&*id), Some(&*jti)));
    let audience = match body.get("aud") {
        Some(Json::Array(all)) if all.len() == 1 => all.first(),
        other => other,
    };
    assert!(audience.and_then(Json::as_str).is_some_and(|audience| HERE.contains(&audience)), "{audience:?}");
    assert_eq!(body.get("exp").and_then(Json::as_i64), Some(exp));
    assert!((NOW + 1..=NOW + ASSERTION_SECONDS_MAX + SKEW_S).contains(&exp) && made <= NOW + SKEW_S, "{made} {exp}");
    assert!((1..=JTI_BYTES_MAX).contains(&jti.len()), "{}", jti.len());
    for (here, now) in [(ELSEWHERE, NOW), (HERE, exp), (HERE, exp - ASSERTION_SECONDS_MAX - SKEW_S - 1)] {
        assert!(verify(text, &instance, own, here, now).is_none(), "{here:?} {now}");
    }
    assert!(remit_core::identify::verify(std::slice::from_ref(own), text).is_none(), "it passes for a token");
    assert!(dpop::verify_bare(text, "POST", HERE[1], NOW).is_err(), "it passes for a proof");
    for at in (0..text.len()).step_by(text.len().div_ceil(16).max(1)) {
        let mut changed = text.to_owned().into_bytes();
        changed.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
        let changed = String::from_utf8(changed).unwrap_or_default();
        assert!(verify(&changed, &instance, own, HERE, NOW).is_none(), "byte {at} does not count");
    }
}

/// What acts shows the key that signed it, under the one thumbprint that this has, and is for this authority alone.
fn acting(text: &str, payload: &str, own: &Jwk) {
    let Some(Acting { agent, key, asserted }) = actor::verify(text, HERE[0], NOW) else { return };
    assert_eq!((key.thumbprint(), &key.x, &key.y), (own.thumbprint(), &own.x, &None), "acts by another key");
    let Ok(body) = serde_json::from_str::<Json>(payload) else {
        return assert!(text.is_empty(), "what acts is read by nobody else");
    };
    let text_of = |name: &str| body.get(name).and_then(Json::as_str);
    let id = agent.to_string();
    assert_eq!((text_of("iss"), text_of("sub"), text_of("jti")), (Some(&*id), Some(&*id), Some(&*asserted.jti)));
    assert!((NOW + 1..=NOW + ASSERTION_SECONDS_MAX + SKEW_S).contains(&asserted.exp), "{}", asserted.exp);
    for (issuer, now) in [(HERE[1], NOW), (ELSEWHERE[0], NOW), (HERE[0], asserted.exp)] {
        assert!(actor::verify(text, issuer, now).is_none(), "{issuer} {now}");
    }
    assert!(claimed(text).is_none(), "it passes for an assertion of a run");
    assert!(remit_core::identify::verify(std::slice::from_ref(own), text).is_none(), "it passes for a token");
    assert!(dpop::verify_bare(text, "POST", HERE[1], NOW).is_err(), "it passes for a proof");
}
