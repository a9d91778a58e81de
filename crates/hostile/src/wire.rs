//! Lines on the authority's sockets, and the lists of tools in them.

use std::collections::BTreeSet;

use remit_authority::learn::learn;
use remit_authority::socket::wire::{AdminAsk, Line, RunAsk};
use remit_core::manifest::Manifest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::parts::choice;

/// The first byte chooses: a line of administrators, a line of a run, a server's list of tools.
pub fn wire(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    match first % 3 {
        0 => administer(rest),
        1 => drop(line::<RunAsk>(rest)),
        _ => list(rest),
    }
}

/// A line reads back as it was written, and holds no member that its reader does not know.
fn line<T: Serialize + DeserializeOwned + PartialEq>(bytes: &[u8]) -> Option<Line<T>> {
    let read: Line<T> = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_string(&read).unwrap_or_default();
    assert!(!written.contains('\n'), "two lines");
    let again = serde_json::from_str::<Line<T>>(&written).ok();
    assert!(again.is_some_and(|again| again.pin == read.pin && again.ask == read.ask), "{written}");
    let other: Json = serde_json::from_slice(bytes).unwrap_or_default();
    let op = other.get("ask").and_then(|ask| ask.get("op"));
    assert!(op.is_some_and(Json::is_string), "an ask without a name");
    Some(read)
}

fn administer(bytes: &[u8]) {
    let Some(line) = line::<AdminAsk>(bytes) else { return };
    match line.ask {
        AdminAsk::RegisterAgent { manifest } => drop(Manifest::parse(&manifest)),
        AdminAsk::Diff { list, .. } | AdminAsk::Pin { list, .. } => drop(learn(&list)),
        AdminAsk::AddServer(server) => drop(learn(&server.list)),
        _ => {}
    }
}

/// Each tool is there once, as it was written, and none is exposed by being learnt.
fn list(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(tools) = learn(text) else { return };
    let names: BTreeSet<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names.len(), tools.len());
    for tool in &tools {
        assert!(!tool.exposed && text.contains(&tool.definition) && tool.input.is_object());
        let read: Json = serde_json::from_str(&tool.definition).unwrap_or_default();
        assert_eq!(read.get("name").and_then(Json::as_str), Some(tool.name.as_str()), "another name");
        assert_eq!(read.get("inputSchema"), Some(&tool.input), "another schema");
    }
}
