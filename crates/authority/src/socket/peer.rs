//! Who is at the other end of a unix socket: which process, and whether it descends from a live run.
//!
//! The kernel says which process connected (`SO_PEERCRED`); its parents are read from `/proc`. **Invariant:** what
//! cannot be read is refused: a process that is gone, of another user, or of another process namespace.
//!
//! A run is known by its own process, where its launcher named one, and by `REMIT_RUN` in what a process was started with.
//! The second costs an honest launch nothing and catches a model that types commands; a program that means to can
//! write over its own environment, which no kernel keeps for us.
//!
//! What this does not do: a process that forks twice is adopted by init, or by the next subreaper, and no longer
//! descends from its run. A launcher that is itself a subreaper (`PR_SET_CHILD_SUBREAPER`) and whose own process is
//! the run's keeps such orphans below itself for as long as it lives; only the sandbox, which hides the socket, ends it.
//! The kernel names the process that called `connect`: a connection that is handed to another keeps that name.

use std::io::Read as _;

use remit_core::id::RunId;
use tokio::net::UnixStream;

use crate::change::{Process, Run};

/// Deepest chain of parents that is followed, in processes.
const PARENTS_MAX: usize = 1_024;

/// Most of an environment that is read, in bytes: as much as the kernel lets one process be started with.
const ENVIRON_BYTES_MAX: u64 = 8 << 20;
const RUN: &[u8] = b"REMIT_RUN=";

/// A process that connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

/// Where a process belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Outside every live run.
    Outside,
    /// Within this run.
    Within(RunId),
    /// It, or a process that it descends from, was started with this in `REMIT_RUN`: a run's id or the path of its socket.
    Marked(String),
}

impl Place {
    /// Whether what asks may use this run's own socket.
    pub(crate) fn may_ask(&self, run: &RunId) -> bool {
        match self {
            Self::Outside => true,
            Self::Within(within) => within == run,
            Self::Marked(mark) => mark.split('/').any(|part| part == run.as_str()),
        }
    }
}

/// The peer, where it is of our own user and its process can be named.
pub(crate) fn peer(stream: &UnixStream) -> Option<Peer> {
    let credentials = stream.peer_cred().ok()?;
    let pid = credentials.pid().filter(|pid| *pid > 0)?;
    let uid = credentials.uid();
    (uid == rustix::process::geteuid().as_raw()).then_some(Peer { pid, uid })
}

/// Where a process belongs; nothing where its parents cannot all be read.
pub(crate) fn place(pid: i32, runs: &[Run]) -> Option<Place> {
    let mut next = pid;
    let mut mark = None;
    for _ in 0..PARENTS_MAX {
        let (parent, process) = stat(next)?;
        if let Some(run) = runs.iter().find(|run| run.process == Some(process)) {
            return Some(Place::Within(run.id.clone()));
        }
        mark = mark.or_else(|| marked(next));
        if parent == 0 {
            return Some(mark.map_or(Place::Outside, Place::Marked));
        }
        next = parent;
    }
    None
}

/// What a process was started with in `REMIT_RUN`. A run that is over still marks whoever it started. Nothing where the
/// environment cannot be read: such a process is another user's, and no agent's.
fn marked(pid: i32) -> Option<String> {
    let file = std::fs::File::open(format!("/proc/{pid}/environ")).ok()?;
    let mut bytes = Vec::new();
    file.take(ENVIRON_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    mark(&bytes)
}

fn mark(environ: &[u8]) -> Option<String> {
    let value = environ.split(|byte| *byte == 0).find_map(|pair| pair.strip_prefix(RUN))?;
    (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
}

/// A process with its time of start, where it is `ancestor` or descends from it.
pub(crate) fn descendant(pid: i32, ancestor: i32) -> Option<Process> {
    let (_, process) = stat(pid)?;
    let mut next = pid;
    for _ in 0..PARENTS_MAX {
        if next == ancestor {
            return Some(process);
        }
        next = stat(next)?.0;
    }
    None
}

/// Parent and time of start of a process (`proc(5)`: fields 4 and 22).
fn stat(pid: i32) -> Option<(i32, Process)> {
    if pid <= 0 {
        return None;
    }
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse(pid, &text)
}

/// The program's name may hold anything, parentheses too: what follows the last one is the rest.
fn parse(pid: i32, text: &str) -> Option<(i32, Process)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some((parent, Process { pid, started }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) b) (1) S 42 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3";
        let process = Process { pid: 7, started: 987_654 };
        assert_eq!(parse(7, text), Some((42, process)));
        assert_eq!(parse(7, "7 (x"), None);
    }

    #[test]
    fn a_run_marks_what_it_starts() {
        assert_eq!(mark(b"A=1\0REMIT_RUN=r-1\0B=2\0"), Some("r-1".to_owned()));
        for without in [&b"A=REMIT_RUN=r-1\0"[..], b"REMIT_RUN=\0", b"XREMIT_RUN=r-1\0", b""] {
            assert_eq!(mark(without), None);
        }
        let run = |text: &str| text.parse::<RunId>().unwrap();
        let (own, other) = (run("r-aaaaaaaaaaaaaaaaaaaa"), run("r-bbbbbbbbbbbbbbbbbbbb"));
        for mark in ["r-aaaaaaaaaaaaaaaaaaaa", "/h/authority/runs/r-aaaaaaaaaaaaaaaaaaaa/sock"] {
            let place = Place::Marked(mark.to_owned());
            assert_eq!((place.may_ask(&own), place.may_ask(&other)), (true, false), "{mark}");
        }
    }

    #[test]
    fn our_own_parents_can_be_followed_to_the_first_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(place(own, &[]), Some(Place::Outside));
        assert!(descendant(own, own).is_some());
        assert!(descendant(std::os::unix::process::parent_id().try_into().unwrap(), own).is_none());
        assert_eq!(place(0, &[]), None);
    }
}
