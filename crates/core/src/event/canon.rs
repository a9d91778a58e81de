//! Canonical JSON (RFC 8785) of integers, strings, lists and maps: the only form in which a leaf exists.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::json::Value;

/// Largest magnitude of an integer: what every JSON reader holds exactly (RFC 8785 section 3.2.2.3).
pub const INTEGER_MAX: i64 = 9_007_199_254_740_991;

/// What most events take, so that they are written without growing.
const WRITTEN_BYTES: usize = 4096;

/// A canonical value. There are no fractions, no truth values and no nulls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// An integer within [`INTEGER_MAX`].
    Int(i64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map. Its keys are ASCII, so that the order of bytes is the order of UTF-16 units.
    Map(Map),
}

/// A map's members, in canonical order. Almost every name stands in this program.
pub type Map = BTreeMap<Cow<'static, str>, Node>;

impl From<i64> for Node {
    fn from(n: i64) -> Self {
        Node::Int(n.clamp(-INTEGER_MAX, INTEGER_MAX))
    }
}

impl From<u64> for Node {
    fn from(n: u64) -> Self {
        Node::from(i64::try_from(n).unwrap_or(INTEGER_MAX))
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Node::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Node::Text(text)
    }
}

impl From<Map> for Node {
    fn from(map: Map) -> Self {
        Node::Map(map)
    }
}

impl<T: Into<Node>> FromIterator<T> for Node {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Node::List(items.into_iter().map(Into::into).collect())
    }
}

/// A map of the members; a member of `None` is left out.
pub fn map<const N: usize>(members: [(&'static str, Option<Node>); N]) -> Map {
    members.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect()
}

impl Node {
    /// The canonical bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut out = String::with_capacity(WRITTEN_BYTES);
        write(self, &mut out);
        out.into_bytes()
    }

    /// Reads canonical bytes; `None` where they are anything else, so that one value has one form.
    pub fn read(bytes: &[u8]) -> Option<Node> {
        let node = convert(&Value::parse(std::str::from_utf8(bytes).ok()?).ok()?)?;
        (node.write() == bytes).then_some(node)
    }

    /// The value at a path of member names.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, name| match node {
            Node::Map(map) => map.get(*name),
            _ => None,
        })
    }

    /// The string at a path.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        match self.at(path) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The integer at a path.
    pub fn int(&self, path: &[&str]) -> Option<i64> {
        match self.at(path) {
            Some(Node::Int(n)) => Some(*n),
            _ => None,
        }
    }

    /// The items of the list at a path; none where there is no list.
    pub fn list(&self, path: &[&str]) -> &[Node] {
        match self.at(path) {
            Some(Node::List(items)) => items,
            _ => &[],
        }
    }
}

fn write(node: &Node, out: &mut String) {
    match node {
        Node::Int(n) => out.push_str(&n.to_string()),
        Node::Text(text) => write_text(text, out),
        Node::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Node::Map(map) => {
            out.push('{');
            for (i, (name, value)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
    }
}

/// A string as RFC 8785 section 3.2.2.2 writes it.
pub(crate) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some((plain, c, after)) = next_escaped(rest) {
        out.push_str(plain);
        escape(c, out);
        rest = after;
    }
    out.push_str(rest);
    out.push('"');
}

/// The first character that cannot stand for itself, and what stands before and after it.
fn next_escaped(text: &str) -> Option<(&str, char, &str)> {
    let at = text.bytes().position(|b| b < b' ' || b == b'"' || b == b'\\')?;
    let (plain, rest) = text.split_at_checked(at)?;
    let mut rest = rest.chars();
    let c = rest.next()?;
    Some((plain, c, rest.as_str()))
}

fn escape(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        c => {
            let code = u32::from(c);
            let digit = |n: u32| char::from_digit(n, 16).unwrap_or('0');
            out.push_str("\\u00");
            out.push(digit(code >> 4));
            out.push(digit(code & 0xf));
        }
    }
}

fn convert(value: &Value<'_>) -> Option<Node> {
    Some(match value {
        Value::Number(text) => {
            let n: i64 = text.parse().ok()?;
            ((-INTEGER_MAX..=INTEGER_MAX).contains(&n) && n.to_string() == *text).then_some(Node::Int(n))?
        }
        Value::String(text) => Node::Text(text.clone().into_owned()),
        Value::Array(items) => Node::List(items.iter().map(convert).collect::<Option<_>>()?),
        Value::Object(members) => Node::Map(
            members
                .iter()
                .map(|(name, value)| {
                    name.is_ascii().then(|| Some((Cow::Owned(name.clone().into_owned()), convert(value)?)))?
                })
                .collect::<Option<_>>()?,
        ),
        Value::Null | Value::Bool(_) => return None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_node() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![(-INTEGER_MAX..=INTEGER_MAX).prop_map(Node::Int), any::<String>().prop_map(Node::Text),];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Node::List),
                prop::collection::btree_map("[ -~]{0,8}".prop_map(Cow::Owned), inner, 0..6).prop_map(Node::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(node in any_node()) {
            let bytes = node.write();
            // serde_json is the second opinion on the escapes.
            let second: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert!(second.is_object() || second.is_array() || second.is_string() || second.is_i64());
            prop_assert_eq!(Node::read(&bytes), Some(node));
        }
    }

    #[test]
    fn one_value_has_one_form() {
        for text in [
            "{\"b\":1,\"a\":2}",
            "{\"a\": 1}",
            "1.0",
            "01",
            "-0",
            "true",
            "null",
            "\"\\u0061\"",
            "9007199254740992",
            "\"\\/\"",
        ] {
            assert_eq!(Node::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Node::from("\u{1f}\u{7f}é\"\\\n").write(), "\"\\u001f\u{7f}é\\\"\\\\\\n\"".as_bytes());
    }
}
