//! What a server asks of a client, and the client's answers: off unless granted, decided as the answer is, and bound to
//! its very bytes.

use std::collections::BTreeSet;

use remit_core::call::{Action, Call};
use remit_core::decide::{Verdict, decide};
use remit_core::feature::Feature;
use remit_core::gate::{Evidence, Gate, binding};
use remit_core::input::{Answers, Input};
use remit_core::label::Label;
use remit_core::plan::plan;
use remit_core::rejection::Code;
use serde_json::{Value, json};

use crate::common::{ALL, bundle, decide as verdict, input_of, read};
use crate::make::{open, record};

/// A run whose server may use elicitation.
fn asks(action: Value, arguments: &str) -> Value {
    let mut input = input_of("", arguments);
    input["action"] = action;
    input["presented"]["token"]["claims"]["authorization_details"][0]["features"] = json!(["elicitation", "roots"]);
    input
}

fn answer(feature: &str) -> Value {
    json!({"answer": feature})
}

fn question(method: &str) -> Value {
    json!({"method": method})
}

#[track_caller]
fn check(floor: &str, input: Value, expected: &Verdict) {
    assert_eq!(verdict(&bundle(floor), &read(input), &Evidence::default()).0, *expected);
}

/// Break: let a feature that is granted stand for all, or one that is off the server's menu be used.
#[test]
fn each_feature_must_be_granted_and_on_the_menu() {
    check(ALL, asks(answer("elicitation"), r#"{"action":"accept"}"#), &Verdict::Permit);
    check(ALL, asks(question("elicitation/create"), "{}"), &Verdict::Permit);
    // On the menu and declared, and not granted.
    check(ALL, asks(answer("sampling"), "{}"), &Verdict::Forbid(Code::InsufficientScope));
    check(ALL, asks(question("sampling/createMessage"), "{}"), &Verdict::Forbid(Code::InsufficientScope));
    // Granted and declared, and not on the menu.
    check(ALL, asks(answer("roots"), "{}"), &Verdict::Forbid(Code::Unknown));
    check(ALL, asks(question("roots/list"), "{}"), &Verdict::Forbid(Code::Unknown));
    // Nothing else is a question.
    check(ALL, asks(question("elicitation/Create"), "{}"), &Verdict::Forbid(Code::Unknown));
    let mut none = asks(answer("elicitation"), "{}");
    none["presented"]["token"]["claims"]["authorization_details"][0]["features"] = json!([]);
    check(ALL, none, &Verdict::Forbid(Code::Unknown));
}

/// Break: leave policy out.
#[test]
fn policy_is_asked_and_sees_which_feature_it_is() {
    check("", asks(answer("elicitation"), "{}"), &Verdict::Forbid(Code::PolicyForbid));
    check("", asks(question("elicitation/create"), "{}"), &Verdict::Forbid(Code::PolicyForbid));
    let never =
        r#"forbid(principal, action == Action::"AnswerServer", resource) when { context.feature == "elicitation" };"#;
    check(&[ALL, never].concat(), asks(answer("elicitation"), "{}"), &Verdict::Forbid(Code::PolicyForbid));
    let other = never.replace("elicitation", "sampling");
    check(&[ALL, &other].concat(), asks(answer("elicitation"), "{}"), &Verdict::Permit);
}

/// A call of a tool that brings answers of these features.
fn with_answers(features: &[&str], text: &str) -> Value {
    let mut input = asks(json!({"call_tool": "read_ticket"}), r#"{"id":1}"#);
    input["answers"] = json!({"features": features, "text": text});
    input
}

/// Break: decide a call with answers as if it had none.
#[test]
fn a_call_that_answers_needs_what_its_answers_need() {
    check(ALL, with_answers(&["elicitation"], "{}"), &Verdict::Permit);
    check(ALL, with_answers(&["elicitation", "sampling"], "{}"), &Verdict::Forbid(Code::InsufficientScope));
    check(ALL, with_answers(&["roots"], "{}"), &Verdict::Forbid(Code::Unknown));
    let gate = r#"@gate("approval") forbid(principal, action == Action::"AnswerServer", resource) unless { context.evidence.approved };"#;
    let pending = Verdict::Pending([Gate::Approval].into());
    check(&[ALL, gate].concat(), with_answers(&["elicitation"], "{}"), &pending);
    check(&[ALL, gate].concat(), with_answers(&[], ""), &Verdict::Permit);
}

/// Break: let an approval of a call hold for the same call with other answers.
#[test]
fn an_approval_is_for_these_answers() {
    let bind = |text: &str| binding(&read(with_answers(&["elicitation"], text)), "pin");
    assert_eq!(bind("{}"), bind("{}"));
    assert_ne!(bind("{}"), bind("{ }"));
}

/// Break: send other bytes than came, or judge none as something.
#[test]
fn a_call_is_its_bytes() {
    let call = |range| {
        let server = remit_core::id::ServerName::new("tickets").unwrap();
        Call::new(server, Action::Method("ping".into()), b"{\"a\":{\"b\":1}}".to_vec(), range).unwrap()
    };
    assert_eq!(call(5..12).body(), b"{\"a\":{\"b\":1}}");
    assert_eq!((call(5..12).arguments(), call(5..5).arguments()), (&b"{\"b\":1}"[..], &b"{}"[..]));
    assert_eq!(
        (call(5..5).answer_bytes(), call(5..5).answering(BTreeSet::new(), 5..12).answer_bytes()),
        (&b""[..], &b"{\"b\":1}"[..])
    );
}

/// Break: judge other answers than those that are sent.
#[test]
fn the_answers_that_are_judged_are_those_that_are_sent() {
    let body = br#"{"params":{"inputResponses":{"q":{"action":"accept"}},"arguments":{"id":1}}}"#;
    let range = |part: &str| {
        let start = std::str::from_utf8(body).unwrap().find(part).unwrap();
        start..start + part.len()
    };
    let call = |features: BTreeSet<Feature>| {
        let server = remit_core::id::ServerName::new("tickets").unwrap();
        let tool = remit_core::id::ToolName::new("read_ticket").unwrap();
        let call = Call::new(server, Action::CallTool(tool), body.to_vec(), range(r#"{"id":1}"#)).unwrap();
        call.answering(features, range(r#"{"q":{"action":"accept"}}"#))
    };
    let judged = |answers: Answers, features: BTreeSet<Feature>| {
        let call = call(features);
        let input = Input { answers, ..read(with_answers(&[], "")) };
        let bundle = bundle(ALL);
        let plan = plan(&bundle, input);
        decide(&bundle, call, plan, Evidence::default()).verdict().clone()
    };
    let elicitation = BTreeSet::from([Feature::Elicitation]);
    let text = r#"{"q":{"action":"accept"}}"#.to_owned();
    let sent = Answers { features: elicitation.clone(), text: text.clone() };
    assert_eq!(judged(sent.clone(), elicitation.clone()), Verdict::Permit);
    let internal = Verdict::Forbid(Code::Internal);
    assert_eq!(judged(Answers::default(), elicitation.clone()), internal);
    assert_eq!(judged(sent, BTreeSet::new()), internal);
    assert_eq!(judged(Answers { features: elicitation.clone(), text: "{}".into() }, elicitation), internal);
}

/// Break: let the server's words reach a run without raising its label; or let an answer raise it.
#[test]
fn what_a_server_asks_raises_the_label() {
    let after = |input: Value| record(&bundle(ALL), input, Evidence::default()).unwrap().label_after;
    assert_eq!(after(asks(question("elicitation/create"), "{}")), Label::UNKNOWN);
    assert_eq!(after(asks(answer("elicitation"), "{}")), Label::FRESH);
}

/// Break: leave the answers out of the record.
#[test]
fn the_record_names_the_features_and_commits_to_the_answers() {
    let word = "her mother's maiden name";
    let text = json!({"q": {"action": "accept", "content": {"x": word}}}).to_string();
    let made = record(&bundle(ALL), with_answers(&["elicitation"], &text), Evidence::default()).unwrap();
    let leaf: Value = serde_json::from_slice(&made.leaf).unwrap();
    assert_eq!(leaf["unmapped"]["remit"]["answers"], json!(["elicitation"]));
    assert!(!String::from_utf8_lossy(&made.leaf).contains(word));
    let frame = String::from_utf8_lossy(&open(&made.sealed)).into_owned();
    assert!(frame.contains("maiden"), "{frame}");
}

/// Break: look only at tools where the agent's manifest is asked.
#[test]
fn what_is_declared_and_not_granted_is_said_to_be() {
    let declared = Verdict::Forbid(Code::InsufficientScope);
    let mut prompt = asks(json!({"get_prompt": "part"}), "{}");
    prompt["presented"]["token"]["claims"]["authorization_details"][0]["prompts"] = json!({});
    check(ALL, prompt.clone(), &declared);
    prompt["action"] = json!({"get_prompt": "greet"});
    check(ALL, prompt, &Verdict::Forbid(Code::Unknown));
    let mut resource = asks(json!({"read_resource": "file:///later"}), "{}");
    resource["presented"]["token"]["claims"]["authorization_details"][0]["resources"] = json!([]);
    check(ALL, resource.clone(), &declared);
    resource["action"] = json!({"read_resource": "file:///other"});
    check(ALL, resource, &Verdict::Forbid(Code::Unknown));
}
