//! Methods beside the decided ones: what each opens must be granted, what it brings raises the label, and there is a
//! rate for them.

use remit_core::decide::Verdict;
use remit_core::gate::{Evidence, Gate};
use remit_core::label::{Label, Trust};
use remit_core::method::METHODS_PER_MINUTE_MIN;
use remit_core::plan::beyond_rate;
use remit_core::rejection::Code;
use serde_json::{Value, json};

use crate::common::{ALL, GATEWAY, bundle, decide, input_of, read};
use crate::make::record;

const READ: &str = r#"{"read_ticket":{}}"#;
const UNKNOWN: Verdict = Verdict::Forbid(Code::Unknown);

fn complete(prompt: &str) -> (&'static str, String) {
    let params = json!({"ref": {"type": "ref/prompt", "name": prompt}, "argument": {"name": "a", "value": "x"}});
    ("completion/complete", params.to_string())
}

fn complete_uri(uri: &str) -> (&'static str, String) {
    ("completion/complete", json!({"ref": {"type": "ref/resource", "uri": uri}}).to_string())
}

fn watch(uris: &[&str]) -> (&'static str, String) {
    ("subscriptions/listen", json!({"notifications": {"resourceSubscriptions": uris}}).to_string())
}

fn subscribe(uri: &str) -> (&'static str, String) {
    ("resources/subscribe", json!({"uri": uri}).to_string())
}

fn plain(method: &'static str) -> (&'static str, String) {
    (method, "{}".into())
}

/// A run that was granted a tool, one prompt and one resource, or the tool alone.
fn asks((method, params): &(&str, String), more: bool) -> Value {
    let mut input = input_of("", params);
    input["action"] = json!({"method": method});
    let mut detail = json!({"type": "mcp_tools", "locations": [format!("{GATEWAY}/mcp/tickets")],
        "tools": serde_json::from_str::<Value>(READ).unwrap()});
    if more {
        detail["prompts"] = json!({"greet": {}});
        detail["resources"] = json!([{"constraint_type": "exact", "value": "file:///readme"}]);
    }
    input["presented"]["token"]["claims"]["authorization_details"] = json!([detail]);
    input
}

#[track_caller]
fn check(floor: &str, asked: &(&str, String), more: bool, expected: &Verdict) {
    let verdict = decide(&bundle(floor), &read(asks(asked, more)), &Evidence::default()).0;
    assert_eq!(verdict, *expected, "{asked:?} {more}");
}

