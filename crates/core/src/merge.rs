//! Many forbids as one policy, which forbids or errs where at least one of them does: asked first, because Cedar's cost is
//! mostly that of each policy, and because most calls are forbidden by none.
//!
//! Sound for requests for which the [`index`](crate::index) finds the group of these forbids: what their scopes name is
//! then the request's own entity or one above it, so that `in` holds. Only `==` and `is` say more.

use cedar_policy::{Policy, PolicyId};
use serde_json::{Value as Json, json};

/// Names the merged policy in no answer: whatever it says, the policies are asked themselves.
const ID: &str = "merged";

/// The forbids, in Cedar's JSON form, as one. `None` where that gains nothing, or where one of them cannot be written so.
pub(crate) fn merged(forbids: &[&Json]) -> Option<Policy> {
    if let [] | [_] = forbids {
        return None;
    }
    let conditions = forbids.iter().map(|policy| condition(policy)).collect::<Option<Vec<_>>>()?;
    // A list is flat, while a chain of `||` would be as deep as there are forbids.
    let all = object([("Set", conditions.into())]);
    let body = object([("contains", object([("left", all), ("right", json!({"Value": true}))]))]);
    let any = json!({"op": "All"});
    let mut policy = json!({"effect": "forbid", "principal": any, "action": any, "resource": any});
    policy.as_object_mut()?.insert("conditions".into(), vec![object([("kind", "when".into()), ("body", body)])].into());
    Policy::from_json(Some(PolicyId::new(ID)), policy).ok()
}

/// An object of what is moved into it: `json!` would copy.
fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What makes the policy apply. It is a truth value or an error, because `&&` has no other.
fn condition(policy: &Json) -> Option<Json> {
    let mut all = json!({"Value": true});
    let mut and = |more| {
        let left = std::mem::take(&mut all);
        all = object([("&&", object([("left", left), ("right", more)]))]);
    };
    for variable in ["principal", "action", "resource"] {
        scope(variable, policy.get(variable)?)?.into_iter().for_each(&mut and);
    }
    for condition in policy.get("conditions")?.as_array()? {
        let body = condition.get("body")?.clone();
        and(match condition.get("kind")?.as_str()? {
            "when" => body,
            "unless" => object([("!", object([("arg", body)]))]),
            _ => return None,
        });
    }
    Some(all)
}

/// What a part of the scope asks for beyond what the index knows. `None` where it is not understood.
fn scope(variable: &str, constraint: &Json) -> Option<Vec<Json>> {
    let member = |name: &str| constraint.get(name).cloned();
    let left = json!({"Var": variable});
    Some(match constraint.get("op")?.as_str()? {
        "All" | "in" => Vec::new(),
        "==" => {
            let right = object([("Value", object([("__entity", member("entity")?)]))]);
            vec![object([("==", object([("left", left), ("right", right)]))])]
        }
        "is" => vec![object([("is", object([("left", left), ("entity_type", member("entity_type")?)]))])],
        _ => return None,
    })
}
