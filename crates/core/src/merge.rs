//! Many forbids as one policy, which forbids or errs where at least one of them does: asked first, because Cedar's cost is
//! mostly that of each policy, and because most calls are forbidden by none.

use cedar_policy::{Policy, PolicyId};
use serde_json::{Value as Json, json};

/// Names the merged policy in no answer: whatever it says, the policies are asked themselves.
const ID: &str = "merged";

/// The forbids as one. `None` where that gains nothing, or where one of them cannot be written so.
pub(crate) fn merged(forbids: &[&Policy]) -> Option<Policy> {
    if forbids.len() < 2 {
        return None;
    }
    let conditions = forbids.iter().map(|policy| condition(&policy.to_json().ok()?)).collect::<Option<Vec<_>>>()?;
    let any = json!({"op": "All"});
    let policy = json!({
        "effect": "forbid", "principal": any, "action": any, "resource": any,
        "conditions": [{"kind": "when", "body": joined("||", conditions)?}],
    });
    Policy::from_json(Some(PolicyId::new(ID)), policy).ok()
}

/// What makes the policy apply, its scope included.
fn condition(policy: &Json) -> Option<Json> {
    let mut all = Vec::new();
    for variable in ["principal", "action", "resource"] {
        all.extend(scope(variable, policy.get(variable)?)?);
    }
    for condition in policy.get("conditions")?.as_array()? {
        let body = condition.get("body")?.clone();
        all.push(match condition.get("kind")?.as_str()? {
            "when" => body,
            "unless" => json!({"!": {"arg": body}}),
            _ => return None,
        });
    }
    if all.is_empty() { Some(json!({"Value": true})) } else { joined("&&", all) }
}

/// What a part of the scope asks for; nothing, where it is about anything.
fn scope(variable: &str, constraint: &Json) -> Option<Vec<Json>> {
    let left = json!({"Var": variable});
    let entity = |of: &Json| Some(json!({"Value": {"__entity": of.get("entity")?}}));
    Some(vec![match constraint.get("op")?.as_str()? {
        "All" => return Some(Vec::new()),
        "==" => json!({"==": {"left": left, "right": entity(constraint)?}}),
        "in" => {
            let right = match constraint.get("entities") {
                Some(entities) => {
                    let each = entities.as_array()?.iter().map(|uid| json!({"Value": {"__entity": uid}}));
                    json!({"Set": each.collect::<Vec<_>>()})
                }
                None => entity(constraint)?,
            };
            json!({"in": {"left": left, "right": right}})
        }
        "is" => {
            let mut is = json!({"left": left, "entity_type": constraint.get("entity_type")?});
            if let Some(within) = constraint.get("in") {
                is.as_object_mut()?.insert("in".into(), entity(within)?);
            }
            json!({"is": is})
        }
        _ => return None,
    }])
}

/// Pairs of pairs, so that a thousand conditions are ten deep and not a thousand. Their order stays.
fn joined(operator: &str, mut all: Vec<Json>) -> Option<Json> {
    while all.len() > 1 {
        let mut half = Vec::with_capacity(all.len().div_ceil(2));
        let mut rest = all.into_iter();
        while let Some(left) = rest.next() {
            half.push(match rest.next() {
                Some(right) => json!({operator: {"left": left, "right": right}}),
                None => left,
            });
        }
        all = half;
    }
    all.pop()
}
