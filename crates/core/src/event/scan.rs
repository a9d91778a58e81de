//! Canonical bytes in one pass, without building their value: for whoever reads a whole log and wants little of each leaf.
//!
//! **Invariant:** it takes exactly the bytes that [`Node::read`](super::canon::Node::read) takes, and finds in them what
//! that finds.

use std::borrow::Cow;

use super::canon::INTEGER_MAX;
use crate::json::{DEPTH_MAX, MEMBERS_MAX, VALUES_MAX};

/// What stands at a path of member names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// An integer.
    Int(i64),
    /// A string.
    Text(Cow<'a, str>),
}

impl<'a> Scalar<'a> {
    /// The integer, where it is one.
    pub fn int(self) -> Option<i64> {
        match self {
            Scalar::Int(n) => Some(n),
            Scalar::Text(_) => None,
        }
    }

    /// The string, where it is one.
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Scalar::Int(_) => None,
            Scalar::Text(text) => Some(text),
        }
    }
}

/// Gives `each` every scalar that member names alone lead to, with that path; what is in lists is only looked over. A name
/// is given as it stands between its quotes. `None` where the bytes are not canonical, whatever was given before.
pub(super) fn scan<'a>(bytes: &'a [u8], each: impl FnMut(&[&'a str], Scalar<'a>)) -> Option<()> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut scan = Scan { text, at: 0, values: 0, path: Vec::with_capacity(DEPTH_MAX), each };
    scan.value(0, true)?;
    (scan.at == text.len()).then_some(())
}

struct Scan<'a, F> {
    text: &'a str,
    at: usize,
    values: usize,
    path: Vec<&'a str>,
    each: F,
}

impl<'a, F: FnMut(&[&'a str], Scalar<'a>)> Scan<'a, F> {
    fn value(&mut self, depth: usize, named: bool) -> Option<()> {
        self.values = self.values.saturating_add(1);
        if depth > DEPTH_MAX || self.values > VALUES_MAX {
            return None;
        }
        let scalar = match self.peek()? {
            b'{' => return self.map(depth, named),
            b'[' => return self.list(depth),
            b'"' => self.string().and_then(|(raw, escaped)| unescaped(raw, escaped)).map(Scalar::Text)?,
            _ => Scalar::Int(self.int()?),
        };
        if named {
            (self.each)(&self.path, scalar);
        }
        Some(())
    }

    fn map(&mut self, depth: usize, named: bool) -> Option<()> {
        self.take(b'{')?;
        let mut before: Option<Cow<'a, str>> = None;
        if self.take(b'}').is_some() {
            return Some(());
        }
        for _ in 0..MEMBERS_MAX {
            let (raw, escaped) = self.string()?;
            let name = unescaped(raw, escaped)?;
            // Ascending, so that no name stands there twice.
            if !name.is_ascii() || before.is_some_and(|before| before >= name) {
                return None;
            }
            before = Some(name);
            self.take(b':')?;
            self.path.push(raw);
            self.value(depth.saturating_add(1), named)?;
            self.path.pop();
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
        None
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        self.take(b'[')?;
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            self.value(depth.saturating_add(1), false)?;
            if self.take(b',').is_none() {
                return self.take(b']');
            }
        }
    }

    /// What stands between the quotes, and whether there is an escape in it.
    fn string(&mut self) -> Option<(&'a str, bool)> {
        self.take(b'"')?;
        let (start, mut escaped) = (self.at, false);
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let plain = rest.iter().position(|byte| *byte < b' ' || *byte == b'"' || *byte == b'\\')?;
            self.at = self.at.saturating_add(plain);
            let raw = self.text.get(start..self.at)?;
            if self.take(b'"').is_some() {
                return Some((raw, escaped));
            }
            self.at = self.at.saturating_add(escape(rest.get(plain..)?)?);
            escaped = true;
        }
    }

    fn int(&mut self) -> Option<i64> {
        let rest = self.text.get(self.at..)?;
        let length = rest.bytes().position(|byte| byte != b'-' && !byte.is_ascii_digit()).unwrap_or(rest.len());
        let text = rest.get(..length)?;
        let n: i64 = text.parse().ok()?;
        let zero_first = text.strip_prefix('-').unwrap_or(text).starts_with('0');
        self.at = self.at.saturating_add(length);
        let canonical = (!zero_first || text == "0") && (-INTEGER_MAX..=INTEGER_MAX).contains(&n);
        canonical.then_some(n)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at = self.at.saturating_add(1))
    }
}

