//! Lists of tools, prompts and resources: split into raw entries, and put together again with only some of them.
//!
//! Entries keep their bytes and their order, so that what a client caches or digests does not change under it.

use std::borrow::Cow;
use std::collections::HashSet;

use remit_core::json::{JsonError, Value, elements, members};
use serde_json::value::RawValue;

use super::error::McpError;
use super::params::no_lookalike;
use super::splice::{range_in, splice};

/// Most entries of one page, in entries.
pub const ENTRIES_MAX: usize = 4096;
/// Longest list that is read, in bytes: it is looked through several times, and no menu is that long.
pub const LIST_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Longest time for which a client may keep a filtered list, in milliseconds: a revoked tool does not linger.
pub const LIST_TTL_MS_MAX: u64 = 5_000;

/// What a client reads of a list, whichever it asked for.
const MEMBERS: [&str; 8] =
    ["tools", "prompts", "resources", "resourceTemplates", "cacheScope", "ttlMs", "nextCursor", "resultType"];

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    Templates,
}

impl ListKind {
    /// The kind of list that a method asks for.
    pub fn of(method: &str) -> Option<Self> {
        match method {
            "tools/list" => Some(Self::Tools),
            "prompts/list" => Some(Self::Prompts),
            "resources/list" => Some(Self::Resources),
            "resources/templates/list" => Some(Self::Templates),
            _ => None,
        }
    }

    fn members(self) -> (&'static str, &'static str) {
        match self {
            Self::Tools => ("tools", "name"),
            Self::Prompts => ("prompts", "name"),
            Self::Resources => ("resources", "uri"),
            Self::Templates => ("resourceTemplates", "uriTemplate"),
        }
    }
}

/// One entry of a list.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// The tool's or prompt's name, the resource's URI or template.
    pub name: Cow<'a, str>,
    /// The exact bytes.
    pub raw: &'a RawValue,
}

impl Entry<'_> {
    /// The pin of a tool.
    pub fn pin(&self) -> Result<String, JsonError> {
        super::pin::pin(self.raw)
    }
}

/// A list response.
#[derive(Debug, Clone)]
pub struct List<'a> {
    /// Its entries, in order; a name that stands there twice is left out, because nobody could say which is meant.
    pub entries: Vec<Entry<'a>>,
    text: &'a str,
    array: &'a RawValue,
    whole: bool,
    scope: Option<&'a RawValue>,
    ttl: Option<&'a RawValue>,
}

impl<'a> List<'a> {
    /// Reads a response; `None` where it is an error, which has nothing to filter.
    pub fn parse(kind: ListKind, text: &'a str) -> Result<Option<Self>, McpError> {
        if text.len() > LIST_BYTES_MAX {
            return Err(McpError::TooLarge { max: LIST_BYTES_MAX });
        }
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| McpError::Upstream("not JSON"))?;
        let Some((_, result)) = members(raw)?.into_iter().find(|(name, _)| name == "result") else {
            return Ok(None);
        };
        let result = members(result)?;
        for (name, _) in &result {
            no_lookalike(name, &MEMBERS)?;
        }
        let find = |name: &str| result.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
        let (array, key) = kind.members();
        let array = find(array).ok_or(McpError::Upstream("the list is missing"))?;
        let raws = elements(array)?;
        if raws.len() > ENTRIES_MAX {
            return Err(McpError::Upstream("the list is too long"));
        }
        let entries = raws.iter().map(|raw| entry(raw, key)).collect::<Result<Vec<_>, _>>()?;
        let entries = unique(entries);
        let whole = entries.len() == raws.len();
        Ok(Some(Self { entries, text, array, whole, scope: find("cacheScope"), ttl: find("ttlMs") }))
    }

    /// The response with only the entries that `keep` keeps, not to be shared between users nor kept for long.
    pub fn filter(&self, mut keep: impl FnMut(&Entry<'a>) -> bool) -> Result<String, McpError> {
        let kept: Vec<&str> = self.entries.iter().filter(|entry| keep(entry)).map(|entry| entry.raw.get()).collect();
        let mut edits = Vec::new();
        let array = format!("[{}]", kept.join(","));
        if !self.whole || kept.len() != self.entries.len() {
            edits.push((self.array, array.as_str()));
        }
        if let Some(scope) = self.scope.filter(|scope| scope.get() != "\"private\"") {
            edits.push((scope, "\"private\""));
        }
        let short = |ttl: &&RawValue| ttl.get().parse::<u64>().is_ok_and(|ttl| ttl <= LIST_TTL_MS_MAX);
        let max = LIST_TTL_MS_MAX.to_string();
        if let Some(ttl) = self.ttl.filter(|ttl| !short(ttl)) {
            edits.push((ttl, max.as_str()));
        }
        edits
            .into_iter()
            .map(|(raw, with)| Some((range_in(self.text, raw.get())?, with)))
            .collect::<Option<Vec<_>>>()
            .and_then(|edits| splice(self.text, edits))
            .ok_or(McpError::Upstream("the list cannot be rebuilt"))
    }
}

