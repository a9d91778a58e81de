//! Arguments as policy sees them: each declared one with the type of the pinned schema, exactly.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::json::Value;
use crate::number::Exact;

/// The type of an argument that policy can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Cedar `String`.
    Text,
    /// Cedar `Long`.
    Integer,
    /// Cedar `decimal`: a JSON number with a fraction of at most four digits.
    Number,
    /// Cedar `Bool`.
    Boolean,
    /// Cedar `Set` of one of the above.
    Set(Box<Type>),
    /// Declared, but of no type that Cedar has: constraints may look at it, policies cannot.
    Opaque,
}

/// What the pinned schema declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Types by name.
    pub types: BTreeMap<String, Type>,
    /// Names that must be there, of those that policy can read.
    pub required: BTreeSet<String>,
    /// Whether names that are not declared are accepted.
    pub open: bool,
}

/// Why arguments are not those of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalid {
    /// Not an object.
    NotAnObject,
    /// The named argument is not declared, or differs only in case from one that is: a reader without regard to case
    /// would let it stand for that one.
    Undeclared(String),
    /// The named argument must be there and is not.
    Missing(String),
    /// The named argument is of another type than declared.
    Type(String),
    /// The named argument is a number that Cedar cannot hold exactly.
    Inexact(String),
}

/// An argument that policy can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// A `String`.
    Text(String),
    /// A `Long`.
    Integer(i64),
    /// The text of a `decimal`.
    Number(String),
    /// A `Bool`.
    Boolean(bool),
    /// A `Set`.
    Set(Vec<Typed>),
}

impl Declared {
    /// Reads a tool's `inputSchema`. Without `properties` and without a prohibition it is open; with `properties` it
    /// is closed unless it says `additionalProperties` itself: a policy's author must be able to see every name.
    pub fn read(schema: &Json) -> Self {
        let properties = schema.get("properties").and_then(Json::as_object);
        let types: BTreeMap<_, _> =
            properties.into_iter().flatten().map(|(name, schema)| (name.clone(), type_of(schema))).collect();
        let named = schema.get("required").and_then(Json::as_array);
        let named = named.into_iter().flatten().filter_map(Json::as_str);
        let readable = |name: &&str| types.get(*name).is_some_and(|kind| *kind != Type::Opaque);
        let required = named.filter(readable).map(ToOwned::to_owned).collect();
        let open = match schema.get("additionalProperties") {
            None => properties.is_none(),
            Some(Json::Bool(allowed)) => *allowed,
            Some(_) => true,
        };
        Self { types, required, open }
    }

    /// The arguments that policy can read. `null` for a declared argument counts as absent.
    ///
    /// A number that does not fit is left to the caller in `inexact`: it matters only where somebody reads it.
    pub fn typed(&self, arguments: &Value<'_>) -> Result<(BTreeMap<String, Typed>, Vec<String>), Invalid> {
        let Value::Object(members) = arguments else {
            return Err(Invalid::NotAnObject);
        };
        let (mut typed, mut inexact) = (BTreeMap::new(), Vec::new());
        for (name, value) in members {
            match self.types.get(name.as_ref()) {
                None if self.open && !self.resembles(name) => {}
                None => return Err(Invalid::Undeclared(name.clone().into_owned())),
                Some(Type::Opaque) => {}
                Some(_) if *value == Value::Null => {}
                Some(wanted) => match convert(wanted, value) {
                    Ok(value) => drop(typed.insert(name.clone().into_owned(), value)),
                    Err(Misfit::Inexact) => inexact.push(name.clone().into_owned()),
                    Err(Misfit::Type) => return Err(Invalid::Type(name.clone().into_owned())),
                },
            }
        }
        // A required number that does not fit would leave the policy's record incomplete, so it counts as read.
        match self.required.iter().find(|name| !typed.contains_key(*name)) {
            Some(name) if inexact.contains(name) => Err(Invalid::Inexact(name.clone())),
            Some(name) => Err(Invalid::Missing(name.clone())),
            None => Ok((typed, inexact)),
        }
    }

    /// Whether a reader without regard to case would take the name for a declared one.
    fn resembles(&self, name: &str) -> bool {
        let folded = folded(name);
        self.types.keys().any(|declared| self::folded(declared) == folded)
    }
}

/// The name without regard to case, as the least exact readers compare it: `ſ` as `s`, and the Kelvin sign as `k`.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

enum Misfit {
    Type,
    Inexact,
}

