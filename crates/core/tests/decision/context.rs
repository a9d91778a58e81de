//! What policy sees of a call: each member of the context is what it is named after, in each kind of action.

use remit_core::decide::Verdict;
use remit_core::gate::{Evidence, binding};
use remit_core::rejection::Code;
use serde_json::{Value, json};

use crate::common::{NOW, PIN, bundle, compile_value, decide, input_of, read, registry};

const CLAIMS: &str = "/presented/token/claims";

fn holds(condition: &str, input: &Value, evidence: &Evidence) -> bool {
    let floor = format!("permit(principal, action, resource) when {{ {condition} }};");
    match decide(&bundle(&floor), &read(input.clone()), evidence).0 {
        Verdict::Permit => true,
        Verdict::Forbid(Code::PolicyForbid) => false,
        other => panic!("{condition}: {other:?}"),
    }
}

/// Holds of the input, and no longer once what it speaks of is another.
#[track_caller]
fn check(input: &Value, condition: &str, pointer: &str, other: &Value) {
    assert!(holds(condition, input, &Evidence::default()), "{condition}");
    let mut changed = input.clone();
    *changed.pointer_mut(pointer).unwrap() = other.clone();
    assert!(!holds(condition, &changed, &Evidence::default()), "{condition}, with {other} at {pointer}");
}

