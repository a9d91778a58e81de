//! What an agent's earlier grants were needed for, and the narrower request that would have been enough.
//!
//! The authority knows what was granted, and for which server a token of it was ever given: a grant of which none was given
//! was not needed. What was called with which arguments stands in the gateways' logs, sealed, and is not known here: so what
//! is offered is what earlier grants that were used allowed, all of them together.
//!
//! **Invariant:** what is offered is within what is asked for. It is an offer: nothing is decided by it.

use std::collections::{BTreeMap, BTreeSet};

use remit_core::constraint::{Constraint, Scalar};
use remit_core::grant::{Arguments, Detail, WILDCARD};
use remit_core::id::AgentId;
use remit_core::subset::details_within;

use crate::change::Grant;
use crate::error::AuthorityError;
use crate::store::Store;

/// Fewer used grants than this say nothing of what an agent needs.
const USED_MIN: usize = 3;
/// Most values of one argument that are listed; what had more is not constrained.
const VALUES_MAX: usize = 8;

/// Less than this, and for how many seconds, as far as past use says that less is enough. `less` says that it is less
/// already than what was asked for.
pub(crate) fn narrower(
    store: &Store,
    agent: &AgentId,
    (details, seconds): (&[Detail], i64),
    less: bool,
) -> Result<Option<(Vec<Detail>, i64)>, AuthorityError> {
    let used = used(store, agent)?;
    let needed: Vec<Detail> = details.iter().map(|detail| needed(detail, &used)).collect();
    // Where earlier grants say nothing of a part, they do not say that the rest is enough.
    let spans: Option<Vec<i64>> = details.iter().map(|detail| longest(detail, &used)).collect();
    let longest = spans.and_then(|spans| spans.into_iter().max());
    let shorter = longest.filter(|longest| (1..seconds).contains(longest));
    let says_so = needed != details || shorter.is_some() || (less && longest.is_some());
    let offered = says_so && !needed.is_empty() && details_within(&needed, details);
    Ok(offered.then(|| (needed, shorter.unwrap_or(seconds))))
}

/// Earlier grants, each as far as a token of it was given.
fn used(store: &Store, agent: &AgentId) -> Result<Vec<Grant>, AuthorityError> {
    let mut grants = store.used_by(agent)?;
    for grant in &mut grants {
        let places = store.used_at(&grant.id)?;
        grant.details.retain(|detail| detail.locations.iter().any(|location| places.contains(location)));
    }
    Ok(grants)
}

/// What earlier grants say of one server, each of which that named something of it.
fn of<'a>(detail: &'a Detail, used: &'a [Grant]) -> impl Iterator<Item = (&'a Grant, &'a Detail)> {
    let here = move |other: &&Detail| other.locations == detail.locations;
    used.iter().flat_map(move |grant| grant.details.iter().filter(here).map(move |other| (grant, other)))
}

/// The longest of the earlier grants that held any of this, in seconds; nothing where there are too few.
fn longest(detail: &Detail, used: &[Grant]) -> Option<i64> {
    let tools = |other: &Detail| {
        !detail.tools.is_empty() && detail.tools.keys().all(|tool| tool == WILDCARD || other.tools.contains_key(tool))
    };
    let spans: Vec<i64> = of(detail, used)
        .filter(|(_, other)| tools(other))
        .map(|(grant, _)| grant.until.saturating_sub(grant.at))
        .collect();
    if spans.len() < USED_MIN { None } else { spans.into_iter().max() }
}

fn needed(detail: &Detail, used: &[Grant]) -> Detail {
    let mut less = detail.clone();
    less.tools = BTreeMap::new();
    for (tool, asked) in &detail.tools {
        if tool == WILDCARD {
            less.tools.extend(named(detail, used).unwrap_or_else(|| [(tool.clone(), asked.clone())].into()));
        } else {
            let known = together(&past(detail, tool, used));
            // Whoever asks for less than ever before is offered nothing.
            let arguments = known.filter(|_| asked.is_empty()).unwrap_or_else(|| asked.clone());
            less.tools.insert(tool.clone(), arguments);
        }
    }
    less
}

/// What an earlier grant allowed of one tool, for each that named it.
fn past<'a>(detail: &'a Detail, tool: &str, used: &'a [Grant]) -> Vec<&'a Arguments> {
    of(detail, used).filter_map(|(_, other)| other.tools.get(tool)).collect()
}

/// The tools that earlier grants named, where none of them was for all.
fn named(detail: &Detail, used: &[Grant]) -> Option<BTreeMap<String, Arguments>> {
    let all: Vec<&Detail> = of(detail, used).map(|(_, other)| other).collect();
    if all.len() < USED_MIN || all.iter().any(|other| other.tools.contains_key(WILDCARD)) {
        return None;
    }
    let tools: BTreeSet<&String> = all.iter().flat_map(|other| other.tools.keys()).collect();
    let with = |tool: &&String| ((*tool).clone(), together(&past(detail, tool, used)).unwrap_or_default());
    let named: BTreeMap<String, Arguments> = tools.iter().map(with).collect();
    if named.is_empty() { None } else { Some(named) }
}

