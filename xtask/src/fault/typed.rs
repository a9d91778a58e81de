//! Commands of `remit` as they are typed beside what runs.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::failed;
use crate::interop::process;

/// How long a command may take.
const COMMAND_MAX: Duration = Duration::from_mins(1);

/// Who types them.
#[derive(Clone)]
pub(super) struct Typed {
    /// The program.
    pub(super) remit: PathBuf,
    /// The home of authority and gateway.
    pub(super) home: PathBuf,
}

/// A run of the agent, with a grant for the desk.
pub(super) struct Run {
    pub(super) grant: String,
    pub(super) authorization: String,
}

impl Typed {
    /// A run of its own, with a grant for the desk, or why there is none.
    pub(super) fn request(&self) -> io::Result<Run> {
        let mut line = vec!["request", "--agent", "fault/client", "--for", "15m", "--why", "load"];
        line.extend(["desk/reply_to_customer", "desk/watch_ticket"]);
        for argument in
            ["reply_to_customer:id=38", "reply_to_customer:text=*", "watch_ticket:id=*", "watch_ticket:seconds=*"]
        {
            line.extend(["--where", argument]);
        }
        let line: Vec<String> =
            line.iter().map(|word| if word.contains(':') { format!("desk/{word}") } else { (*word).into() }).collect();
        let given = self.facts(&line.iter().map(String::as_str).collect::<Vec<_>>())?;
        let text = |pointer: &str| given.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let token = self.facts(&["token", "desk", "--run", &text("/run/id")])?;
        let authorization = token.pointer("/Authorization").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Run { grant: text("/grant/id"), authorization })
    }

    /// What a command prints; an error where it does not end well.
    pub(super) fn remit(&self, arguments: &[&str]) -> io::Result<String> {
        let mut command = Command::new(&self.remit);
        command.arg("--json").arg("--home").arg(&self.home).args(arguments);
        let output = process::run(&mut command, "", COMMAND_MAX)?;
        if output.good {
            return Ok(output.out);
        }
        Err(failed(format!("remit {}: {}{}", arguments.join(" "), output.out.trim(), output.err.trim())))
    }

    pub(super) fn facts(&self, arguments: &[&str]) -> io::Result<Value> {
        serde_json::from_str(&self.remit(arguments)?).map_err(io::Error::other)
    }
}
