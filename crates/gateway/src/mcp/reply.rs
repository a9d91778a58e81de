//! JSON-RPC answers that the gateway itself writes, and the exchange of an id in a message that is otherwise untouched.

use serde_json::value::RawValue;

use super::envelope::{Envelope, Outcome};
use super::error::McpError;
use super::id::{Id, IdKey};
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
    format!(r#"{{"jsonrpc":"2.0",{id}"error":{{"code":{code},"message":{message}{data}}}}}"#).into_bytes()
}

/// What an upstream's answer to the request says; an answer to anything else is none. Only an error about a request
/// that the upstream could not read may lack the id.
pub fn outcome<'a>(message: &'a [u8], request: &IdKey) -> Result<Outcome<'a>, McpError> {
    match Envelope::parse_upstream(message) {
        Ok(Envelope::Response(response)) => match (response.id, response.outcome) {
            (Some(id), outcome) if id.key() == *request => Ok(outcome),
            (None, outcome @ Outcome::Error(_)) => Ok(outcome),
            _ => Err(McpError::Upstream("it answers another request")),
        },
        _ => Err(McpError::Upstream("it is not one response")),
    }
}

/// The message with another id (JSON text) in the place of its own; every other byte stays.
pub fn replace_id(message: &str, id: &str) -> Result<String, McpError> {
    let raw: &RawValue = serde_json::from_str(message).map_err(|_| McpError::Shape("not JSON"))?;
    let members = remit_core::json::members(raw)?;
    let (_, old) = members.iter().find(|(name, _)| name == "id").ok_or(McpError::Shape("it has no id"))?;
    range_in(message, old.get())
        .and_then(|range| splice(message, vec![(range, id)]))
        .ok_or(McpError::Shape("its id cannot be found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_alone_changes() {
        let message =
            "{ \"id\" : \"a\\u0062\" ,\"params\":{\"id\":\"ab\",\"n\":1.50e400},\"jsonrpc\":\"2.0\",\"method\":\"x\"}";
        let changed = replace_id(message, "42").unwrap();
        assert_eq!(changed, message.replacen("\"a\\u0062\"", "42", 1));
        assert_eq!(replace_id(&changed, "\"a\\u0062\"").unwrap(), message);
        assert!(replace_id(r#"{"params":{"id":1}}"#, "2").is_err());
        assert!(replace_id(r#"{"id":1,"id":2}"#, "2").is_err());
    }

    #[test]
    fn only_an_answer_to_this_request_counts() {
        let one = IdKey::number(1);
        let is = |text: &str| outcome(text.as_bytes(), &one).is_ok();
        assert!(is(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
        assert!(is(r#"{"jsonrpc":"2.0","id":1,"error":{}}"#));
        assert!(is(r#"{"jsonrpc":"2.0","error":{}}"#));
        for text in [
            r#"{"jsonrpc":"2.0","id":"1","result":{}}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create"}"#,
            r#"[{"jsonrpc":"2.0","id":1,"result":{}}]"#,
            "{}",
            "",
        ] {
            assert!(!is(text), "{text}");
        }
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
            assert!(matches!(Envelope::parse(&bytes).unwrap(), Envelope::Response(_)));
        }
        assert_eq!(result(&id, "{}"), br#"{"jsonrpc":"2.0","id":"q\"1","result":{}}"#);
    }
}