/// The constraints that accept what each of these accepted; nothing where one of them had none, or where nothing is left.
fn together(past: &[&Arguments]) -> Option<Arguments> {
    if past.len() < USED_MIN || past.iter().any(|arguments| arguments.is_empty()) {
        return None;
    }
    let names: BTreeSet<&String> = past.iter().flat_map(|arguments| arguments.keys()).collect();
    let mut together = Arguments::new();
    for name in names {
        let constraints: Vec<&Constraint> = past.iter().filter_map(|arguments| arguments.get(name)).collect();
        // Only what accepts anything accepts that an argument is absent.
        let always = constraints.len() == past.len();
        let either = if always { either(&constraints) } else { Constraint::Wildcard {} };
        together.insert(name.clone(), either);
    }
    let limits = together.values().any(|constraint| *constraint != Constraint::Wildcard {});
    limits.then_some(together)
}

fn either(constraints: &[&Constraint]) -> Constraint {
    let first = constraints.first().copied();
    match first {
        Some(first) if constraints.iter().all(|other| *other == first) => first.clone(),
        _ => listed(constraints).or_else(|| spanned(constraints)).unwrap_or(Constraint::Wildcard {}),
    }
}

/// All values that were allowed, where they are few.
fn listed(constraints: &[&Constraint]) -> Option<Constraint> {
    let mut values: Vec<Scalar> = Vec::new();
    for constraint in constraints {
        let more = match constraint {
            Constraint::Exact { value } => std::slice::from_ref(value),
            Constraint::OneOf { values } => values,
            _ => return None,
        };
        values.extend(more.iter().filter(|value| !values.contains(value)).cloned().collect::<Vec<_>>());
    }
    (values.len() <= VALUES_MAX).then_some(Constraint::OneOf { values })
}

/// The widest of whole-number ranges.
fn spanned(constraints: &[&Constraint]) -> Option<Constraint> {
    let (mut lows, mut highs) = (Vec::new(), Vec::new());
    for constraint in constraints {
        let Constraint::Range { min, max, min_inclusive: true, max_inclusive: true } = constraint else { return None };
        for (bound, all) in [(min, &mut lows), (max, &mut highs)] {
            all.push(match bound {
                None => None,
                Some(Scalar::Int(number)) => Some(*number),
                Some(_) => return None,
            });
        }
    }
    // A side that was open once is open.
    let min = lows.into_iter().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min());
    let max = highs.into_iter().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    let [min, max] = [min, max].map(|bound| bound.map(Scalar::Int));
    let bounded = min.is_some() || max.is_some();
    bounded.then_some(Constraint::Range { min, max, min_inclusive: true, max_inclusive: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn arguments(value: serde_json::Value) -> Arguments {
        serde_json::from_value(value).unwrap()
    }

    #[track_caller]
    fn check(past: &[serde_json::Value], expected: &serde_json::Value) {
        let past: Vec<Arguments> = past.iter().cloned().map(arguments).collect();
        let found = together(&past.iter().collect::<Vec<_>>());
        assert_eq!(serde_json::to_value(found).unwrap(), *expected);
        let Ok(Some(found)) = serde_json::from_value::<Option<Arguments>>(expected.clone()) else { return };
        for one in &past {
            assert!(remit_core::subset::arguments_within(one, &found), "{one:?} is not within {found:?}");
        }
    }

    /// Break: take the intersection, forget an open side, or let an argument that was absent once be needed.
    #[test]
    fn what_is_offered_accepts_all_that_was_allowed_before() {
        let exact = |value: i64| json!({ "id": { "constraint_type": "exact", "value": value } });
        let most = |max: i64| json!({ "n": { "constraint_type": "range", "max": max } });
        let same = exact(4);
        check(&[same.clone(), same.clone(), same.clone()], &same);
        check(&[exact(1), exact(2), exact(1)], &json!({ "id": { "constraint_type": "one_of", "values": [1, 2] } }));
        let widest =
            json!({ "n": { "constraint_type": "range", "max": 9, "min_inclusive": true, "max_inclusive": true } });
        check(&[most(5), most(9), most(7)], &widest);
        // One without an end, too few, one without any constraint, or nothing in common: nothing is known.
        let least = json!({ "n": { "constraint_type": "range", "min": 1 } });
        check(&[most(5), most(9), least], &json!(null));
        check(&[exact(1), exact(2)], &json!(null));
        check(&[exact(1), exact(2), json!({})], &json!(null));
        check(&[exact(1), exact(2), most(1)], &json!(null));
        let both = json!({ "id": { "constraint_type": "exact", "value": 1 }, "to": { "constraint_type": "wildcard" } });
        let either =
            json!({ "id": { "constraint_type": "one_of", "values": [1, 2] }, "to": { "constraint_type": "wildcard" } });
        check(&[both, exact(2), exact(1)], &either);
        let many: Vec<serde_json::Value> = (0..9).map(exact).collect();
        check(&many, &json!(null));
    }
}
