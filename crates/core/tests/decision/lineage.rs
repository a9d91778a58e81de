//! What the agents above one in its lineage mean for what it may do.

use remit_core::decide::Verdict;
use remit_core::gate::Evidence;
use remit_core::plan::beyond_rate;
use remit_core::policy::Compiled;
use remit_core::rejection::Code;
use serde_json::{Value, json};

use crate::common::{ALL, NOW, compile_value, decide, input_of, read, registry};

/// A registry in which the agent that spawned the caller has these limits, and the caller larger ones.
fn above(limits: &[(&str, u64)]) -> Compiled {
    let mut bundle = registry();
    bundle["floor"] = json!([{"name": "base", "text": ALL}]);
    for (name, most) in limits {
        bundle["agents"][1][name] = json!(most);
    }
    compile_value(bundle).unwrap()
}

fn asked(state: &[(&str, u64)]) -> Value {
    let mut input = input_of("read_ticket", r#"{"id":1}"#);
    for (name, count) in state {
        input["state"][name] = json!(count);
    }
    input
}

#[track_caller]
fn check(limits: &[(&str, u64)], state: &[(&str, u64)], expected: &Verdict) {
    let verdict = decide(&above(limits), &read(asked(state)), &Evidence::default()).0;
    assert_eq!(verdict, *expected, "{limits:?} {state:?}");
}

/// Break: take the limits of the agent that calls for those of its tree.
#[test]
fn a_child_has_no_larger_budget_than_whoever_began_it() {
    check(&[("calls_max", 7)], &[("calls", 7)], &Verdict::Permit);
    check(&[("calls_max", 7)], &[("calls", 8)], &Verdict::Forbid(Code::BudgetSpent));
    check(&[("calls_per_minute_max", 4)], &[("calls_in_minute", 5)], &Verdict::Forbid(Code::RateLimited));
    check(&[("repeats_max", 1)], &[("repeats", 2)], &Verdict::Forbid(Code::LoopDetected));
    // Its own hold too.
    check(&[("calls_max", 1_000)], &[("calls", 101)], &Verdict::Forbid(Code::BudgetSpent));
    let beyond = |n: u64| beyond_rate(&above(&[("calls_per_minute_max", 4)]), &read(asked(&[("calls_in_minute", n)])));
    assert_eq!((beyond(4), beyond(5)), (false, true));
}

/// Break: look only at the last link.
#[test]
fn an_ancestor_that_is_not_registered_is_nobody() {
    let mut input = asked(&[]);
    let act = &mut input["presented"]["token"]["claims"]["act"]["act"];
    act["sub"] = json!("spiffe://acme.example/agent/support/triage/9.9.9/run-1");
    let verdict = decide(&above(&[]), &read(input), &Evidence::default()).0;
    assert_eq!(verdict, Verdict::Forbid(Code::AgentUnregistered));
}

/// Break: believe a token whose grant outlives its tree.
#[test]
fn no_grant_ends_after_its_root() {
    let mut input = asked(&[]);
    let claims = &mut input["presented"]["token"]["claims"];
    claims["root_until"] = json!(NOW + 1_799);
    let verdict = decide(&above(&[]), &read(input), &Evidence::default()).0;
    assert_eq!(verdict, Verdict::Forbid(Code::TokenInvalid));
}

/// Break: mint a token that says of a model's own words that a person gave them.
#[test]
fn a_reason_keeps_its_trust_when_it_is_written_down() {
    let written = |trust: Option<&str>| {
        let mut claims = crate::common::claims();
        if let Some(trust) = trust {
            claims["task"]["trust"] = json!(trust);
        }
        let claims: remit_core::claims::Claims = serde_json::from_value(claims).unwrap();
        serde_json::to_value(&claims).unwrap()["task"]["trust"].clone()
    };
    assert_eq!(written(Some("untrusted")), json!("untrusted"));
    assert_eq!([written(None), written(Some("verified"))], [Value::Null, Value::Null]);
}
