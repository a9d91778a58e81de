//! What a token of another issuer says: strict JSON, of which single texts and lists of them count.

use std::collections::BTreeMap;

use remit_core::json::Value;

/// The claims of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims(BTreeMap<String, Claim>);

/// The value of one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// A text.
    Text(String),
    /// A number or a truth value, as it is written.
    Plain(String),
    /// A list of texts, numbers and truth values.
    Many(Vec<String>),
    /// An object of one member, `jkt`.
    Key(String),
    /// Anything else, as it is of no use here.
    Other,
}

/// What a token is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound<'a> {
    /// To nothing: whoever has it may show it.
    Nothing,
    /// To a key, by its thumbprint (RFC 9449 section 6.1).
    Key(&'a str),
    /// To something that cannot be seen here.
    Otherwise,
}

impl Claims {
    /// Reads a payload; `None` where it is not an object with each name once.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        let Value::Object(members) = Value::parse(text).ok()? else { return None };
        Some(Self(members.into_iter().map(|(name, value)| (name.into_owned(), claim(value))).collect()))
    }

    /// A claim that is a text, and not an empty one.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Claim::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// A time, in seconds since 1970. A fraction is of no use to anybody, and is cut off.
    pub fn time(&self, name: &str) -> Option<i64> {
        match self.0.get(name) {
            Some(Claim::Plain(number)) => number.split('.').next()?.parse().ok(),
            _ => None,
        }
    }

    /// A text or a list of texts, as a list; `None` where it is something else or not there.
    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        match self.0.get(name)? {
            Claim::Text(text) => Some(vec![text]),
            Claim::Many(many) => Some(many.iter().map(String::as_str).collect()),
            Claim::Plain(_) | Claim::Key(_) | Claim::Other => None,
        }
    }

    /// Whether the claim is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// What the token is bound to.
    pub fn bound(&self) -> Bound<'_> {
        match self.0.get("cnf") {
            None => Bound::Nothing,
            Some(Claim::Key(jkt)) => Bound::Key(jkt),
            Some(_) => Bound::Otherwise,
        }
    }

    /// Whether the claim is this one value, to the letter.
    pub fn is(&self, name: &str, value: &str) -> bool {
        matches!(self.0.get(name), Some(Claim::Text(own) | Claim::Plain(own)) if own == value)
    }
}

fn claim(value: Value<'_>) -> Claim {
    match value {
        Value::String(text) => Claim::Text(text.into_owned()),
        Value::Array(values) => values.into_iter().map(single).collect::<Option<_>>().map_or(Claim::Other, Claim::Many),
        Value::Object(members) => match members.as_slice() {
            [(name, Value::String(jkt))] if name == "jkt" => Claim::Key(jkt.to_string()),
            _ => Claim::Other,
        },
        value => single(value).map_or(Claim::Other, Claim::Plain),
    }
}

fn single(value: Value<'_>) -> Option<String> {
    match value {
        Value::String(text) => Some(text.into_owned()),
        Value::Number(number) => Some(number.to_owned()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: take a list for its only member, a number for a text, or the last of two.
    #[test]
    fn a_claim_is_what_it_is_and_stands_there_once() {
        let claims = Claims::read(br#"{"a":"x","b":true,"c":["x"],"d":{"e":"x"},"exp":1795250400.5,"n":7}"#).unwrap();
        assert!(claims.is("a", "x") && claims.is("b", "true") && claims.is("n", "7"));
        for (name, value) in [("a", "X"), ("c", "x"), ("d", "x"), ("e", "x"), ("b", "false"), ("z", "")] {
            assert!(!claims.is(name, value), "{name}");
        }
        assert_eq!((claims.text("a"), claims.text("n"), claims.text("c")), (Some("x"), None, None));
        assert_eq!((claims.time("exp"), claims.time("a")), (Some(1_795_250_400), None));
        assert_eq!((claims.list("c"), claims.list("a"), claims.list("n")), (Some(vec!["x"]), Some(vec!["x"]), None));
        for bad in ["[]", r#"{"a":"x","a":"y"}"#, r#"{"a":"x","\u0061":"y"}"#, "x", ""] {
            assert!(Claims::read(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
