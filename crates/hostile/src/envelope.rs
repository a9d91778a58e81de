//! MCP messages: what is judged is what is sent, and no other reader of the same bytes sees another message.

use remit_core::json::Value;
use remit_gateway::mcp::Envelope;
use remit_gateway::mcp::envelope::{Outcome, id_of};
use remit_gateway::mcp::id::Id;
use remit_gateway::mcp::params::Params;
use remit_gateway::mcp::reply::replace_id;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::json::within;
use crate::second::{self, Shape};

/// A client's message, and an upstream's.
pub fn envelope(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        assert!(Envelope::parse(bytes).is_err() && Envelope::parse_upstream(bytes).is_err());
        return;
    };
    let _maybe = id_of(bytes);
    if let Ok(message) = Envelope::parse(bytes) {
        assert!(Shape::of(text).is_none_or(Shape::is_strict), "a member stands there twice, or too deep");
        is_view(text, &message);
        as_others_read(text, &message);
        // What a client may say, an upstream may say as well, and it means the same.
        let again = Envelope::parse_upstream(bytes).ok();
        assert_eq!(again.as_ref().map(|m| (m.method(), m.id())), Some((message.method(), message.id())));
        renamed(text, &message);
        assert_eq!(id_of(bytes).as_ref(), message.id());
    }
    if let Ok(message) = Envelope::parse_upstream(bytes) {
        is_view(text, &message);
        renamed(text, &message);
    }
}

/// Every part that is handed on is a slice of the text itself.
fn is_view(text: &str, message: &Envelope<'_>) {
    let outcome = match message {
        Envelope::Response(response) => match response.outcome {
            Outcome::Result(raw) | Outcome::Error(raw) => Some(raw),
        },
        _ => None,
    };
    let params = message.params();
    let arguments = params.and_then(|params| params.arguments.as_ref()).map(|arguments| arguments.raw);
    let raws = [outcome, params.and_then(|params| params.raw), params.and_then(|params| params.meta.raw), arguments];
    assert!(raws.into_iter().flatten().all(|raw| within(text, raw.get())), "judged is not what is sent");
    assert!(message.id().is_none_or(|id| within(text, id.raw())), "an id from elsewhere");
}

/// Another strict reader, and one without regard to case that takes the last of several, see the same call.
fn as_others_read(text: &str, message: &Envelope<'_>) {
    let Ok(other) = second::read(text) else { return };
    for find in [exact as fn(&Json, &str) -> Option<Json>, careless] {
        assert_eq!(find(&other, "method").as_ref().and_then(Json::as_str), message.method());
        let Some(params) = message.params() else { continue };
        same_params(&find(&other, "params").unwrap_or(Json::Null), params, message.method().unwrap_or_default(), find);
    }
}

fn same_params(other: &Json, params: &Params<'_>, method: &str, find: fn(&Json, &str) -> Option<Json>) {
    let named = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return,
    };
    assert_eq!(find(other, named).as_ref().and_then(Json::as_str), params.target.as_deref(), "another target");
    if named == "name" {
        let arguments = find(other, "arguments");
        let ours = params.arguments.as_ref().map(|arguments| &arguments.value);
        let same = match (ours, &arguments) {
            (None, None) => true,
            (Some(ours), Some(other)) => second::same(ours, other),
            _ => false,
        };
        assert!(same, "other arguments");
    }
}

fn exact(value: &Json, name: &str) -> Option<Json> {
    value.get(name).cloned()
}

/// As Go's `encoding/json` finds a member: exactly, else folded, and the last one wins.
fn careless(value: &Json, name: &str) -> Option<Json> {
    let fold = |name: &str| name.to_lowercase().replace('\u{17f}', "s").replace('\u{212a}', "k");
    let members = value.as_object()?.iter();
    members.filter(|(found, _)| fold(found) == fold(name)).map(|(_, value)| value.clone()).next_back()
}

/// The id alone changes, and back again.
fn renamed(text: &str, message: &Envelope<'_>) {
    let Some(id) = message.id() else { return };
    let Ok(changed) = replace_id(text, "42") else { return };
    let read = Envelope::parse_upstream(changed.as_bytes()).ok();
    let fresh = serde_json::from_str::<&RawValue>("42").ok().and_then(Id::read);
    assert_eq!(read.as_ref().and_then(Envelope::id), fresh.as_ref());
    assert_eq!(read.as_ref().and_then(Envelope::method), message.method());
    assert_eq!(replace_id(&changed, id.raw()).as_deref(), Ok(text), "another byte changed");
    let strip = |text: &str| Value::parse(text).ok().map(|value| without_id(&value));
    assert_eq!(strip(&changed), strip(text));
}

fn without_id(value: &Value<'_>) -> String {
    match value {
        Value::Object(members) => format!("{:?}", members.iter().filter(|(name, _)| name != "id").collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}
