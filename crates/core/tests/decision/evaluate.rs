//! What Cedar is asked and how its answer counts: errors, gates, numbers, scopes, what a list shows.

use crate::common::{ALL, ask, bundle, claims, decide, input_of, read, try_bundle};
use remit_core::decide::Verdict;
use remit_core::gate::{Evidence, Gate, binding};
use remit_core::plan::shows;
use remit_core::rejection::Code;
use serde_json::{Value, json};

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a table of cases reads better without references")]
fn check(floor: &str, tool: &str, arguments: &str, expected: Verdict) {
    assert_eq!(ask(&bundle(floor), tool, arguments).0, expected, "{floor}\n{arguments}");
}

const READ: &str = "action == Action::\"tickets/read_ticket\", resource";
const REFUND: &str = "action == Action::\"tickets/issue_refund\", resource";

#[test]
fn nothing_is_permitted_that_no_policy_permits() {
    check("", "read_ticket", "{\"id\":1}", Verdict::Forbid(Code::PolicyForbid));
    check(ALL, "read_ticket", "{\"id\":1}", Verdict::Permit);
    check(
        &format!("{ALL} forbid(principal, {READ});"),
        "read_ticket",
        "{\"id\":1}",
        Verdict::Forbid(Code::PolicyForbid),
    );
}

/// Policy permits everything here: what is refused, the grant refuses.
#[test]
fn policy_alone_permits_nothing() {
    let bundle = bundle(ALL);
    let verdict = |details: Value, arguments: &str| {
        let mut input = input_of("issue_refund", arguments);
        input["presented"]["token"]["claims"]["authorization_details"] = details;
        decide(&bundle, &read(input), &Evidence::default()).0
    };
    let here = format!("{}/mcp/tickets", crate::common::GATEWAY);
    let of = |location: &str, tools: Value| json!([{"type": "mcp_tools", "locations": [location], "tools": tools}]);
    let exact = json!({"issue_refund": {"to": {"constraint_type": "exact", "value": "ada"}}});
    assert_eq!(verdict(of(&here, json!({"issue_refund": {}})), "{}"), Verdict::Permit);
    assert_eq!(verdict(of(&here, json!({"*": {}})), "{}"), Verdict::Permit);
    assert_eq!(verdict(of(&here, exact.clone()), "{\"to\":\"ada\"}"), Verdict::Permit);
    let outside = Verdict::Forbid(Code::ArgumentsOutsideGrant);
    assert_eq!(verdict(of(&here, exact.clone()), "{\"to\":\"eve\"}"), outside);
    assert_eq!(verdict(of(&here, exact.clone()), "{\"to\":\"ada\",\"amount\":1}"), outside);
    assert_eq!(verdict(of(&here, exact), "{}"), outside);
    let scope = Verdict::Forbid(Code::InsufficientScope);
    assert_eq!(verdict(of(&here, json!({"read_ticket": {}})), "{}"), scope);
    assert_eq!(verdict(of("https://gw.example/mcp/other", json!({"issue_refund": {}})), "{}"), scope);
    assert_eq!(verdict(json!([]), "{}"), scope);
}

#[test]
fn a_policy_that_errs_is_a_forbid_whatever_it_says() {
    let error = Verdict::Forbid(Code::PolicyError);
    let erring = |effect: &str| format!("{ALL} {effect}(principal, {READ}) when {{ context.input.id * 2 > 5 }};");
    for effect in ["permit", "forbid"] {
        check(&erring(effect), "read_ticket", "{\"id\":9223372036854775807}", error.clone());
    }
    check(&erring("permit"), "read_ticket", "{\"id\":1}", Verdict::Permit);
    // Also beside a forbid, and beside a gate that would be pending.
    let gate = "@gate(\"approval\") forbid(principal, action, resource) unless { context.evidence.approved };";
    check(&format!("{gate}{}", erring("forbid")), "read_ticket", "{\"id\":9223372036854775807}", error.clone());
    let (_, policies) = ask(&bundle(&erring("forbid")), "read_ticket", "{\"id\":9223372036854775807}");
    assert_eq!(policies, ["floor/base/policy1"]);
}

const APPROVAL: &str = "@gate(\"approval\") forbid(principal, action, resource) unless { context.evidence.approved };";
const DUAL: &str = "@gate(\"dual\") forbid(principal, action, resource) unless { context.evidence.dual };";
const ENDORSEMENT: &str =
    "@gate(\"endorsement\") forbid(principal, action, resource) unless { context.evidence.endorsed.contains(\"x\") };";

