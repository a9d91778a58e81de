//! A grant as a token states it: `authorization_details` of type `mcp_tools` (RFC 9396).
//!
//! What is absent is denied. A tool listed with no constraint may be called with any arguments that its pinned
//! schema allows; a tool with at least one constraint may be called with no argument that is not named (closed
//! world).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::constraint::{Constraint, Mismatch};
use crate::feature::Feature;
use crate::json::Value;

/// The `type` of our authorization details.
pub const DETAIL_TYPE: &str = "mcp_tools";
/// Most tools in one detail.
pub const GRANT_TOOLS_MAX: usize = 256;
/// Stands for every tool that the server exposes; only a manifest's explicit exception puts it here.
pub const WILDCARD: &str = "*";

/// Constraints by argument name.
pub type Arguments = BTreeMap<String, Constraint>;

/// One element of `authorization_details`: what may be done at one MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// Always [`DETAIL_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The gateway's URLs of the server, `…/mcp/<server>`.
    pub locations: Vec<String>,
    /// Tools that may be called.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, Arguments>,
    /// Prompts that may be got.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<String, Arguments>,
    /// Resources that may be read: the URI must satisfy one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Constraint>,
    /// Features of the client that the server may use.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<Feature>,
}

/// Why a grant does not cover a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uncovered {
    /// The grant does not name the tool, prompt or resource.
    NotGranted,
    /// The named argument is outside its constraint, or no constraint names it.
    Argument(String),
    /// The named argument is a number that cannot be compared exactly.
    Inexact(String),
}

impl Detail {
    /// Whether the detail keeps its limits and is of our type.
    pub fn well_formed(&self) -> bool {
        let arguments = || self.tools.values().chain(self.prompts.values()).flat_map(BTreeMap::values);
        self.kind == DETAIL_TYPE
            && self.tools.len().saturating_add(self.prompts.len()).saturating_add(self.resources.len())
                <= GRANT_TOOLS_MAX
            && arguments().chain(&self.resources).all(Constraint::well_formed)
    }

    /// Whether the detail covers calling `tool` with `arguments` (an object).
    pub fn covers_tool(&self, tool: &str, arguments: &Value<'_>) -> Result<(), Uncovered> {
        let constraints = self.tools.get(tool).or_else(|| self.tools.get(WILDCARD));
        covered(constraints.ok_or(Uncovered::NotGranted)?, arguments)
    }

    /// Whether the detail covers getting `prompt` with `arguments` (an object).
    pub fn covers_prompt(&self, prompt: &str, arguments: &Value<'_>) -> Result<(), Uncovered> {
        covered(self.prompts.get(prompt).ok_or(Uncovered::NotGranted)?, arguments)
    }

    /// Whether the detail lets the server use a feature of the client.
    pub fn covers_feature(&self, feature: Feature) -> Result<(), Uncovered> {
        if self.features.contains(&feature) { Ok(()) } else { Err(Uncovered::NotGranted) }
    }

    /// Whether the detail covers reading the resource at `uri`.
    pub fn covers_resource(&self, uri: &str) -> Result<(), Uncovered> {
        let uri = Value::String(uri.into());
        if self.resources.iter().any(|c| c.check(&uri).is_ok()) { Ok(()) } else { Err(Uncovered::NotGranted) }
    }
}

fn covered(constraints: &Arguments, arguments: &Value<'_>) -> Result<(), Uncovered> {
    if constraints.is_empty() {
        return Ok(());
    }
    let Value::Object(members) = arguments else {
        return Err(Uncovered::NotGranted);
    };
    for (name, _) in members {
        if !constraints.contains_key(name.as_ref()) {
            return Err(Uncovered::Argument(name.clone().into_owned()));
        }
    }
    for (name, constraint) in constraints {
        match (arguments.get(name), constraint) {
            // An absent argument satisfies only "anything": a server's default might be outside the constraint.
            (None, Constraint::Wildcard {}) => {}
            (None, _) => return Err(Uncovered::Argument(name.clone())),
            (Some(value), constraint) => match constraint.check(value) {
                Ok(()) => {}
                Err(Mismatch::Outside) => return Err(Uncovered::Argument(name.clone())),
                Err(Mismatch::Inexact) => return Err(Uncovered::Inexact(name.clone())),
            },
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETAIL: &str = r#"{"type":"mcp_tools","locations":["https://gw.example/mcp/tickets"],"tools":{
        "read_ticket":{},
        "issue_refund":{"amount":{"constraint_type":"range","max":100},"iban":{"constraint_type":"one_of","values":["A","B"]},"note":{"constraint_type":"wildcard"}}},
        "resources":[{"constraint_type":"exact","value":"file:///readme"}]}"#;

    #[track_caller]
    fn check(tool: &str, arguments: &str, expected: &Result<(), Uncovered>) {
        let detail: Detail = serde_json::from_str(DETAIL).unwrap();
        assert!(detail.well_formed());
        assert_eq!(&detail.covers_tool(tool, &Value::parse(arguments).unwrap()), expected, "{tool} {arguments}");
    }

    #[test]
    fn what_is_absent_is_denied() {
        check("read_ticket", r#"{"id":41,"anything":[1e9]}"#, &Ok(()));
        check("delete_ticket", "{}", &Err(Uncovered::NotGranted));
        check("Read_ticket", "{}", &Err(Uncovered::NotGranted));
        check("issue_refund", r#"{"amount":50,"iban":"A"}"#, &Ok(()));
        check("issue_refund", r#"{"amount":50,"iban":"A","note":{"x":1}}"#, &Ok(()));
        check("issue_refund", r#"{"amount":50}"#, &Err(Uncovered::Argument("iban".into())));
        check("issue_refund", r#"{"amount":101,"iban":"A"}"#, &Err(Uncovered::Argument("amount".into())));
        check("issue_refund", r#"{"amount":1e1,"iban":"A"}"#, &Err(Uncovered::Inexact("amount".into())));
        check("issue_refund", r#"{"amount":5,"iban":"A","to":"x"}"#, &Err(Uncovered::Argument("to".into())));
        let detail: Detail = serde_json::from_str(DETAIL).unwrap();
        assert_eq!(detail.covers_resource("file:///readme"), Ok(()));
        assert_eq!(detail.covers_resource("file:///etc/passwd"), Err(Uncovered::NotGranted));
        assert_eq!(detail.covers_prompt("x", &Value::Object(vec![])), Err(Uncovered::NotGranted));
    }

    #[test]
    fn unknown_members_and_types_refuse_the_whole_detail() {
        assert!(serde_json::from_str::<Detail>(&DETAIL.replacen("\"tools\"", "\"toolz\"", 1)).is_err());
        let other: Detail = serde_json::from_str(&DETAIL.replacen("mcp_tools", "other", 1)).unwrap();
        assert!(!other.well_formed());
    }
}
