//! `strace` on one thread of the real process: it sees the thread's file syscalls, and makes one of them fail.
//!
//! It counts the syscalls of each thread by itself, so it is attached to one thread alone: then there is one fault.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use super::failed;
use super::world::LOOK_EVERY;

/// What a log, a vault and a database do to files.
pub(super) const SYSCALLS: &[&str] = &[
    "openat",
    "write",
    "writev",
    "pwrite64",
    "pread64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat2",
    "ftruncate",
    "fallocate",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "link",
];

/// Threads of `remit up` by what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The first thread, which starts everything: it recovers the logs.
    Start,
    /// Requests: keys of the vault, the authority's database.
    Worker,
    /// Groups of the authority's log.
    AuthorityCommit,
    /// Tiles of the authority's log.
    AuthorityPublish,
    /// Groups of the gateway's log.
    GatewayCommit,
    /// Tiles of the gateway's log.
    GatewayPublish,
}

impl Role {
    /// Those that run once it is ready.
    pub(super) const SERVING: [Self; 5] =
        [Self::Worker, Self::AuthorityCommit, Self::AuthorityPublish, Self::GatewayCommit, Self::GatewayPublish];

    /// The thread's name, and which of those that have it: the authority starts first.
    fn named(self) -> (&'static str, usize) {
        match self {
            Self::Start => ("remit", 0),
            Self::Worker => ("tokio-rt-worker", 0),
            Self::AuthorityCommit => ("log-commit", 0),
            Self::AuthorityPublish => ("log-publish", 0),
            Self::GatewayCommit => ("log-commit", 1),
            Self::GatewayPublish => ("log-publish", 1),
        }
    }

    /// The thread of a process.
    pub(super) fn thread(self, pid: u32) -> io::Result<u32> {
        let (name, which) = self.named();
        let mut threads: Vec<u32> = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            // A thread may end while one looks.
            let comm = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            if comm.trim_end() == name {
                threads.extend(task.file_name().to_str().and_then(|tid| tid.parse::<u32>().ok()));
            }
        }
        threads.sort_unstable();
        threads.get(which).copied().ok_or_else(|| failed(format!("there is no thread {name}")))
    }
}

/// A running `strace`.
pub(super) struct Tracer {
    strace: Child,
    out: PathBuf,
}

/// The words for `strace`: trace these, and with `inject` make one fail.
pub(super) fn words(out: &Path, trace: &str, inject: Option<&str>) -> Vec<String> {
    let mut words: Vec<String> = ["strace", "-y", "-o"].map(ToOwned::to_owned).to_vec();
    words.extend([out.display().to_string(), "-e".into(), format!("trace={trace}")]);
    words.extend(inject.into_iter().flat_map(|inject| ["-e".to_owned(), format!("inject={inject}")]));
    words
}

impl Tracer {
    /// Attaches to one thread, and returns when it has.
    pub(super) fn attach(thread: u32, out: &Path, trace: &str, inject: Option<&str>) -> io::Result<Self> {
        let words = words(out, trace, inject);
        let [program, arguments @ ..] = words.as_slice() else { return Err(failed("no program")) };
        let mut strace = Command::new(program)
            .args(arguments)
            .args(["-p", &thread.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(strace.stderr.take().ok_or_else(|| failed("no standard error"))?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        thread::spawn(move || said.lines().for_each(drop));
        let tracer = Self { strace, out: out.to_owned() };
        if line.contains("attached") { Ok(tracer) } else { Err(failed(line)) }
    }

    /// Waits until such a line has come, or the time is up.
    pub(super) fn wait(&mut self, until: Instant, such: fn(&str) -> bool) -> io::Result<bool> {
        let come = |out: &Path| lines(out).map(|lines| lines.iter().any(|line| such(line)));
        while Instant::now() < until && !come(&self.out)? && self.strace.try_wait()?.is_none() {
            thread::sleep(LOOK_EVERY);
        }
        come(&self.out)
    }

    /// Lets go of the thread.
    pub(super) fn detach(mut self) -> io::Result<Vec<String>> {
        if self.strace.try_wait()?.is_none() {
            Command::new("kill").args(["-s", "TERM", &self.strace.id().to_string()]).status()?;
        }
        self.strace.wait()?;
        lines(&self.out)
    }
}

/// Whether the line says that a fault was made.
pub(super) fn injected(line: &str) -> bool {
    line.contains("(INJECTED)") || line.contains("killed by SIGKILL")
}

/// What it has written so far.
pub(super) fn lines(out: &Path) -> io::Result<Vec<String>> {
    BufReader::new(File::open(out)?).lines().collect()
}

/// The syscall of a line.
pub(super) fn name(line: &str) -> Option<&'static str> {
    let (name, _) = line.split_once('(')?;
    SYSCALLS.iter().find(|known| **known == name).copied()
}

/// Whether a write of the line was short: fewer bytes were written than were asked for.
pub(super) fn short(line: &str) -> bool {
    let sizes = || {
        let (call, result) = line.rsplit_once(" = ")?;
        let mut arguments = call.trim_end().strip_suffix(')')?.rsplit(", ");
        let _offset = arguments.next()?;
        let asked: u64 = arguments.next()?.parse().ok()?;
        Some((result.parse::<u64>().ok()?, asked))
    };
    name(line) == Some("pwrite64") && sizes().is_some_and(|(written, asked)| written < asked)
}

/// Why no process can be traced here; nothing where one can.
pub(super) fn lack() -> Option<String> {
    let tried =
        Command::new("strace").args(["-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=1", "true"]).output();
    match tried {
        Err(error) => Some(format!("strace: {error}")),
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("strace: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_strace_are_read() {
        let line = r#"pwrite64(13</h/wal/1>, "\1\0"..., 5120, 8192) = 1000"#;
        assert_eq!(name(line), Some("pwrite64"));
        assert!(
            short(line) && !short(&line.replace("= 1000", "= 5120")) && !short(&line.replace("= 1000", "= -1 EFBIG"))
        );
        assert_eq!(name("+++ exited with 0 +++"), None);
        assert_eq!(name("futex(0x7f, 1) = 0"), None);
    }
}
