//! The real Claude Code, in one session, with a scripted model behind it and nothing of the network before it.
//!
//! Its `.mcp.json` names the gateway, and its headers come from `remit token`, as a user would write it. Before the last
//! call of the script the run is revoked.

use std::io;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::home::{noise, write};
use super::super::process::{self, Background};
use super::{Answer, Said, Task, tool_use_id};

const SESSION_MAX: Duration = Duration::from_mins(2);
const READY_MAX: Duration = Duration::from_secs(20);
/// What was revoked is refused everywhere by then, in seconds.
const REVOKED_WITHIN_S: u64 = 2;
/// Beyond the script's own: a client that goes round in circles ends.
const TURNS_MAX: usize = 24;

pub(super) fn converse(task: &Task<'_>) -> io::Result<Said> {
    let project = prepare(task)?;
    let script = task.scratch.join("script.json");
    write(&script, &turns(task).to_string())?;
    let mut model = Command::new("python3");
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
    let Some(tools) = tools(&lines, task.server.name) else {
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
        "type": "http", "url": task.home.url(task.server)?, "headersHelper": format!("remit token {name}"),
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
    claude.env("REMIT__HOME", task.home.dir()).env("REMIT_RUN", task.run);
}

/// A turn for each call; the run is taken back before the last one.
fn turns(task: &Task<'_>) -> Value {
    let last = task.calls.len().saturating_sub(1);
    let turn = |(index, call): (usize, &super::Call)| {
        let name = format!("mcp__{}__{}", task.server.name, call.tool);
        let mut turn =
            json!({ "use": [{ "id": tool_use_id(task.server, index), "name": name, "input": call.arguments }] });
        if let (true, Some(turn)) = (index == last, turn.as_object_mut()) {
            let revoke =
                ["revoke", "run", task.run, "--why", "the session is over", "--pin-file", &task.home.pin_file()];
            turn.insert("first".into(), json!(task.home.line(&revoke)));
            turn.insert("pause_s".into(), REVOKED_WITHIN_S.into());
        }
        turn
    };
    let mut turns: Vec<Value> = task.calls.iter().enumerate().map(turn).collect();
    turns.push(json!({ "say": "that was all" }));
    Value::Array(turns)
}

/// The tools of the server that the session began with; none where it was not connected.
fn tools(lines: &[Value], server: &str) -> Option<Vec<String>> {
    let began = lines.iter().find(|line| line.get("subtype").and_then(Value::as_str) == Some("init"))?;
    let mut servers = began.get("mcp_servers")?.as_array()?.iter();
    servers
        .find(|found| found.get("name").and_then(Value::as_str) == Some(server))
        .filter(|found| found.get("status").and_then(Value::as_str) == Some("connected"))?;
    let prefix = format!("mcp__{server}__");
    let tools = began.get("tools")?.as_array()?.iter();
    Some(tools.filter_map(|tool| tool.as_str()?.strip_prefix(&prefix).map(ToOwned::to_owned)).collect())
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
