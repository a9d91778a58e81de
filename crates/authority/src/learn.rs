//! What a server says of its tools, turned into what is registered of them.
//!
//! A server's hints are its own words: an absent hint means the worst, a name or an argument that sounds harmful counts
//! for more than a hint that says otherwise, and no hint makes what it returns trusted. A person who has reviewed the
//! tool can override all of it.

use std::collections::BTreeMap;

use remit_core::id::ToolName;
use remit_core::json::{self, JsonError};
use remit_core::label::{Label, Sensitivity, Trust};
use remit_core::pin::pin;
use remit_core::registry::{Role, ToolTier};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::change::ToolRecord;

/// Most tools of one server.
pub const TOOLS_MAX: usize = 1_024;

/// Why a `tools/list` result is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LearnError {
    /// Not a result of `tools/list`.
    #[error("the server's tool list does not parse: {0}")]
    List(String),
    /// One tool's definition is not usable.
    #[error("the definition of tool {0} is not usable: {1}")]
    Tool(usize, String),
    /// More tools than are accepted, or one name twice.
    #[error("the server names more than {TOOLS_MAX} tools, or one of them twice")]
    Bounds,
}

/// What a reviewer says of a tool instead of what was derived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The harm it can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<ToolTier>,
    /// The worst label of what it returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns: Option<Label>,
    /// What arguments are for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Role>,
}