#[test]
fn a_call_is_pending_only_where_lifting_helps() {
    let pending = |gates: &[Gate]| Verdict::Pending(gates.iter().copied().collect());
    let forbid = Verdict::Forbid(Code::PolicyForbid);
    let check = |policies: &[&str], expected| check(&policies.concat(), "read_ticket", "{\"id\":1}", expected);
    check(&[ALL, APPROVAL], pending(&[Gate::Approval]));
    check(&[ALL, APPROVAL, DUAL], pending(&[Gate::Approval, Gate::Dual]));
    check(&[APPROVAL], forbid.clone());
    check(&[ALL, ENDORSEMENT], forbid.clone());
    check(&[ALL, APPROVAL, ENDORSEMENT], forbid.clone());
    check(&[ALL, APPROVAL, "forbid(principal, action, resource) when { context.run.depth > 0 };"], forbid.clone());
    // A forbid that is hidden until the gate is lifted.
    check(&[ALL, APPROVAL, "forbid(principal, action, resource) when { context.evidence.approved };"], forbid);
    // An error that is hidden until then.
    let error = format!(
        "forbid(principal, {READ}) when {{ context.evidence.approved && context.input.id + 9223372036854775807 > 0 }};"
    );
    check(&[ALL, APPROVAL, &error], Verdict::Forbid(Code::PolicyError));
}

fn evidence(binds: &str, by: &[&str], until: i64) -> Evidence {
    serde_json::from_value(json!({"approvals": [{"id": "a-1", "binds": binds, "by": by, "until": until}]})).unwrap()
}

#[test]
fn an_approval_lifts_exactly_one_call() {
    let bundle = bundle(&[ALL, APPROVAL].concat());
    let own = input_of("issue_refund", "{\"amount\":5}");
    let binds = binding(&read(own.clone()), crate::common::PIN);
    let verdict = |input: &Value, evidence: &Evidence| decide(&bundle, &read(input.clone()), evidence).0;
    let good = evidence(&binds, &["u-9"], crate::common::NOW + 1);
    assert_eq!(verdict(&own, &good), Verdict::Permit);
    let pending = Verdict::Pending([Gate::Approval].into());
    assert_eq!(verdict(&own, &evidence(&binds, &["u-7f3a"], crate::common::NOW + 1)), pending);
    assert_eq!(verdict(&own, &evidence(&binds, &["u-9"], crate::common::NOW)), pending);
    assert_eq!(verdict(&own, &evidence(&binds, &[], crate::common::NOW + 1)), pending);
    let pinned_otherwise = binding(&read(own.clone()), "sha256:00");
    assert_eq!(verdict(&own, &evidence(&pinned_otherwise, &["u-9"], crate::common::NOW + 1)), pending);
    for (pointer, value) in [
        ("/arguments", json!("{\"amount\":5.0}")),
        ("/arguments", json!("{\"amount\": 5}")),
        ("/presented/token/claims/sub", json!("u-8")),
    ] {
        let mut other = own.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        assert_eq!(verdict(&other, &good), pending, "{pointer}");
    }
    let mut another_run = own.clone();
    another_run["presented"]["token"]["claims"]["run"] = json!("run-3");
    another_run["presented"]["token"]["claims"]["act"]["sub"] = json!(format!("{}/run-3", crate::common::AGENT));
    assert_eq!(verdict(&another_run, &good), pending);
}

/// Two people are two people: not one twice, and not the principal as the second.
#[test]
fn a_dual_gate_needs_two_others() {
    let bundle = bundle(&[ALL, APPROVAL, DUAL].concat());
    let own = read(input_of("issue_refund", "{\"amount\":5}"));
    let binds = binding(&own, crate::common::PIN);
    let approval = |by: &[&str]| evidence(&binds, by, crate::common::NOW + 1).approvals;
    let verdict = |approvals| decide(&bundle, &own, &Evidence { approvals }).0;
    let pending = Verdict::Pending([Gate::Dual].into());
    assert_eq!(verdict(approval(&["u-9"])), pending);
    assert_eq!(verdict([approval(&["u-9"]), approval(&["u-9"])].concat()), pending);
    assert_eq!(verdict(approval(&["u-9", "u-7f3a"])), pending);
    assert_eq!(verdict(approval(&["u-9", "u-8"])), Verdict::Permit);
    assert_eq!(verdict([approval(&["u-9"]), approval(&["u-8"])].concat()), Verdict::Permit);
}

