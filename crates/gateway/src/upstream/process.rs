//! A child process with nothing of the gateway's own environment, in a process group that ends as a whole.

use std::fmt;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

/// Longest line of a child's standard error that is logged, in bytes.
const ERROR_LINE_BYTES_MAX: usize = 1024;
/// Most lines of a child's standard error that are logged, in lines; the rest is read and dropped.
const ERROR_LINES_MAX: usize = 1000;
/// Shortest value that is blotted out of a child's standard error, in bytes: shorter ones are words.
const SECRET_BYTES_MIN: usize = 6;

/// What is run.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    /// The program; looked up in [`Surroundings::path`] unless it is a path.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its variables besides `PATH`, `HOME` and `LANG`, credentials among them.
    pub vars: Vec<(String, Zeroizing<String>)>,
}

impl fmt::Debug for Program {
    /// Without the variables' values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.vars.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Program")
            .field("command", &self.command)
            .field("args", &self.args)
            .field("vars", &names)
            .finish()
    }
}

/// What every child is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// `PATH`.
    pub path: String,
    /// Where each child's empty home is made.
    pub scratch: PathBuf,
}

/// A running process; dropping it kills its whole group and removes its home.
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) group: Group,
    _home: Home,
}

/// The process group of a child.
pub(super) struct Group(Option<Pid>);

impl Group {
    pub(super) fn signal(&self, signal: Signal) {
        // It fails only where nobody of the group is left, which is what is wanted.
        let _gone = self.0.map(|pid| kill_process_group(pid, signal));
    }
}

impl Group {
    /// Kills what is left of it, once: its number may soon be another's.
    pub(super) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Home(PathBuf);

impl Home {
    fn make(scratch: &std::path::Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = scratch.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(scratch)?;
        // Not recursive here: a home that is already there is not empty for sure.
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "a child's home stays behind");
        }
    }
}

/// Starts a program with piped standard streams.
pub(super) fn start(program: &Program, around: &Surroundings) -> io::Result<Process> {
    let home = Home::make(&around.scratch)?;
    let mut command = Command::new(&program.command);
    command
        .args(&program.args)
        .env_clear()
        .env("PATH", &around.path)
        .env("HOME", &home.0)
        .env("LANG", "C.UTF-8")
        .envs(program.vars.iter().map(|(name, value)| (name, value.as_str())))
        .current_dir(&home.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn()?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok(Process { child, group: Group(pid), _home: home })
}

/// Reads one line of at most `max` bytes into `line`, without its end; `false` at the end of the stream.
pub(super) async fn read_line<R>(from: &mut BufReader<R>, line: &mut Vec<u8>, max: usize) -> io::Result<bool>
where
    R: AsyncRead + Unpin,
{
    line.clear();
    loop {
        let bytes = from.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = bytes.iter().position(|b| *b == b'\n');
        let (part, _) = bytes.split_at(end.unwrap_or(bytes.len()));
        if line.len() + part.len() > max {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        line.extend_from_slice(part);
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Reads a child's standard error to its end, so that it never blocks, and logs the beginning of it.
pub(super) async fn drain<R: AsyncRead + Unpin>(from: R, secrets: Vec<Zeroizing<String>>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    let mut lines = 0;
    loop {
        let bytes = match from.fill_buf().await {
            Ok(bytes) if !bytes.is_empty() => bytes,
            _ => return,
        };
        let used = bytes.len();
        for byte in bytes {
            if *byte == b'\n' {
                lines += 1;
                if lines <= ERROR_LINES_MAX {
                    tracing::debug!(line = blotted(&line, &secrets), "a child says");
                }
                line.clear();
            } else if line.len() < ERROR_LINE_BYTES_MAX {
                line.push(*byte);
            }
        }
        from.consume(used);
    }
}

fn blotted(line: &[u8], secrets: &[Zeroizing<String>]) -> String {
    let text = String::from_utf8_lossy(line).into_owned();
    secrets
        .iter()
        .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
        .fold(text, |text, secret| text.replace(secret.as_str(), "[secret]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let secret = Zeroizing::new("tok_123456".to_owned());
        let program = Program { command: "x".into(), args: vec![], vars: vec![("TOKEN".into(), secret.clone())] };
        assert!(!format!("{program:?}").contains("tok_"));
        assert_eq!(blotted(b"bad token tok_123456!", &[secret]), "bad token [secret]!");
    }

    #[tokio::test]
    async fn lines_are_bounded() {
        let mut line = Vec::new();
        let mut from = BufReader::with_capacity(3, &b"ab\n\ncdef\nrest"[..]);
        let mut seen = Vec::new();
        while read_line(&mut from, &mut line, 4).await.unwrap() {
            seen.push(String::from_utf8(line.clone()).unwrap());
        }
        assert_eq!(seen, ["ab", "", "cdef", "rest"]);
        assert!(read_line(&mut BufReader::new(&b"abcde\n"[..]), &mut line, 4).await.is_err());
    }
}
