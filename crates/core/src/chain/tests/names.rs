//! What runs and tokens are called that links begin.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use super::*;

/// Break: give each link a run of its own, so that a child that was revoked comes back with the next one.
#[test]
fn a_run_outlives_the_links_that_begin_it() {
    let run = |claims: &Value, payload: &Value| {
        let child = claims_of(claims, payload);
        (child.run.to_string(), child.jti.clone())
    };
    let (first, jti) = run(&parent(), &json!({}));
    let mut next = parent();
    next["jti"] = "t-2".into();
    let renewed = run(&next, &json!({"exp": NOW + 301}));
    assert!(renewed.0 == first && renewed.1 != jti);
    let mut other = parent();
    (other["run"], other["root"]) = ("r-2".into(), "r-2".into());
    other["act"]["sub"] = format!("{TRIAGE}/r-2").into();
    for (claims, payload) in [
        (&parent(), json!({"cnf": {"jkt": jkt(GRANDCHILD)}})),
        (&parent(), json!({"act": {"sub": WRITER}})),
        (&other, json!({})),
    ] {
        assert_ne!(run(claims, &payload).0, first, "{payload}");
    }
}

fn claims_of(token: &Value, payload: &Value) -> Arc<Claims> {
    claims(&changed(token, &json!({}), payload))
}

/// Break: name a run or a token by the whole link: whoever presents it changes the signature to its other form.
#[test]
fn another_form_of_a_signature_is_the_same_link() {
    let random = SystemRandom::new();
    let signing = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(signing, pkcs8.as_ref()).unwrap();
    let point = pair.public_key().as_ref();
    let key = json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])});
    let thumbprint = serde_json::from_value::<Jwk>(key.clone()).unwrap().thumbprint();
    let mut bound = parent();
    bound["cnf"] = json!({"jkt": thumbprint});
    let token = token(&bound);
    let (mut header, mut payload) = lawful(&token, 1, PARENT, CHILD, READER);
    (header["alg"], header["jwk"]) = ("ES256".into(), key);
    payload["iss"] = format!("{THUMBPRINT_URN}{thumbprint}").into();
    let input = format!("{}.{}", b64(header.to_string().as_bytes()), b64(payload.to_string().as_bytes()));
    let signature = pair.sign(&random, input.as_bytes()).unwrap().as_ref().to_vec();
    let mirrored = [&signature[..32], &below_the_order(&signature[32..])].concat();
    assert_ne!(signature, mirrored);
    let [one, other] = [signature, mirrored].map(|signature| claims(&format!("{token}~{input}.{}", b64(&signature))));
    assert_eq!((&one.jti, &one.run), (&other.jti, &other.run));
}

/// The order of P-256 less a number.
fn below_the_order(number: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let mut borrow = 0_i16;
    let digits = ORDER.iter().zip(number).rev().map(|(order, digit)| {
        let left = i16::from(*order) - i16::from(*digit) - borrow;
        borrow = i16::from(left < 0);
        u8::try_from(left.rem_euclid(256)).unwrap()
    });
    let mut digits: Vec<u8> = digits.collect();
    digits.reverse();
    digits
}

/// Break: let a key that was revoked come back with a member more, and so with another thumbprint.
#[test]
fn a_key_hands_on_under_one_thumbprint() {
    let more = Jwk { y: Some("AA".into()), ..jwk(PARENT) };
    let mut bound = parent();
    bound["cnf"] = json!({"jkt": more.thumbprint()});
    let iss = format!("{THUMBPRINT_URN}{}", more.thumbprint());
    refused(&bound, &json!({"jwk": more}), &json!({"iss": iss}));
}

#[test]
fn ids_of_links_are_told_from_all_others() {
    for (id, expected) in [
        ("link-0123456789abcdef0123456789abcdef", true),
        ("link-0123456789ABCDEF0123456789abcdef", false),
        ("link-0123456789abcdef0123456789abcde", false),
        ("link-0123456789abcdef0123456789abcdef0", false),
        ("0123456789abcdef0123456789abcdef", false),
        ("r-abcdefgh", false),
    ] {
        assert_eq!(is_linked(id), expected, "{id}");
    }
    assert!(is_thumbprint(&jkt(PARENT)) && !is_thumbprint("k") && !is_thumbprint(&"=".repeat(43)));
}
