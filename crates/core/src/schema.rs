//! The Cedar schema of a bundle, generated from its pinned tools: a policy that misspells an argument does not load.
//!
//! Principals are `Agent`s in `AgentName`, `Team` and `Org`; there is one action per tool, in `CallTool`; resources
//! are `Tool`s and `Prompt`s in a `Server`. Every attribute of the context is required, so that no policy can fail
//! to be evaluated because something was left out.

use serde_json::{Map, Value as Json, json};

use crate::arguments::{Declared, Type};
use crate::registry::Server;

/// The schema, in Cedar's JSON form.
pub(crate) fn schema(servers: &[Server]) -> Json {
    let mut actions = Map::new();
    actions.insert("CallTool".into(), json!({}));
    actions.insert("ReadResource".into(), applies_to("Server", &context(&[("uri", json!({"type":"String"}))])));
    actions.insert("GetPrompt".into(), applies_to("Prompt", &context(&[])));
    actions.insert("AnswerServer".into(), applies_to("Server", &context(&[("feature", json!({"type":"String"}))])));
    for server in servers {
        for tool in &server.tools {
            let declared = Declared::read(&tool.input);
            let mut action = applies_to(
                "Tool",
                &context(&[("input", input(&declared, None)), ("trust", input(&declared, Some(&Type::Integer)))]),
            );
            if let Some(action) = action.as_object_mut() {
                action.insert("memberOf".into(), json!([{"id": "CallTool"}]));
            }
            actions.insert(format!("{}/{}", server.name, tool.name), action);
        }
    }
    json!({ "": { "entityTypes": entity_types(), "actions": actions } })
}

fn entity_types() -> Json {
    let text = json!({"type": "String"});
    let record = |attributes: Json| json!({"type": "Record", "attributes": attributes});
    json!({
        "Org": {},
        "Team": {"memberOfTypes": ["Org"]},
        "AgentName": {"memberOfTypes": ["Team", "Org"]},
        "Agent": {"memberOfTypes": ["AgentName", "Team", "Org"], "shape": record(json!({
            "team": text, "name": text, "version": text, "purpose": text, "tier": text, "environment": text,
            "tags": {"type": "Set", "element": text},
        }))},
        "Human": {},
        "Server": {"shape": record(json!({"environment": text}))},
        "Tool": {"memberOfTypes": ["Server"], "shape": record(json!({"tier": {"type": "Long"}, "environment": text}))},
        "Prompt": {"memberOfTypes": ["Server"]},
    })
}

fn applies_to(resource: &str, context: &Json) -> Json {
    json!({"appliesTo": {"principalTypes": ["Agent"], "resourceTypes": [resource], "context": context}})
}

fn context(more: &[(&str, Json)]) -> Json {
    let (text, long, truth) = (json!({"type":"String"}), json!({"type":"Long"}), json!({"type":"Boolean"}));
    let texts = json!({"type": "Set", "element": text});
    let record = |attributes: Json| json!({"type": "Record", "attributes": attributes});
    let mut attributes = json!({
        "human": {"type": "Entity", "name": "Human"},
        "task": record(json!({"id": text, "purpose": text})),
        "run": record(json!({"direct": truth, "depth": long})),
        "labels": record(json!({"trust": long, "sensitivity": long})),
        "prov": record(json!({"context": long, "argument": long, "unproven": texts, "sources": texts})),
        "session": record(json!({"calls": long, "spend": long})),
        "chain": {"type": "Set", "element": {"type": "Entity", "name": "Agent"}},
        "credential": text,
        "now": long,
        "evidence": record(json!({"approved": truth, "dual": truth, "endorsed": texts})),
    });
    if let Some(attributes) = attributes.as_object_mut() {
        attributes.extend(more.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())));
    }
    record(attributes)
}

/// A record with a member for each argument that policy can read, of the argument's type or of `all`.
fn input(declared: &Declared, all: Option<&Type>) -> Json {
    let mut attributes = Map::new();
    for (name, kind) in &declared.types {
        if let Some(mut cedar) = cedar_type(all.filter(|_| *kind != Type::Opaque).unwrap_or(kind)) {
            if let Some(cedar) = cedar.as_object_mut() {
                cedar.insert("required".into(), declared.required.contains(name).into());
            }
            attributes.insert(name.clone(), cedar);
        }
    }
    json!({"type": "Record", "attributes": attributes})
}

fn cedar_type(kind: &Type) -> Option<Json> {
    Some(match kind {
        Type::Text => json!({"type": "String"}),
        Type::Integer => json!({"type": "Long"}),
        Type::Number => json!({"type": "Extension", "name": "decimal"}),
        Type::Boolean => json!({"type": "Boolean"}),
        Type::Set(of) => json!({"type": "Set", "element": cedar_type(of)?}),
        Type::Opaque => return None,
    })
}
