//! The client of the Python package `mcp`, in one process for a whole task.

use std::io;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::process;
use super::{Answer, CURRENT, Era, Said, Task};

const TASK_MAX: Duration = Duration::from_mins(2);
const MODERN: &str = "2026-07-28";

/// What a server asked of the client, as its user or its model gets to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) method: String,
    pub(crate) words: String,
    /// Whose words they are said to be, in `_meta`.
    pub(crate) source: Value,
}

pub(super) fn converse(task: &Task<'_>, program: &str, environment: &str) -> io::Result<Said> {
    let call = |(index, call): (usize, &super::Call)| match task.before(index) {
        Some((first, pause_s)) => {
            json!({ "tool": call.tool, "arguments": call.arguments, "first": first, "pause_s": pause_s })
        }
        None => json!({ "tool": call.tool, "arguments": call.arguments }),
    };
    let calls: Vec<Value> = task.calls.iter().enumerate().map(call).collect();
    let asked = json!({ "headers": task.home.headers(task.server, task.run)?, "calls": calls });
    Ok(heard(&talk(task, &asked, program, environment)?))
}

/// What the server asked of the client, which has every feature, and what the client's user saw. The run is not revoked.
pub(crate) fn answering(task: &Task<'_>) -> io::Result<(Vec<Question>, Said)> {
    let calls: Vec<Value> =
        task.calls.iter().map(|call| json!({ "tool": call.tool, "arguments": call.arguments })).collect();
    let asked = json!({ "headers": task.home.headers(task.server, task.run)?, "calls": calls, "answers": true });
    let said = talk(task, &asked, "client.py", CURRENT)?;
    let text = |question: &Value, name| question.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let question = |question: &Value| Question {
        method: text(question, "method"),
        words: text(question, "words"),
        source: question.get("source").cloned().unwrap_or_default(),
    };
    let questions = said.get("asked").and_then(Value::as_array).into_iter().flatten().map(question).collect();
    Ok((questions, heard(&said)))
}

/// What the program prints.
fn talk(task: &Task<'_>, asked: &Value, program: &str, environment: &str) -> io::Result<Value> {
    let mode = if task.era == Era::Modern { MODERN } else { task.era.name() };
    let mut command = Command::new(task.packages.of_environment(environment, "python"));
    command.arg("-B").arg(task.root.join("xtask/interop").join(program)).args([&task.home.url(task.server), mode]);
    let output = process::run(&mut command, &asked.to_string(), TASK_MAX)?;
    serde_json::from_str(&output.out).map_err(|_| io::Error::other(format!("{program} says: {}", output.last_line())))
}

fn heard(said: &Value) -> Said {
    if let Some(why) = said.get("refused").and_then(Value::as_str) {
        return Said::Refused(why.to_owned());
    }
    let array = |name| said.get(name).and_then(Value::as_array).into_iter().flatten();
    Said::Talked {
        tools: array("tools").filter_map(|name| name.as_str().map(ToOwned::to_owned)).collect(),
        answers: array("calls").map(answer).collect(),
    }
}

fn answer(said: &Value) -> Answer {
    Answer {
        text: said.get("text").and_then(Value::as_str).unwrap_or_default().to_owned(),
        // What says nothing of an error is no proof of success.
        error: said.get("error").and_then(Value::as_bool).unwrap_or(true),
    }
}
