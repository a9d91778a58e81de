//! What the grant, the menu, a lockdown and the limits say of a call, and of what it is said.

use remit_core::decide::Verdict;
use remit_core::gate::{Evidence, binding};
use remit_core::hash::leaf_hash;
use remit_core::plan::shows;
use remit_core::rejection::Code;
use serde_json::{Value, json};

use crate::common::{ALL, NOW, PIN, bundle, compile_value, decide, input_of, read, registry};
use crate::make::{context, counter, decided, refund, seal};

fn asks(action: Value) -> Value {
    let mut input = input_of("", "{}");
    input["action"] = action;
    input
}

fn verdict(input: &Value) -> Verdict {
    decide(&bundle(ALL), &read(input.clone()), &Evidence::default()).0
}

/// Break: tell of a lockdown to who was never granted the thing, or to nobody.
#[test]
fn a_lockdown_is_told_to_those_who_were_granted_the_thing() {
    let locked = |mut input: Value| {
        input["facts"]["locked"] = json!(true);
        verdict(&input)
    };
    let told = Verdict::Forbid(Code::LockedDown);
    assert_eq!(locked(input_of("read_ticket", r#"{"id":1}"#)), told);
    assert_eq!(locked(asks(json!({"get_prompt": "greet"}))), told);
    assert_eq!(locked(asks(json!({"method": "tools/list"}))), told);
    // Outside of its arguments, and drifted: granted all the same.
    let mut outside = input_of("issue_refund", "{}");
    let tools = "/presented/token/claims/authorization_details/0/tools";
    *outside.pointer_mut(tools).unwrap() =
        json!({"issue_refund": {"to": {"constraint_type": "exact", "value": "ada"}}});
    assert_eq!(locked(outside), told);
    assert_eq!(locked(input_of("drop_table", "{}")), Verdict::Forbid(Code::Unknown));
    let mut declared = input_of("issue_refund", "{}");
    *declared.pointer_mut(tools).unwrap() = json!({});
    assert_eq!(locked(declared), Verdict::Forbid(Code::InsufficientScope));
}

/// Break: let a grant open what the server does not offer.
#[test]
fn what_is_granted_and_not_on_the_menu_does_not_exist() {
    let (prompt, resource) = (asks(json!({"get_prompt": "greet"})), asks(json!({"read_resource": "file:///a"})));
    assert_eq!([verdict(&prompt), verdict(&resource)], [Verdict::Permit, Verdict::Permit]);
    let mut without = registry();
    without["floor"] = json!([{"name": "base", "text": ALL}]);
    without["servers"][0]["prompts"] = json!(["part"]);
    without["servers"][0]["resources"] = json!(false);
    let without = compile_value(without).unwrap();
    for input in [prompt, resource] {
        let found = decide(&without, &read(input.clone()), &Evidence::default()).0;
        assert_eq!(found, Verdict::Forbid(Code::Unknown), "{input}");
        assert!(!shows(&without, &read(input)));
    }
}

/// Break: show what the run was not granted, or what the server does not offer.
#[test]
fn a_prompt_or_a_resource_is_shown_where_it_could_be_had() {
    let shown = |action: Value, details: Option<(&str, Value)>| {
        let mut input = asks(action);
        if let Some((name, value)) = details {
            input["presented"]["token"]["claims"]["authorization_details"][0][name] = value;
        }
        shows(&bundle(ALL), &read(input))
    };
    let (prompt, resource) = (json!({"get_prompt": "greet"}), json!({"read_resource": "file:///a"}));
    assert!(shown(prompt.clone(), None) && shown(resource.clone(), None));
    assert!(!shown(prompt, Some(("prompts", json!({"part": {}})))));
    assert!(!shown(json!({"get_prompt": "nobody-has-it"}), Some(("prompts", json!({"nobody-has-it": {}})))));
    assert!(!shown(resource, Some(("resources", json!([])))));
    // Granted by its name, and by all names.
    for granted in [json!({"drop_table": {}}), json!({"*": {}})] {
        assert!(!shown(json!({"call_tool": "drop_table"}), Some(("tools", granted))));
    }
}

/// Break: forward a call of a tool whose description is no longer the one that was reviewed.
#[test]
fn a_tool_that_changed_is_not_called_and_nothing_else_is_stopped_by_that() {
    let drifted = |mut input: Value| {
        input["facts"]["drifted"] = json!(true);
        verdict(&input)
    };
    assert_eq!(drifted(input_of("read_ticket", r#"{"id":1}"#)), Verdict::Forbid(Code::PinChanged));
    assert_eq!(drifted(asks(json!({"get_prompt": "greet"}))), Verdict::Permit);
    // To who was not granted the tool it does not exist, changed or not.
    let mut not_granted = input_of("annotate", "{}");
    not_granted["presented"]["token"]["claims"]["authorization_details"][0]["tools"] = json!({});
    assert_eq!(drifted(not_granted), Verdict::Forbid(Code::Unknown));
}

/// Break: judge what a method opens, or an answer, by the arguments of what it came with.
#[test]
fn what_comes_along_is_judged_by_itself() {
    let mut completion = asks(json!({"method": "completion/complete"}));
    completion["arguments"] =
        json!(r#"{"ref":{"type":"ref/prompt","name":"greet"},"argument":{"name":"a","value":"x"}}"#);
    completion["presented"]["token"]["claims"]["authorization_details"][0]["prompts"] =
        json!({"greet": {"name": {"constraint_type": "wildcard"}}});
    assert_eq!(verdict(&completion), Verdict::Permit);
    let mut call = input_of("read_ticket", r#"{"id":1}"#);
    call["state"]["label"]["trust"] = json!("untrusted");
    call["answers"] = json!({"features": ["elicitation"], "text": "{}"});
    call["presented"]["token"]["claims"]["authorization_details"][0]["features"] = json!(["elicitation"]);
    let unproven = "forbid(principal, action == Action::\"AnswerServer\", resource) \
        when { context.prov.unproven.contains(\"id\") };";
    let found = decide(&bundle(&[ALL, unproven].concat()), &read(call), &Evidence::default()).0;
    assert_eq!(found, Verdict::Permit);
}

/// Break: refuse the last call that a limit allows, or allow the first beyond it.
#[test]
fn each_limit_of_a_root_allows_its_number() {
    let at = |name: &str, count: u64| {
        let mut input = input_of("read_ticket", r#"{"id":1}"#);
        input["state"][name] = json!(count);
        verdict(&input)
    };
    for (name, most, code) in [
        ("calls", 100, Code::BudgetSpent),
        ("calls_in_minute", 10, Code::RateLimited),
        ("repeats", 3, Code::LoopDetected),
    ] {
        assert_eq!(at(name, most), Verdict::Permit, "{name}");
        assert_eq!(at(name, most + 1), Verdict::Forbid(code), "{name}");
    }
}

/// Break: refuse without a word of which argument, or which limit, it is about.
#[test]
fn a_refusal_says_what_it_is_about() {
    let about = |input: Value| decided(&bundle(ALL), read(input), Evidence::default()).about().map(ToOwned::to_owned);
    assert_eq!(about(refund()), None);
    assert_eq!(about(input_of("issue_refund", r#"{"amount":"5"}"#)).as_deref(), Some("amount"));
    assert_eq!(about(input_of("issue_refund", r#"{"unheard":5}"#)).as_deref(), Some("unheard"));
    assert_eq!(about(input_of("read_ticket", "{}")).as_deref(), Some("id"));
    assert_eq!(about(input_of("read_ticket", r#"{"id":1e0}"#)).as_deref(), Some("id"));
    let mut often = input_of("read_ticket", r#"{"id":1}"#);
    often["state"]["calls"] = json!(101);
    assert_eq!(about(often).as_deref(), Some("100"));
    let mut methods = asks(json!({"method": "ping"}));
    methods["state"]["calls_in_minute"] = json!(1_000_000);
    let most = remit_core::method::METHODS_PER_MINUTE_MIN.to_string();
    assert_eq!(about(methods), Some(most));
}

/// Break: record other evidence than what was looked at, or fit a decision to a record of another.
#[test]
fn a_decision_knows_its_evidence_and_its_own_record() {
    let bundle = bundle(ALL);
    let approvals =
        json!({"approvals": [{"id": "a-1", "binds": binding(&read(refund()), PIN), "by": ["u-9"], "until": NOW + 1}]});
    let evidence: Evidence = serde_json::from_value(approvals).unwrap();
    let mut decided = decided(&bundle, read(refund()), evidence.clone());
    assert_eq!(decided.evidence(), &evidence);
    assert_eq!(decided.leaf_hash(), None, "nothing is recorded yet");
    let mut random = counter();
    let mut record =
        || remit_core::event::intent(&mut decided, &context(&bundle), &mut random, &mut seal).unwrap().leaf;
    let (first, second) = (record(), record());
    assert_ne!(first, second);
    assert_eq!(decided.leaf_hash(), Some(&leaf_hash(&first)), "the first record is the only one");
}
