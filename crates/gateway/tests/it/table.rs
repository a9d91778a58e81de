//! What becomes of each method, row by row: a row that is let through by mistake is not told by its neighbours.

use remit_gateway::mcp::Era;
use remit_gateway::mcp::method::{Class, Kind, METHODS, Method, Side, classify};

fn names(of: impl Fn(&Method) -> bool) -> Vec<&'static str> {
    let mut names: Vec<_> = METHODS.iter().filter(|method| of(method)).map(|method| method.name).collect();
    names.sort_unstable();
    names
}

/// What is asked of the user or the model in a server's own words; never merely derived.
const QUESTIONS: [&str; 3] = ["elicitation/create", "roots/list", "sampling/createMessage"];

/// Break: make a row that is refused one that is derived, or the other way round.
#[test]
fn each_row_has_its_class() {
    let derived = |side: Side| names(|method| method.from == side && method.class == Class::Derived);
    assert_eq!(
        derived(Side::Client),
        [
            "completion/complete",
            "initialize",
            "logging/setLevel",
            "notifications/cancelled",
            "notifications/initialized",
            "ping",
            "prompts/list",
            "resources/list",
            "resources/subscribe",
            "resources/templates/list",
            "resources/unsubscribe",
            "server/discover",
            "subscriptions/listen",
            "tools/list",
        ]
    );
    assert_eq!(
        derived(Side::Server),
        [
            "notifications/cancelled",
            "notifications/message",
            "notifications/progress",
            "notifications/prompts/list_changed",
            "notifications/resources/list_changed",
            "notifications/resources/updated",
            "notifications/subscriptions/acknowledged",
            "notifications/tasks/status",
            "notifications/tools/list_changed",
        ]
    );
    assert_eq!(
        names(|method| method.from == Side::Client && method.class == Class::Refused),
        [
            "notifications/progress",
            "notifications/roots/list_changed",
            "notifications/tasks/status",
            "tasks/cancel",
            "tasks/get",
            "tasks/list",
            "tasks/result",
            "tasks/update",
        ]
    );
    assert_eq!(
        names(|method| method.from == Side::Server
            && method.class == Class::Refused
            && !QUESTIONS.contains(&method.name)),
        ["notifications/elicitation/complete", "ping", "tasks/cancel", "tasks/get", "tasks/list", "tasks/result"]
    );
}

/// Break: classify by anything but the row itself: its name, side, kind and era.
#[test]
fn a_message_has_the_class_of_its_row_and_no_other() {
    for method in &METHODS {
        for (era, has) in [(Era::Legacy, method.legacy), (Era::Modern, method.modern)] {
            let found = classify(method.name, method.from, method.kind, era);
            assert_eq!(found, if has { method.class } else { Class::Refused }, "{} {era:?}", method.name);
            let other = if method.kind == Kind::Request { Kind::Notification } else { Kind::Request };
            assert_eq!(classify(method.name, method.from, other, era), Class::Refused, "{} {era:?}", method.name);
            let longer = format!("{}x", method.name);
            assert_eq!(classify(&longer, method.from, method.kind, era), Class::Refused, "{longer} {era:?}");
        }
    }
}
