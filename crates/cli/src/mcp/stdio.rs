//! A server that is a program: one message a line each way.
//!
//! It runs as it will below the gateway: nothing of the administrator's environment, the same `PATH`, an empty home as its
//! working directory. What works here works there, and a program that nobody has reviewed is given nothing.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use remit_authority::socket::wire::Given;
use remit_core::secret::Place;
use remit_gateway::open::PROGRAM_PATH;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines, Take};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::{McpFault, Message, Started};

/// Most that a server may say while it is asked what it offers, in bytes.
const SAID_BYTES_MAX: u64 = 32 << 20;
/// Most of its standard error that is kept, in bytes, and most lines of it that are shown.
const ERROR_BYTES_MAX: usize = 4096;
const ERROR_LINES_MAX: usize = 10;
/// How long an end and its last words are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A running server; it ends with this value, and all that it started with it.
pub(super) struct Program {
    input: ChildStdin,
    output: Lines<BufReader<Take<ChildStdout>>>,
    errors: Arc<Mutex<Vec<u8>>>,
    reading: tokio::task::JoinHandle<()>,
    child: Child,
    group: Option<Pid>,
    _home: EmptyHome,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Program {
    pub(super) fn start((command, args, given): Started<'_>, scratch: &Path) -> Result<Self, McpFault> {
        let variable = |given: &'_ Given| match &given.place {
            Place::Env(name) => Some((name.clone(), given.value.expose().to_owned())),
            _ => None,
        };
        let home = EmptyHome::make(scratch)?;
        let mut child = Command::new(command)
            .args(args)
            .env_clear()
            .env("PATH", PROGRAM_PATH)
            .env("HOME", &home.0)
            .env("LANG", "C.UTF-8")
            .envs(given.iter().filter_map(variable))
            .current_dir(&home.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(stderr)) = pipes else { return Err(McpFault::Ended) };
        let errors = Arc::default();
        let reading = tokio::spawn(keep(stderr, Arc::clone(&errors)));
        let output = BufReader::new(output.take(SAID_BYTES_MAX)).lines();
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { input, output, errors, reading, child, group, _home: home })
    }

    /// Sends a message that is not answered.
    pub(super) async fn notify(&mut self, message: &Value) -> Result<(), McpFault> {
        let line = format!("{message}\n");
        let sent = async {
            self.input.write_all(line.as_bytes()).await?;
            self.input.flush().await
        };
        sent.await.map_err(|_broken_pipe| McpFault::Ended)
    }

    /// The result of a request, byte for byte.
    pub(super) async fn request(&mut self, message: &Value) -> Result<Box<RawValue>, McpFault> {
        self.notify(message).await?;
        let id = message.get("id").cloned().unwrap_or_default();
        while let Some(line) = self.output.next_line().await? {
            let answer = serde_json::from_str::<Message>(&line).ok().and_then(|message| message.answers(&id));
            if let Some(answer) = answer {
                return answer;
            }
        }
        Err(McpFault::Ended)
    }

    /// The fault with what the program said before it.
    pub(super) async fn explain(mut self, fault: McpFault) -> McpFault {
        // Where it ends by itself, it may still be speaking; where it does not, it has said what it has to say.
        let ended = tokio::time::timeout(LAST_WORDS, self.child.wait()).await;
        self.kill();
        drop(tokio::time::timeout(LAST_WORDS, &mut self.reading).await);
        let how = match (&fault, ended) {
            (McpFault::Ended, Ok(Ok(status))) => format!("{fault} ({status})"),
            _ => fault.to_string(),
        };
        let said = first_lines(&self.errors.lock().unwrap_or_else(PoisonError::into_inner));
        McpFault::Said(how, said)
    }

    fn kill(&mut self) {
        // It fails only where nobody of the group is left.
        let _gone = self.group.take().map(|pid| kill_process_group(pid, Signal::KILL));
    }
}

/// Reads to the end, so that the program never blocks, and keeps the beginning.
async fn keep(mut from: ChildStderr, kept: Arc<Mutex<Vec<u8>>>) {
    let mut bytes = [0; 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = ERROR_BYTES_MAX.saturating_sub(kept.len()).min(read);
        kept.extend(bytes.iter().take(room));
    }
}

/// The first lines, in characters that a terminal shows and does not obey.
fn first_lines(bytes: &[u8]) -> String {
    let shown = |c: char| if is_hidden(c) { c.escape_unicode().to_string() } else { c.to_string() };
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter(|line| !line.trim().is_empty()).take(ERROR_LINES_MAX);
    lines.flat_map(|line| std::iter::once("\n  ".to_owned()).chain(line.chars().map(shown))).collect()
}

/// Controls, and what changes the direction or the width of what stands beside it.
fn is_hidden(c: char) -> bool {
    let marks = ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{206f}', '\u{feff}'..='\u{feff}'];
    c.is_control() || marks.iter().any(|range| range.contains(&c))
}

struct EmptyHome(PathBuf);

impl EmptyHome {
    fn make(scratch: &Path) -> std::io::Result<Self> {
        let path = scratch.join(format!("add-{}", std::process::id()));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(scratch)?;
        // Not recursive here: a home that is already there is not empty for sure.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for EmptyHome {
    fn drop(&mut self) {
        // What stays behind is an empty directory's worth, in a directory of ours.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_is_bounded_and_not_obeyed() {
        assert_eq!(first_lines(b""), "");
        assert_eq!(first_lines(b"no \x1b[31mkey\n\nleft\xe2\x80\xae\n"), "\n  no \\u{1b}[31mkey\n  left\\u{202e}");
        assert_eq!(first_lines("x\n".repeat(99).as_bytes()).lines().count(), ERROR_LINES_MAX + 1);
    }
}