/// Break: take a grant for the server for a grant for all that its methods open.
#[test]
fn what_a_method_opens_must_be_granted() {
    for asked in [
        complete("greet"),
        complete_uri("file:///readme"),
        subscribe("file:///readme"),
        ("resources/unsubscribe", r#"{"uri":"file:///readme"}"#.into()),
        watch(&["file:///readme"]),
    ] {
        check(ALL, &asked, true, &Verdict::Permit);
        check(ALL, &asked, false, &UNKNOWN);
        // Policy, too, is asked as for the thing itself.
        check("", &asked, true, &Verdict::Forbid(Code::PolicyForbid));
    }
    // Declared, and not granted.
    check(ALL, &complete("part"), true, &Verdict::Forbid(Code::InsufficientScope));
    for asked in [
        complete("nobody-has-it"),
        complete_uri("file:///secret"),
        subscribe("file:///secret"),
        watch(&["file:///readme", "file:///secret"]),
        plain("completion/complete"),
        plain("tasks/get"),
        plain("tasks/result"),
        plain("tasks/cancel"),
        plain("tasks/update"),
        plain("x/unheard"),
    ] {
        check(ALL, &asked, true, &UNKNOWN);
    }
    for method in ["ping", "initialize", "server/discover", "tools/list", "prompts/list", "GET", "DELETE"] {
        check("", &plain(method), false, &Verdict::Permit);
    }
    check("", &watch(&[]), false, &Verdict::Permit);
}

/// Break: let the last thing that is opened speak for all of them.
#[test]
fn the_strictest_answer_about_all_that_is_opened_counts() {
    const GATE: &str = "@gate(\"approval\") forbid(principal, action == Action::\"ReadResource\", resource) \
        when { context.uri like \"*/a\" } unless { context.evidence.approved };";
    const NEVER: &str =
        "forbid(principal, action == Action::\"ReadResource\", resource) when { context.uri like \"*/b\" };";
    let verdict = |floor: &str, uris: &[&str]| {
        let mut input = asks(&watch(uris), true);
        input["presented"]["token"]["claims"]["authorization_details"][0]["resources"] =
            json!([{"constraint_type": "wildcard"}]);
        decide(&bundle(floor), &read(input), &Evidence::default()).0
    };
    let pending = Verdict::Pending([Gate::Approval].into());
    let floor = [ALL, GATE].concat();
    assert_eq!(verdict(&floor, &["file:///a", "file:///b"]), pending);
    assert_eq!(verdict(&floor, &["file:///b", "file:///a"]), pending);
    assert_eq!(verdict(&floor, &["file:///b"]), Verdict::Permit);
    let floor = [&floor, NEVER].concat();
    for uris in [["file:///a", "file:///b"], ["file:///b", "file:///a"]] {
        assert_eq!(verdict(&floor, &uris), Verdict::Forbid(Code::PolicyForbid));
    }
}

#[track_caller]
fn raises(asked: &(&str, String), more: bool, expected: Label) {
    let found = record(&bundle(ALL), asks(asked, more), Evidence::default()).unwrap().label_after;
    assert_eq!(found, expected, "{asked:?} {more}");
}

/// Break: let a method's answer reach a run without raising its label; or let a client's normal start raise it.
#[test]
fn words_that_nobody_reviewed_raise_the_label() {
    for asked in [
        complete("greet"),
        complete_uri("file:///readme"),
        subscribe("file:///readme"),
        watch(&["file:///readme"]),
        plain("prompts/list"),
        plain("resources/list"),
    ] {
        raises(&asked, true, Label::UNKNOWN);
    }
    assert_eq!(Label::UNKNOWN.trust, Trust::Untrusted);
    for method in ["initialize", "server/discover", "notifications/initialized", "tools/list", "ping", "GET"] {
        raises(&plain(method), true, Label::FRESH);
    }
    raises(&watch(&[]), true, Label::FRESH);
    // To who was granted no prompt and no resource, the lists of them are empty.
    raises(&plain("prompts/list"), false, Label::FRESH);
    raises(&plain("resources/list"), false, Label::FRESH);
    // What is refused brings nothing.
    raises(&complete("part"), true, Label::FRESH);
}

/// Break: count no methods, or hold a client's start against the rate of its calls.
#[test]
fn there_is_a_rate_for_methods() {
    let at = |asked: &(&str, String), n: u64| {
        let mut input = asks(asked, true);
        input["state"]["calls_in_minute"] = json!(n);
        let input = read(input);
        (decide(&bundle(ALL), &input, &Evidence::default()).0, beyond_rate(&bundle(ALL), &input))
    };
    // The agent's rate is 10 calls in a minute.
    for asked in [plain("ping"), complete("greet")] {
        assert_eq!(at(&asked, METHODS_PER_MINUTE_MIN), (Verdict::Permit, false));
        assert_eq!(at(&asked, METHODS_PER_MINUTE_MIN + 1), (Verdict::Forbid(Code::RateLimited), true));
    }
    assert_eq!(at(&plain("tasks/get"), METHODS_PER_MINUTE_MIN + 1), (UNKNOWN, true));
    let call = |n: u64| {
        let mut input = input_of("read_ticket", r#"{"id":1}"#);
        input["state"]["calls_in_minute"] = json!(n);
        beyond_rate(&bundle(ALL), &read(input))
    };
    assert_eq!((call(10), call(11)), (false, true));
}
