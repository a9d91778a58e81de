//! Policies by their scope, so that the cost of a decision does not grow with the number of policies.
//!
//! Sound because a policy whose scope does not match a request has no effect on it: for each of principal, action
//! and resource the policy either says nothing, or names an entity that must be the request's own or one above it.

use std::collections::HashMap;

use cedar_policy::{ActionConstraint, EntityUid, Policy, PolicyId, PrincipalConstraint, ResourceConstraint};

type Key = (Option<EntityUid>, Option<EntityUid>, Option<EntityUid>);

/// Ids of policies by the three entities that their scopes name.
#[derive(Debug, Default)]
pub(crate) struct Index(HashMap<Key, Vec<PolicyId>>);

impl Index {
    pub(crate) fn build<'a>(policies: impl Iterator<Item = &'a Policy>) -> Self {
        let mut map: HashMap<Key, Vec<PolicyId>> = HashMap::new();
        for policy in policies {
            let principal = match policy.principal_constraint() {
                PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
                PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) | PrincipalConstraint::IsIn(_, uid) => {
                    Some(uid)
                }
            };
            let resource = match policy.resource_constraint() {
                ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
                ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => {
                    Some(uid)
                }
            };
            let actions = match policy.action_constraint() {
                ActionConstraint::Any => vec![None],
                ActionConstraint::Eq(uid) => vec![Some(uid)],
                ActionConstraint::In(uids) => uids.into_iter().map(Some).collect(),
            };
            for action in actions {
                map.entry((principal.clone(), action, resource.clone())).or_default().push(policy.id().clone());
            }
        }
        Self(map)
    }

    /// Policies that might apply; each list holds the request's own entity and those above it.
    pub(crate) fn candidates(
        &self,
        principal: &[EntityUid],
        action: &[EntityUid],
        resource: &[EntityUid],
    ) -> Vec<PolicyId> {
        let mut found = Vec::new();
        let each = |list: &[EntityUid]| list.iter().cloned().map(Some).chain([None]).collect::<Vec<_>>();
        let (actions, resources) = (each(action), each(resource));
        for principal in each(principal) {
            for action in &actions {
                for resource in &resources {
                    let key = (principal.clone(), action.clone(), resource.clone());
                    found.extend(self.0.get(&key).into_iter().flatten().cloned());
                }
            }
        }
        // A policy may name several actions of which the request matches more than one.
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy::{Authorizer, Context, Entities, PolicySet, Request};
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

    fn any_policy() -> impl Strategy<Value = String> {
        let principal = prop::sample::select(vec![
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
            "action == Action::\"c1\"",
            "action == Action::\"c2\"",
            "action in Action::\"call\"",
            "action in [Action::\"c1\", Action::\"call\"]",
            "action in [Action::\"c2\"]",
            "action in []",
        ]);
        let resource = prop::sample::select(vec![
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
        // The last one errs where it is evaluated.
        let condition = prop::sample::select(vec!["true", "true", "false", "context.n > 1", "context.missing == 1"]);
        (effect, principal, action, resource, condition)
            .prop_map(|(effect, p, a, r, when)| format!("{effect}({p}, {a}, {r}) when {{ {when} }};"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

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
            let found = Index::build(all.iter()).candidates(&lists[0], &lists[1], &lists[2]);
            let slice = all.iter().filter(|policy| found.contains(policy.id())).cloned();
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
            prop_assert_eq!(answer(slice.collect()), answer(all.clone()));
        }
    }
}
