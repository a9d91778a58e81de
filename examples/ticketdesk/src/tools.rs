//! The menu: every tool with its description, input schema and honest annotations.

use std::sync::{Arc, LazyLock};

use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

use crate::call::{WATCH_SECONDS_DEFAULT, WATCH_SECONDS_MAX};

/// All tools, in the order in which they are listed.
pub(crate) static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
    vec![
        tool(
            "list_tickets",
            "List the tickets, all or those of one status.",
            Nature::Read,
            &json!({
                "status": { "type": "string", "enum": ["open", "answered", "closed"] }
            }),
            &[],
        ),
        tool(
            "read_ticket",
            "Read one ticket with the customer's own words.",
            Nature::Read,
            &json!({
                "id": id()
            }),
            &["id"],
        ),
        tool(
            "reply_to_customer",
            "Send a reply to the customer of a ticket.",
            Nature::Send,
            &json!({
                "id": id(),
                "text": { "type": "string", "description": "The reply, as plain text" }
            }),
            &["id", "text"],
        ),
        tool(
            "issue_refund",
            "Transfer a refund for a ticket to a bank account.",
            Nature::Pay,
            &json!({
                "id": id(),
                "amount_cents": { "type": "integer", "minimum": 1, "description": "Euro cents" },
                "iban": { "type": "string", "minLength": 15, "maxLength": 34 }
            }),
            &["id", "amount_cents", "iban"],
        ),
        tool(
            "delete_ticket",
            "Delete a ticket for good.",
            Nature::Delete,
            &json!({
                "id": id()
            }),
            &["id"],
        ),
        tool(
            "export_customers",
            "Send the list of all customers to a URL.",
            Nature::Send,
            &json!({
                "to": { "type": "string", "format": "uri", "description": "An http or https URL" }
            }),
            &["to"],
        ),
        tool(
            "watch_ticket",
            "Watch a ticket for a while, reporting progress.",
            Nature::Read,
            &json!({
                "id": id(),
                "seconds": {
                    "type": "integer", "minimum": 1, "maximum": WATCH_SECONDS_MAX,
                    "default": WATCH_SECONDS_DEFAULT
                }
            }),
            &["id"],
        ),
    ]
});

/// What a tool does to the world.
#[derive(Clone, Copy)]
enum Nature {
    /// Hands out data of the desk.
    Read,
    /// Tells somebody outside something; a second call tells it again.
    Send,
    /// Moves money; a second call moves it again.
    Pay,
    /// Destroys; a second call finds nothing left.
    Delete,
}

impl Nature {
    fn annotations(self) -> ToolAnnotations {
        let (read_only, destructive, idempotent, open_world) = match self {
            Self::Read => (true, false, true, false),
            Self::Send => (false, false, false, true),
            Self::Pay => (false, true, false, true),
            Self::Delete => (false, true, true, false),
        };
        ToolAnnotations::new()
            .read_only(read_only)
            .destructive(destructive)
            .idempotent(idempotent)
            .open_world(open_world)
    }
}

fn tool(name: &'static str, description: &'static str, nature: Nature, properties: &Value, required: &[&str]) -> Tool {
    Tool::new(name, description, Arc::new(schema(properties, required))).with_annotations(nature.annotations())
}

fn schema(properties: &Value, required: &[&str]) -> Map<String, Value> {
    [
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), properties.clone()),
        ("required".to_owned(), json!(required)),
        ("additionalProperties".to_owned(), json!(false)),
    ]
    .into_iter()
    .collect()
}

fn id() -> Value {
    json!({ "type": "integer", "minimum": 1, "description": "The ticket's number" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tools_that_write_nothing_say_read_only() {
        let read_only: Vec<&str> = TOOLS
            .iter()
            .filter(|tool| tool.annotations.as_ref().unwrap().read_only_hint == Some(true))
            .map(|tool| tool.name.as_ref())
            .collect();
        assert_eq!(read_only, ["list_tickets", "read_ticket", "watch_ticket"]);
    }

    #[test]
    fn schemas_are_closed() {
        for tool in TOOLS.iter() {
            assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
            assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
        }
    }
}