/// The tool is not the only thing that a call names.
#[test]
fn an_approval_of_one_prompt_or_resource_lifts_no_other() {
    let bundle = bundle(&[ALL, APPROVAL].concat());
    let actions = [
        json!({"get_prompt": "greet"}),
        json!({"get_prompt": "part"}),
        json!({"read_resource": "file:///a"}),
        json!({"read_resource": "file:///b"}),
    ];
    let input = |action: &Value| {
        let mut input = input_of("", "{}");
        input["action"] = action.clone();
        read(input)
    };
    for approved in &actions {
        let evidence = evidence(&binding(&input(approved), ""), &["u-9"], crate::common::NOW + 1);
        for asked in &actions {
            let permitted = decide(&bundle, &input(asked), &evidence).0 == Verdict::Permit;
            assert_eq!(permitted, asked == approved, "{approved} {asked}");
        }
    }
}

#[test]
fn an_inexact_number_matters_where_somebody_reads_it() {
    let reading = format!(
        "{ALL} forbid(principal, {REFUND}) when {{ context.input has amount && context.input.amount.greaterThan(decimal(\"9.00\")) }};"
    );
    let elsewhere = format!("{ALL} forbid(principal, {READ}) when {{ context.input.id == 7 }};");
    let inexact = Verdict::Forbid(Code::NumberInexact);
    for number in ["1e3", "1.00001", "922337203685478", "-1E-2"] {
        let arguments = format!("{{\"amount\":{number}}}");
        check(&reading, "issue_refund", &arguments, inexact.clone());
        check(&elsewhere, "issue_refund", &arguments, Verdict::Permit);
    }
    check(&reading, "issue_refund", "{\"amount\":9.0001}", Verdict::Forbid(Code::PolicyForbid));
    check(&reading, "issue_refund", "{\"amount\":9.0000}", Verdict::Permit);
    // The record as a whole counts as reading all of it.
    let whole = format!("{ALL} forbid(principal, {REFUND}) when {{ [context.input].isEmpty() }};");
    check(&whole, "issue_refund", "{\"amount\":1e3}", inexact.clone());
    // A required one is always read.
    check(ALL, "read_ticket", "{\"id\":1e0}", inexact);
}

fn untrusted(tool: &str, arguments: &str) -> Value {
    let mut input = input_of(tool, arguments);
    input["state"]["label"]["trust"] = json!("untrusted");
    input
}

/// What cannot be held exactly, or not at all, still has a source.
#[test]
fn no_argument_escapes_its_trust_by_its_form() {
    let by_trust = bundle(&format!(
        "{ALL} forbid(principal, {REFUND}) when {{ context.trust has amount && context.trust.amount == 2 }};"
    ));
    let unproven =
        bundle(&format!("{ALL} forbid(principal, action, resource) when {{ !context.prov.unproven.isEmpty() }};"));
    let forbid = Verdict::Forbid(Code::PolicyForbid);
    let verdict = |bundle, tool, arguments| decide(bundle, &read(untrusted(tool, arguments)), &Evidence::default()).0;
    for arguments in ["{\"amount\":5}", "{\"amount\":1e3}", "{\"amount\":1.00001}"] {
        assert_eq!(verdict(&by_trust, "issue_refund", arguments), forbid, "{arguments}");
    }
    for (tool, arguments) in [
        ("issue_refund", "{\"amount\":1e3}"),
        ("issue_refund", "{\"why\":{\"text\":\"x\"}}"),
        ("annotate", "{\"undeclared\":1}"),
        ("annotate", "{\"note\":null}"),
    ] {
        assert_eq!(verdict(&unproven, tool, arguments), forbid, "{tool} {arguments}");
    }
    assert_eq!(verdict(&unproven, "issue_refund", "{}"), Verdict::Permit);
    assert_eq!(ask(&unproven, "issue_refund", "{\"amount\":1e3}").0, Verdict::Permit);
}

