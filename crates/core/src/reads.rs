//! Which arguments a policy reads: a number that cannot be held exactly matters only where somebody compares it.

use std::collections::BTreeSet;

use cedar_policy::Policy;
use serde_json::Value as Json;

/// The members of `context.input` that a policy's conditions look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reads {
    /// These.
    Names(BTreeSet<String>),
    /// Possibly any: the record as a whole is used, or the policy could not be looked through.
    Any,
}

impl Reads {
    pub(crate) fn of(policy: &Policy) -> Self {
        let Ok(json) = policy.to_json() else {
            return Reads::Any;
        };
        let mut names = BTreeSet::new();
        let conditions = json.get("conditions").unwrap_or(&Json::Null);
        if walk(conditions, &mut names) { Reads::Names(names) } else { Reads::Any }
    }

    pub(crate) fn reads(&self, name: &str) -> bool {
        match self {
            Reads::Any => true,
            Reads::Names(names) => names.contains(name),
        }
    }
}

/// Collects names below `node`; `false` where the whole input, or the whole context, is used as a value.
fn walk(node: &Json, names: &mut BTreeSet<String>) -> bool {
    if is_context(node) || is_input(node) {
        return false;
    }
    match node {
        Json::Object(members) => {
            for operator in [".", "has"] {
                let Some(access) = members.get(operator) else {
                    continue;
                };
                let (Some(left), Some(Json::String(attribute))) = (access.get("left"), access.get("attr")) else {
                    return false;
                };
                if is_input(left) {
                    names.insert(attribute.clone());
                    return true;
                }
                return is_context(left) || walk(left, names);
            }
            members.values().all(|member| walk(member, names))
        }
        Json::Array(items) => items.iter().all(|item| walk(item, names)),
        _ => true,
    }
}

fn is_context(node: &Json) -> bool {
    node.get("Var").and_then(Json::as_str) == Some("context")
}

fn is_input(node: &Json) -> bool {
    let Some(access) = node.get(".") else {
        return false;
    };
    access.get("attr").and_then(Json::as_str) == Some("input") && access.get("left").is_some_and(is_context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(condition: &str, expected: Option<&[&str]>) {
        let text = format!("forbid(principal, action, resource) when {{ {condition} }};");
        let reads = Reads::of(&Policy::parse(None, text).unwrap());
        let expected =
            expected.map_or(Reads::Any, |names| Reads::Names(names.iter().map(ToString::to_string).collect()));
        assert_eq!(reads, expected, "{condition}");
    }

    #[test]
    fn every_way_of_reading_an_argument_counts() {
        check("context.input.amount > 5 && context.session.calls < 3", Some(&["amount"]));
        check("context.input has amount && context.labels.trust == 2", Some(&["amount"]));
        check("if context.input has a then context.input.b == 1 else true", Some(&["a", "b"]));
        check("context.input == {a: 1}", None);
        check("[context.input].contains({a: 1})", None);
        check("context == {a: 1}", None);
        check("principal.tier == \"full\" && context.trust.amount == 2", Some(&[]));
        check("context.input.deep.amount > 1", Some(&["deep"]));
    }
}
