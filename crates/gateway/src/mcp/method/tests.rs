//! The published schemas, as data: the unions `ClientRequest`, `ClientNotification`, `ServerRequest` and
//! `ServerNotification` of each revision, and the tasks extension.

use std::collections::HashSet;

use remit_core::feature::Feature;

use super::*;

type Names = &'static [&'static str];

const LEGACY_SCHEMA: [(Side, Kind, Names); 4] = [
    (
        Side::Client,
        Kind::Request,
        &[
            "ping",
            "initialize",
            "completion/complete",
            "logging/setLevel",
            "prompts/get",
            "prompts/list",
            "resources/list",
            "resources/templates/list",
            "resources/read",
            "resources/subscribe",
            "resources/unsubscribe",
            "tools/call",
            "tools/list",
            "tasks/get",
            "tasks/result",
            "tasks/list",
            "tasks/cancel",
        ],
    ),
    (
        Side::Client,
        Kind::Notification,
        &[
            "notifications/cancelled",
            "notifications/progress",
            "notifications/initialized",
            "notifications/roots/list_changed",
            "notifications/tasks/status",
        ],
    ),
    (
        Side::Server,
        Kind::Request,
        &[
            "ping",
            "sampling/createMessage",
            "roots/list",
            "elicitation/create",
            "tasks/get",
            "tasks/result",
            "tasks/list",
            "tasks/cancel",
        ],
    ),
    (
        Side::Server,
        Kind::Notification,
        &[
            "notifications/cancelled",
            "notifications/progress",
            "notifications/message",
            "notifications/resources/updated",
            "notifications/resources/list_changed",
            "notifications/tools/list_changed",
            "notifications/prompts/list_changed",
            "notifications/elicitation/complete",
            "notifications/tasks/status",
        ],
    ),
];

const MODERN_SCHEMA: [(Side, Kind, Names); 5] = [
    (
        Side::Client,
        Kind::Request,
        &[
            "server/discover",
            "completion/complete",
            "prompts/get",
            "prompts/list",
            "resources/list",
            "resources/templates/list",
            "resources/read",
            "subscriptions/listen",
            "tools/call",
            "tools/list",
        ],
    ),
    // The tasks extension.
    (Side::Client, Kind::Request, &["tasks/get", "tasks/update", "tasks/cancel"]),
    (Side::Client, Kind::Notification, &["notifications/cancelled"]),
    // `InputRequest`: no longer sent on the wire, embedded in results.
    (Side::Server, Kind::Request, &["sampling/createMessage", "roots/list", "elicitation/create"]),
    (
        Side::Server,
        Kind::Notification,
        &[
            "notifications/cancelled",
            "notifications/progress",
            "notifications/message",
            "notifications/resources/updated",
            "notifications/resources/list_changed",
            "notifications/tools/list_changed",
            "notifications/prompts/list_changed",
            "notifications/subscriptions/acknowledged",
        ],
    ),
];

type Entry = (&'static str, Side, Kind);

fn schema(parts: &[(Side, Kind, Names)]) -> HashSet<Entry> {
    parts.iter().flat_map(|(from, kind, names)| names.iter().map(|name| (*name, *from, *kind))).collect()
}

fn table(of: fn(&Method) -> bool) -> HashSet<Entry> {
    METHODS.iter().filter(|method| of(method)).map(|method| (method.name, method.from, method.kind)).collect()
}

#[test]
fn the_table_is_the_two_schemas() {
    assert_eq!(table(|method| method.legacy), schema(&LEGACY_SCHEMA));
    assert_eq!(table(|method| method.modern), schema(&MODERN_SCHEMA));
    let unique: HashSet<Entry> = table(|_| true);
    assert_eq!(unique.len(), METHODS.len());
}

#[test]
fn three_methods_of_each_side_are_decided() {
    let decided = |side| -> Vec<&str> {
        let of_side = METHODS.iter().filter(|method| method.from == side);
        of_side.filter(|method| matches!(method.class, Class::Decided(_))).map(|method| method.name).collect()
    };
    assert_eq!(decided(Side::Client), ["tools/call", "resources/read", "prompts/get"]);
    assert_eq!(decided(Side::Server), ["sampling/createMessage", "elicitation/create", "roots/list"]);
    assert!(decided(Side::Server).iter().all(|method| Feature::used_by(method).is_some() && !is_decided(method)));
}

#[track_caller]
fn refused(name: &str, from: Side, kind: Kind, era: Era) {
    assert_eq!(classify(name, from, kind, era), Class::Refused, "{name}");
}

#[test]
fn unknown_is_refused_and_so_is_the_wrong_era_side_or_kind() {
    refused("tools/Call", Side::Client, Kind::Request, Era::Legacy);
    refused("x/unknown", Side::Client, Kind::Request, Era::Modern);
    refused("initialize", Side::Client, Kind::Request, Era::Modern);
    refused("server/discover", Side::Client, Kind::Request, Era::Legacy);
    refused("tools/call", Side::Server, Kind::Request, Era::Legacy);
    refused("tools/call", Side::Client, Kind::Notification, Era::Modern);
    let asks = |method: &&Method| Feature::used_by(method.name).is_some();
    let servers = METHODS.iter().filter(|method| method.from == Side::Server && method.kind == Kind::Request);
    for method in servers.filter(|method| !asks(method)) {
        refused(method.name, Side::Server, Kind::Request, Era::Legacy);
        refused(method.name, Side::Server, Kind::Request, Era::Modern);
    }
    assert_eq!(classify("tools/call", Side::Client, Kind::Request, Era::Modern), Class::Decided(Action::CallTool));
}
