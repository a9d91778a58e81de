//! What tools and prompts ask the client: the same questions in both eras, put in the way of each.
//!
//! Invariant: nothing is asked that the client has not declared, and no state is taken that was not given out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rmcp::model::{
    ClientCapabilities, InputRequests, InputRequiredResult, InputResponses, ProtocolVersion, ServerRequest,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Map, Value, json};

/// What a tool or prompt asks, round after round.
pub(crate) struct Questions {
    rounds: Vec<Map<String, Value>>,
    /// Whether a round comes with a state that has to come back.
    stateful: bool,
}

/// How far a call has come.
pub(crate) enum Progress {
    /// The client has to answer first.
    Asks(InputRequiredResult),
    /// What it answered.
    Answered(Value),
}

/// States that were given out, with the round that they belong to.
#[derive(Default)]
pub(crate) struct States(Mutex<HashMap<String, usize>>);

impl States {
    fn give(&self, name: &str, round: usize) -> String {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = format!("{name}#{}", given.len());
        given.insert(state.clone(), round);
        state
    }

    fn round(&self, state: &str) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(state).copied()
    }
}

/// Asks what is left to ask, or finds what was answered.
pub(crate) async fn progress(
    name: &str,
    asked: Questions,
    states: &States,
    (responses, state): (Option<InputResponses>, Option<String>),
    context: &RequestContext<RoleServer>,
) -> Result<Progress, ErrorData> {
    let declared = declared(context.client_capabilities());
    let asked = asked.only(&declared);
    if asked.rounds.iter().any(Map::is_empty) {
        return Err(ErrorData::missing_required_client_capability(needed(name)));
    }
    if context.protocol_version().is_none_or(|version| version.as_str() < ProtocolVersion::V_2026_07_28.as_str()) {
        return at_once(asked, context).await.map(Progress::Answered);
    }
    let round = match &state {
        Some(state) => {
            states.round(state).ok_or_else(|| ErrorData::invalid_params("this state was not given out here", None))?
        }
        None => 0,
    };
    let responses = responses.unwrap_or_default();
    let answers = |round: &Map<String, Value>| round.keys().all(|key| responses.get(key).is_some_and(Value::is_object));
    let done = (!asked.stateful || state.is_some()) && asked.rounds.get(round).is_some_and(answers);
    let next = if done { round + 1 } else { round };
    let Some(questions) = asked.rounds.get(next) else { return Ok(Progress::Answered(json!(responses))) };
    let requests: InputRequests = read(Value::from(questions.clone()))?;
    let state = asked.stateful.then(|| states.give(name, next));
    Ok(Progress::Asks(InputRequiredResult::new(Some(requests), state)))
}

/// Until 2025-11-25 a question is a request of its own, while the call waits.
async fn at_once(asked: Questions, context: &RequestContext<RoleServer>) -> Result<Value, ErrorData> {
    let mut answers = Map::new();
    for (key, question) in asked.rounds.into_iter().flatten() {
        let request: ServerRequest = read(question)?;
        let answer = context.peer.send_request(request).await;
        let answer = answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        answers.insert(key, json!(answer));
    }
    Ok(answers.into())
}

/// A value of the protocol from its JSON.
pub(crate) fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// A result from its JSON, which says that it is complete; to clients of the legacy era that is not sent.
pub(crate) fn result<T: serde::de::DeserializeOwned>(mut value: Value) -> Result<T, ErrorData> {
    if let Some(members) = value.as_object_mut() {
        members.insert("resultType".into(), "complete".into());
    }
    read(value)
}

fn declared(capabilities: Option<ClientCapabilities>) -> Vec<&'static str> {
    let Some(capabilities) = capabilities else { return Vec::new() };
    [
        (capabilities.elicitation.is_some(), "elicitation/create"),
        (capabilities.sampling.is_some(), "sampling/createMessage"),
        (capabilities.roots.is_some(), "roots/list"),
    ]
    .into_iter()
    .filter_map(|(declared, method)| declared.then_some(method))
    .collect()
}

/// What a client lacks that can answer none of the questions.
fn needed(name: &str) -> ClientCapabilities {
    let key = if name.contains("sampling") || name == "test_missing_capability" { "sampling" } else { "elicitation" };
    serde_json::from_value(json!({ key: {} })).unwrap_or_default()
}

impl Questions {
    fn once(questions: Value) -> Self {
        Self::of(&[questions], false)
    }

