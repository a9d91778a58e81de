//! A JSON-RPC id: a string or an integer, kept as it was written, compared by what it means.

use std::borrow::Cow;

use remit_core::json::Value;
use serde_json::value::RawValue;

/// Longest id, in bytes as written.
pub const ID_BYTES_MAX: usize = 256;

/// The id of a request, or another value of that kind such as a progress token.
#[derive(Debug, Clone)]
pub struct Id<'a> {
    raw: &'a str,
    text: Cow<'a, str>,
    string: bool,
}

impl<'a> Id<'a> {
    /// Reads a string or an integer; `null`, fractions, exponents and anything longer are not ids.
    pub fn read(raw: &'a RawValue) -> Option<Self> {
        let raw = raw.get();
        if raw.len() > ID_BYTES_MAX {
            return None;
        }
        match Value::parse(raw).ok()? {
            Value::String(text) => Some(Self { raw, text, string: true }),
            // "-0" is refused because a reader that holds numbers would answer with "0".
            Value::Number(text) if text != "-0" && text.bytes().all(|b| b == b'-' || b.is_ascii_digit()) => {
                Some(Self { raw, text: Cow::Borrowed(text), string: false })
            }
            _ => None,
        }
    }

    /// The exact bytes, quotes included.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// An owned form that is equal exactly when two ids mean the same.
    pub fn key(&self) -> IdKey {
        IdKey { text: self.text.clone().into_owned(), string: self.string }
    }
}

impl PartialEq for Id<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.string == other.string && self.text == other.text
    }
}

impl Eq for Id<'_> {}

/// What an id means, owned: `1` and `"1"` differ, `"a"` and `"\u0061"` do not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdKey {
    text: String,
    string: bool,
}

impl IdKey {
    /// The key of a counter's value.
    pub fn number(number: u64) -> Self {
        Self { text: number.to_string(), string: false }
    }

    /// The number, where the id is one of ours.
    pub fn as_number(&self) -> Option<u64> {
        if self.string { None } else { self.text.parse().ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<IdKey> {
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        Id::read(raw).map(|id| id.key())
    }

    #[test]
    fn strings_and_integers_only() {
        for text in ["1", "-7", "0", "123456789012345678901234567890", r#""a""#, r#""""#] {
            assert!(read(text).is_some(), "{text}");
        }
        for text in ["null", "1.0", "1e3", "-0", "true", "[]", "{}", r#""\ud800""#] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&format!("\"{}\"", "a".repeat(ID_BYTES_MAX))), None);
    }

    #[test]
    fn compared_by_meaning() {
        assert_eq!(read(r#""a""#), read(r#""\u0061""#));
        assert_ne!(read("1"), read(r#""1""#));
        assert_eq!(read("7").unwrap().as_number(), Some(7));
        assert_eq!(read(r#""7""#).unwrap().as_number(), None);
    }
}