/// The length of the escape that begins here: of those that a character has, only the one that RFC 8785 writes.
fn escape(rest: &[u8]) -> Option<usize> {
    match rest {
        [b'\\', b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r', ..] => Some(2),
        [b'\\', b'u', b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f', ..]
        | [b'\\', b'u', b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f', ..] => Some(6),
        _ => None,
    }
}

fn unescaped(raw: &str, escaped: bool) -> Option<Cow<'_, str>> {
    if !escaped {
        return Some(Cow::Borrowed(raw));
    }
    serde_json::from_str(&format!("\"{raw}\"")).map(Cow::Owned).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::event::canon::tests::any_node;
    use crate::event::canon::{Node, write_text};

    type Found = Vec<(Vec<String>, Scalar<'static>)>;

    /// What the scan gives, in its order.
    fn scanned(bytes: &[u8]) -> Option<Found> {
        let mut found = Vec::new();
        scan(bytes, |path, scalar| {
            let scalar = match scalar {
                Scalar::Int(n) => Scalar::Int(n),
                Scalar::Text(text) => Scalar::Text(text.into_owned().into()),
            };
            found.push((path.iter().map(|name| (*name).to_owned()).collect(), scalar));
        })?;
        Some(found)
    }

    /// What the whole value has.
    fn of_node(node: &Node, path: &[String], found: &mut Found) {
        match node {
            Node::Int(n) => found.push((path.to_vec(), Scalar::Int(*n))),
            Node::Text(text) => found.push((path.to_vec(), Scalar::Text(text.clone().into()))),
            Node::List(_) => {}
            Node::Map(map) => {
                for (name, value) in map {
                    let mut quoted = String::new();
                    write_text(name, &mut quoted);
                    let bare =
                        quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned();
                    of_node(value, &[path, &[bare]].concat(), found);
                }
            }
        }
    }

    #[track_caller]
    fn agrees(bytes: &[u8]) -> bool {
        let node = Node::read(bytes);
        let whole = node.as_ref().map(|node| {
            let mut found = Vec::new();
            of_node(node, &[], &mut found);
            found
        });
        assert_eq!(scanned(bytes), whole, "{}", String::from_utf8_lossy(bytes));
        node.is_some()
    }

    /// Leaves of every kind.
    fn golden() -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).unwrap();
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    /// Bytes that mean something in JSON, and some that never may stand there.
    const TELLING: &[u8] = b"\"\\{}[]:,-+.0129eEu/ abfnrtxzAF~\n\0\x1f\x7f\x80\xc3";

    fn edited(mut bytes: Vec<u8>, edits: &[(Index, Index, u8)]) -> Vec<u8> {
        for (at, with, how) in edits {
            let (at, with) = (at.index(bytes.len() + 1), *with.get(TELLING));
            match (how % 3, bytes.get_mut(at)) {
                (0, Some(byte)) => *byte = with,
                (1, Some(_)) => drop(bytes.remove(at)),
                _ => bytes.insert(at, with),
            }
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// Break: compare names as they are quoted, not as they are; give what is in lists.
        #[test]
        fn what_is_written_is_found(node in any_node()) {
            prop_assert!(agrees(&node.write()));
        }

        /// Break: take a second form of any value, or refuse the first.
        #[test]
        fn what_is_edited_is_read_alike(
            node in any_node(),
            edits in prop::collection::vec(any::<(Index, Index, u8)>(), 1..4),
            leaf in any::<Index>(),
        ) {
            agrees(&edited(node.write(), &edits));
            agrees(&edited(leaf.get(&golden()).clone(), &edits));
        }
    }

    #[test]
    fn every_kind_is_found_whole() {
        assert!(golden().iter().all(|leaf| agrees(leaf)));
    }

    /// Break: any one rule of the form.
    #[test]
    fn one_value_has_one_form() {
        let taken = [
            "0",
            "-1",
            "9007199254740991",
            "-9007199254740991",
            "\"\"",
            "[]",
            "{}",
            "[[],{}]",
            r#"{"":1,"a":2,"b":[1,"x"]}"#,
            "\"\u{7f}é\"",
            r#"{"\"":1,"A":2,"\\":3,"a":4}"#,
        ];
        let refused = [
            "",
            " 1",
            "1 ",
            "-0",
            "01",
            "-01",
            "+1",
            "-",
            "--1",
            "1-",
            "1.0",
            "1e2",
            "9007199254740992",
            "-9007199254740992",
            "9223372036854775808",
            "true",
            "null",
            "[1,]",
            "[,1]",
            "[1 ,2]",
            "[1",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{1:1}",
            r#"{"b":1,"a":2}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"A":1,"\"":2}"#,
            r#"{"é":1}"#,
            r#"{"a": 1}"#,
            "\"a",
            "\"\\/\"",
            "\"\\ud800\"",
            "\"\n\"",
            "1 2",
            "[]]",
            "{}x",
            "\"a\"\"b\"",
        ];
        for (texts, expected) in [(&taken[..], true), (&refused[..], false)] {
            for text in texts {
                assert_eq!(agrees(text.as_bytes()), expected, "{text}");
            }
        }
    }

    /// Break: take another escape than the one that a character has.
    #[test]
    fn a_character_has_one_form() {
        for code in 0..0x100_u32 {
            let forms = [format!("\\u{code:04x}"), format!("\\u{code:04X}"), char::from_u32(code).unwrap().to_string()];
            let short = char::from_u32(code).filter(char::is_ascii_graphic).map(|c| format!("\\{c}"));
            for form in forms.into_iter().chain(short) {
                agrees(format!("\"{form}\"").as_bytes());
                agrees(format!("{{\"{form}\":1}}").as_bytes());
            }
        }
    }

    #[test]
    fn bounds_are_the_same() {
        for (text, expected) in [
            (format!("{}1{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)), true),
            (format!("{}1{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1)), false),
            (members(MEMBERS_MAX), true),
            (members(MEMBERS_MAX + 1), false),
            (format!("[{}1]", "1,".repeat(VALUES_MAX - 2)), true),
            (format!("[{}1]", "1,".repeat(VALUES_MAX - 1)), false),
        ] {
            assert_eq!(scan(text.as_bytes(), |_, _| ()).is_some(), expected, "{} bytes", text.len());
            assert_eq!(Node::read(text.as_bytes()).is_some(), expected, "{} bytes", text.len());
        }
    }

    fn members(count: usize) -> String {
        let members: Vec<String> = (0..count).map(|n| format!("\"n{n:05}\":1")).collect();
        format!("{{{}}}", members.join(","))
    }
}
