//! The veto as a gateway sees it, and what a policy may say of who owns it.

use std::sync::Arc;

use remit_core::claims::Claims;
use remit_core::revoked::{Kind, Revocation, Revoked};
use remit_core::snapshot::Snapshot;
use serde_json::json;

use crate::common::{ALL, NOW, claims, compile_value, registry, try_bundle};

const LEAD: &str = "support/triage@2.0.0";

/// What took the token of a helper back, whose lead is of this environment, after these entries of the feed.
fn taken(environment: &str, entries: &[(Kind, &str)]) -> Option<Kind> {
    let mut bundle = registry();
    bundle["floor"] = json!([{"name": "base", "text": ALL}]);
    bundle["agents"][1]["environment"] = environment.into();
    let mut revoked = Revoked::default();
    for (seq, (kind, id)) in (1..).zip(entries) {
        revoked.apply(Revocation { seq, kind: *kind, id: (*id).into(), at: NOW }).unwrap();
    }
    let bundle = Arc::new(compile_value(bundle).unwrap());
    let snapshot = Snapshot { bundle, revoked: Arc::new(revoked), as_of: NOW };
    let claims: Claims = serde_json::from_value(claims()).unwrap();
    snapshot.taken(&claims)
}

/// Break: look at who holds the token alone, at another version, or at staging; or let a lift lift nothing.
#[test]
fn a_vetoed_version_stops_itself_and_its_helpers_in_production() {
    let (veto, lift) = ((Kind::Veto, LEAD), (Kind::VetoLift, LEAD));
    assert_eq!(taken("production", &[]), None);
    assert_eq!(taken("production", &[veto]), Some(Kind::Veto));
    assert_eq!(taken("production", &[(Kind::Veto, "support/triage@1.4.2")]), Some(Kind::Veto));
    assert_eq!(taken("staging", &[veto]), None);
    assert_eq!(taken("production", &[(Kind::Veto, "support/triage@3"), (Kind::Veto, "support/triage")]), None);
    assert_eq!(taken("production", &[veto, lift]), None);
    assert_eq!(taken("production", &[veto, lift, veto]), Some(Kind::Veto));
    // What was revoked is told by its own name.
    assert_eq!(taken("production", &[veto, (Kind::Run, "run-2")]), Some(Kind::Agent));
}

/// Break: take any text for a role, or let a team speak for another's.
#[test]
fn a_gate_names_roles_that_there_are_and_a_team_its_own() {
    let gate = |annotation: &str, scope: &str| {
        format!(
            "@id(\"g\") @gate(\"approval\") {annotation} forbid({scope}, action, resource) unless {{ context.evidence.approved }};"
        )
    };
    let floor = |annotation: &str| try_bundle(&gate(annotation, "principal"), &[]);
    let team = |annotation: &str| {
        let text = gate(annotation, "principal in Team::\"support\"");
        try_bundle(ALL, &[("support", text.as_str())])
    };
    let owner = |bundle: remit_core::policy::Compiled| bundle.gates()[0].owner.to_string();
    assert_eq!(owner(floor("").unwrap()), "platform");
    assert_eq!(owner(team("").unwrap()), "support/owner");
    assert_eq!(owner(floor("@owner(\"agent-security\")").unwrap()), "agent-security");
    assert_eq!(owner(team("@owner(\"support/approver\")").unwrap()), "support/approver");
    let lifts = floor("@approvers(\"desk/approver\")").unwrap().gates()[0].approvers.clone();
    assert_eq!(lifts.map(|role| role.to_string()).as_deref(), Some("desk/approver"));
    for wrong in ["@owner(\"ada\")", "@owner(\"\")", "@approvers(\"support\")"] {
        assert!(floor(wrong).is_err() && team(wrong).is_err(), "{wrong}");
    }
    for others in ["@owner(\"platform\")", "@owner(\"desk/owner\")", "@approvers(\"agent-security\")"] {
        assert!(floor(others).is_ok() && team(others).is_err(), "{others}");
    }
}