#[derive(Deserialize)]
struct Definition {
    name: ToolName,
    #[serde(rename = "inputSchema")]
    input: serde_json::Value,
    #[serde(default)]
    annotations: Hints,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Hints {
    #[serde(rename = "readOnlyHint")]
    read_only: Option<bool>,
    #[serde(rename = "destructiveHint")]
    destructive: Option<bool>,
    #[serde(rename = "openWorldHint")]
    open_world: Option<bool>,
}

/// Reads the raw result of `tools/list`: its `tools`, or the array itself. Nothing is exposed.
pub fn learn(list: &str) -> Result<Vec<ToolRecord>, LearnError> {
    let bad = |error: JsonError| LearnError::List(error.to_string());
    let whole: &RawValue = serde_json::from_str(list).map_err(|_| bad(JsonError::Syntax))?;
    let array = match json::members(whole) {
        Ok(members) => members.into_iter().find(|(name, _)| name == "tools").map(|(_, raw)| raw),
        Err(_) => Some(whole),
    };
    let array = array.ok_or_else(|| LearnError::List("it has no `tools`".into()))?;
    let definitions = json::elements(array).map_err(bad)?;
    if definitions.len() > TOOLS_MAX {
        return Err(LearnError::Bounds);
    }
    let tools = definitions.iter().enumerate().map(|(index, raw)| one(index, raw));
    let mut tools = tools.collect::<Result<Vec<_>, _>>()?;
    tools.sort_by(|left, right| left.name.cmp(&right.name));
    let count = tools.len();
    tools.dedup_by(|left, right| left.name == right.name);
    if tools.len() == count { Ok(tools) } else { Err(LearnError::Bounds) }
}

fn one(index: usize, raw: &RawValue) -> Result<ToolRecord, LearnError> {
    let bad = |why: String| LearnError::Tool(index, why);
    let pin = pin(raw).map_err(|error| bad(error.to_string()))?;
    let definition: Definition = serde_json::from_str(raw.get()).map_err(|error| bad(error.to_string()))?;
    if !definition.input.is_object() {
        return Err(bad("`inputSchema` is not an object".into()));
    }
    let roles = roles(&definition.input);
    Ok(ToolRecord {
        tier: tier(definition.name.as_str(), &definition.annotations, &roles),
        returns: RETURNS,
        roles,
        definition: raw.get().to_owned(),
        pin,
        name: definition.name,
        input: definition.input,
        exposed: false,
        review: None,
    })
}

impl Override {
    /// Puts the reviewer's words in the place of what was derived. What an earlier review said and this one does not
    /// speak of stays said.
    pub fn apply(&self, tool: &mut ToolRecord) {
        let mut said = tool.review.take().unwrap_or_default();
        said.tier = self.tier.or(said.tier);
        said.returns = self.returns.or(said.returns);
        said.roles.extend(self.roles.clone());
        tool.tier = said.tier.unwrap_or(tool.tier);
        tool.returns = said.returns.unwrap_or(tool.returns);
        tool.roles.extend(said.roles.clone());
        tool.review = Some(said);
    }
}

const HARMFUL: &[&str] = &[
    "delete",
    "remove",
    "drop",
    "purge",
    "destroy",
    "refund",
    "pay",
    "transfer",
    "charge",
    "exec",
    "execute",
    "run",
    "shell",
    "eval",
    "grant",
    "permission",
    "password",
    "credential",
    "secret",
    "token",
    "export",
    "bulk",
];
const OUTWARD: &[&str] = &[
    "send", "post", "reply", "publish", "email", "mail", "message", "create", "update", "write", "put", "set", "edit",
    "upload", "share", "invite", "merge", "push", "deploy",
];

fn tier(name: &str, hints: &Hints, roles: &BTreeMap<String, Role>) -> ToolTier {
    let open = hints.open_world != Some(false);
    let hinted = match (hints.read_only, hints.destructive) {
        (Some(true), _) if open => ToolTier::T1,
        (Some(true), _) => ToolTier::T0,
        (_, Some(false)) => ToolTier::T2,
        _ => ToolTier::T3,
    };
    let words = words(name);
    let says = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let named = if says(HARMFUL) || roles.values().any(|role| matches!(role, Role::Command)) {
        ToolTier::T3
    } else if says(OUTWARD) {
        ToolTier::T2
    } else {
        ToolTier::T0
    };
    hinted.max(named)
}

/// What a tool returns counts as the worst until a reviewer says otherwise: no server vouches for its own words.
const RETURNS: Label = Label { trust: Trust::Untrusted, sensitivity: Sensitivity::Regulated };

const ROLES: &[(Role, &[&str])] = &[
    (Role::Credential, &["password", "passwd", "secret", "token", "credential", "credentials", "apikey", "key"]),
    (Role::Command, &["command", "cmd", "script", "code", "sql", "shell", "expression", "eval"]),
    (
        Role::Target,
        &[
            "url",
            "uri",
            "to",
            "recipient",
            "recipients",
            "email",
            "mail",
            "address",
            "host",
            "iban",
            "account",
            "channel",
            "destination",
            "dest",
            "target",
            "path",
            "file",
            "repo",
            "branch",
            "endpoint",
            "webhook",
            "bcc",
            "cc",
        ],
    ),
    (
        Role::Content,
        &[
            "body",
            "text",
            "content",
            "message",
            "note",
            "description",
            "subject",
            "title",
            "comment",
            "reason",
            "summary",
        ],
    ),
    (Role::Selector, &["id", "ids", "name", "query", "filter", "number", "index", "page", "limit", "offset", "from"]),
];

/// An argument whose name says nothing is a target: what is unknown may be where the effect goes.
fn roles(schema: &serde_json::Value) -> BTreeMap<String, Role> {
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    let role = |name: &String, schema: &serde_json::Value| {
        let words = words(name);
        let by_name = ROLES
            .iter()
            .find(|(_, list)| words.iter().any(|word| list.contains(&word.as_str())))
            .map(|(role, _)| *role);
        let flag = schema.get("type").is_some_and(|kind| kind == "boolean") || schema.get("enum").is_some();
        by_name.unwrap_or(if flag { Role::Control } else { Role::Target })
    };
    let named = properties.into_iter().flatten();
    named.map(|(name, schema)| (name.clone(), role(name, schema))).collect()
}

/// `deleteTicket`, `delete_ticket` and `delete-ticket` all hold the word `delete`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if !letter.is_ascii_alphanumeric() || (letter.is_ascii_uppercase() && was_lower) {
            words.push(String::new());
        }
        if let (true, Some(last)) = (letter.is_ascii_alphanumeric(), words.last_mut()) {
            last.push(letter.to_ascii_lowercase());
        }
        was_lower = letter.is_ascii_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, annotations: &str, properties: &str) -> ToolRecord {
        let list = format!(
            r#"{{"tools":[{{"name":"{name}","annotations":{annotations},"inputSchema":{{"type":"object","properties":{properties}}}}}]}}"#
        );
        learn(&list).unwrap().remove(0)
    }

    #[track_caller]
    fn check(name: &str, annotations: &str, tier: ToolTier, trust: Trust) {
        let tool = tool(name, annotations, "{}");
        assert_eq!((tool.tier, tool.returns.trust), (tier, trust), "{name} {annotations}");
        assert!(!tool.exposed);
    }

    #[test]
    fn an_absent_hint_means_the_worst_and_a_name_only_raises() {
        check("ping", "{}", ToolTier::T3, Trust::Untrusted);
        check("ping", r#"{"readOnlyHint":true}"#, ToolTier::T1, Trust::Untrusted);
        check("ping", r#"{"readOnlyHint":true,"openWorldHint":false}"#, ToolTier::T0, Trust::Untrusted);
        check("ping", r#"{"destructiveHint":false}"#, ToolTier::T2, Trust::Untrusted);
        check("deleteAll", r#"{"readOnlyHint":true,"openWorldHint":false}"#, ToolTier::T3, Trust::Untrusted);
        check("reply_to_customer", r#"{"readOnlyHint":true}"#, ToolTier::T2, Trust::Untrusted);
    }

    #[test]
    fn arguments_have_roles_by_their_names_and_a_reviewer_has_the_last_word() {
        let properties =
            r#"{"customerEmail":{},"body":{},"ticket_id":{},"api_key":{},"dryRun":{"type":"boolean"},"x":{}}"#;
        let mut tool = tool("note", r#"{"readOnlyHint":true}"#, properties);
        let role = |tool: &ToolRecord, name: &str| tool.roles[name];
        assert_eq!(role(&tool, "customerEmail"), Role::Target);
        assert_eq!(role(&tool, "body"), Role::Content);
        assert_eq!(role(&tool, "ticket_id"), Role::Selector);
        assert_eq!(role(&tool, "api_key"), Role::Credential);
        assert_eq!(role(&tool, "dryRun"), Role::Control);
        assert_eq!(role(&tool, "x"), Role::Target);
        let words: Override = serde_json::from_str(r#"{"tier":"T0","roles":{"x":"content"}}"#).unwrap();
        words.apply(&mut tool);
        assert_eq!((tool.tier, role(&tool, "x"), role(&tool, "body")), (ToolTier::T0, Role::Content, Role::Content));
    }

    #[test]
    fn a_list_with_two_readings_is_refused() {
        for bad in [
            "{}",
            "[1]",
            r#"{"tools":[{"name":"a","inputSchema":{}},{"name":"a","inputSchema":{}}]}"#,
            r#"{"tools":[{"name":"a","name":"b","inputSchema":{}}]}"#,
            r#"{"tools":[{"name":"a","inputSchema":[]}]}"#,
            r#"{"tools":[{"name":"a b","inputSchema":{}}]}"#,
        ] {
            assert!(learn(bad).is_err(), "{bad}");
        }
    }
}
