//! Grants: they print back, nothing is covered that is not named, and what is within another covers no more.

use std::collections::BTreeMap;

use remit_core::constraint::{Constraint, Scalar};
use remit_core::grant::{Detail, WILDCARD};
use remit_core::json::Value;
use remit_core::subset::detail_within;

use crate::parts::texts;

/// A grant, another that may be within it, and a call's arguments.
pub fn grant(bytes: &[u8]) {
    let Some([wide, narrow, arguments]) = texts(bytes) else { return };
    let read = |text: &str| serde_json::from_str::<Detail>(text).ok();
    let Some(wide) = read(wide) else { return };
    let written = serde_json::to_string(&wide).unwrap_or_default();
    assert_eq!(read(&written).as_ref(), Some(&wide), "{written}");
    if !wide.well_formed() {
        return;
    }
    assert!(detail_within(&wide, &wide) || wide.locations.is_empty(), "a grant that is not within itself");
    let Ok(arguments) = Value::parse(arguments) else { return };
    closed(&wide, &arguments);
    let Some(narrow) = read(narrow).filter(|narrow| detail_within(narrow, &wide)) else { return };
    let names = wide.tools.keys().chain(narrow.tools.keys()).chain(wide.prompts.keys()).chain(narrow.prompts.keys());
    for name in names.map(String::as_str).chain(["another"]) {
        let tool = |detail: &Detail| detail.covers_tool(name, &arguments).is_ok();
        let prompt = |detail: &Detail| detail.covers_prompt(name, &arguments).is_ok();
        assert!(!tool(&narrow) || tool(&wide), "{name}: the narrower grant covers more");
        assert!(!prompt(&narrow) || prompt(&wide), "{name}: the narrower grant covers more");
    }
    if let Value::Object(members) = &arguments {
        for uri in members.iter().filter_map(|(_, value)| value.as_str()) {
            let covers = |detail: &Detail| detail.covers_resource(uri).is_ok();
            assert!(!covers(&narrow) || covers(&wide), "{uri}: the narrower grant covers more");
        }
    }
}

/// A call that is covered names nothing that its constraints do not, and leaves nothing out that they bind.
fn closed(grant: &Detail, arguments: &Value<'_>) {
    let names = grant.tools.keys().map(String::as_str).chain(["another"]);
    for name in names {
        let constraints = grant.tools.get(name).or_else(|| grant.tools.get(WILDCARD));
        let covered = grant.covers_tool(name, arguments).is_ok();
        let expected = constraints.is_some_and(|constraints| naive(constraints, arguments));
        assert_eq!(covered, expected, "{name}: {constraints:?} {arguments:?}");
    }
}

fn naive(constraints: &BTreeMap<String, Constraint>, arguments: &Value<'_>) -> bool {
    let Value::Object(members) = arguments else { return constraints.is_empty() };
    constraints.is_empty()
        || members.iter().all(|(name, _)| constraints.contains_key(&**name))
            && constraints.iter().all(|(name, constraint)| match arguments.get(name) {
                Some(value) => holds(constraint, value) == Some(true),
                None => *constraint == Constraint::Wildcard {},
            })
}

/// Whether the value satisfies the constraint; `None` where a number in it cannot be compared. Numbers are compared as
/// texts of digits here, so that nothing is shared with the code.
fn holds(constraint: &Constraint, value: &Value<'_>) -> Option<bool> {
    Some(match constraint {
        Constraint::Wildcard {} => true,
        Constraint::Exact { value: wanted } => is(wanted, value)?,
        Constraint::OneOf { values } => first(values, value)?,
        Constraint::NotOneOf { values } => {
            !matches!(value, Value::Null | Value::Array(_) | Value::Object(_)) && !first(values, value)?
        }
        Constraint::Range { min, max, min_inclusive, max_inclusive } => {
            let Value::Number(text) = value else { return Some(false) };
            let at = scaled(text)?;
            let bound = |bound: &Option<Scalar>| bound.as_ref().map(number);
            let above = bound(min).is_none_or(|min| min.is_some_and(|min| at > min || *min_inclusive && at == min));
            let below = bound(max).is_none_or(|max| max.is_some_and(|max| at < max || *max_inclusive && at == max));
            above && below
        }
        Constraint::Contains { values } => {
            let Value::Array(items) = value else { return Some(false) };
            let one = |wanted| items.iter().try_fold(false, |found, item| Some(is(wanted, item)? || found));
            every(values.iter().map(one))?
        }
        Constraint::Subset { values } => {
            let Value::Array(items) = value else { return Some(false) };
            every(items.iter().map(|item| first(values, item)))?
        }
        Constraint::All { constraints } => every(constraints.iter().map(|c| holds(c, value)))?,
        Constraint::Any { constraints } => {
            constraints.iter().try_fold(false, |any, c| Some(holds(c, value)? || any))?
        }
    })
}

/// Up to the first that does not hold, or cannot be compared.
fn every(mut all: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    all.find(|one| *one != Some(true)).unwrap_or(Some(true))
}

fn first(values: &[Scalar], value: &Value<'_>) -> Option<bool> {
    values.iter().map(|wanted| is(wanted, value)).find(|one| *one != Some(false)).unwrap_or(Some(false))
}

fn is(wanted: &Scalar, value: &Value<'_>) -> Option<bool> {
    Some(match (wanted, value) {
        (Scalar::Bool(wanted), Value::Bool(value)) => wanted == value,
        (Scalar::Text(wanted), Value::String(value)) => wanted == value,
        (wanted, Value::Number(text)) => {
            let value = scaled(text)?;
            number(wanted) == Some(value)
        }
        _ => false,
    })
}

fn number(scalar: &Scalar) -> Option<i128> {
    match scalar {
        Scalar::Int(n) => Some(i128::from(*n).saturating_mul(10_000)),
        Scalar::Text(text) => scaled(text),
        Scalar::Bool(_) => None,
    }
}

/// A number in ten-thousandths.
fn scaled(text: &str) -> Option<i128> {
    remit_core::number::Exact::parse(text)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: String = fraction.chars().chain("0000".chars()).take(4).collect();
    format!("{whole}{fraction}").parse().ok()
}
