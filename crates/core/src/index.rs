//! Policies by their scope, so that the cost of a decision does not grow with the number of policies.
//!
//! Sound because a policy whose scope does not match a request has no effect on it: for each of principal, action
//! and resource the policy either says nothing, or names an entity that must be the request's own or one above it.

use std::collections::{BTreeMap, HashMap};

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint, ResourceConstraint,
};
use serde_json::Value as Json;

use crate::merge::merged;
use crate::policy::PolicyError;
use crate::reads::Reads;

/// Stands for an entity that a scope does not name.
const ANYTHING: u32 = 0;

/// A policy as it was parsed.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) policy: Policy,
    /// The same in Cedar's JSON form.
    pub(crate) json: Json,
}

/// Groups of policies by the three entities that their scopes name.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// A number for each entity that some scope names.
    numbers: HashMap<EntityUid, u32>,
    groups: HashMap<[u32; 3], Group>,
}

/// Policies whose scopes name the same entities.
#[derive(Debug)]
pub(crate) struct Group {
    /// Each of them.
    pub(crate) ids: Vec<PolicyId>,
    /// The same with all forbids as one: if that says nothing, none of them does.
    pub(crate) merged: PolicySet,
    /// What they read.
    pub(crate) reads: Reads,
}

impl Index {
    pub(crate) fn build(policies: &[Parsed]) -> Result<Self, PolicyError> {
        let mut numbers = HashMap::new();
        let mut members: BTreeMap<[u32; 3], BTreeMap<PolicyId, &Parsed>> = BTreeMap::new();
        for parsed in policies {
            let (principal, actions, resource) = scope(&parsed.policy);
            let mut number = |uid: Option<EntityUid>| match uid {
                None => ANYTHING,
                Some(uid) => {
                    let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX).saturating_add(1);
                    *numbers.entry(uid).or_insert(next)
                }
            };
            let (principal, resource) = (number(principal), number(resource));
            for action in actions {
                let key = [principal, number(action), resource];
                members.entry(key).or_default().insert(parsed.policy.id().clone(), parsed);
            }
        }
        let groups = members.into_iter().map(|(key, members)| Ok((key, Group::of(&members)?)));
        Ok(Self { groups: groups.collect::<Result<_, PolicyError>>()?, numbers })
    }

    /// Groups whose policies might apply; each list holds the request's own entity and those above it.
    pub(crate) fn candidates(
        &self,
        principal: &[EntityUid],
        action: &[EntityUid],
        resource: &[EntityUid],
    ) -> Vec<&Group> {
        let named = |list: &[EntityUid]| {
            let known = list.iter().filter_map(|uid| self.numbers.get(uid).copied());
            known.chain([ANYTHING]).collect::<Vec<_>>()
        };
        let [principals, actions, resources] = [principal, action, resource].map(named);
        let mut found = Vec::new();
        for principal in &principals {
            for action in &actions {
                found
                    .extend(resources.iter().filter_map(|resource| self.groups.get(&[*principal, *action, *resource])));
            }
        }
        found
    }
}

impl Group {
    fn of(members: &BTreeMap<PolicyId, &Parsed>) -> Result<Self, PolicyError> {
        let mut reads = Reads::default();
        for parsed in members.values() {
            reads.extend(&Reads::of(&parsed.json));
        }
        let of = |effect| members.values().filter(move |parsed| parsed.policy.effect() == effect);
        let forbids: Vec<_> = of(Effect::Forbid).map(|parsed| &parsed.json).collect();
        let merged = match merged(&forbids) {
            Some(one) => {
                let permits = of(Effect::Permit).map(|parsed| parsed.policy.clone());
                PolicySet::from_policies(permits.chain([one]))
            }
            None => PolicySet::from_policies(members.values().map(|parsed| parsed.policy.clone())),
        };
        let merged = merged.map_err(|e| PolicyError::Registry(e.to_string()))?;
        Ok(Self { ids: members.keys().cloned().collect(), merged, reads })
    }
}

/// Principal, actions and resource that a scope names; nothing where it names none.
pub(crate) type Scope = (Option<EntityUid>, Vec<Option<EntityUid>>, Option<EntityUid>);

