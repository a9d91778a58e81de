//! What a bundle's policies may say, and what compiling them refuses.

use crate::common::{ALL, bundle, compile_value, registry, try_bundle};
use remit_core::policy::PolicyError;
use serde_json::json;

#[track_caller]
fn refused(floor: &str, says: &str) {
    let error = try_bundle(floor, &[]).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn a_policy_that_does_not_fit_the_pinned_tools_does_not_load() {
    let on = |condition: &str| {
        format!("forbid(principal, action == Action::\"tickets/issue_refund\", resource) when {{ {condition} }};")
    };
    bundle(&on("context.input has amount && context.input.amount.greaterThan(decimal(\"1.00\"))"));
    refused(&on("context.input has amuont && context.input.amuont.greaterThan(decimal(\"1.00\"))"), "impossible");
    refused(&on("context.input.amount.greaterThan(decimal(\"1.00\"))"), "amount");
    refused(&on("context.input has amount && context.input.amount > 1"), "decimal");
    refused(&on("context.input has why"), "impossible");
    refused(&on("context.labels.trsut == 2"), "trsut");
    refused(&on("principal.teir == \"full\""), "teir");
    refused("forbid(principal, action == Action::\"tickets/issue_refnud\", resource);", "issue_refnud");
    refused("forbid(principal in Taem::\"support\", action, resource);", "Taem");
    refused("forbid(principal, action, resource) when { context.input.id == 1 };", "input");
    refused("permit(principal, action, resource", "does not parse");
    refused("permit(principal == ?principal, action, resource);", "templates are not used");
}

#[test]
fn a_text_that_deceives_its_reader_does_not_load() {
    let to = |text: &str| {
        format!("{ALL} forbid(principal, action, resource) when {{ context.task.purpose == \"{text}\" }};")
    };
    bundle(&to("refund"));
    // The same word with a Cyrillic letter, and a text that is shown in another order than it is compared.
    assert!(try_bundle(&to("r\u{435}fund"), &[]).is_err());
    assert!(try_bundle(&to("re\u{202e}fund"), &[]).is_err());
}

#[test]
fn a_required_argument_needs_no_question_whether_it_is_there() {
    bundle("forbid(principal, action == Action::\"tickets/read_ticket\", resource) when { context.input.id == 1 };");
}

#[test]
fn annotations_are_looked_at() {
    bundle("@gate(\"approval\") forbid(principal, action, resource) unless { context.evidence.approved };");
    refused("@gate(\"approval\") permit(principal, action, resource);", "no permit can weaken it");
    refused("@gate(\"aproval\") forbid(principal, action, resource);", "there is no gate `aproval`");
    refused("@id(\"a\") permit(principal, action, resource); @id(\"a\") forbid(principal, action, resource);", "id");
}

#[track_caller]
fn team(text: &str, allowed: bool) {
    match try_bundle(ALL, &[("support", text)]) {
        Ok(_) => assert!(allowed, "accepted: {text}"),
        Err(PolicyError::ForeignPrincipal { team, .. }) => {
            assert!(!allowed && team == "support", "refused: {text}");
        }
        Err(other) => panic!("{text}: {other}"),
    }
}

#[test]
fn a_team_speaks_only_of_its_own_agents() {
    for effect in ["permit", "forbid"] {
        for (principal, allowed) in [
            ("principal in Team::\"support\"", true),
            ("principal is Agent in Team::\"support\"", true),
            ("principal in AgentName::\"support/triage\"", true),
            ("principal == Agent::\"support/triage@1.4.2\"", true),
            ("principal", false),
            ("principal is Agent", false),
            ("principal in Org::\"acme.example\"", false),
            ("principal is Agent in Org::\"acme.example\"", false),
            ("principal in Team::\"support-eu\"", false),
            ("principal in Team::\"sup\"", false),
            ("principal in AgentName::\"support-eu/triage\"", false),
            ("principal in AgentName::\"other/x\"", false),
            ("principal in AgentName::\"support\"", false),
            ("principal is Agent in AgentName::\"other/support/x\"", false),
            ("principal == Agent::\"support-eu/triage@1\"", false),
            ("principal == Agent::\"\"", false),
        ] {
            team(&format!("{effect}({principal}, action, resource);"), allowed);
        }
    }
    // A condition cannot widen the scope, and an `in` of the condition does not narrow an open one.
    team("permit(principal, action, resource) when { principal in Team::\"support\" };", false);
    team("permit(principal in Team::\"support\", action, resource) when { principal in Org::\"acme.example\" };", true);
    // One bad policy among good ones.
    team("permit(principal in Team::\"support\", action, resource); permit(principal, action, resource);", false);
}

#[test]
fn ids_say_whose_policy_it_is_and_none_stands_for_another() {
    let same = "permit(principal in Team::\"support\", action, resource);";
    assert!(try_bundle(ALL, &[("support", same), ("support", same)]).is_err());
    // An annotation cannot make a team's policy look like the floor's.
    let posing = format!("@id(\"floor/base/policy0\") {same}");
    let compiled = try_bundle(ALL, &[("support", &posing)]).unwrap();
    let (_, policies) = crate::common::ask(&compiled, "read_ticket", "{\"id\":1}");
    assert_eq!(policies, ["floor/base/policy0", "team/support/own/floor/base/policy0"]);
}

#[test]
fn a_registry_that_contradicts_itself_does_not_load() {
    let twice = |pointer: &str| {
        let mut registry = registry();
        let list = registry.pointer_mut(pointer).unwrap().as_array_mut().unwrap();
        list.push(list[0].clone());
        compile_value(registry).map(|_| ()).unwrap_err().to_string()
    };
    assert!(twice("/agents").contains("twice"));
    assert!(twice("/servers").contains("twice"));
    assert!(twice("/servers/0/tools").contains("twice"));
    let mut foreign = registry();
    foreign["agents"][0]["id"] = json!("spiffe://other.example/agent/support/triage/1.4.2");
    let error = compile_value(foreign).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("is not of acme.example"), "{error}");
}

#[test]
fn a_registry_without_tools_still_has_a_floor() {
    let floor = "permit(principal, action in Action::\"CallTool\", resource);
        @gate(\"approval\") forbid(principal, action in Action::\"CallTool\", resource) when { resource.tier == 3 }
            unless { context.evidence.approved };
        forbid(principal, action, resource) when { context.credential == \"bearer\" };";
    let mut empty = registry();
    empty["servers"] = json!([]);
    empty["floor"] = json!([{"name": "base", "text": floor}]);
    compile_value(empty).map(|_| ()).unwrap();
}

#[test]
fn the_floor_that_we_ship_loads() {
    bundle(include_str!("../../../../policies/floor/base.cedar"));
}
