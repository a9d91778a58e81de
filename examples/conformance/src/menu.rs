//! What is listed: tools, prompts and resources, under the names that the suite asks for.

use serde_json::{Value, json};

/// Tools without arguments, with what they do.
const PLAIN: &[(&str, &str)] = &[
    ("test_simple_text", "Answers with one text"),
    ("test_image_content", "Answers with an image"),
    ("test_audio_content", "Answers with a sound"),
    ("test_embedded_resource", "Answers with a resource"),
    ("test_multiple_content_types", "Answers with a text, an image and a resource"),
    ("test_error_handling", "Fails, always"),
    ("test_tool_with_logging", "Logs three messages while it works"),
    ("test_logging_tool", "Logs a message, where the request asks for logs"),
    ("test_tool_with_progress", "Reports its progress three times"),
    ("test_reconnection", "Works for a moment"),
    ("test_missing_capability", "Works only for clients with a model"),
    ("test_streaming_elicitation", "Asks the user while it works"),
    ("test_trigger_tool_change", "Says that the list of tools changed"),
    ("test_trigger_prompt_change", "Says that the list of prompts changed"),
    ("test_elicitation_sep1034_defaults", "Asks for values that have defaults"),
    ("test_elicitation_sep1330_enums", "Asks for choices of every form"),
    ("test_input_required_result_elicitation", "Asks the user for a name"),
    ("test_input_required_result_sampling", "Asks the model for a capital"),
    ("test_input_required_result_list_roots", "Asks for folders"),
    ("test_input_required_result_request_state", "Asks, and keeps a state"),
    ("test_input_required_result_multiple_inputs", "Asks three things at once"),
    ("test_input_required_result_multi_round", "Asks twice, one after the other"),
    ("test_input_required_result_tampered_state", "Asks, and checks its state"),
    ("test_input_required_result_capabilities", "Asks only what the client can do"),
    ("test_tool_with_task", "Asks the user for a name, and goes on as a task"),
    ("failing_job", "Fails as a task"),
    ("protocol_error_job", "Breaks as a task"),
    ("multi_input", "Asks two things at once as a task"),
];

/// All tools. The first has no arguments: the suite tries headers on it.
pub(crate) fn tools() -> Value {
    let mut tools: Vec<Value> = PLAIN.iter().map(|(name, about)| tool(name, about, &json!({}), &[])).collect();
    let text = |about: &str| json!({ "type": "string", "description": about });
    tools.push(tool("test_sampling", "Asks the model", &json!({ "prompt": text("What to ask") }), &["prompt"]));
    tools.push(tool("test_elicitation", "Asks the user", &json!({ "message": text("What to ask") }), &["message"]));
    tools.push(tool("greet", "Greets", &json!({ "name": text("Whom") }), &["name"]));
    tools.push(tool("confirm_delete", "Asks as a task", &json!({ "filename": text("Which file") }), &["filename"]));
    let slow = json!({ "seconds": { "type": "integer", "minimum": 0 }, "label": text("Said by the client") });
    tools.push(tool("slow_compute", "Takes its time as a task", &slow, &["seconds"]));
    let region = json!({ "type": "string", "description": "Mirrored in a header", "x-mcp-header": "Region" });
    tools.push(tool("test_header_mirror", "Has an argument that a header mirrors", &json!({ "region": region }), &[]));
    tools.push(json!({
        "name": "json_schema_2020_12_tool",
        "description": "Has a schema with the words of JSON Schema 2020-12",
        "inputSchema": schema_2020_12(),
    }));
    tools.into()
}

fn tool(name: &str, about: &str, properties: &Value, required: &[&str]) -> Value {
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    // True of all of them, and without it a run that has read what they say may not call them.
    let hints = json!({ "readOnlyHint": true, "openWorldHint": false });
    json!({ "name": name, "description": about, "inputSchema": schema, "annotations": hints })
}

fn schema_2020_12() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": { "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": { "street": text, "city": text },
        } },
        "properties": {
            "name": text,
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": text,
            "email": text,
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}

/// All prompts.
pub(crate) fn prompts() -> Value {
    let argument = |name: &str| json!({ "name": name, "description": "Put into the prompt", "required": true });
    json!([
        { "name": "test_simple_prompt", "description": "One text" },
        {
            "name": "test_prompt_with_arguments",
            "description": "A text with two arguments",
            "arguments": [argument("arg1"), argument("arg2")],
        },
        {
            "name": "test_prompt_with_embedded_resource",
            "description": "A resource and a text",
            "arguments": [argument("resourceUri")],
        },
        { "name": "test_prompt_with_image", "description": "An image and a text" },
        { "name": "test_input_required_result_prompt", "description": "Asks the user first" },
    ])
}

/// All resources, without the template's.
pub(crate) fn resources() -> Value {
    let one = |uri: &str, name: &str, kind: &str| json!({ "uri": uri, "name": name, "description": "A fixed content", "mimeType": kind });
    json!([
        one("test://static-text", "Text", "text/plain"),
        one("test://static-binary", "Image", "image/png"),
        one("test://watched-resource", "Watched text", "text/plain"),
    ])
}

/// The one template.
pub(crate) fn templates() -> Value {
    json!([{
        "uriTemplate": "test://template/{id}/data",
        "name": "Template",
        "description": "A content for each id",
        "mimeType": "application/json",
    }])
}

/// The names of all of it, by kind.
pub(crate) fn names() -> Value {
    let names = |list: &Value, key: &str| -> Vec<Value> {
        list.as_array().into_iter().flatten().filter_map(|one| one.get(key).cloned()).collect()
    };
    json!({
        "tools": names(&tools(), "name"),
        "prompts": names(&prompts(), "name"),
        "resources": names(&resources(), "uri"),
    })
}
