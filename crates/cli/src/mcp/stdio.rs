//! A server that is a program: one message a line each way.

use std::process::Stdio;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines, Take};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{McpFault, Message};

/// Most that a server may say while it is asked what it offers, in bytes.
const SAID_BYTES_MAX: u64 = 32 << 20;

/// A running server; it ends with this value.
pub(super) struct Program {
    input: ChildStdin,
    output: Lines<BufReader<Take<ChildStdout>>>,
    _child: Child,
}

impl Program {
    pub(super) fn start(command: &str, args: &[String]) -> Result<Self, McpFault> {
        let mut child = Command::new(command)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?;
        Ok(Self { input, output: BufReader::new(output.take(SAID_BYTES_MAX)).lines(), _child: child })
    }

    /// Sends a message that is not answered.
    pub(super) async fn notify(&mut self, message: &Value) -> Result<(), McpFault> {
        self.input.write_all(format!("{message}\n").as_bytes()).await?;
        Ok(self.input.flush().await?)
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
        Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())
    }
}
