//! Methods beside the three decided ones: what of a server each opens, and whether its answer brings words.
//!
//! A method that opens a prompt or a resource is decided as getting or reading it would be. What does not stand here
//! is nothing that anybody was granted.

use std::ops::Range;

use serde_json::value::RawValue;

use crate::call::{Action, URI_BYTES_MAX};
use crate::feature::Feature;
use crate::id::ToolName;
use crate::json::{Value, members};

/// Methods that one root may make in a minute, where its calls may be fewer: a client's start takes about ten.
pub const METHODS_PER_MINUTE_MIN: u64 = 30;
/// Resources that one request may watch.
pub const WATCHED_MAX: usize = 64;

/// Methods that need no more than a grant for their server; DELETE and GET are those of the legacy transport.
const FREE: [&str; 12] = [
    "DELETE",
    "GET",
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/initialized",
    "ping",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "server/discover",
    "tools/list",
];
/// Methods whose parameters say which prompts and resources they open.
const OPENING: [&str; 4] =
    ["completion/complete", "resources/subscribe", "resources/unsubscribe", "subscriptions/listen"];

/// Whether the parameters of the method are what it is decided by, or what a server says by a feature of the client.
pub fn opens_something(method: &str) -> bool {
    OPENING.contains(&method) || Feature::used_by(method).is_some()
}

/// Where the parameters stand in a message.
pub(crate) fn params_in(body: &[u8]) -> Option<Range<usize>> {
    let text = std::str::from_utf8(body).ok()?;
    let message: &RawValue = serde_json::from_str(text).ok()?;
    let (_, params) = members(message).ok()?.into_iter().find(|(name, _)| name == "params")?;
    let start = params.get().as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let range = start..start.checked_add(params.get().len())?;
    (text.get(range.clone())? == params.get()).then_some(range)
}

/// What the method opens, as the decided actions that would: nothing for a free one. `None` is a method that does not
/// exist here, or parameters of which this reader does not know every member: another reader might go by that one.
pub fn opened(method: &str, params: &Value<'_>) -> Option<Vec<Action>> {
    match method {
        _ if FREE.contains(&method) => Some(Vec::new()),
        "completion/complete" => {
            only(params, &["ref", "argument", "context", "_meta"])?;
            let subject = params.get("ref")?;
            only(subject, &["type", "name", "uri", "title"])?;
            match (subject.get("type")?.as_str()?, subject.get("name"), subject.get("uri")) {
                ("ref/prompt", Some(name), None) => Some(vec![Action::GetPrompt(ToolName::new(name.as_str()?).ok()?)]),
                ("ref/resource", None, Some(uri)) => Some(vec![resource(uri)?]),
                _ => None,
            }
        }
        "resources/subscribe" | "resources/unsubscribe" => {
            only(params, &["uri", "_meta"])?;
            Some(vec![resource(params.get("uri")?)?])
        }
        "subscriptions/listen" => {
            only(params, &["notifications", "_meta"])?;
            let Some(wanted) = params.get("notifications") else { return Some(Vec::new()) };
            only(wanted, &["toolsListChanged", "promptsListChanged", "resourcesListChanged", "resourceSubscriptions"])?;
            match wanted.get("resourceSubscriptions") {
                None => Some(Vec::new()),
                Some(Value::Array(uris)) if uris.len() <= WATCHED_MAX => uris.iter().map(resource).collect(),
                Some(_) => None,
            }
        }
        // A server's: what it asks is decided as the answer will be.
        _ => Feature::used_by(method).map(|feature| vec![Action::Answer(feature)]),
    }
}

fn resource(uri: &Value<'_>) -> Option<Action> {
    uri.as_str().filter(|uri| uri.len() <= URI_BYTES_MAX).map(|uri| Action::ReadResource(uri.to_owned()))
}

/// Whether the value is an object with no other members than these.
fn only(value: &Value<'_>, known: &[&str]) -> Option<()> {
    let Value::Object(members) = value else { return None };
    members.iter().all(|(name, _)| known.contains(&name.as_ref())).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, params: &str, expected: Option<&[&str]>) {
        let found = opened(method, &Value::parse(params).unwrap());
        let found = found.map(|all| all.iter().map(|a| format!("{} {}", a.method(), a.object())).collect::<Vec<_>>());
        assert_eq!(found, expected.map(|all| all.iter().map(ToString::to_string).collect()), "{method} {params}");
    }

    #[test]
    fn what_is_named_is_what_is_opened() {
        check("ping", r#"{"uri":"file:///x"}"#, Some(&[]));
        check("resources/subscribe", r#"{"uri":"file:///x","_meta":{}}"#, Some(&["resources/read file:///x"]));
        check("resources/unsubscribe", r#"{"uri":"file:///x"}"#, Some(&["resources/read file:///x"]));
        let prompt = r#"{"ref":{"type":"ref/prompt","name":"p","title":"P"},"argument":{"name":"a","value":""}}"#;
        check("completion/complete", prompt, Some(&["prompts/get p"]));
        let template = r#"{"ref":{"type":"ref/resource","uri":"file:///{x}"},"argument":{}}"#;
        check("completion/complete", template, Some(&["resources/read file:///{x}"]));
        let two = r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["a","b"]}}"#;
        check("subscriptions/listen", two, Some(&["resources/read a", "resources/read b"]));
        check("subscriptions/listen", r#"{"notifications":{"promptsListChanged":true}}"#, Some(&[]));
        check("subscriptions/listen", "{}", Some(&[]));
    }

    #[test]
    fn what_another_reader_could_take_for_something_else_is_nothing() {
        for (method, params) in [
            ("tasks/get", r#"{"taskId":"t"}"#),
            ("tasks/result", r#"{"taskId":"t"}"#),
            ("x/unknown", "{}"),
            ("resources/subscribe", "{}"),
            ("resources/subscribe", r#"{"uri":7}"#),
            ("resources/subscribe", r#"{"uri":"a","URI":"b"}"#),
            ("resources/subscribe", r#"{"uri":"a","uris":["b"]}"#),
            ("completion/complete", r#"{"argument":{}}"#),
            ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p","uri":"u"}}"#),
            ("completion/complete", r#"{"ref":{"type":"ref/prompt","uri":"u"}}"#),
            ("completion/complete", r#"{"ref":{"type":"ref/tool","name":"p"}}"#),
            ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p","Name":"q"}}"#),
            ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p"},"Ref":{}}"#),
            ("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":"a"}}"#),
            ("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":[7]}}"#),
            ("subscriptions/listen", r#"{"notifications":{"taskIds":["t"]}}"#),
            ("subscriptions/listen", r#"{"resourceSubscriptions":["a"]}"#),
        ] {
            check(method, params, None);
        }
    }

    #[test]
    fn parameters_are_found_where_they_stand() {
        let body = br#"{ "id":1, "params" : {"uri":"\u0061"} ,"method":"resources/subscribe"}"#;
        assert_eq!(&body[params_in(body).unwrap()], br#"{"uri":"\u0061"}"#);
        assert_eq!(params_in(br#"{"id":1}"#), None);
        assert_eq!(params_in(br#"{"params":{},"params":{}}"#), None);
        assert_eq!(params_in(b"[]"), None);
    }
}
