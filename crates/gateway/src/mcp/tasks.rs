//! No task can begin: the extension for tasks is taken out of what a client declares, before its request is judged.
//!
//! A server may make a task of any call of a client that declares them. Its work would go on when the call has ended,
//! with its outcome recorded, where no revocation finds it. Nothing else of the request changes.

use bytes::Bytes;
use remit_core::json::members;
use serde_json::value::RawValue;

use super::McpError;
use super::envelope::Envelope;
use super::params::no_lookalike;
use super::splice::{range_in, splice};

const EXTENSION: &str = "io.modelcontextprotocol/tasks";
const EXTENSIONS: &str = "extensions";

/// The body without the declaration; `None` where there is none in it.
pub fn undeclared(envelope: &Envelope<'_>, body: &Bytes) -> Result<Option<Bytes>, McpError> {
    let Envelope::Request(request) = envelope else { return Ok(None) };
    let params = &request.params;
    let handshake = match (&*request.method, params.raw) {
        ("initialize", Some(raw)) => {
            members(raw)?.into_iter().find(|(name, _)| name == "capabilities").map(|(_, raw)| raw)
        }
        _ => None,
    };
    let text = std::str::from_utf8(body).map_err(|_| McpError::NotUtf8)?;
    let mut edits = Vec::new();
    for declared in params.meta.client_capabilities.into_iter().chain(handshake).filter(|raw| is_object(raw)) {
        if let Some((extensions, rest)) = without(declared)? {
            let range = range_in(text, extensions.get()).ok_or(McpError::Shape("it cannot be read"))?;
            edits.push((range, rest));
        }
    }
    if edits.is_empty() {
        return Ok(None);
    }
    let edits = edits.iter().map(|(range, rest)| (range.clone(), rest.as_str())).collect();
    splice(text, edits).map(|text| Some(text.into())).ok_or(McpError::Shape("it cannot be read"))
}

/// The extensions that are declared, and what is left of them, where tasks are among them.
fn without(declared: &RawValue) -> Result<Option<(&RawValue, String)>, McpError> {
    let mut found = None;
    for (name, raw) in members(declared)? {
        match &*name {
            EXTENSIONS if is_object(raw) => found = Some(raw),
            EXTENSIONS => {}
            other => no_lookalike(other, &[EXTENSIONS])?,
        }
    }
    let Some(extensions) = found else { return Ok(None) };
    let all = members(extensions)?;
    if all.iter().all(|(name, _)| name != EXTENSION) {
        return Ok(None);
    }
    let rest = all.into_iter().filter(|(name, _)| name != EXTENSION);
    let rest = rest.map(|(name, raw)| format!("{}:{}", serde_json::Value::from(&*name), raw.get()));
    Ok(Some((extensions, format!("{{{}}}", rest.collect::<Vec<_>>().join(",")))))
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, params: &str) -> Result<Option<String>, McpError> {
        let body = Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#));
        let changed = undeclared(&Envelope::parse(&body)?, &body)?;
        Ok(changed.map(|body| {
            let Envelope::Request(request) = Envelope::parse(&body).unwrap() else { panic!("no request") };
            request.params.raw.unwrap().get().to_owned()
        }))
    }

    fn call(capabilities: &str) -> String {
        format!(r#"{{"_meta":{{"io.modelcontextprotocol/clientCapabilities":{capabilities}}},"name":"t","x":1e400}}"#)
    }

    #[test]
    fn nothing_but_the_declaration_goes() {
        let tasks = r#""io.modelcontextprotocol/tasks":{}"#;
        let escaped = r#""io.modelcontextprotocol/task\u0073":{"a":1}"#;
        for (declared, left) in [
            (format!(r#"{{"roots":{{}}, "extensions": {{{tasks}}}}}"#), r#"{"roots":{}, "extensions": {}}"#),
            (format!(r#"{{"extensions":{{{escaped}, "b": [1.0]}}}}"#), r#"{"extensions":{"b":[1.0]}}"#),
            (format!(r#"{{"e\u0078tensions":{{{tasks}}}}}"#), r#"{"e\u0078tensions":{}}"#),
        ] {
            assert_eq!(of("tools/call", &call(&declared)).unwrap(), Some(call(left)), "{declared}");
            let shake = |declared: &str| format!(r#"{{"capabilities":{declared},"clientInfo":{{}}}}"#);
            assert_eq!(of("initialize", &shake(&declared)).unwrap(), Some(shake(left)), "{declared}");
        }
    }

    #[test]
    fn other_requests_stay_as_they_are() {
        for declared in ["{}", r#"{"extensions":{}}"#, r#"{"extensions":{"other/tasks":{}}}"#, r#"{"extensions":null}"#]
        {
            assert_eq!(of("tools/call", &call(declared)).unwrap(), None, "{declared}");
        }
        // It declares nothing there.
        let elsewhere = r#"{"name":"t","arguments":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}"#;
        assert_eq!(of("tools/call", elsewhere).unwrap(), None);
    }

    #[test]
    fn what_another_reader_could_take_for_it_is_refused() {
        for declared in [
            r#"{"Extensions":{"io.modelcontextprotocol/tasks":{}}}"#,
            r#"{"extensions":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#,
        ] {
            assert!(of("tools/call", &call(declared)).is_err(), "{declared}");
        }
    }
}
