//! `Mcp-Param-*`: arguments that a tool's schema asks clients to repeat in headers (`x-mcp-header`).

use http::HeaderMap;
use remit_core::json::Value;
use serde_json::value::RawValue;

use super::error::McpError;
use super::headers::decoded;
use super::revision::Era;

const PARAM: &str = "Mcp-Param-*";

/// An argument that is repeated in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The whole header's name, in lower case.
    pub header: String,
    /// The members that lead to the argument.
    pub path: Vec<String>,
}

/// The annotations of an `inputSchema`; an unlawful one makes the tool unusable, as for any client.
pub fn mirrors(input_schema: &RawValue) -> Result<Vec<Mirror>, McpError> {
    let schema = Value::parse(input_schema.get())?;
    let mut found = Vec::new();
    walk(&schema, &mut Vec::new(), &mut found)?;
    let reachable = found.len();
    if count(&schema) != reachable {
        return Err(McpError::Upstream("an x-mcp-header stands where no argument can be reached"));
    }
    let mut names: Vec<&str> = found.iter().map(|mirror| mirror.header.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != reachable {
        return Err(McpError::Upstream("two arguments share an x-mcp-header"));
    }
    Ok(found)
}

/// Checks a call's headers against its arguments; headers that no annotation names are left alone. The legacy era
/// asks for none of them, but one that stands there must not say something else.
pub fn check(headers: &HeaderMap, arguments: Option<&Value<'_>>, mirrors: &[Mirror], era: Era) -> Result<(), McpError> {
    for mirror in mirrors {
        let value = mirror.path.iter().try_fold(arguments, |value, name| Some(value?.get(name))).flatten();
        let header = headers.get(&mirror.header);
        match (header, value) {
            (None, None | Some(Value::Null)) => {}
            (None, Some(_)) if era == Era::Legacy => {}
            (None, Some(_)) => {
                return Err(McpError::Header { name: PARAM, problem: "is missing" });
            }
            (Some(_), None | Some(Value::Null)) => {
                return Err(McpError::Header { name: PARAM, problem: "repeats an argument that is absent" });
            }
            (Some(header), Some(value)) => {
                let header = header
                    .to_str()
                    .map_err(|_| McpError::Header { name: PARAM, problem: "has an invalid character" })?;
                if !same(&decoded(PARAM, header)?, value) {
                    return Err(McpError::Header { name: PARAM, problem: "differs from the body" });
                }
            }
        }
    }
    Ok(())
}

fn same(header: &str, value: &Value<'_>) -> bool {
    match value {
        Value::String(text) => header == text,
        Value::Bool(yes) => header == if *yes { "true" } else { "false" },
        Value::Number(number) => integer(header).is_some_and(|header| integer(number) == Some(header)),
        _ => false,
    }
}

/// `42.0` and `42` are one integer; everything else must be written alike.
fn integer(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let plain = !whole.starts_with('+') && !fraction.is_empty() && fraction.bytes().all(|b| b == b'0');
    plain.then(|| whole.parse().ok()).flatten()
}

/// Goes no deeper than JSON may be, because the schema was parsed.
fn walk(schema: &Value<'_>, path: &mut Vec<String>, found: &mut Vec<Mirror>) -> Result<(), McpError> {
    let Some(Value::Object(properties)) = schema.get("properties") else {
        return Ok(());
    };
    for (name, property) in properties {
        path.push(name.clone().into_owned());
        if let Some(annotation) = property.get("x-mcp-header") {
            let header = annotation.as_str().filter(|text| !text.is_empty() && text.bytes().all(is_tchar));
            let kind = property.get("type").and_then(Value::as_str);
            let (Some(header), Some("string" | "integer" | "boolean")) = (header, kind) else {
                return Err(McpError::Upstream("an x-mcp-header is not a header's name, or not of a simple argument"));
            };
            let header = format!("mcp-param-{}", header.to_ascii_lowercase());
            found.push(Mirror { header, path: path.clone() });
        }
        walk(property, path, found)?;
        path.pop();
    }
    Ok(())
}

/// Annotations anywhere in the schema, except below names that only look like keywords: properties called so.
fn count(schema: &Value<'_>) -> usize {
    match schema {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match (&**name, value) {
                ("x-mcp-header", _) => 1,
                ("properties", Value::Object(properties)) => properties.iter().map(|(_, value)| count(value)).sum(),
                ("const" | "enum" | "default" | "examples", _) => 0,
                (_, value) => count(value),
            })
            .sum(),
        Value::Array(elements) => elements.iter().map(count).sum(),
        _ => 0,
    }
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const SCHEMA: &str = r#"{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},
        "where":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"Count"}}},
        "x-mcp-header":{"type":"boolean"}}}"#;

    fn of(schema: &str) -> Result<Vec<Mirror>, McpError> {
        mirrors(serde_json::from_str(schema).unwrap())
    }

    fn checked(headers: &[(&str, &str)], arguments: &str) -> bool {
        let headers = headers
            .iter()
            .map(|(n, v)| (n.parse::<HeaderName>().unwrap(), HeaderValue::from_str(v).unwrap()))
            .collect();
        check(&headers, Some(&Value::parse(arguments).unwrap()), &of(SCHEMA).unwrap(), Era::Modern).is_ok()
    }

    #[test]
    fn headers_repeat_the_arguments() {
        let region = ("Mcp-Param-Region", "us-west1");
        assert!(checked(&[region], r#"{"region":"us-west1"}"#));
        assert!(checked(&[("mcp-param-region", "=?base64?dXMtd2VzdDE=?=")], r#"{"region":"us-west1"}"#));
        assert!(checked(&[("Mcp-Param-Count", "42")], r#"{"where":{"n":42.0}}"#));
        assert!(checked(&[("Mcp-Param-Other", "kept")], r#"{"region":null}"#));
        assert!(!checked(&[], r#"{"region":"us-west1"}"#));
        assert!(!checked(&[region], r#"{"region":"us-east1"}"#));
        assert!(!checked(&[region], "{}"));
        assert!(!checked(&[region], r#"{"region":null}"#));
        assert!(!checked(&[("Mcp-Param-Count", "42")], r#"{"where":{"n":42.5}}"#));
        assert!(!checked(&[("Mcp-Param-Region", "=?base64?!?=")], r#"{"region":"x"}"#));
    }

    /// Break: parse a schema that is as deep as its author likes.
    #[test]
    fn a_schema_is_no_deeper_than_json_may_be() {
        let nested = |levels: usize| {
            let argument = r#"{"type":"string","x-mcp-header":"A"}"#.to_owned();
            (0..levels).fold(argument, |inner, _| format!(r#"{{"properties":{{"a":{inner}}}}}"#))
        };
        assert_eq!(of(&nested(15)).unwrap()[0].path.len(), 15);
        assert!(of(&nested(16)).is_err());
        assert!(of(&nested(100)).is_err());
    }

    #[test]
    fn unlawful_annotations_make_the_tool_unusable() {
        assert_eq!(of(SCHEMA).unwrap().len(), 2);
        for schema in [
            r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A b"}}}"#,
            r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
            r#"{"properties":{"a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}}"#,
            r#"{"anyOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#,
        ] {
            assert!(of(schema).is_err(), "{schema}");
        }
    }
}