/// Every scope that can match a call does, however the index sorts it; every other does not.
#[test]
fn a_policy_is_found_by_whatever_its_scope_names() {
    let principals = [
        ("principal", true),
        ("principal is Agent", true),
        ("principal == Agent::\"support/triage@1.4.2\"", true),
        ("principal in Agent::\"support/triage@1.4.2\"", true),
        ("principal in AgentName::\"support/triage\"", true),
        ("principal in Team::\"support\"", true),
        ("principal is Agent in Team::\"support\"", true),
        ("principal in Org::\"acme.example\"", true),
        ("principal == Agent::\"support/triage@2.0.0\"", false),
        ("principal in Team::\"support-eu\"", false),
    ];
    let actions = [
        ("action", true),
        ("action == Action::\"tickets/issue_refund\"", true),
        ("action in Action::\"CallTool\"", true),
        ("action in [Action::\"CallTool\", Action::\"GetPrompt\"]", true),
        ("action in [Action::\"tickets/issue_refund\", Action::\"CallTool\"]", true),
        ("action == Action::\"tickets/read_ticket\"", false),
    ];
    let resources = [
        ("resource", true),
        ("resource is Tool", true),
        ("resource == Tool::\"tickets/issue_refund\"", true),
        ("resource in Server::\"tickets\"", true),
        ("resource is Tool in Server::\"tickets\"", true),
        ("resource == Tool::\"tickets/read_ticket\"", false),
    ];
    for (principal, p) in principals {
        for (action, a) in actions {
            for (resource, r) in resources {
                let policy = format!("{ALL} forbid({principal}, {action}, {resource});");
                let forbidden = ask(&bundle(&policy), "issue_refund", "{}").0 != Verdict::Permit;
                assert_eq!(forbidden, p && a && r, "{policy}");
            }
        }
    }
}

#[test]
fn teams_add_to_the_floor_and_never_weaken_it() {
    let floor = format!("forbid(principal, {REFUND});");
    let own = "permit(principal in Team::\"support\", action, resource);";
    let bundle = try_bundle(&floor, &[("support", own)]).unwrap();
    assert_eq!(ask(&bundle, "read_ticket", "{\"id\":1}").0, Verdict::Permit);
    assert_eq!(ask(&bundle, "issue_refund", "{}").0, Verdict::Forbid(Code::PolicyForbid));
}

#[track_caller]
fn shown(floor: &str, expected: bool) {
    assert_eq!(shows(&bundle(floor), &read(input_of("issue_refund", "{}"))), expected, "{floor}");
}

#[test]
fn a_tool_is_shown_where_some_arguments_could_pass() {
    let forbid = |condition: &str| format!("{ALL} forbid(principal, {REFUND}) when {{ {condition} }};");
    shown(ALL, true);
    shown("", false);
    shown(&format!("permit(principal, {READ});"), false);
    shown(&format!("{ALL} forbid(principal, {REFUND});"), false);
    shown(&[ALL, APPROVAL].concat(), true);
    shown(&[ALL, DUAL, APPROVAL].concat(), true);
    shown(&[ALL, ENDORSEMENT].concat(), false);
    shown(&forbid("context.run.depth > 0"), false);
    shown(&forbid("context.run.depth > 1"), true);
    shown(&forbid("context.input has to && context.input.to == \"evil\""), true);
    shown(&forbid("context.labels.trust == 0 && context.credential == \"dpop\""), false);
    shown(&forbid("context.trust has amount && context.trust.amount > 0"), true);
    shown(&format!("permit(principal, {REFUND}) when {{ context.input has to && context.input.to == \"me\" }};"), true);
}

#[test]
fn a_tool_is_not_shown_beyond_grant_pin_and_lockdown() {
    let bundle = bundle(ALL);
    let shown = |pointer: &str, value: Value| {
        let mut input = input_of("issue_refund", "{}");
        *input.pointer_mut(pointer).unwrap() = value;
        shows(&bundle, &read(input))
    };
    let tools = "/presented/token/claims/authorization_details/0/tools";
    assert!(shown(tools, json!({"issue_refund": {"to": {"constraint_type": "exact", "value": "x"}}})));
    assert!(shown(tools, json!({"*": {}})));
    assert!(!shown(tools, json!({"read_ticket": {}})));
    assert!(!shown("/facts/drifted", json!(true)));
    assert!(!shown("/facts/locked", json!(true)));
    assert!(!shown("/facts/revoked", json!("run")));
    assert!(!shown("/action/call_tool", json!("drop_table")));
    assert!(!shown("/presented", json!("nothing")));
    let expired = claims()["exp"].clone();
    assert!(!shown("/now", expired));
}