/// A run that a person launched by himself.
fn direct() -> Value {
    let mut input = input_of("issue_refund", r#"{"to":"ada"}"#);
    let claims = input.pointer_mut(CLAIMS).unwrap();
    for (name, value) in [("del_depth", json!(0)), ("lin", json!([])), ("root", json!("run-2"))] {
        claims[name] = value;
    }
    claims["act"].as_object_mut().unwrap().remove("act");
    input
}

/// Break: give policy another person, task, run, label, count, lineage, credential or time than the call's.
#[test]
fn each_member_is_what_it_is_named_after() {
    let input = input_of("issue_refund", r#"{"to":"ada"}"#);
    let of_claims = |name: &str| format!("{CLAIMS}/{name}");
    let check = |condition: &str, pointer: &str, other: Value| check(&input, condition, pointer, &other);
    check("context.human == Human::\"u-7f3a\"", &of_claims("sub"), json!("u-8"));
    check("context.task.id == \"task-9\"", &of_claims("task/id"), json!("task-8"));
    check("context.task.purpose == \"sorts tickets\"", &of_claims("task/purpose"), json!("deletes tickets"));
    check("context.labels.trust == 0", "/state/label/trust", json!("internal"));
    check("context.labels.sensitivity == 0", "/state/label/sensitivity", json!("regulated"));
    check("context.prov.context == 0", "/state/label/trust", json!("untrusted"));
    check("context.prov.argument == 0", "/state/label/trust", json!("untrusted"));
    check("context.prov.unproven.isEmpty()", "/state/label/trust", json!("internal"));
    check("context.session.calls == 1", "/state/calls", json!(2));
    check("context.session.spend == 0", "/state/spend", json!(1));
    check("context.credential == \"dpop\"", "/presented/token/credential", json!("bearer"));
    check(&format!("context.now == {NOW}"), "/now", json!(NOW + 1));
    let above = json!("spiffe://acme.example/agent/support-eu/triage/1/run-1");
    check("context.chain.contains(Agent::\"support/triage@2.0.0\")", &of_claims("act/act/sub"), above);
}

/// Break: take a run below another for one that a person launched, or one of a workload for a person's.
#[test]
fn a_run_is_direct_where_a_person_launched_it_and_nobody_stands_between() {
    let none = &Evidence::default();
    let (own, spawned) = (direct(), input_of("issue_refund", r#"{"to":"ada"}"#));
    assert!(holds("context.run.direct && context.run.depth == 0 && context.chain.isEmpty()", &own, none));
    assert!(holds("!context.run.direct && context.run.depth == 1", &spawned, none));
    let mut of_workload = own;
    of_workload.pointer_mut(CLAIMS).unwrap()["sub_profile"] = json!("service");
    assert!(holds("!context.run.direct && context.run.depth == 0", &of_workload, none));
}

/// Break: call a tool harmless, or an agent trusted, that is neither.
#[test]
fn agents_and_tools_are_what_was_registered() {
    let permitted = |condition: &str, tool: &str, arguments: &str| {
        let scope = "principal is Agent, action in Action::\"CallTool\", resource is Tool";
        let bundle = bundle(&format!("permit({scope}) when {{ {condition} }};"));
        decide(&bundle, &read(input_of(tool, arguments)), &Evidence::default()).0 == Verdict::Permit
    };
    for (tool, arguments, tier) in [("read_ticket", r#"{"id":1}"#, 0), ("annotate", "{}", 1), ("issue_refund", "{}", 3)]
    {
        for other in 0..4 {
            assert_eq!(
                permitted(&format!("resource.tier == {other}"), tool, arguments),
                other == tier,
                "{tool} {other}"
            );
        }
    }
    for condition in [
        "principal.team == \"support\" && principal.name == \"triage\" && principal.version == \"1.4.2\"",
        "principal.purpose == \"sorts tickets\" && principal.tier == \"medium\"",
        "principal.environment == \"production\" && resource.environment == \"production\"",
        "principal.tags.contains(\"pilot\") && !principal.tags.contains(\"x\")",
    ] {
        assert!(permitted(condition, "annotate", "{}"), "{condition}");
    }
}

/// Break: tell policy of one approval as of two, or of none as of one.
#[test]
fn evidence_is_what_was_given() {
    let input = input_of("issue_refund", r#"{"to":"ada"}"#);
    // What is permitted is not weighed again, so the forbids are gates.
    let floor = |condition: &str| {
        format!(
            "permit(principal, action, resource);
             @gate(\"approval\") forbid(principal, action, resource) unless {{ {condition} }};"
        )
    };
    let verdict = |condition: &str, by: &[&str]| {
        let binds = binding(&read(input.clone()), PIN);
        let approvals = json!({"approvals": [{"id": "a", "binds": binds, "by": by, "until": NOW + 1}]});
        decide(&bundle(&floor(condition)), &read(input.clone()), &serde_json::from_value(approvals).unwrap()).0
    };
    let permitted = |condition, by: &[&str]| verdict(condition, by) == Verdict::Permit;
    assert!(permitted("context.evidence.approved", &["u-9"]));
    assert!(!permitted("context.evidence.approved", &[]));
    assert!(permitted("context.evidence.dual", &["u-9", "u-8"]));
    assert!(!permitted("context.evidence.dual", &["u-9"]));
    assert!(permitted("context.evidence.dual && context.evidence.endorsed.isEmpty()", &["u-9", "u-8"]));
}

/// Break: give policy other arguments of a tool than those of the call.
#[test]
fn a_tool_has_its_arguments_and_their_trust() {
    let permitted = |condition: &str, change: &dyn Fn(&mut Value)| {
        let scope = "principal, action == Action::\"tickets/issue_refund\", resource";
        let bundle = bundle(&format!("permit({scope}) when {{ {condition} }};"));
        let mut input = input_of("issue_refund", r#"{"to":"ada"}"#);
        change(&mut input);
        decide(&bundle, &read(input), &Evidence::default()).0 == Verdict::Permit
    };
    let to = "context.input has to && context.input.to == \"ada\"";
    assert!(permitted(to, &|_| {}) && !permitted(to, &|input| input["arguments"] = json!(r#"{"to":"eve"}"#)));
    let trust = "context.trust has to && context.trust.to == 0";
    assert!(permitted(trust, &|_| {}));
    assert!(!permitted(trust, &|input| input["state"]["label"]["trust"] = json!("internal")));
}

/// Break: know an argument's type, and not give its value to policy.
#[test]
fn each_type_of_argument_reaches_policy() {
    let mut registry = registry();
    let properties = &mut registry["servers"][0]["tools"][1]["input"]["properties"];
    properties["later"] = json!({"type": ["null", "boolean"]});
    properties["flags"] = json!({"type": "array", "items": {"type": "boolean"}});
    let permitted = |condition: &str, arguments: &str| {
        let mut bundle = registry.clone();
        let scope = "principal, action == Action::\"tickets/issue_refund\", resource";
        bundle["floor"] = json!([{"name": "base", "text": format!("permit({scope}) when {{ {condition} }};")}]);
        let input = read(input_of("issue_refund", arguments));
        decide(&compile_value(bundle).unwrap(), &input, &Evidence::default()).0 == Verdict::Permit
    };
    for (name, is, value, other) in [
        ("to", "== \"ada\"", "\"ada\"", "\"eve\""),
        ("count", "== 3", "3", "4"),
        ("amount", "== decimal(\"1.50\")", "1.5", "1.51"),
        ("urgent", "== true", "true", "false"),
        ("later", "== true", "true", "null"),
        ("tags", ".contains(\"a\")", "[\"b\",\"a\"]", "[\"b\"]"),
        ("flags", ".contains(false)", "[false]", "[true]"),
    ] {
        let condition = format!(
            "context.input has {name} && context.input.{name}{}{is}",
            if is.starts_with('.') { "" } else { " " }
        );
        assert!(permitted(&condition, &format!("{{\"{name}\":{value}}}")), "{condition}");
        assert!(!permitted(&condition, &format!("{{\"{name}\":{other}}}")), "{condition}");
    }
}

/// Break: leave out what a resource or a prompt was asked with.
#[test]
fn a_resource_has_its_uri_and_a_prompt_its_arguments() {
    let mut resource = input_of("", "{}");
    resource["action"] = json!({"read_resource": "file:///a"});
    let permitted = |uri: &str| {
        // Only resources have one.
        let scope = "principal, action == Action::\"ReadResource\", resource";
        let bundle = bundle(&format!("permit({scope}) when {{ context.uri == \"{uri}\" }};"));
        decide(&bundle, &read(resource.clone()), &Evidence::default()).0 == Verdict::Permit
    };
    assert!(permitted("file:///a") && !permitted("file:///b"));
    let mut prompt = input_of("", r#"{"name":"Ada"}"#);
    prompt["action"] = json!({"get_prompt": "greet"});
    check(&prompt, "context.prov.unproven.isEmpty()", "/state/label/trust", &json!("untrusted"));
    prompt["state"]["label"]["trust"] = json!("untrusted");
    assert!(holds("context.prov.unproven.contains(\"name\")", &prompt, &Evidence::default()));
}
