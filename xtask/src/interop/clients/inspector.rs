//! The MCP Inspector's command line: a process for each request.

use std::io;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::super::process::{self, Output};
use super::{Answer, Said, Task};

const REQUEST_MAX: Duration = Duration::from_mins(1);
const FIRST_MAX: Duration = Duration::from_secs(30);

pub(super) fn converse(task: &Task<'_>) -> io::Result<Said> {
    // Asked for once: in the end it is this very token that must be refused.
    let headers = task.home.headers(task.server, task.run)?;
    let listed = request(task, &headers, &["--method", "tools/list"])?;
    let answer = read(&listed);
    if answer.error {
        return Ok(Said::Refused(answer.text));
    }
    let result: Value = serde_json::from_str(&listed.out).map_err(io::Error::other)?;
    let tools = result.pointer("/result/tools").and_then(Value::as_array).into_iter().flatten();
    let tools = tools.filter_map(|tool| tool.get("name")?.as_str().map(ToOwned::to_owned)).collect();
    let mut answers = Vec::new();
    for (index, call) in task.calls.iter().enumerate() {
        if let Some((first, pause_s)) = task.before(index) {
            process::must(&first, FIRST_MAX)?;
            thread::sleep(Duration::from_secs(pause_s));
        }
        let arguments = call.arguments.to_string();
        let line = ["--method", "tools/call", "--tool-name", call.tool, "--tool-args-json", &arguments];
        answers.push(read(&request(task, &headers, &line)?));
    }
    Ok(Said::Talked { tools, answers })
}

fn request(task: &Task<'_>, headers: &Value, method: &[&str]) -> io::Result<Output> {
    let url = task.home.url(task.server);
    let mut command = Command::new(task.packages.node());
    command.arg(task.packages.module("@modelcontextprotocol/inspector/clients/launcher/build/index.js"));
    command.args(["--cli", "--transport", "http", "--server-url", &url, "--protocol-era", task.era.name()]);
    command.args(["--format", "json", "-q"]).args(method);
    for (name, value) in headers.as_object().into_iter().flatten() {
        command.args(["--header", &format!("{name}: {}", value.as_str().unwrap_or_default())]);
    }
    // It keeps a catalogue of servers in the home directory.
    command.env("HOME", task.scratch).current_dir(task.scratch);
    process::run(&mut command, "", REQUEST_MAX)
}

fn read(output: &Output) -> Answer {
    let Ok(said) = serde_json::from_str::<Value>(&output.out) else {
        return Answer { text: output.last_line().to_owned(), error: true };
    };
    let content = said.pointer("/result/content").and_then(Value::as_array).into_iter().flatten();
    let text: Vec<&str> = content.filter_map(|block| block.get("text")?.as_str()).collect();
    let error = !output.good || said.pointer("/result/isError") == Some(&Value::Bool(true));
    Answer { text: text.join("\n"), error }
}
