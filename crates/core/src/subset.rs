//! Whether one grant is within another, decided on the constraints alone: what the child accepts, the parent accepts.
//!
//! **Invariant:** sound, not complete. `true` is a proof by cases; where no case applies the answer is `false`, so that
//! what cannot be shown to be narrower is refused.

use crate::constraint::{Constraint, Scalar};
use crate::grant::{Arguments, DETAIL_TYPE, Detail, WILDCARD};
use crate::json::Value;
use crate::number::Exact;

/// Whether every detail of the child is within one detail of the parent.
pub fn details_within(child: &[Detail], parent: &[Detail]) -> bool {
    child.iter().all(|c| parent.iter().any(|p| detail_within(c, p)))
}

/// Whether one detail is within another.
pub fn detail_within(child: &Detail, parent: &Detail) -> bool {
    let locations = child.locations.iter().all(|l| parent.locations.contains(l));
    let tools = child.tools.iter().all(|(name, arguments)| {
        let named = parent.tools.get(name).or_else(|| parent.tools.get(WILDCARD));
        named.is_some_and(|wider| arguments_within(arguments, wider))
    });
    // A wildcard also covers what the parent names, and there the parent may be narrower than its own wildcard.
    let wildcard = child.tools.get(WILDCARD).is_none_or(|arguments| {
        let mut overridden = parent.tools.iter().filter(|(name, _)| !child.tools.contains_key(*name));
        overridden.all(|(_, wider)| arguments_within(arguments, wider))
    });
    let prompts = child.prompts.iter().all(|(name, arguments)| {
        let named = parent.prompts.get(name);
        named.is_some_and(|wider| arguments_within(arguments, wider))
    });
    let resources = child.resources.iter().all(|c| parent.resources.iter().any(|p| within(c, p)));
    child.kind == DETAIL_TYPE
        && parent.kind == DETAIL_TYPE
        && child.well_formed()
        && !child.locations.is_empty()
        && locations
        && tools
        && wildcard
        && prompts
        && resources
        && child.features.is_subset(&parent.features)
}

/// Whether every argument object that the child accepts is one that the parent accepts.
pub fn arguments_within(child: &Arguments, parent: &Arguments) -> bool {
    if parent.is_empty() {
        return true;
    }
    if child.is_empty() {
        return false;
    }
    let named = child.iter().all(|(name, c)| match (c, parent.get(name)) {
        // Only a plain wildcard accepts that the argument is absent.
        (Constraint::Wildcard {}, Some(p)) => *p == Constraint::Wildcard {},
        (c, Some(p)) => within(c, p),
        (_, None) => false,
    });
    // An argument that the child does not name is absent from every call that it accepts.
    let absent = parent.iter().filter(|(name, _)| !child.contains_key(*name));
    named && absent.into_iter().all(|(_, p)| *p == Constraint::Wildcard {})
}

/// Whether every value that `child` accepts is one that `parent` accepts.
pub fn within(child: &Constraint, parent: &Constraint) -> bool {
    child.well_formed() && parent.well_formed() && narrower(child, parent)
}

fn narrower(child: &Constraint, parent: &Constraint) -> bool {
    if child == parent || *parent == (Constraint::Wildcard {}) {
        return true;
    }
    if let Some(listed) = finite(child) {
        return listed.iter().all(|sample| sample.passes(parent));
    }
    if let Some(halves) = halves(parent) {
        return halves.iter().all(|half| narrower(child, half));
    }
    match (child, parent) {
        (Constraint::Any { constraints }, _) => constraints.iter().all(|c| narrower(c, parent)),
        (_, Constraint::All { constraints }) => constraints.iter().all(|p| narrower(child, p)),
        (_, Constraint::Any { constraints }) if exact_only(child) => {
            constraints.iter().any(|p| narrower(child, p)) || by_part(child, parent)
        }
        (_, Constraint::NotOneOf { values }) if scalar_only(child) => {
            let mut excluded = values.iter().flat_map(samples);
            excluded.all(|sample| !sample.passes(child))
        }
        (Constraint::All { .. }, _) => by_part(child, parent),
        (Constraint::Range { .. }, Constraint::Range { .. }) => bound_within(child, parent),
        (Constraint::Subset { values: c }, Constraint::Subset { values: p }) => each_in(c, p),
        (Constraint::Contains { values: c }, Constraint::Contains { values: p }) => p
            .iter()
            .all(|wanted| c.iter().any(|held| each_in(std::slice::from_ref(held), std::slice::from_ref(wanted)))),
        _ => false,
    }
}

