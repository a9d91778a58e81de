//! The pin of a tool: a digest over everything in its definition that a model or a client acts upon.
//!
//! Canonical as in RFC 8785, with one deliberate difference: numbers stand as they were written, so that two
//! definitions never share a pin because a reader rounded. `_meta` and `icons` of the tool itself are left out: they
//! change without changing what the tool does or says.

use serde_json::value::RawValue;

use crate::event::canon::write_text;
use crate::hash::{sha256, sha256_text};
use crate::json::{JsonError, Value};

/// Members of a tool that its pin does not cover.
const UNPINNED: [&str; 2] = ["_meta", "icons"];

/// The pin of a tool definition, as `sha256:<hex>`.
pub fn pin(tool: &RawValue) -> Result<String, JsonError> {
    match Value::parse(tool.get())? {
        Value::Object(members) => {
            let pinned = members.into_iter().filter(|(name, _)| !UNPINNED.contains(&&**name)).collect();
            let mut text = String::with_capacity(tool.get().len());
            write(&Value::Object(pinned), &mut text);
            Ok(sha256_text(&sha256(&[text.as_bytes()])))
        }
        _ => Err(JsonError::Syntax),
    }
}

fn write(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(text) => out.push_str(text),
        Value::String(text) => write_text(text, out),
        Value::Array(elements) => separated('[', ']', elements, out, write),
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            separated('{', '}', &sorted, out, |(name, value), out| {
                write_text(name, out);
                out.push(':');
                write(value, out);
            });
        }
    }
}

fn separated<T>(open: char, close: char, items: &[T], out: &mut String, one: impl Fn(&T, &mut String)) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        one(item, out);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        let mut out = String::new();
        write(&Value::parse(text).unwrap(), &mut out);
        out
    }

    fn pin_of(text: &str) -> Result<String, JsonError> {
        pin(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn canonical_form() {
        for (text, expected) in [
            (r#" { "b" : 1.50 , "a" : [ true , null , -0 , 1E400 ] } "#, r#"{"a":[true,null,-0,1E400],"b":1.50}"#),
            (r#""\u0041\u000a\u001f\/\u20ac\"\\\b\f\r\t""#, "\"A\\n\\u001f/\u{20ac}\\\"\\\\\\b\\f\\r\\t\""),
            // By UTF-16 code units U+1F600 (d83d …) stands before U+FB33; by code points it would not.
            (
                "{\"\u{fb33}\":1,\"\u{1f600}\":2,\"\u{80}\":3,\"1\":4}",
                "{\"1\":4,\"\u{80}\":3,\"\u{1f600}\":2,\"\u{fb33}\":1}",
            ),
        ] {
            assert_eq!(canonical(text), expected);
        }
    }

    /// Digests were computed apart from this code, with `sha256sum` over the canonical text.
    #[test]
    fn golden_vectors() {
        for (tool, digest) in [
            ("{}", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"),
            (r#"{"name":"read"}"#, "6a7296be2d50ccb2ca26b9ea6ec1692b395c27c07fdfe9a1a705c0e1c04a3b99"),
            (
                r#"{"name":"read","inputSchema":{"type":"object","properties":{"n":{"type":"integer","maximum":1e3}}},"description":"Reads\n\u201cone\u201d"}"#,
                "05a63a7a62cf094a524aaa5e76d52b3cf5eaa70edd313405d3f214c332fc2210",
            ),
        ] {
            assert_eq!(pin_of(tool).unwrap(), format!("sha256:{digest}"), "{tool}");
        }
    }

    #[test]
    fn covers_all_that_counts_and_nothing_else() {
        let base = pin_of(r#"{"name":"a","description":"x","inputSchema":{"type":"object","_meta":1}}"#).unwrap();
        let same = r#"{"icons":[{"src":"y"}], "inputSchema":{"_meta":1,"type":"object"},"_meta":{"v":2},"description":"\u0078","name":"a"}"#;
        assert_eq!(pin_of(same).unwrap(), base);
        for changed in [
            r#"{"name":"a","description":"x ","inputSchema":{"type":"object","_meta":1}}"#,
            r#"{"name":"a","description":"x","inputSchema":{"type":"object","_meta":2}}"#,
            r#"{"name":"a","description":"x","inputSchema":{"type":"object","_meta":1.0}}"#,
            r#"{"name":"a","description":"x","inputSchema":{"type":"object","_meta":1},"annotations":{}}"#,
        ] {
            assert_ne!(pin_of(changed).unwrap(), base, "{changed}");
        }
        assert!(pin_of("[]").is_err());
        assert!(pin_of(r#"{"name":"a","name":"b"}"#).is_err());
    }
}
