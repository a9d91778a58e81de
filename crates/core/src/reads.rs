//! Which members of the context a policy reads. What no policy that might apply reads is not given to Cedar, and a number
//! that cannot be held exactly matters only where somebody compares it.

use std::collections::BTreeSet;

use serde_json::Value as Json;

/// What a policy's conditions look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Members of `context`.
    pub(crate) context: Names,
    /// Members of `context.input`.
    pub(crate) input: Names,
}

/// Names of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    /// These.
    These(BTreeSet<String>),
    /// Possibly any: the record as a whole is used, or the policy could not be looked through.
    Any,
}

impl Default for Names {
    fn default() -> Self {
        Names::These(BTreeSet::new())
    }
}

impl Names {
    pub(crate) fn contains(&self, name: &str) -> bool {
        match self {
            Names::Any => true,
            Names::These(names) => names.contains(name),
        }
    }

    fn add(&mut self, name: &str) {
        if let Names::These(names) = self {
            names.insert(name.to_owned());
        }
    }

    fn extend(&mut self, more: &Names) {
        match more {
            Names::Any => *self = Names::Any,
            Names::These(names) => names.iter().for_each(|name| self.add(name)),
        }
    }
}

impl Reads {
    pub(crate) const ANY: Reads = Reads { context: Names::Any, input: Names::Any };

    /// What a policy in Cedar's JSON form reads.
    pub(crate) fn of(policy: &Json) -> Self {
        let mut reads = Reads::default();
        match policy.get("conditions") {
            Some(conditions) => reads.walk(conditions),
            None => reads = Reads::ANY,
        }
        reads
    }

    /// All that the two read.
    pub(crate) fn extend(&mut self, more: &Reads) {
        self.context.extend(&more.context);
        self.input.extend(&more.input);
    }

    fn walk(&mut self, node: &Json) {
        match node {
            // The whole context is used as a value.
            node if is_context(node) => *self = Reads::ANY,
            Json::Object(members) => match [".", "has"].iter().find_map(|operator| members.get(*operator)) {
                Some(access) => self.access(access, members.contains_key(".")),
                None => members.values().for_each(|member| self.walk(member)),
            },
            Json::Array(items) => items.iter().for_each(|item| self.walk(item)),
            _ => {}
        }
    }

    /// A member that is taken from a record, or only looked for in it, along a path of names.
    fn access(&mut self, access: &Json, taken: bool) {
        let names: Option<Vec<&str>> = match access.get("attr") {
            Some(Json::String(name)) => Some(vec![name]),
            Some(Json::Array(names)) => names.iter().map(Json::as_str).collect(),
            _ => None,
        };
        let (Some(left), Some(names)) = (access.get("left"), names) else {
            *self = Reads::ANY;
            return;
        };
        match names[..] {
            [INPUT, name, ..] if is_context(left) => self.argument(name),
            [name, ..] if is_context(left) => {
                self.context.add(name);
                // The whole input is used as a value.
                if taken && name == INPUT {
                    self.input = Names::Any;
                }
            }
            [name, ..] if is_input(left) => self.argument(name),
            _ => self.walk(left),
        }
    }

    fn argument(&mut self, name: &str) {
        self.context.add(INPUT);
        self.input.add(name);
    }
}

const INPUT: &str = "input";

fn is_context(node: &Json) -> bool {
    node.get("Var").and_then(Json::as_str) == Some("context")
}

fn is_input(node: &Json) -> bool {
    let Some(access) = node.get(".") else {
        return false;
    };
    access.get("attr").and_then(Json::as_str) == Some(INPUT) && access.get("left").is_some_and(is_context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy::Policy;

    fn names(names: Option<&[&str]>) -> Names {
        names.map_or(Names::Any, |names| Names::These(names.iter().map(ToString::to_string).collect()))
    }

    #[track_caller]
    fn check(condition: &str, context: Option<&[&str]>, input: Option<&[&str]>) {
        let text = format!("forbid(principal, action, resource) when {{ {condition} }};");
        let reads = Reads::of(&Policy::parse(None, text).unwrap().to_json().unwrap());
        assert_eq!(reads, Reads { context: names(context), input: names(input) }, "{condition}");
    }

    #[test]
    fn every_way_of_reading_counts() {
        check("context.input.amount > 5 && context.session.calls < 3", Some(&["input", "session"]), Some(&["amount"]));
        check("context.input has amount && context.labels.trust == 2", Some(&["input", "labels"]), Some(&["amount"]));
        check("if context.input has a then context.input.b == 1 else true", Some(&["input"]), Some(&["a", "b"]));
        check("context.input == {a: 1}", Some(&["input"]), None);
        check("[context.input].contains({a: 1})", Some(&["input"]), None);
        check("context == {a: 1}", None, None);
        check("{a: context}.a.input.b == 1", None, None);
        check("context has now && true", Some(&["now"]), Some(&[]));
        check("context has input", Some(&["input"]), Some(&[]));
        check("context has session.calls", Some(&["session"]), Some(&[]));
        check("context has input.amount", Some(&["input"]), Some(&["amount"]));
        check("principal.tier == \"full\" && context.trust.amount == 2", Some(&["trust"]), Some(&[]));
        check("context.input.deep.amount > 1", Some(&["input"]), Some(&["deep"]));
        check("context[\"now\"] > 1", Some(&["now"]), Some(&[]));
        check("(if true then context else context).now > 1", None, None);
        check(
            "context.chain.contains(principal) || !(context.credential like \"d*\")",
            Some(&["chain", "credential"]),
            Some(&[]),
        );
        // Something else that has an `input`.
        check("{input: {amount: context.now}} has input.amount", Some(&["now"]), Some(&[]));
        check("{\"has\": 1, \".\": context.now}[\"has\"] == 1", None, None);
        check("true", Some(&[]), Some(&[]));
    }
}