/// The entities that a scope names. It applies where principal and resource, and one of the actions, match.
pub(crate) fn scope(policy: &Policy) -> Scope {
    let principal = match policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
        PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) | PrincipalConstraint::IsIn(_, uid) => Some(uid),
    };
    let actions = match policy.action_constraint() {
        ActionConstraint::Any => vec![None],
        ActionConstraint::Eq(uid) => vec![Some(uid)],
        ActionConstraint::In(uids) => uids.into_iter().map(Some).collect(),
    };
    let resource = match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
        ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => Some(uid),
    };
    (principal, actions, resource)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy::{Authorizer, Context, Decision, Entities, PolicySet, Request};
    use proptest::prelude::*;
    use std::str::FromStr as _;

    /// Two of everything, so that what matches stands beside what does not.
    const ENTITIES: &str = r#"[
        {"uid":{"type":"Agent","id":"a1"},"attrs":{},"parents":[{"type":"Team","id":"t1"}]},
        {"uid":{"type":"Agent","id":"a2"},"attrs":{},"parents":[{"type":"Team","id":"t2"}]},
        {"uid":{"type":"Team","id":"t1"},"attrs":{},"parents":[{"type":"Org","id":"o"}]},
        {"uid":{"type":"Team","id":"t2"},"attrs":{},"parents":[{"type":"Org","id":"o"}]},
        {"uid":{"type":"Org","id":"o"},"attrs":{},"parents":[]},
        {"uid":{"type":"Action","id":"c1"},"attrs":{},"parents":[{"type":"Action","id":"call"}]},
        {"uid":{"type":"Action","id":"c2"},"attrs":{},"parents":[{"type":"Action","id":"call"}]},
        {"uid":{"type":"Action","id":"call"},"attrs":{},"parents":[]},
        {"uid":{"type":"Tool","id":"x1"},"attrs":{},"parents":[{"type":"Server","id":"s1"}]},
        {"uid":{"type":"Tool","id":"x2"},"attrs":{},"parents":[{"type":"Server","id":"s2"}]},
        {"uid":{"type":"Server","id":"s1"},"attrs":{},"parents":[]},
        {"uid":{"type":"Server","id":"s2"},"attrs":{},"parents":[]}]"#;

    fn entity(text: &str) -> EntityUid {
        EntityUid::from_str(text).unwrap()
    }

    /// Break: ask each forbid by itself, so that a call costs more with each that is written.
    #[test]
    fn forbids_of_one_scope_are_asked_as_one() {
        let merged = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
            let index = Index::build(&parsed(&texts)).unwrap();
            found(&index).iter().map(|group| (group.ids.len(), group.merged.policies().count())).collect::<Vec<_>>()
        };
        let permit = "permit(principal, action, resource);";
        let forbid = "forbid(principal, action, resource) when { context.n > 1 };";
        let unless = "forbid(principal is Agent, action, resource is Tool) unless { context.n > 2 };";
        assert_eq!(merged(&[permit, forbid, unless, forbid]), [(4, 2)]);
        assert_eq!(merged(&[permit, permit, forbid]), [(3, 3)]);
        assert_eq!(merged(&[permit]), [(1, 1)]);
    }

    fn parsed(texts: &[String]) -> Vec<Parsed> {
        let one = |(i, text): (usize, &String)| {
            let policy = Policy::parse(Some(PolicyId::new(i.to_string())), text).unwrap();
            Parsed { json: policy.to_json().unwrap(), policy }
        };
        texts.iter().enumerate().map(one).collect()
    }

    /// What is found for a call of `c1` on `x1` by `a1`.
    fn found(index: &Index) -> Vec<&Group> {
        let list = |texts: &[&str]| texts.iter().map(|text| entity(text)).collect::<Vec<_>>();
        index.candidates(
            &list(&["Agent::\"a1\"", "Team::\"t1\"", "Org::\"o\""]),
            &list(&["Action::\"c1\"", "Action::\"call\""]),
            &list(&["Tool::\"x1\"", "Server::\"s1\""]),
        )
    }

    /// A scope, whether the index finds a policy that has it, and whether it matches.
    const SCOPES: &[(&str, bool, bool)] = &[
        ("principal, action, resource", true, true),
        ("principal is Agent, action, resource is Tool", true, true),
        ("principal is Team, action, resource", true, false),
        ("principal, action, resource is Server", true, false),
        ("principal == Agent::\"a1\", action == Action::\"c1\", resource == Tool::\"x1\"", true, true),
        ("principal == Team::\"t1\", action, resource", true, false),
        ("principal, action, resource == Server::\"s1\"", true, false),
        ("principal in Team::\"t1\", action in Action::\"call\", resource in Server::\"s1\"", true, true),
        ("principal is Agent in Org::\"o\", action in [Action::\"c2\", Action::\"c1\"], resource", true, true),
        ("principal is Team in Team::\"t1\", action, resource", true, false),
        ("principal in Team::\"t2\", action, resource", false, false),
        ("principal == Agent::\"a2\", action, resource", false, false),
        ("principal, action == Action::\"c2\", resource", false, false),
        ("principal, action in [], resource", false, false),
        ("principal, action, resource in Server::\"s2\"", false, false),
        ("principal, action, resource is Tool in Server::\"s2\"", false, false),
    ];

    /// Break: look at policies that speak of others, so that a call costs more with each that is written.
    #[test]
    fn what_names_another_entity_is_not_looked_at() {
        for (scope, expected, _) in SCOPES {
            let index = Index::build(&parsed(&[format!("permit({scope});")])).unwrap();
            assert_eq!(found(&index).len(), usize::from(*expected), "{scope}");
        }
    }

    /// Break: forget a part of a forbid where many become one.
    #[test]
    fn forbids_as_one_say_something_where_one_of_them_does() {
        let entities = Entities::from_json_str(ENTITIES, None).unwrap();
        let loud = |forbid: &str, scope: &str| {
            // Beside one that never applies, so that there is something to make one of.
            let index =
                Index::build(&parsed(&[forbid.to_owned(), format!("forbid({scope}) when {{ false }};")])).unwrap();
            let context = Context::from_json_value(serde_json::json!({"n": 2}), None).unwrap();
            let [agent, action, tool] = ["Agent::\"a1\"", "Action::\"c1\"", "Tool::\"x1\""].map(entity);
            let request = Request::new(agent, action, tool, context, None).unwrap();
            found(&index).into_iter().any(|group| {
                assert_eq!((group.ids.len(), group.merged.policies().count()), (2, 1), "{forbid}");
                let response = Authorizer::new().is_authorized(&request, &group.merged, &entities);
                response.diagnostics().reason().next().is_some() || response.diagnostics().errors().next().is_some()
            })
        };
        for (scope, _, matches) in SCOPES {
            assert_eq!(loud(&format!("forbid({scope});"), scope), *matches, "{scope}");
        }
        let scope = "principal, action, resource";
        for (condition, applies) in [
            ("when { true }", true),
            ("when { false }", false),
            ("unless { true }", false),
            ("unless { false }", true),
            ("when { context.n > 1 }", true),
            ("when { context.n > 2 }", false),
            ("when { true } when { context.n > 2 }", false),
            ("when { context.n > 1 } unless { context.n > 2 }", true),
            ("when { context.n > 1 } unless { context.n == 2 }", false),
            ("when { context.missing == 1 }", true),
            ("unless { context.missing == 1 }", true),
            ("when { false } when { context.missing == 1 }", false),
        ] {
            assert_eq!(loud(&format!("forbid({scope}) {condition};"), scope), applies, "{condition}");
        }
    }

    fn any_policy() -> impl Strategy<Value = String> {
        // What names nobody stands there more than once, so that groups have several members.
        let principal = prop::sample::select(vec![
            "principal",
            "principal",
            "principal",
            "principal is Agent",
            "principal is Team",
            "principal == Agent::\"a1\"",
            "principal == Team::\"t1\"",
            "principal in Agent::\"a2\"",
            "principal in Team::\"t1\"",
            "principal in Team::\"t2\"",
            "principal in Org::\"o\"",
            "principal is Agent in Team::\"t2\"",
            "principal is Agent in Org::\"o\"",
            "principal is Team in Team::\"t1\"",
        ]);
        let action = prop::sample::select(vec![
            "action",
            "action",
            "action",
            "action == Action::\"c1\"",
            "action == Action::\"c2\"",
            "action in Action::\"call\"",
            "action in [Action::\"c1\", Action::\"call\"]",
            "action in [Action::\"c2\"]",
            "action in []",
        ]);
        let resource = prop::sample::select(vec![
            "resource",
            "resource",
            "resource",
            "resource is Tool",
            "resource is Server",
            "resource == Tool::\"x1\"",
            "resource in Tool::\"x2\"",
            "resource in Server::\"s1\"",
            "resource is Tool in Server::\"s2\"",
            "resource is Server in Server::\"s1\"",
        ]);
        let effect = prop::sample::select(vec!["permit", "permit", "forbid"]);
        let kind = prop::sample::select(vec!["when", "unless"]);
        // The last one errs where it is evaluated.
        let condition = prop::sample::select(vec!["true", "false", "false", "context.n > 1", "context.missing == 1"]);
        (effect, principal, action, resource, kind, condition)
            .prop_map(|(effect, p, a, r, kind, condition)| format!("{effect}({p}, {a}, {r}) {kind} {{ {condition} }};"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_slice_decides_as_the_whole_set_does(
            policies in prop::collection::vec(any_policy(), 0..24),
            (agent, action, tool, n) in (1..3, 1..3, 1..3, 0..4),
        ) {
            let entities = Entities::from_json_str(ENTITIES, None).unwrap();
            let policies = policies.iter().enumerate();
            let all: Vec<Policy> =
                policies.map(|(i, text)| Policy::parse(Some(PolicyId::new(i.to_string())), text).unwrap()).collect();
            let principals = [format!("Agent::\"a{agent}\""), format!("Team::\"t{agent}\""), "Org::\"o\"".into()];
            let actions = [format!("Action::\"c{action}\""), "Action::\"call\"".into()];
            let resources = [format!("Tool::\"x{tool}\""), format!("Server::\"s{tool}\"")];
            let lists = [&principals[..], &actions[..], &resources[..]].map(|l| l.iter().map(|t| entity(t)).collect::<Vec<_>>());
            let parsed: Vec<_> =
                all.iter().map(|policy| Parsed { policy: policy.clone(), json: policy.to_json().unwrap() }).collect();
            let index = Index::build(&parsed).unwrap();
            let found = index.candidates(&lists[0], &lists[1], &lists[2]);
            let slice = all.iter().filter(|policy| found.iter().any(|group| group.ids.contains(policy.id()))).cloned();
            let answer = |policies: Vec<Policy>| {
                let context = Context::from_json_value(serde_json::json!({"n": n}), None).unwrap();
                let request = Request::new(lists[0][0].clone(), lists[1][0].clone(), lists[2][0].clone(), context, None).unwrap();
                let set = PolicySet::from_policies(policies).unwrap();
                let response = Authorizer::new().is_authorized(&request, &set, &entities);
                let sorted = |mut names: Vec<String>| { names.sort_unstable(); names };
                let reasons = sorted(response.diagnostics().reason().map(ToString::to_string).collect());
                let errors = sorted(response.diagnostics().errors().map(ToString::to_string).collect());
                (response.decision(), reasons, errors)
            };
            let whole = answer(all.clone());
            prop_assert_eq!(&answer(slice.collect()), &whole);
            // Where the merged forbids say nothing, the rest says all; where one forbids or errs, they say something.
            let merged: Vec<_> =
                found.iter().map(|group| answer(group.merged.policies().cloned().collect())).collect();
            let quiet = merged.iter().all(|(decision, reasons, errors)| {
                errors.is_empty() && (*decision == Decision::Allow || reasons.is_empty())
            });
            let (decision, reasons, errors) = whole;
            prop_assert_eq!(quiet, errors.is_empty() && (decision == Decision::Allow || reasons.is_empty()));
            if quiet {
                let permits: std::collections::BTreeSet<_> = merged.into_iter().flat_map(|(_, reasons, _)| reasons).collect();
                prop_assert_eq!(permits.into_iter().collect::<Vec<_>>(), reasons);
            }
        }
    }
}
