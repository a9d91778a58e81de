//! Nothing that a person or a model wrote stands in a leaf, in any encoding; and what is too large is refused.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use remit_core::event::{EventError, LEAF_BYTES_MAX};
use remit_core::gate::Evidence;
use remit_core::hash::{b64, sha256};
use serde_json::{Value, json};

use crate::common::{ALL, bundle, compile_value, input_of, registry};
use crate::make::{open, record};

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Every form in which a careless event might hold a value: itself, encoded at each of the three offsets of base64, in
/// hexadecimal, and as a digest that somebody could guess and compare.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let mut forms = vec![secret.to_owned(), secret.to_uppercase(), secret.to_lowercase(), hex(bytes)];
    for skipped in 0..3 {
        // Whole groups of three bytes look the same, whatever stands before and after them.
        let inner: Vec<u8> = bytes.iter().skip(skipped).copied().collect();
        let whole = inner.get(..inner.len() / 3 * 3).unwrap_or_default();
        forms.extend([STANDARD.encode(whole), URL_SAFE_NO_PAD.encode(whole)]);
    }
    for stated in [secret.to_owned(), json!(secret).to_string()] {
        let digest = sha256(&[stated.as_bytes()]);
        forms.extend([hex(&digest), hex(&digest).to_uppercase(), b64(&digest), STANDARD_NO_PAD.encode(digest)]);
    }
    forms.retain(|form| form.len() > 5);
    forms
}

fn contains(haystack: &[u8], secret: &str) -> Option<String> {
    let text = String::from_utf8_lossy(haystack);
    forms(secret).into_iter().find(|form| text.contains(form.as_str()))
}

/// Inputs that hold the secret wherever a person or a model could have put it, permitted and refused.
fn inputs(secret: &str) -> Vec<Value> {
    let text = json!(secret);
    let with = |tool: &str, arguments: Value| {
        let mut input = input_of(tool, &arguments.to_string());
        let claims = &mut input["presented"]["token"]["claims"];
        claims["task"]["why"] = text.clone();
        claims["name"] = text.clone();
        input
    };
    let mut resource = with("", json!({}));
    resource["action"] = json!({"read_resource": format!("file:///{secret}")});
    let mut prompt = with("", json!({"who": text}));
    prompt["action"] = json!({"get_prompt": "greet"});
    let mut limited = with("annotate", json!({"note": text}));
    limited["presented"]["token"]["claims"]["authorization_details"][0]["tools"] =
        json!({"annotate": {"note": {"constraint_type": "exact", "value": "other"}}});
    let mut stranger = with("issue_refund", json!({"to": text}));
    stranger["presented"] = json!("invalid");
    vec![
        with("issue_refund", json!({"to": text, "tags": [text], "why": {"deep": [text]}})),
        with("issue_refund", json!({"to": {"wrong": text}})),
        with("annotate", json!({"note": text, "undeclared": text})),
        with("annotate", json!({(secret): 1})),
        with("issue_refund", json!({(secret): 1})),
        with("annotate", text.clone()),
        limited,
        resource,
        prompt,
        stranger,
    ]
}

#[track_caller]
fn hidden(secret: &str) {
    let bundle = bundle(ALL);
    for input in inputs(secret) {
        let intent = record(&bundle, input.clone(), Evidence::default()).unwrap();
        assert_eq!(contains(&intent.leaf, secret), None, "{secret} in {input}");
        // The frame has it, or the test would prove nothing.
        let frame = String::from_utf8(open(&intent.sealed)).unwrap();
        let quoted = json!(json!(secret).to_string()).to_string();
        let inner = quoted.trim_matches('"').trim_start_matches("\\\"").trim_end_matches("\\\"");
        let twice = json!(inner).to_string();
        let found = frame.contains(secret) || frame.contains(inner) || frame.contains(twice.trim_matches('"'));
        assert!(found || secret.contains(['"', '\\']), "{secret} not in {frame}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_word_of_a_person_or_a_model_stands_in_a_leaf(secret in "[A-Za-z]{4}[a-zA-Z0-9 @.é_-]{8,40}[A-Za-z0-9]{4}") {
        hidden(&secret);
    }
}

#[test]
fn words_that_look_like_names_and_numbers_are_hidden_too() {
    for secret in ["4111111111111111", "ada@example.org", "DE89370400440532013000", "issue-refund.to:x/y"] {
        hidden(secret);
    }
}

/// A canary for the canaries: each form is found where it does stand.
#[test]
fn the_search_finds_every_form() {
    let secret = "Canary-4711-canary";
    for form in forms(secret) {
        assert!(contains(format!("{{\"x\":\"{form}\"}}").as_bytes(), secret).is_some(), "{form}");
    }
    for before in ["", "a", "ab"] {
        let encoded = STANDARD.encode(format!("{before}{secret}tail"));
        assert!(contains(encoded.as_bytes(), secret).is_some(), "{before}");
    }
}

#[test]
fn two_records_of_the_same_call_have_nothing_in_common_to_guess_by() {
    let bundle = bundle(ALL);
    let commitments = |seed: u8| {
        let mut n = 0;
        let mut random = || {
            n += 1;
            sha256(&[&[seed, n]])
        };
        let mut decided =
            crate::make::decided(&bundle, crate::common::read(crate::make::refund()), Evidence::default());
        let context = crate::make::context(&bundle);
        let leaf = remit_core::event::intent(&mut decided, &context, &mut random, &mut crate::make::seal).unwrap().leaf;
        let (_, node) = remit_core::event::read(&leaf).unwrap();
        let remit = |name| format!("{:?}", node.at(&["unmapped", "remit", name]));
        [remit("args_commit"), remit("input_commit"), remit("_sd")]
    };
    let (one, two) = (commitments(1), commitments(2));
    assert!(one.iter().zip(&two).all(|(one, two)| one != two), "{one:?} {two:?}");
}

#[test]
fn what_is_larger_than_a_leaf_is_refused_and_never_cut() {
    let record = |names: usize| {
        let arguments: serde_json::Map<_, _> =
            (0..names).map(|n| (format!("argument_number_{n:04}"), json!(1))).collect();
        let mut registry = registry();
        let properties: serde_json::Map<_, _> =
            arguments.keys().map(|name| (name.clone(), json!({"type": "integer"}))).collect();
        registry["servers"][0]["tools"][1]["input"]["properties"] = properties.into();
        registry["floor"] = json!([{"name": "base", "text": ALL}]);
        let bundle = compile_value(registry).unwrap();
        record(&bundle, input_of("issue_refund", &Value::from(arguments).to_string()), Evidence::default())
    };
    assert!(record(400).unwrap().leaf.len() <= LEAF_BYTES_MAX);
    assert_eq!(record(1_000).unwrap_err(), EventError::TooLarge);
}

#[test]
fn a_frame_that_cannot_be_sealed_makes_no_event() {
    let bundle = bundle(ALL);
    let mut decided = crate::make::decided(&bundle, crate::common::read(crate::make::refund()), Evidence::default());
    let context = crate::make::context(&bundle);
    let failed = remit_core::event::intent(&mut decided, &context, &mut crate::make::counter(), &mut |_, _| None);
    assert_eq!(failed.unwrap_err(), EventError::Seal);
    assert_eq!(decided.leaf_hash(), None);
}
