//! The credential with which a gateway reaches an upstream server: where it goes, which version it has, and its value.
//!
//! **Invariant:** a value is wiped when it is dropped, is never copied and has no `Debug`. Everything else here may stand
//! in a bundle.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Most values of one server.
pub const SECRETS_MAX: usize = 64;
/// Longest name of a header or a variable, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Headers that say how a message is to be read, which hop it is on, or whose it is: none of them is a credential's.
const HEADERS_RESERVED: [&str; 16] = [
    "accept",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
/// Variables that decide which code runs, or that the gateway itself sets.
const VARIABLES_RESERVED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// Where a value goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Place {
    /// `Authorization: Bearer VALUE`.
    Bearer,
    /// `Authorization: Basic`, of the value `USER:PASSWORD`.
    Basic,
    /// This header, in lower case.
    Header(String),
    /// This variable of the child, and of no other process.
    Env(String),
}

/// A text that names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `bearer`, `basic`, `header:NAME` or `env:NAME`, or a credential cannot stand there")]
pub struct PlaceError(String);

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let named = text.split_once(':').filter(|(_, name)| name.len() <= NAME_BYTES_MAX);
        let place = match (text, named) {
            ("bearer", _) => Some(Self::Bearer),
            ("basic", _) => Some(Self::Basic),
            (_, Some(("header", name))) => header(name),
            (_, Some(("env", name))) => variable(name),
            _ => None,
        };
        place.ok_or_else(|| PlaceError(crate::id::shown(text)))
    }
}

/// `Authorization` by name is for the schemes that have no name of their own here.
fn header(name: &str) -> Option<Place> {
    let lower = name.to_ascii_lowercase();
    let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let reserved = HEADERS_RESERVED.contains(&lower.as_str()) || lower.starts_with("mcp-");
    (token && !reserved).then_some(Place::Header(lower))
}

fn variable(name: &str) -> Option<Place> {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let begins = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    let reserved = VARIABLES_RESERVED.contains(&name) || name.starts_with("LD_");
    (letters && begins && !reserved).then(|| Place::Env(name.to_owned()))
}

impl TryFrom<String> for Place {
    type Error = PlaceError;
    fn try_from(text: String) -> Result<Self, PlaceError> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> String {
        place.to_string()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => f.write_str("bearer"),
            Self::Basic => f.write_str("basic"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}

impl Place {
    /// Whether it is a header's, of a server over HTTP.
    pub fn is_header(&self) -> bool {
        !matches!(self, Self::Env(_))
    }

    /// The header's name, where it is a header's.
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Bearer | Self::Basic => Some("authorization"),
            Self::Header(name) => Some(name),
            Self::Env(_) => None,
        }
    }

    /// Name and text of the header that carries this value, where it is a header's.
    pub fn header_of(&self, value: &str) -> Option<(&str, Zeroizing<String>)> {
        let text = match self {
            Self::Bearer => format!("Bearer {value}"),
            Self::Basic => format!("Basic {}", STANDARD.encode(value)),
            Self::Header(_) => value.to_owned(),
            Self::Env(_) => return None,
        };
        Some((self.header()?, Zeroizing::new(text)))
    }

    /// Whether this text can stand there as it is.
    pub fn takes(&self, value: &str) -> bool {
        let fits = !value.is_empty() && value.len() <= VALUE_BYTES_MAX;
        fits && match self {
            Self::Bearer => value.bytes().all(|b| b.is_ascii_graphic()),
            Self::Basic => value.contains(':') && !value.chars().any(char::is_control),
            Self::Header(_) => {
                value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && value.trim().len() == value.len()
            }
            Self::Env(_) => !value.contains('\0'),
        }
    }
}

/// A value that is kept for a server, as everybody may know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Where it goes.
    pub place: Place,
    /// Its version: of all values of one server, no two ever have the same.
    pub version: u64,
    /// A setting that is kept in the same way, and is no secret by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain: bool,
    /// Whether it depends on whose call it is: on the person for whom a run acts, or on the team of its agent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
}

/// A value. No `Debug`, no `Clone`; wiped when it is dropped.
#[derive(PartialEq, Eq)]
pub struct Value(Zeroizing<String>);

impl Value {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for what has to write it where it belongs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_what_steers_a_message_or_a_program_is_none() {
        for text in ["bearer", "basic", "header:x-api-key", "header:authorization", "header:cookie", "env:API_KEY"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        assert_eq!("header:X-Api-Key".parse(), Ok(Place::Header("x-api-key".into())));
        for text in [
            "",
            "Bearer",
            "header:",
            "header:a b",
            "header:a:b",
            "header:Host",
            "header:Content-Length",
            "header:transfer-encoding",
            "header:MCP-Session-Id",
            "env:",
            "env:1A",
            "env:A=B",
            "env:PATH",
            "env:LD_PRELOAD",
            "env:A B",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
        assert!(format!("header:{}", "a".repeat(NAME_BYTES_MAX + 1)).parse::<Place>().is_err());
    }

    #[test]
    fn a_value_cannot_begin_another_header_or_end_a_variable() {
        let takes = |place: &str, value: &str| place.parse::<Place>().unwrap().takes(value);
        for (place, good, bad) in [
            ("bearer", "sk-1.2/3=", &["", "a b", "a\r\nx: y", "é"][..]),
            ("basic", "user:pass word", &["user", "u:\n"]),
            ("header:x", "Token abc", &["", " a", "a\n", "a\r\nb: c", "a\u{0}"]),
            ("env:A", "a b\n{\"k\": 1}", &["", "a\0b"]),
        ] {
            assert!(takes(place, good), "{place}");
            for bad in bad {
                assert!(!takes(place, bad), "{place} {bad:?}");
            }
            assert!(!takes(place, &"a:".repeat(VALUE_BYTES_MAX)), "{place}");
        }
    }
}
