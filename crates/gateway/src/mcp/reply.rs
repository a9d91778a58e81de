//! JSON-RPC answers that the gateway itself writes, and the exchange of an id in a message that is otherwise untouched.

use serde_json::value::RawValue;

use super::error::McpError;
use super::id::Id;
use super::splice::{range_in, splice};

/// A result response; `result` is JSON text and is written as it is.
pub fn result(id: &Id<'_>, result: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.raw()).into_bytes()
}

/// An error response; without an id where the request's could not be read. `data` is JSON text.
pub fn error(id: Option<&Id<'_>>, code: i32, message: &str, data: Option<&str>) -> Vec<u8> {
    let id = id.map_or_else(String::new, |id| format!(r#""id":{},"#, id.raw()));
    let message = serde_json::Value::from(message);
    let data = data.map_or_else(String::new, |data| format!(r#","data":{data}"#));
    format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":{code},"message":{message}{data}}}}}"#)
        .into_bytes()
}

/// The message with another id (JSON text) in the place of its own; every other byte stays.
pub fn replace_id(message: &str, id: &str) -> Result<String, McpError> {
    let raw: &RawValue = serde_json::from_str(message).map_err(|_| McpError::Shape("not JSON"))?;
    let members = remit_core::json::members(raw)?;
    let (_, old) = members
        .iter()
        .find(|(name, _)| name == "id")
        .ok_or(McpError::Shape("it has no id"))?;
    range_in(message, old.get())
        .and_then(|range| splice(message, vec![(range, id)]))
        .ok_or(McpError::Shape("its id cannot be found"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::envelope::Envelope;

    #[test]
    fn the_id_alone_changes() {
        let message = "{ \"id\" : \"a\\u0062\" ,\"params\":{\"id\":\"ab\",\"n\":1.50e400},\"jsonrpc\":\"2.0\",\"method\":\"x\"}";
        let changed = replace_id(message, "42").unwrap();
        assert_eq!(changed, message.replacen("\"a\\u0062\"", "42", 1));
        assert_eq!(replace_id(&changed, "\"a\\u0062\"").unwrap(), message);
        assert!(replace_id(r#"{"params":{"id":1}}"#, "2").is_err());
        assert!(replace_id(r#"{"id":1,"id":2}"#, "2").is_err());
    }

    #[test]
    fn answers_are_messages() {
        let raw: &RawValue = serde_json::from_str(r#""q\"1""#).unwrap();
        let id = Id::read(raw).unwrap();
        for bytes in [
            result(&id, r#"{"tools":[]}"#),
            error(Some(&id), -32601, "no \"such\"\nmethod", None),
            error(None, -32700, "bad", Some("[1]")),
        ] {
            assert!(matches!(
                Envelope::parse(&bytes).unwrap(),
                Envelope::Response(_)
            ));
        }
        assert_eq!(
            result(&id, "{}"),
            br#"{"jsonrpc":"2.0","id":"q\"1","result":{}}"#
        );
    }
}
