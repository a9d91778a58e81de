//! Lists: what is filtered out is gone for every reader, and all else keeps its bytes.

use remit_core::json::Value;
use remit_gateway::mcp::list::{Entry, LIST_TTL_MS_MAX, List, ListKind};
use serde_json::Value as Json;

use crate::json::within;
use crate::parts::choice;
use crate::second;

/// The first byte chooses the kind and what is kept; the rest is an upstream's answer.
pub fn list(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let (kind, array, key) = match first % 4 {
        0 => (ListKind::Tools, "tools", "name"),
        1 => (ListKind::Prompts, "prompts", "name"),
        2 => (ListKind::Resources, "resources", "uri"),
        _ => (ListKind::Templates, "resourceTemplates", "uriTemplate"),
    };
    let Ok(Some(list)) = List::parse(kind, text) else { return };
    let keep = |entry: &Entry<'_>| (entry.name.len() + usize::from(first >> 2)).is_multiple_of(2);
    let wanted: Vec<&str> = list.entries.iter().filter(|entry| keep(entry)).map(|entry| entry.raw.get()).collect();
    assert!(list.entries.iter().all(|entry| within(text, entry.raw.get())), "an entry from elsewhere");
    for entry in &list.entries {
        // Whether there is a pin is for the entry to say; that it is the same each time is for us.
        assert_eq!(entry.pin(), entry.pin());
    }
    let filtered = list.filter(keep).unwrap_or_else(|error| unreachable(&error.to_string()));
    let again = List::parse(kind, &filtered).ok().flatten();
    let kept: Option<Vec<&str>> = again.as_ref().map(|list| list.entries.iter().map(|entry| entry.raw.get()).collect());
    assert_eq!(kept, Some(wanted), "other entries than those that are kept");
    // Once more changes nothing.
    assert_eq!(again.and_then(|list| list.filter(keep).ok()).as_deref(), Some(filtered.as_str()));
    others(text, &filtered, (array, key), &keep_names(&list, keep));
}

#[track_caller]
fn unreachable(error: &str) -> String {
    assert!(error.is_empty(), "a list that was read cannot be written: {error}");
    String::new()
}

fn keep_names(list: &List<'_>, keep: impl Fn(&Entry<'_>) -> bool) -> Vec<String> {
    list.entries.iter().filter(|entry| keep(entry)).map(|entry| entry.name.clone().into_owned()).collect()
}

/// Another reader sees the kept names alone, and nothing else has changed.
fn others(before: &str, after: &str, (array, key): (&str, &str), names: &[String]) {
    let (Ok(mut before), Ok(mut after)) = (second::read(before), second::read(after)) else { return };
    let entries = after.get("result").and_then(|result| result.get(array)).and_then(Json::as_array);
    let seen: Option<Vec<&str>> = entries.map(|all| all.iter().filter_map(|one| one.get(key)?.as_str()).collect());
    assert_eq!(seen, Some(names.iter().map(String::as_str).collect()), "another reader sees other entries");
    let result = after.get("result");
    let scope = result.and_then(|result| result.get("cacheScope"));
    assert!(scope.is_none_or(|scope| scope == "private"), "shared between users: {scope:?}");
    let ttl = result.and_then(|result| result.get("ttlMs"));
    assert!(ttl.is_none_or(|ttl| ttl.as_u64().is_some_and(|ttl| ttl <= LIST_TTL_MS_MAX)), "kept for long: {ttl:?}");
    for value in [&mut before, &mut after] {
        if let Some(result) = value.get_mut("result").and_then(Json::as_object_mut) {
            result.retain(|name, _| ![array, "cacheScope", "ttlMs"].contains(&&**name));
        }
    }
    assert_eq!(before, after, "something else has changed");
}

/// The text of a value with its members turned round and blanks between all tokens: the same value, other bytes.
pub(crate) fn turned(value: &Value<'_>) -> String {
    match value {
        Value::Null => " null ".into(),
        Value::Bool(value) => format!(" {value}\n"),
        Value::Number(text) => format!("\t{text} "),
        Value::String(text) => Json::from(text.as_ref()).to_string(),
        Value::Array(items) => format!("[ {} ]", items.iter().map(turned).collect::<Vec<_>>().join(" ,")),
        Value::Object(members) => {
            let one = |(name, value): &(_, _)| format!("{} :{}", Json::from(AsRef::<str>::as_ref(name)), turned(value));
            format!("{{\r{} }}", members.iter().rev().map(one).collect::<Vec<_>>().join(", "))
        }
    }
}