/// An intersection is within whatever one of its parts is within.
fn by_part(child: &Constraint, parent: &Constraint) -> bool {
    let Constraint::All { constraints } = child else {
        return false;
    };
    constraints.iter().any(|part| narrower(part, parent))
}

/// A value that a constraint names.
enum Sample {
    Bool(bool),
    Number(String),
    Text(String),
}

impl Sample {
    fn passes(&self, constraint: &Constraint) -> bool {
        let value = match self {
            Sample::Bool(value) => Value::Bool(*value),
            Sample::Number(text) => Value::Number(text),
            Sample::Text(text) => Value::String(text.as_str().into()),
        };
        constraint.check(&value).is_ok()
    }
}

/// Every value that a constraint accepts, where they can be listed.
fn finite(constraint: &Constraint) -> Option<Vec<Sample>> {
    let mut listed: Vec<Sample> = match constraint {
        Constraint::Exact { value } => samples(value),
        Constraint::OneOf { values } => values.iter().flat_map(samples).collect(),
        Constraint::All { constraints } => constraints.iter().find_map(finite)?,
        _ => return None,
    };
    listed.retain(|sample| sample.passes(constraint));
    Some(listed)
}

/// The JSON values that equal a scalar; of a number's many spellings one, since all are compared as that number.
fn samples(scalar: &Scalar) -> Vec<Sample> {
    match scalar {
        Scalar::Bool(value) => vec![Sample::Bool(*value)],
        Scalar::Int(value) => vec![Sample::Number(value.to_string())],
        Scalar::Text(text) if Exact::parse(text).is_some() => {
            vec![Sample::Text(text.clone()), Sample::Number(text.clone())]
        }
        Scalar::Text(text) => vec![Sample::Text(text.clone())],
    }
}

/// Whether everything that equals one of `child` equals one of `parent`.
fn each_in(child: &[Scalar], parent: &[Scalar]) -> bool {
    let parent = Constraint::OneOf { values: parent.to_vec() };
    child.iter().flat_map(samples).all(|sample| sample.passes(&parent))
}

/// Whether nothing that the constraint accepts holds a number that cannot be compared exactly. A union refuses such a
/// number even where one of its branches would take it.
fn exact_only(constraint: &Constraint) -> bool {
    match constraint {
        Constraint::Wildcard {} | Constraint::Contains { .. } => false,
        Constraint::All { constraints } => constraints.iter().any(exact_only),
        Constraint::Any { constraints } => constraints.iter().all(exact_only),
        _ => true,
    }
}

/// Whether the constraint accepts scalars alone.
fn scalar_only(constraint: &Constraint) -> bool {
    match constraint {
        Constraint::Wildcard {} | Constraint::Contains { .. } | Constraint::Subset { .. } => false,
        Constraint::All { constraints } => constraints.iter().any(scalar_only),
        Constraint::Any { constraints } => constraints.iter().all(scalar_only),
        _ => true,
    }
}

/// A range as the intersection of its two bounds.
fn halves(range: &Constraint) -> Option<[Constraint; 2]> {
    let Constraint::Range { min: Some(min), max: Some(max), min_inclusive, max_inclusive } = range else {
        return None;
    };
    let lower =
        Constraint::Range { min: Some(min.clone()), max: None, min_inclusive: *min_inclusive, max_inclusive: true };
    let upper =
        Constraint::Range { min: None, max: Some(max.clone()), min_inclusive: true, max_inclusive: *max_inclusive };
    Some([lower, upper])
}

/// Whether a range lies within another that has one bound.
fn bound_within(child: &Constraint, parent: &Constraint) -> bool {
    let (
        Constraint::Range { min: c_min, max: c_max, min_inclusive: c_low, max_inclusive: c_high },
        Constraint::Range { min: p_min, max: p_max, min_inclusive: p_low, max_inclusive: p_high },
    ) = (child, parent)
    else {
        return false;
    };
    let tighter = |c: &Option<Scalar>, p: &Option<Scalar>, c_in: bool, p_in: bool, beyond| {
        let Some(p) = p else { return true };
        match (c.as_ref().and_then(number), number(p)) {
            (Some(c), Some(p)) => c.cmp(&p) == beyond || (c == p && (p_in || !c_in)),
            _ => false,
        }
    };
    tighter(c_min, p_min, *c_low, *p_low, std::cmp::Ordering::Greater)
        && tighter(c_max, p_max, *c_high, *p_high, std::cmp::Ordering::Less)
}

fn number(scalar: &Scalar) -> Option<Exact> {
    match scalar {
        Scalar::Int(value) => Exact::parse(&value.to_string()),
        Scalar::Text(text) => Exact::parse(text),
        Scalar::Bool(_) => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
