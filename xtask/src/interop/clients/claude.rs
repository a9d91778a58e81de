//! The real Claude Code, in one session, with a scripted model behind it and nothing of the network before it.
//!
//! Its `.mcp.json` names the gateway, and its headers come from `remit token`, as a user would write it.

use std::io;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::home::{noise, write};
use super::super::process::{self, Background};
use super::{Answer, Said, Task, tool_use_id};

const SESSION_MAX: Duration = Duration::from_mins(2);
const READY_MAX: Duration = Duration::from_secs(20);
/// Beyond the script's own: a client that goes round in circles ends.
const TURNS_MAX: usize = 24;

pub(super) fn converse(task: &Task<'_>) -> io::Result<Said> {
    let project = prepare(task)?;
    let script = task.scratch.join("script.json");
    write(&script, &turns(task).to_string())?;
    let mut model = Command::new(task.packages.python("python"));
    model.arg(task.root.join("xtask/interop/messages.py")).arg(&script).arg(task.scratch.join("journal.jsonl"));
    let mut model = Background::start(&mut model, noise(task.scratch, "model")?)?;
    let port = model.first_line(READY_MAX)?;
    let mut claude = Command::new(task.packages.claude());
    claude.current_dir(&project).args(["-p", "do what is to be done", "--output-format", "stream-json", "--verbose"]);
    claude.args(["--permission-mode", "dontAsk", "--allowedTools", &format!("mcp__{}", task.server.name)]);
    claude.args(["--max-turns", &TURNS_MAX.to_string()]);
    surroundings(&mut claude, task, &port);
    let output = process::run(&mut claude, "", SESSION_MAX)?;
    write(&task.scratch.join("stream.jsonl"), &output.out)?;
    let lines: Vec<Value> = output.out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let journal = std::fs::read_to_string(task.scratch.join("journal.jsonl")).unwrap_or_default();
    let Some(tools) = tools(&journal, task) else {
        return Ok(Said::Refused(output.last_line().to_owned()));
    };
    let answers = (0..task.calls.len()).map(|index| answer(&lines, &tool_use_id(task.server, index))).collect();
    Ok(Said::Talked { tools, answers })
}

/// A project whose `.mcp.json` names the gateway, in a folder that the user trusts.
fn prepare(task: &Task<'_>) -> io::Result<std::path::PathBuf> {
    let project = task.scratch.join("project");
    let name = task.server.name;
    let servers = json!({ "mcpServers": { name: {
        "type": "http", "url": task.home.url(task.server), "headersHelper": format!("remit token {name}"),
    }}});
    write(&project.join(".mcp.json"), &servers.to_string())?;
    write(&project.join(".claude/settings.local.json"), &json!({ "enabledMcpjsonServers": [name] }).to_string())?;
    let trusted = json!({ "hasTrustDialogAccepted": true });
    let user = json!({ "hasCompletedOnboarding": true, "projects": { project.display().to_string(): trusted } });
    write(&task.scratch.join("config/.claude.json"), &user.to_string())?;
    Ok(project)
}

/// Nothing of ours but what is named here.
fn surroundings(claude: &mut Command, task: &Task<'_>, port: &str) {
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", task.home.programs().display());
    claude.env_clear().env("PATH", path).env("LANG", "C.UTF-8").env("SHELL", "/bin/sh");
    claude.env("HOME", task.scratch).env("CLAUDE_CONFIG_DIR", task.scratch.join("config"));
    claude.env("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{port}")).env("ANTHROPIC_API_KEY", "scripted");
    for switch in [
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "DISABLE_AUTOUPDATER",
        "DISABLE_TELEMETRY",
        "DISABLE_ERROR_REPORTING",
    ] {
        claude.env(switch, "1");
    }
    // It begins when it is connected, and offers its model every tool at once: what is offered is what was listed.
    claude.env("MCP_CONNECTION_NONBLOCKING", "0").env("ENABLE_TOOL_SEARCH", "false");
    claude.env("REMIT__HOME", task.home.dir()).env("REMIT_RUN", task.run);
}

/// A turn for each call.
fn turns(task: &Task<'_>) -> Value {
    let turn = |(index, call): (usize, &super::Call)| {
        let name = format!("mcp__{}__{}", task.server.name, call.tool);
        let uses = json!([{ "id": tool_use_id(task.server, index), "name": name, "input": call.arguments }]);
        match task.before(index) {
            Some((first, pause_s)) => json!({ "use": uses, "first": first, "pause_s": pause_s }),
            None => json!({ "use": uses }),
        }
    };
    let mut turns: Vec<Value> = task.calls.iter().enumerate().map(turn).collect();
    turns.push(json!({ "say": "that was all" }));
    Value::Array(turns)
}

/// The tools of the server that the model was offered for its last call; none where it offered none at all.
fn tools(journal: &str, task: &Task<'_>) -> Option<Vec<String>> {
    let last = u64::try_from(task.calls.len()).ok()?.checked_sub(1);
    let mut turns = journal.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let turn = turns.find(|turn| turn.get("turn").and_then(Value::as_u64) == last)?;
    let prefix = format!("mcp__{}__", task.server.name);
    let offered = turn.get("tools")?.as_array()?.iter();
    let tools: Vec<String> =
        offered.filter_map(|tool| tool.as_str()?.strip_prefix(&prefix).map(ToOwned::to_owned)).collect();
    (!tools.is_empty()).then_some(tools)
}

/// What the model got for a tool use.
fn answer(lines: &[Value], id: &str) -> Answer {
    let blocks = lines.iter().filter_map(|line| line.pointer("/message/content")?.as_array()).flatten();
    let result = blocks.into_iter().find(|block| block.get("tool_use_id").and_then(Value::as_str) == Some(id));
    let Some(result) = result else {
        return Answer { text: "the model got no result".into(), error: true };
    };
    let text = match result.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    };
    Answer { text, error: result.get("is_error").and_then(Value::as_bool).unwrap_or(false) }
}