    fn of(rounds: &[Value], stateful: bool) -> Self {
        Self { rounds: rounds.iter().filter_map(|round| round.as_object().cloned()).collect(), stateful }
    }

    fn only(mut self, declared: &[&str]) -> Self {
        for round in &mut self.rounds {
            round.retain(|_, question| {
                let method = question.get("method").and_then(Value::as_str).unwrap_or_default();
                declared.contains(&method)
            });
        }
        self
    }
}

/// What a tool asks; `None` where it asks nothing.
pub(crate) fn of_tool(name: &str, arguments: &Map<String, Value>) -> Option<Questions> {
    let argument = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    let who = form("What is your name?", &json!({ "name": { "type": "string" } }));
    let greeting = sample("Generate a greeting", 50);
    Some(match name {
        "test_missing_capability" => Questions::once(json!({ "model": sample("Hello", 10) })),
        "test_sampling" => Questions::once(json!({ "model": sample(argument("prompt"), 100) })),
        "test_elicitation" => Questions::once(json!({ "user": form(argument("message"), &person()) })),
        "test_elicitation_sep1034_defaults" => Questions::once(json!({ "user": form("Your values", &defaults()) })),
        "test_elicitation_sep1330_enums" => Questions::once(json!({ "user": form("Your choices", &choices()) })),
        "test_streaming_elicitation" | "test_input_required_result_elicitation" | "test_tool_with_task" => {
            Questions::once(json!({ "user_name": who }))
        }
        "test_input_required_result_sampling" => {
            Questions::once(json!({ "capital_question": sample("What is the capital of France?", 100) }))
        }
        "test_input_required_result_list_roots" => Questions::once(json!({ "client_roots": roots() })),
        "test_input_required_result_capabilities" => Questions::once(json!({ "user_name": who, "greeting": greeting })),
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            let confirm = form("Please confirm", &json!({ "ok": { "type": "boolean" } }));
            Questions::of(&[json!({ "confirm": confirm })], true)
        }
        "test_input_required_result_multiple_inputs" => {
            let all = json!({ "user_name": who, "greeting": greeting, "client_roots": roots() });
            Questions::of(&[all], true)
        }
        "test_input_required_result_multi_round" => {
            let text = json!({ "type": "string" });
            let first = form("Step 1: What is your name?", &json!({ "name": text }));
            let second = form("Step 2: What is your favorite color?", &json!({ "color": text }));
            Questions::of(&[json!({ "step1": first }), json!({ "step2": second })], true)
        }
        _ => return None,
    })
}

/// What a prompt asks; `None` where it asks nothing.
pub(crate) fn of_prompt(name: &str) -> Option<Questions> {
    let asks = name == "test_input_required_result_prompt";
    let context = json!({ "context": { "type": "string" } });
    asks.then(|| Questions::once(json!({ "user_context": form("What context should the prompt use?", &context) })))
}

/// A form of which every field without a default must be filled in.
pub(crate) fn form(message: &str, fields: &Value) -> Value {
    let fields_of = fields.as_object().into_iter().flatten();
    let required: Vec<&String> =
        fields_of.filter(|(_, field)| field.get("default").is_none()).map(|(name, _)| name).collect();
    let schema = json!({ "type": "object", "properties": fields, "required": required });
    json!({ "method": "elicitation/create", "params": { "message": message, "requestedSchema": schema } })
}

fn sample(words: &str, tokens: u32) -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": words } });
    json!({ "method": "sampling/createMessage", "params": { "messages": [message], "maxTokens": tokens } })
}

fn roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

fn person() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    json!({ "username": text("User's response"), "email": text("User's email address") })
}

/// A default of each primitive type (SEP-1034).
fn defaults() -> Value {
    json!({
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
        "verified": { "type": "boolean", "default": true },
    })
}

/// A choice of each form (SEP-1330).
fn choices() -> Value {
    let plain = json!(["option1", "option2", "option3"]);
    let titled = |word: &str| {
        let one = |value: &str, number: &str| json!({ "const": value, "title": format!("{number} {word}") });
        json!([one("value1", "First"), one("value2", "Second"), one("value3", "Third")])
    };
    json!({
        "untitledSingle": { "type": "string", "enum": plain },
        "titledSingle": { "type": "string", "oneOf": titled("Option") },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": plain } },
        "titledMulti": { "type": "array", "items": { "anyOf": titled("Choice") } },
    })
}
