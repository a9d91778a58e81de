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
