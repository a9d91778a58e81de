//! What the log says of each cell, read after the gateway has ended.

use std::collections::BTreeMap;
use std::io;

use serde_json::Value;

use super::cell::{Expected, Row};
use super::clients::{Client, tool_use_id};
use super::home::Home;

/// An intent, with what came of it.
struct Intent {
    run: String,
    tool: String,
    verdict: String,
    /// Why it was refused.
    code: String,
    tool_use_id: String,
    /// Of the outcome, where one was recorded.
    status: Option<String>,
}

/// The figures of the whole log.
pub(crate) struct Figures {
    pub(crate) intents: usize,
    pub(crate) outcomes: usize,
    pub(crate) verified: bool,
    pub(crate) said: String,
}

/// Verifies the log, and adds to each row what the log lacks of it.
pub(crate) fn check(home: &Home, servers: &[super::servers::Server], rows: &mut [Row]) -> io::Result<Figures> {
    let (verified, said) = match home.facts(&["log", "verify"]) {
        Ok(facts) => (facts.get("ok") == Some(&Value::Bool(true)), facts.to_string()),
        Err(error) => (false, error.to_string()),
    };
    let intents = read(home)?;
    for row in rows {
        let server = servers.iter().find(|server| server.name == row.server);
        let own: Vec<&Intent> = intents.values().filter(|intent| intent.run == row.run).collect();
        let found: Vec<String> = server.into_iter().flat_map(|server| faults(row, server, &own)).collect();
        row.faults.extend(found);
    }
    let outcomes = intents.values().filter(|intent| intent.status.is_some()).count();
    Ok(Figures { intents: intents.len(), outcomes, verified, said })
}

/// Every tool call that stands in the log, by its index.
fn read(home: &Home) -> io::Result<BTreeMap<u64, Intent>> {
    let mut intents = BTreeMap::new();
    for kind in ["call_intent", "call_outcome"] {
        let lines = home.remit(&["log", "tail", "-n", "1000000", "--kind", kind])?;
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).map_err(io::Error::other)?;
            let index = line.get("index").and_then(Value::as_u64).unwrap_or_default();
            let shown = home.facts(&["log", "show", &index.to_string()])?;
            let event = shown.get("event").unwrap_or(&Value::Null);
            if kind == "call_intent" {
                intents.insert(index, intent(event));
            } else {
                let of = event.pointer("/unmapped/remit/intent").and_then(Value::as_u64).unwrap_or_default();
                if let Some(intent) = intents.get_mut(&of) {
                    intent.status = Some(text(event, "/unmapped/remit/status"));
                }
            }
        }
    }
    Ok(intents)
}

fn intent(event: &Value) -> Intent {
    Intent {
        run: text(event, "/unmapped/remit/run"),
        tool: text(event, "/resources/0/uid"),
        verdict: text(event, "/unmapped/remit/decision/verdict"),
        code: text(event, "/unmapped/remit/decision/code"),
        tool_use_id: text(event, "/unmapped/remit/tool_use_id"),
        status: None,
    }
}

fn text(event: &Value, pointer: &str) -> String {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What the log lacks, or has too much of.
fn faults(row: &Row, server: &super::servers::Server, own: &[&Intent]) -> Vec<String> {
    let mut faults = Vec::new();
    let permitted: Vec<_> = own.iter().filter(|intent| intent.verdict == "permit").collect();
    let answered = row.steps.iter().filter(|step| step.expected == Expected::Answered).count();
    if permitted.len() != answered {
        faults.push(format!("log: {} permitted calls, {answered} were made", permitted.len()));
    }
    if let Some(open) = permitted.iter().find(|intent| intent.status.as_deref() != Some("ok")) {
        faults.push(format!("log: the call of {} has the outcome {:?}", open.tool, open.status));
    }
    for (index, step) in row.steps.iter().enumerate() {
        let tool = format!("{}/{}", server.name, step.call.tool);
        let of_step = |intent: &&&Intent| match step.expected {
            Expected::Refused(code) => intent.code == code,
            _ => intent.verdict == "permit",
        };
        let found =
            own.iter().filter(|intent| intent.tool.ends_with(&tool) || intent.tool == step.call.tool).find(of_step);
        let id = tool_use_id(server, index);
        match (found, step.expected) {
            (None, Expected::NotCalled) => {}
            (Some(_), Expected::NotCalled) => faults.push(format!("log: {tool} was called")),
            (None, _) => faults.push(format!("log: no intent of {tool} for \"{}\"", step.title)),
            (Some(intent), _) if row.client == Client::Claude && intent.tool_use_id != id => {
                faults.push(format!("log: the tool use of \"{}\" is {:?}, not {id}", step.title, intent.tool_use_id));
            }
            (Some(_), _) => {}
        }
    }
    faults
}