fn convert(wanted: &Type, value: &Value<'_>) -> Result<Typed, Misfit> {
    Ok(match (wanted, value) {
        (Type::Text, Value::String(text)) => Typed::Text(text.clone().into_owned()),
        (Type::Boolean, Value::Bool(value)) => Typed::Boolean(*value),
        (Type::Integer, Value::Number(text)) => {
            let exact = Exact::parse(text).ok_or(Misfit::Inexact)?;
            Typed::Integer(exact.whole().ok_or(Misfit::Type)?)
        }
        (Type::Number, Value::Number(text)) => {
            Typed::Number(Exact::parse(text).and_then(Exact::decimal).ok_or(Misfit::Inexact)?)
        }
        (Type::Set(of), Value::Array(items)) => {
            Typed::Set(items.iter().map(|item| convert(of, item)).collect::<Result<_, _>>()?)
        }
        _ => return Err(Misfit::Type),
    })
}

fn type_of(schema: &Json) -> Type {
    let scalar = |name: &str| match name {
        "string" => Type::Text,
        "integer" => Type::Integer,
        "number" => Type::Number,
        "boolean" => Type::Boolean,
        _ => Type::Opaque,
    };
    match schema.get("type") {
        Some(Json::String(name)) if name == "array" => match schema.get("items").map(type_of) {
            Some(of @ (Type::Text | Type::Integer | Type::Number | Type::Boolean)) => Type::Set(Box::new(of)),
            _ => Type::Opaque,
        },
        Some(Json::String(name)) => scalar(name),
        Some(Json::Array(names)) => {
            match names.iter().filter_map(Json::as_str).filter(|n| *n != "null").collect::<Vec<_>>()[..] {
                [only] => scalar(only),
                _ => Type::Opaque,
            }
        }
        _ => optional(schema).map_or(Type::Opaque, type_of),
    }
}

/// The one alternative beside `null`: how some generators write an optional argument.
fn optional(schema: &Json) -> Option<&Json> {
    let alternatives = schema.get("anyOf")?.as_array()?;
    let mut real = alternatives.iter().filter(|s| s.get("type").and_then(Json::as_str) != Some("null"));
    let only = real.next()?;
    real.next().is_none().then_some(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &str, arguments: &str, expected: Result<(&[&str], &[&str]), Invalid>) {
        let declared = Declared::read(&serde_json::from_str(schema).unwrap());
        let got = declared.typed(&Value::parse(arguments).unwrap());
        let got = got.map(|(typed, inexact)| (typed.into_keys().collect::<Vec<_>>(), inexact));
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(got, expected.map(|(typed, inexact)| (owned(typed), owned(inexact))), "{arguments}");
    }

    const SCHEMA: &str = r#"{"type":"object","properties":{"id":{"type":"integer"},"amount":{"type":"number"},
        "to":{"anyOf":[{"type":"string"},{"type":"null"}]},"tags":{"type":"array","items":{"type":"string"}},"deep":{"type":"object"}}}"#;

    #[test]
    fn only_what_was_reviewed_passes() {
        check(
            SCHEMA,
            r#"{"id":41,"amount":1.5,"to":"x","tags":["a"],"deep":{"n":1e99}}"#,
            Ok((&["amount", "id", "tags", "to"], &[])),
        );
        check(SCHEMA, r#"{"to":null}"#, Ok((&[], &[])));
        check(SCHEMA, r#"{"id":"41"}"#, Err(Invalid::Type("id".into())));
        check(SCHEMA, r#"{"id":41.5}"#, Err(Invalid::Type("id".into())));
        check(SCHEMA, r#"{"id":99999999999999999999}"#, Ok((&[], &["id"])));
        check(SCHEMA, r#"{"amount":1e3}"#, Ok((&[], &["amount"])));
        check(SCHEMA, r#"{"tags":"a"}"#, Err(Invalid::Type("tags".into())));
        check(SCHEMA, r#"{"Id":41}"#, Err(Invalid::Undeclared("Id".into())));
        check(SCHEMA, "[]", Err(Invalid::NotAnObject));
        let required = r#"{"properties":{"id":{"type":"integer"}},"required":["id"]}"#;
        check(required, "{}", Err(Invalid::Missing("id".into())));
        check(required, r#"{"id":null}"#, Err(Invalid::Missing("id".into())));
        check(required, r#"{"id":1e3}"#, Err(Invalid::Inexact("id".into())));
        check(r#"{"type":"object"}"#, r#"{"x":1}"#, Ok((&[], &[])));
        let open = r#"{"properties":{"amount":{"type":"integer"},"kind":{"type":"string"},"is":{}},"additionalProperties":true}"#;
        check(open, r#"{"amount":1,"amounts":2,"Other":3}"#, Ok((&["amount"], &[])));
        for lookalike in ["AMOUNT", "Amount", "\u{212a}ind", "I\u{17f}", "IS"] {
            check(open, &format!(r#"{{"amount":1,"{lookalike}":99999}}"#), Err(Invalid::Undeclared(lookalike.into())));
        }
        check(r#"{"type":"object","additionalProperties":false}"#, r#"{"x":1}"#, Err(Invalid::Undeclared("x".into())));
    }
}
