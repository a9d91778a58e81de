//! Strict JSON: what a stranger sends is parsed once, with no room for two readings of the same bytes.
//!
//! Duplicate keys, deep nesting, invalid UTF-8 and lone surrogates are refused. Numbers keep the text in which they
//! were written, so that nothing that is judged was rounded first.

use std::borrow::Cow;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting that is accepted, in levels.
pub const DEPTH_MAX: usize = 32;
/// Most members of one object, in members: bounds the duplicate check.
pub const MEMBERS_MAX: usize = 1024;

/// Why bytes are not acceptable JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, not UTF-8, or not of the kind that was expected.
    #[error("not valid JSON of the expected kind")]
    Syntax,
    /// An object names a member twice, so two readers could see two values.
    #[error("an object names the member `{0}` twice")]
    Duplicate(String),
    /// Nested deeper than [`DEPTH_MAX`], or an object wider than [`MEMBERS_MAX`].
    #[error("nested deeper than {DEPTH_MAX} levels or wider than {MEMBERS_MAX} members")]
    Bounds,
}

/// A JSON value that borrows from the bytes it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was written.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object; members in the order in which they were written, each name once.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// Reads the whole of `text`.
    pub fn parse(text: &'a str) -> Result<Value<'a>, JsonError> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| JsonError::Syntax)?;
        value(raw, 0)
    }

    /// The member called `name`, where the value is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        match self {
            Value::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The string, where the value is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }
}

fn value(raw: &RawValue, depth: usize) -> Result<Value<'_>, JsonError> {
    if depth > DEPTH_MAX {
        return Err(JsonError::Bounds);
    }
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'{') => Value::Object(
            members(raw)?
                .into_iter()
                .map(|(name, raw)| Ok((name, value(raw, depth + 1)?)))
                .collect::<Result<_, _>>()?,
        ),
        Some(b'[') => {
            Value::Array(elements(raw)?.into_iter().map(|raw| value(raw, depth + 1)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Value::String(string(text)?),
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'n') => Value::Null,
        _ => Value::Number(text),
    })
}

/// The text of a JSON string, borrowed where it holds no escape.
fn string(text: &str) -> Result<Cow<'_, str>, JsonError> {
    match serde_json::from_str::<&str>(text) {
        Ok(borrowed) => Ok(Cow::Borrowed(borrowed)),
        Err(_) => serde_json::from_str::<String>(text).map(Cow::Owned).map_err(|_| JsonError::Syntax),
    }
}

/// One object's members, unparsed: each value is the exact slice of the source.
pub type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// Splits one object into its members and refuses a name that stands there twice.
pub fn members(raw: &RawValue) -> Result<Members<'_>, JsonError> {
    struct Object;
    impl<'de> Visitor<'de> for Object {
        type Value = Result<Members<'de>, JsonError>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut seen = std::collections::HashSet::new();
            let mut members = Vec::new();
            let mut refused = None;
            while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                if members.len() == MEMBERS_MAX {
                    refused.get_or_insert(JsonError::Bounds);
                } else if seen.insert(name.clone()) {
                    members.push((Cow::Owned(name), value));
                } else {
                    refused.get_or_insert(JsonError::Duplicate(name));
                }
            }
            Ok(refused.map_or(Ok(members), Err))
        }
    }
    let mut source = serde_json::Deserializer::from_str(raw.get());
    source.deserialize_map(Object).map_err(|_| JsonError::Syntax)?
}

/// Splits one array into its elements, unparsed.
pub fn elements(raw: &RawValue) -> Result<Vec<&RawValue>, JsonError> {
    struct Array;
    impl<'de> Visitor<'de> for Array {
        type Value = Vec<&'de RawValue>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element()? {
                elements.push(element);
            }
            Ok(elements)
        }
    }
    let mut source = serde_json::Deserializer::from_str(raw.get());
    source.deserialize_seq(Array).map_err(|_| JsonError::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, why: &JsonError) {
        assert_eq!(Value::parse(text).as_ref().map_err(Clone::clone).err().as_ref(), Some(why), "{text}");
    }

    #[test]
    fn two_readings_of_the_same_bytes_are_refused() {
        refused(r#"{"a":1,"a":2}"#, &JsonError::Duplicate("a".into()));
        refused(r#"{"a":1,"\u0061":2}"#, &JsonError::Duplicate("a".into()));
        refused(r#"{"x":[{"a":1,"a":1}]}"#, &JsonError::Duplicate("a".into()));
        refused("{\"a\":1}x", &JsonError::Syntax);
        refused(r#"{"a":"\ud800"}"#, &JsonError::Syntax);
        refused(r#"{"a":1,}"#, &JsonError::Syntax);
        refused("[NaN]", &JsonError::Syntax);
        refused(&format!("{}1{}", "[".repeat(40), "]".repeat(40)), &JsonError::Bounds);
    }

    #[test]
    fn numbers_keep_their_text() {
        let text = r#"{"n":12345678901234567890123.50,"s":"a\u0062"}"#;
        let value = Value::parse(text).unwrap();
        assert_eq!(value.get("n"), Some(&Value::Number("12345678901234567890123.50")));
        assert_eq!(value.get("s").and_then(Value::as_str), Some("ab"));
    }
}
