//! Argument constraints of a grant: the core vocabulary of the attenuating-agent-tokens draft
//! (draft-niyikiza-oauth-attenuating-agent-tokens-01, section 3.4).
//!
//! Closed world: once a tool's arguments are constrained, an argument that no constraint names is refused. A type or
//! a member that is not known here does not parse, so the whole grant is refused.

use serde::{Deserialize, Serialize};

use crate::json::Value;
use crate::number;

/// Deepest nesting of `all` and `any`, in levels.
pub const CONSTRAINT_DEPTH_MAX: usize = 4;
/// Most values or sub-constraints in one constraint.
pub const CONSTRAINT_WIDTH_MAX: usize = 256;

/// A scalar that a constraint compares with. Numbers keep their text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A string; also a decimal, which is compared as a number where the argument is one.
    Text(String),
}

/// What an argument's value must satisfy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "constraint_type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Constraint {
    /// Equal to the value.
    Exact {
        /// The one value that is allowed.
        value: Scalar,
    },
    /// A number within bounds, of which at least one is given.
    Range {
        /// Lower bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<Scalar>,
        /// Upper bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<Scalar>,
        /// Whether the lower bound itself is allowed.
        #[serde(default = "yes")]
        min_inclusive: bool,
        /// Whether the upper bound itself is allowed.
        #[serde(default = "yes")]
        max_inclusive: bool,
    },
    /// One of the values.
    OneOf {
        /// The values that are allowed.
        values: Vec<Scalar>,
    },
    /// A scalar that is none of the values.
    NotOneOf {
        /// The values that are refused.
        values: Vec<Scalar>,
    },
    /// An array that holds all of the values.
    Contains {
        /// The values that must stand in it.
        values: Vec<Scalar>,
    },
    /// An array that holds nothing but the values.
    Subset {
        /// The values that may stand in it.
        values: Vec<Scalar>,
    },
    /// Anything.
    Wildcard {},
    /// All of the constraints.
    All {
        /// Each must hold.
        constraints: Vec<Constraint>,
    },
    /// At least one of the constraints.
    Any {
        /// One must hold.
        constraints: Vec<Constraint>,
    },
}

fn yes() -> bool {
    true
}

/// Why a value was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// The value is outside the constraint.
    Outside,
    /// The value is a number that cannot be compared exactly.
    Inexact,
}

impl Constraint {
    /// Whether the constraint keeps its own limits; one that does not never came from the authority.
    pub fn well_formed(&self) -> bool {
        self.well_formed_at(0)
    }

    fn well_formed_at(&self, depth: usize) -> bool {
        let width = |n: usize| (1..=CONSTRAINT_WIDTH_MAX).contains(&n);
        match self {
            Constraint::Exact { .. } | Constraint::Wildcard {} => true,
            Constraint::Range { min, max, .. } => {
                let bounds: Vec<_> = [min, max].into_iter().flatten().collect();
                !bounds.is_empty() && bounds.into_iter().all(|bound| number_of(bound).is_some())
            }
            Constraint::OneOf { values }
            | Constraint::NotOneOf { values }
            | Constraint::Contains { values }
            | Constraint::Subset { values } => width(values.len()),
            Constraint::All { constraints } | Constraint::Any { constraints } => {
                depth < CONSTRAINT_DEPTH_MAX
                    && width(constraints.len())
                    && constraints.iter().all(|c| c.well_formed_at(depth.saturating_add(1)))
            }
        }
    }

    /// Checks one argument's value.
    pub fn check(&self, value: &Value<'_>) -> Result<(), Mismatch> {
        let holds = match self {
            Constraint::Wildcard {} => true,
            Constraint::Exact { value: wanted } => equals(wanted, value)?,
            Constraint::OneOf { values } => among(values, value)?,
            Constraint::NotOneOf { values } => is_scalar(value) && !among(values, value)?,
            Constraint::Range { min, max, min_inclusive, max_inclusive } => {
                let lower = bound(min.as_ref(), value, *min_inclusive, std::cmp::Ordering::Greater)?;
                lower && bound(max.as_ref(), value, *max_inclusive, std::cmp::Ordering::Less)?
            }
            Constraint::Contains { values } => contains(values, value)?,
            Constraint::Subset { values } => subset(values, value)?,
            Constraint::All { constraints } => {
                for constraint in constraints {
                    constraint.check(value)?;
                }
                true
            }
            Constraint::Any { constraints } => any(constraints, value)?,
        };
        if holds { Ok(()) } else { Err(Mismatch::Outside) }
    }
}