fn entry<'a>(raw: &'a RawValue, key: &str) -> Result<Entry<'a>, McpError> {
    let members = members(raw)?;
    for (name, _) in &members {
        no_lookalike(name, &[key])?;
    }
    let name = members.into_iter().find(|(name, _)| name == key).map(|(_, value)| Value::parse(value.get()));
    match name.transpose()? {
        Some(Value::String(name)) => Ok(Entry { name, raw }),
        _ => Err(McpError::Upstream("an entry has no name")),
    }
}

fn unique(entries: Vec<Entry<'_>>) -> Vec<Entry<'_>> {
    let mut seen = HashSet::new();
    let twice: HashSet<String> = entries
        .iter()
        .filter(|entry| !seen.insert(entry.name.clone()))
        .map(|entry| entry.name.clone().into_owned())
        .collect();
    drop(seen);
    entries.into_iter().filter(|entry| !twice.contains(&*entry.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "{ \"jsonrpc\":\"2.0\", \"id\" : 1,\"result\":{\"x-new\":[1.0e2],\"tools\":[ {\"name\":\"a\",\"n\":1e400} ,\n{\"x\":{},\"name\":\"\\u0062\"}, {\"name\":\"c\"} ],\"ttlMs\":60000 ,\"cacheScope\":\"public\",\"nextCursor\":\"q\"} }";

    fn filtered(text: &str, keep: &str) -> String {
        List::parse(ListKind::Tools, text).unwrap().unwrap().filter(|entry| keep.contains(&*entry.name)).unwrap()
    }

    #[test]
    fn only_what_is_kept_and_all_else_untouched() {
        let head = "{ \"jsonrpc\":\"2.0\", \"id\" : 1,\"result\":{\"x-new\":[1.0e2],\"tools\":";
        let tail = ",\"ttlMs\":5000 ,\"cacheScope\":\"private\",\"nextCursor\":\"q\"} }";
        assert_eq!(filtered(PAGE, "b"), format!("{head}[{{\"x\":{{}},\"name\":\"\\u0062\"}}]{tail}"));
        assert_eq!(filtered(PAGE, ""), format!("{head}[]{tail}"));
        assert_eq!(filtered(PAGE, "ca"), format!("{head}[{{\"name\":\"a\",\"n\":1e400}},{{\"name\":\"c\"}}]{tail}"));
    }

    #[test]
    fn a_list_that_is_kept_whole_keeps_every_byte() {
        let page = PAGE.replace("60000", "100").replace("public", "private");
        assert_eq!(filtered(&page, "abc"), page);
        for ttl in ["-1", "1e9", "5001", "\"x\"", "null"] {
            assert!(filtered(&page.replace(":100 ", &format!(":{ttl} ")), "").contains("\"ttlMs\":5000"), "{ttl}");
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_nobody() {
        let page = PAGE.replace("\"c\"", "\"b\"");
        assert_eq!(List::parse(ListKind::Tools, &page).unwrap().unwrap().entries.len(), 1);
        assert!(!filtered(&page, "abc").contains("0062"));
    }

    #[test]
    fn kinds_and_malformed_answers() {
        let page = r#"{"result":{"resources":[{"uri":"file:///x"}]}}"#;
        assert_eq!(List::parse(ListKind::Resources, page).unwrap().unwrap().entries[0].name, "file:///x");
        assert!(List::parse(ListKind::Tools, page).is_err());
        assert!(List::parse(ListKind::Tools, r#"{"error":{}}"#).unwrap().is_none());
        let long = page.replace("file:///x", &"x".repeat(LIST_BYTES_MAX));
        assert_eq!(List::parse(ListKind::Resources, &long).unwrap_err(), McpError::TooLarge { max: LIST_BYTES_MAX });
        for bad in [
            r#"{"result":{"tools":{}}}"#,
            r#"{"result":{"tools":[1]}}"#,
            r#"{"result":{"tools":[{"name":1}]}}"#,
            r#"{"result":{"tools":[{"name":"a","name":"b"}]}}"#,
            r#"{"result":{"tools":[],"tools":[]}}"#,
            r#"{"result":{"tools":[],"Tools":[]}}"#,
            r#"{"result":{"tools":[],"tool\u017f":[]}}"#,
            r#"{"result":{"tools":[],"Prompts":[]}}"#,
            r#"{"result":{"tools":[{"name":"a","Name":"b"}]}}"#,
            r#"{"result":[]}"#,
        ] {
            assert!(List::parse(ListKind::Tools, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pins_of_entries() {
        let page = r#"{"result":{"tools":[{"name":"read","icons":[]}]}}"#;
        let list = List::parse(ListKind::Tools, page).unwrap().unwrap();
        let raw: &RawValue = serde_json::from_str(r#"{"name":"read"}"#).unwrap();
        assert_eq!(list.entries[0].pin(), remit_core::pin::pin(raw));
    }
}
