//! Every event has what OCSF requires of class 6003, API Activity, and of the objects that it uses.

use remit_core::event::canon::Node;
use remit_core::event::read;

use crate::make::{all, head};

fn member<'a>(node: &'a Node, path: &str) -> Option<&'a Node> {
    node.at(&path.split('.').collect::<Vec<_>>())
}

#[test]
fn every_kind_has_the_required_members() {
    for (name, _, leaf) in all() {
        let (_, event) = read(&leaf).unwrap();
        let int = |path: &str| match member(&event, path) {
            Some(Node::Int(n)) => *n,
            other => panic!("{name}: {path} is {other:?}"),
        };
        assert_eq!((int("class_uid"), int("category_uid")), (6003, 6), "{name}");
        let activity = int("activity_id");
        assert!(matches!(activity, 1..=4 | 99), "{name}");
        assert_eq!(int("type_uid"), 600_300 + activity, "{name}");
        assert!((1..=6).contains(&int("severity_id")), "{name}");
        assert_eq!(int("time"), head().at_ms, "{name}");
        assert!((1..=2).contains(&int("status_id")), "{name}");
        for path in [
            "activity_name",
            "api.operation",
            "api.service.name",
            "metadata.version",
            "metadata.uid",
            "metadata.log_name",
            "metadata.product.name",
            "metadata.product.vendor_name",
            "metadata.product.version",
        ] {
            assert!(matches!(member(&event, path), Some(Node::Text(text)) if !text.is_empty()), "{name}: {path}");
        }
        let one_of = |object: &str, names: &[&str]| {
            let found = names.iter().any(|name| member(&event, &format!("{object}.{name}")).is_some());
            assert!(found, "{name}: {object} has none of {names:?}");
        };
        one_of("actor", &["user", "session", "app_uid"]);
        one_of("src_endpoint", &["uid", "name", "ip"]);
        if member(&event, "ai_agent").is_some() {
            one_of("ai_agent", &["uid"]);
        }
        if member(&event, "actor.user").is_some() {
            one_of("actor.user", &["uid"]);
        }
    }
}

#[test]
fn what_was_refused_is_denied_and_blocked() {
    for (name, _, leaf) in all() {
        let (_, event) = read(&leaf).unwrap();
        let Some(verdict) = event.text(&["unmapped", "remit", "decision", "verdict"]) else { continue };
        let expected = if verdict == "permit" { 1 } else { 2 };
        for member in ["action_id", "disposition_id", "status_id"] {
            assert_eq!(event.int(&[member]), Some(expected), "{name} {member}");
        }
    }
}
