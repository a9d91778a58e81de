//! Strict JSON: what a stranger sends is parsed once, with no room for two readings of the same bytes.
//!
//! Duplicate keys, deep nesting, invalid UTF-8 and lone surrogates are refused. Numbers keep the text in which they
//! were written, so that nothing that is judged was rounded first.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting that is accepted, in levels.
pub const DEPTH_MAX: usize = 32;
/// Most members of one object, in members: bounds the duplicate check.
pub const MEMBERS_MAX: usize = 1024;
/// Most values of one text, in values: bounds the time and memory that a text of many small ones takes.
pub const VALUES_MAX: usize = 256 * 1024;

/// Members among which a name is looked for one by one, in members.
const FEW: usize = 8;

/// Why bytes are not acceptable JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, not UTF-8, or not of the kind that was expected.
    #[error("not valid JSON of the expected kind")]
    Syntax,
    /// An object names a member twice, so two readers could see two values.
    #[error("an object names the member `{0}` twice")]
    Duplicate(String),
    /// Nested deeper than [`DEPTH_MAX`], an object wider than [`MEMBERS_MAX`], or more than [`VALUES_MAX`] values.
    #[error("deeper than {DEPTH_MAX} levels, wider than {MEMBERS_MAX} members or more than {VALUES_MAX} values")]
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
        Reader { rest: raw.get(), values: 0 }.value(0)
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

/// Goes once through a text that is known to be JSON: each level costs as little as the first.
struct Reader<'a> {
    rest: &'a str,
    values: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.values = self.values.saturating_add(1);
        if depth > DEPTH_MAX || self.values > VALUES_MAX {
            return Err(JsonError::Bounds);
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b't') => self.scalar().map(|_| Value::Bool(true)),
            Some(b'f') => self.scalar().map(|_| Value::Bool(false)),
            Some(b'n') => self.scalar().map(|_| Value::Null),
            _ => self.scalar().map(Value::Number),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.take(1)?;
        let (mut members, mut seen) = (Vec::new(), HashSet::new());
        while self.peek() != Some(b'}') {
            let name = self.string()?;
            if members.len() == MEMBERS_MAX {
                return Err(JsonError::Bounds);
            }
            if is_there(&members, &mut seen, &name) {
                return Err(JsonError::Duplicate(name.into_owned()));
            }
            self.peek();
            members.push((name, self.value(depth.saturating_add(1))?));
        }
        self.take(1)?;
        Ok(Value::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.take(1)?;
        let mut elements = Vec::new();
        while self.peek() != Some(b']') {
            elements.push(self.value(depth.saturating_add(1))?);
        }
        self.take(1)?;
        Ok(Value::Array(elements))
    }

    /// The text of a string, borrowed where it holds no escape.
    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let mut escape = false;
        let is_end = |byte: &u8| {
            let end = *byte == b'"' && !escape;
            escape = *byte == b'\\' && !escape;
            end
        };
        let inner = self.rest.as_bytes().iter().skip(1).position(is_end).ok_or(JsonError::Syntax)?;
        let quoted = self.take(inner.saturating_add(2))?;
        let plain = quoted.get(1..=inner).ok_or(JsonError::Syntax)?;
        if plain.contains('\\') {
            return serde_json::from_str(quoted).map(Cow::Owned).map_err(|_| JsonError::Syntax);
        }
        Ok(Cow::Borrowed(plain))
    }

    fn scalar(&mut self) -> Result<&'a str, JsonError> {
        let is_end = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
        let bytes = self.rest.as_bytes();
        self.take(bytes.iter().position(is_end).unwrap_or(bytes.len()))
    }

    /// The first byte of the next token. Where commas and colons stand is known to be right.
    fn peek(&mut self) -> Option<u8> {
        let is_between = |byte: &u8| matches!(byte, b',' | b':' | b' ' | b'\t' | b'\n' | b'\r');
        let bytes = self.rest.as_bytes();
        let at = bytes.iter().position(|byte| !is_between(byte))?;
        self.rest = self.rest.get(at..)?;
        self.rest.as_bytes().first().copied()
    }

    fn take(&mut self, bytes: usize) -> Result<&'a str, JsonError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).filter(|_| bytes > 0).ok_or(JsonError::Syntax)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Whether a member of this name was read before; from some members on, by a set of their names.
fn is_there<'a>(members: &[(Cow<'a, str>, Value<'a>)], seen: &mut HashSet<Cow<'a, str>>, name: &str) -> bool {
    if members.len() < FEW {
        return members.iter().any(|(known, _)| known == name);
    }
    seen.extend(members.iter().skip(seen.len()).map(|(known, _)| known.clone()));
    seen.contains(name)
}

/// A type's fields from the text of an object.
///
/// The deserializer alone would also take them from a list, without their names, and would pass over anything in a
/// member that the type does not have: bytes that are not UTF-8, a name that stands there twice.
pub fn object<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(bytes).ok()?;
    let strict = matches!(Value::parse(text), Ok(Value::Object(_)));
    strict.then(|| serde_json::from_str(text).ok()).flatten()
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
            let mut seen = HashSet::new();
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
        refused(&format!("[{}1]", "1,".repeat(VALUES_MAX)), &JsonError::Bounds);
        for count in [2, FEW, FEW + 1, 100] {
            let names: Vec<String> = (0..count).map(|at| format!("\"n{at}\":{at}")).collect();
            assert!(Value::parse(&format!("{{{}}}", names.join(","))).is_ok());
            let last = format!("n{}", count - 1);
            refused(&format!("{{{},\"{last}\":0}}", names.join(",")), &JsonError::Duplicate(last));
        }
    }

    #[test]
    fn tokens_end_where_they_end() {
        let text = " { \"a\\\\\" : [ -1 , 2.5e3,\t[],{}, \"\\\"],\" ] ,\r\n\"b\":true,\"\":null , \"c\":[false ]} ";
        let number = |text| Value::Number(text);
        let list = Value::Array(vec![
            number("-1"),
            number("2.5e3"),
            Value::Array(vec![]),
            Value::Object(vec![]),
            Value::String("\"],".into()),
        ]);
        let all =
            [("a\\", list), ("b", Value::Bool(true)), ("", Value::Null), ("c", Value::Array(vec![Value::Bool(false)]))];
        let all = all.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect();
        assert_eq!(Value::parse(text), Ok(Value::Object(all)));
    }

    /// Break: hand the bytes to the deserializer alone.
    #[test]
    fn members_that_a_type_does_not_have_are_read_too() {
        #[derive(serde::Deserialize)]
        struct A {
            a: u8,
        }
        let read = |bytes: &[u8]| object::<A>(bytes).map(|read| read.a);
        assert_eq!(read(br#" {"a":1,"b":[{}]}"#), Some(1));
        for text in [&b"[1]"[..], b"{\"a\":1,\"b\":\"\xac\"}", br#"{"a":1,"b":"\ud800"}"#, br#"{"a":1,"b":0,"b":0}"#] {
            assert_eq!(read(text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn numbers_keep_their_text() {
        let text = r#"{"n":12345678901234567890123.50,"s":"a\u0062"}"#;
        let value = Value::parse(text).unwrap();
        assert_eq!(value.get("n"), Some(&Value::Number("12345678901234567890123.50")));
        assert_eq!(value.get("s").and_then(Value::as_str), Some("ab"));
    }
}
