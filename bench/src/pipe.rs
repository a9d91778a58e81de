//! The echo as a child process of this one, to which a call goes directly.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use crate::road::{Era, counted};

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<String>>>>;

/// A child, and who waits for its answers. Dropped, it ends.
pub(crate) struct Pipe {
    stdin: AsyncMutex<ChildStdin>,
    waiting: Waiting,
    pub(crate) era: Era,
    _child: Child,
}

#[derive(Deserialize)]
struct Id {
    id: u64,
}

impl Pipe {
    pub(crate) fn start(program: &Path, era: Era) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("stdio").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the child has no standard streams"));
        };
        let waiting = Waiting::default();
        tokio::spawn(deliver(stdout, Arc::clone(&waiting)));
        Ok(Self { stdin: AsyncMutex::new(stdin), waiting, era, _child: child })
    }

    /// Sends the call with this id, and waits for its answer.
    pub(crate) async fn ask(&self, id: u64, tool: &str, arguments: &str) -> io::Result<String> {
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let mut line = self.era.call(id, tool, arguments);
        line.push('\n');
        self.stdin.lock().await.write_all(line.as_bytes()).await?;
        answer.await.map_err(|_| io::ErrorKind::UnexpectedEof.into())
    }

    pub(crate) async fn count(&self) -> io::Result<u64> {
        let answer = self.ask(u64::MAX, "count", "{}").await?;
        counted(&serde_json::from_str(&answer)?)
    }
}

async fn deliver(stdout: ChildStdout, waiting: Waiting) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(Id { id }) = serde_json::from_str(&line) else { continue };
        let waits = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(waits) = waits {
            waits.send(line).ok();
        }
    }
    // Whoever still waits is told that nothing comes.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