fn contains(values: &[Scalar], value: &Value<'_>) -> Result<bool, Mismatch> {
    let Value::Array(items) = value else { return Ok(false) };
    for wanted in values {
        let mut found = false;
        for item in items {
            found = equals(wanted, item)? || found;
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

fn subset(values: &[Scalar], value: &Value<'_>) -> Result<bool, Mismatch> {
    let Value::Array(items) = value else { return Ok(false) };
    for item in items {
        if !among(values, item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A number that one branch cannot compare exactly is refused, whatever the other branches say.
fn any(constraints: &[Constraint], value: &Value<'_>) -> Result<bool, Mismatch> {
    let mut holds = false;
    for constraint in constraints {
        match constraint.check(value) {
            Ok(()) => holds = true,
            Err(Mismatch::Inexact) => return Err(Mismatch::Inexact),
            Err(Mismatch::Outside) => {}
        }
    }
    Ok(holds)
}

fn is_scalar(value: &Value<'_>) -> bool {
    matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_))
}

fn among(values: &[Scalar], value: &Value<'_>) -> Result<bool, Mismatch> {
    for wanted in values {
        if equals(wanted, value)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equals(wanted: &Scalar, value: &Value<'_>) -> Result<bool, Mismatch> {
    Ok(match (wanted, value) {
        (Scalar::Bool(wanted), Value::Bool(value)) => wanted == value,
        (Scalar::Text(wanted), Value::String(value)) => wanted == value,
        (_, Value::Number(text)) => {
            let exact = number::Exact::parse(text).ok_or(Mismatch::Inexact)?;
            number_of(wanted) == Some(exact)
        }
        _ => false,
    })
}

fn number_of(scalar: &Scalar) -> Option<number::Exact> {
    match scalar {
        Scalar::Int(n) => number::Exact::parse(&n.to_string()),
        Scalar::Text(text) => number::Exact::parse(text),
        Scalar::Bool(_) => None,
    }
}

fn bound(
    limit: Option<&Scalar>,
    value: &Value<'_>,
    inclusive: bool,
    beyond: std::cmp::Ordering,
) -> Result<bool, Mismatch> {
    let Value::Number(text) = value else {
        return Ok(false);
    };
    let exact = number::Exact::parse(text).ok_or(Mismatch::Inexact)?;
    let Some(limit) = limit else { return Ok(true) };
    let limit = number_of(limit).ok_or(Mismatch::Outside)?;
    let order = exact.cmp(&limit);
    Ok(order == beyond || (inclusive && order == std::cmp::Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(constraint: &str, value: &str, expected: Result<(), Mismatch>) {
        let constraint: Constraint = serde_json::from_str(constraint).unwrap();
        assert!(constraint.well_formed());
        assert_eq!(constraint.check(&Value::parse(value).unwrap()), expected, "{constraint:?} {value}");
    }

    #[test]
    fn each_kind_accepts_and_refuses() {
        const OUT: Result<(), Mismatch> = Err(Mismatch::Outside);
        check(r#"{"constraint_type":"exact","value":"EUR"}"#, r#""EUR""#, Ok(()));
        check(r#"{"constraint_type":"exact","value":"EUR"}"#, r#""eur""#, OUT);
        check(r#"{"constraint_type":"exact","value":5}"#, "5.0", Ok(()));
        check(r#"{"constraint_type":"exact","value":5}"#, r#""5""#, OUT);
        check(r#"{"constraint_type":"exact","value":true}"#, "1", OUT);
        check(r#"{"constraint_type":"exact","value":true}"#, "true", Ok(()));
        check(r#"{"constraint_type":"exact","value":true}"#, "false", OUT);
        check(r#"{"constraint_type":"exact","value":"true"}"#, "true", OUT);
        check(r#"{"constraint_type":"range","min":1}"#, "1", Ok(()));
        check(r#"{"constraint_type":"range","min":1,"min_inclusive":false}"#, "1", OUT);
        check(r#"{"constraint_type":"range","min":1,"min_inclusive":false}"#, "1.0001", Ok(()));
        check(r#"{"constraint_type":"range","max":100}"#, "100", Ok(()));
        check(r#"{"constraint_type":"range","max":100,"max_inclusive":false}"#, "100", OUT);
        check(r#"{"constraint_type":"range","min":1,"max":100}"#, "0.9999", OUT);
        check(r#"{"constraint_type":"range","max":"99.95"}"#, "99.95", Ok(()));
        check(r#"{"constraint_type":"range","max":100}"#, r#""50""#, OUT);
        check(r#"{"constraint_type":"range","max":100}"#, "1e1", Err(Mismatch::Inexact));
        check(r#"{"constraint_type":"range","max":100}"#, "99.00001", Err(Mismatch::Inexact));
        check(r#"{"constraint_type":"one_of","values":["a","b"]}"#, r#""b""#, Ok(()));
        check(r#"{"constraint_type":"one_of","values":["a","b"]}"#, "null", OUT);
        check(r#"{"constraint_type":"not_one_of","values":["a"]}"#, r#""b""#, Ok(()));
        check(r#"{"constraint_type":"not_one_of","values":["a"]}"#, r#"["a"]"#, OUT);
        check(r#"{"constraint_type":"contains","values":["x"]}"#, r#"["y","x"]"#, Ok(()));
        check(r#"{"constraint_type":"contains","values":["x"]}"#, r#"["y"]"#, OUT);
        check(r#"{"constraint_type":"contains","values":["x","y"]}"#, r#"["x","y","z"]"#, Ok(()));
        check(r#"{"constraint_type":"contains","values":["x","y"]}"#, r#"["x","z"]"#, OUT);
        check(r#"{"constraint_type":"subset","values":["x","y"]}"#, r#"["y"]"#, Ok(()));
        check(r#"{"constraint_type":"subset","values":["x","y"]}"#, r#"["y","z"]"#, OUT);
        check(r#"{"constraint_type":"wildcard"}"#, r#"{"a":1e9}"#, Ok(()));
        let both = r#"{"constraint_type":"all","constraints":[{"constraint_type":"range","min":1},{"constraint_type":"not_one_of","values":[7]}]}"#;
        check(both, "6", Ok(()));
        check(both, "7", OUT);
        let either = r#"{"constraint_type":"any","constraints":[{"constraint_type":"exact","value":"x"},{"constraint_type":"range","min":1}]}"#;
        check(either, r#""x""#, Ok(()));
        check(either, "0", OUT);
        check(either, "1e0", Err(Mismatch::Inexact));
    }

    #[test]
    fn what_is_not_known_does_not_parse() {
        for text in [
            r#"{"constraint_type":"regex","pattern":".*"}"#,
            r#"{"constraint_type":"range","min":0,"step":2}"#,
            r#"{"constraint_type":"exact"}"#,
            r#"{"constraint_type":"exact","value":1.5}"#,
            r#"{"value":1}"#,
        ] {
            assert!(serde_json::from_str::<Constraint>(text).is_err(), "{text}");
        }
        for text in [
            r#"{"constraint_type":"range"}"#,
            r#"{"constraint_type":"range","min":true}"#,
            r#"{"constraint_type":"range","min":1,"max":"a lot"}"#,
            r#"{"constraint_type":"range","min":"1e3","max":2}"#,
            r#"{"constraint_type":"one_of","values":[]}"#,
            r#"{"constraint_type":"any","constraints":[]}"#,
            r#"{"constraint_type":"all","constraints":[{"constraint_type":"range"}]}"#,
        ] {
            assert!(!serde_json::from_str::<Constraint>(text).unwrap().well_formed(), "{text}");
        }
    }
}
