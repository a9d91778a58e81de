//! Who is at the other end of a unix socket: which process, and whether it descends from a live run.
//!
//! The kernel says which process connected (`SO_PEERCRED`); its parents are read from `/proc`. **Invariant:** what
//! cannot be read is refused: a process that is gone, of another user, or of another process namespace.
//!
//! A run is known by its own process, where its launcher named one, and by `REMIT_RUN` in what a process was started with.
//! The second costs an honest launch nothing and catches a model that types commands; a program that means to can
//! write over its own environment, which no kernel keeps for us.
//!
//! Processes of a child run descend from its parent's. **Invariant:** what is read on the way from the first process down
//! leads only down the tree of runs: whatever a child starts, and however it marks it, is never its parent's again. A
//! child that was neither bound to a process nor started with `REMIT_RUN` is told from its parent by nothing.
//!
//! What this does not do: a process that forks twice is adopted by init, or by the next subreaper, and no longer
//! descends from its run. A launcher that is itself a subreaper (`PR_SET_CHILD_SUBREAPER`) and whose own process is
//! the run's keeps such orphans below itself for as long as it lives; only the sandbox, which hides the socket, ends it.
//! The kernel names the process that called `connect`: a connection that is handed to another keeps that name.

use std::io::Read as _;

use remit_core::claims::DELEGATION_DEPTH_MAX;
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
    /// Within this run, by its process.
    Within(RunId),
    /// It, or a process that it descends from, was started with this in `REMIT_RUN`: the run's id.
    Marked(String),
}

impl Place {
    /// Whether what asks may use this run's own socket.
    pub(crate) fn may_ask(&self, run: &RunId) -> bool {
        match self {
            Self::Outside => true,
            Self::Within(within) => within == run,
            Self::Marked(mark) => mark == run.as_str(),
        }
    }

    /// Where a process belongs that descends from one that belongs here, and was started with this in `REMIT_RUN`.
    fn marked(self, mark: String, runs: &[Run]) -> Self {
        let own = match &self {
            Self::Outside => return Self::Marked(mark),
            Self::Within(run) => run.as_str(),
            Self::Marked(own) => own,
        };
        let live = runs.iter().find(|run| run.id.as_str() == mark);
        match live {
            // To the parent or to another tree no mark leads; one of a run that is over leads out of all of them.
            _ if own == mark => self,
            Some(run) if !descends(run, own, runs) => self,
            _ => Self::Marked(mark),
        }
    }
}

/// Whether a live run is below another one.
fn descends(run: &Run, from: &str, runs: &[Run]) -> bool {
    let parent = |run: &&Run| runs.iter().find(|other| run.parent.as_ref() == Some(&other.id));
    let above = std::iter::successors(Some(run), parent).skip(1).take(DELEGATION_DEPTH_MAX as usize);
    above.into_iter().any(|other| other.id.as_str() == from)
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
    let mut marks = Vec::new();
    for _ in 0..PARENTS_MAX {
        let (parent, process) = stat(next)?;
        let own = runs.iter().find(|run| run.process == Some(process));
        if own.is_none() {
            marks.extend(marked(next));
        }
        let first = match own {
            Some(run) => Place::Within(run.id.clone()),
            None if parent == 0 => Place::Outside,
            None => {
                next = parent;
                continue;
            }
        };
        return Some(marks.into_iter().rev().fold(first, |place, mark| place.marked(mark, runs)));
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
    let text = String::from_utf8_lossy(value);
    // An id, or the path of the run's socket: the directory that it lies in has the run's name.
    let id = text.rsplit('/').nth(1).unwrap_or(&text);
    (!text.is_empty()).then(|| id.to_owned())
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
        for path in ["/h/authority/runs/r-1/sock", "runs/r-1/sock", "/r-2/r-1/sock"] {
            assert_eq!(mark(format!("REMIT_RUN={path}\0").as_bytes()).as_deref(), Some("r-1"));
        }
        let run = |text: &str| text.parse::<RunId>().unwrap();
        let place = Place::Marked("r-1".into());
        assert_eq!((place.may_ask(&run("r-1")), place.may_ask(&run("r-2"))), (true, false));
    }

    fn run(id: &str, parent: Option<&str>) -> Run {
        let parent = parent.map_or(serde_json::Value::Null, Into::into);
        serde_json::from_value(serde_json::json!({
            "id": id, "root": "r-1", "parent": parent, "agent": "spiffe://acme.example/agent/support/triage/1",
            "principal": "p-1", "key": { "kty": "OKP", "crv": "Ed25519", "x": "" }, "key_held": true, "until": 1, "at": 0,
        }))
        .unwrap()
    }

    /// Break: take the nearest mark, or the farthest.
    #[test]
    fn marks_lead_down_the_tree_of_runs_and_nowhere_else() {
        let runs = [run("r-1", None), run("r-2", Some("r-1")), run("r-3", Some("r-2")), run("r-9", None)];
        let within = |id: &str| Place::Within(id.parse().unwrap());
        let marked = |id: &str| Place::Marked(id.into());
        for (first, marks, expected) in [
            (Place::Outside, &[][..], Place::Outside),
            (Place::Outside, &["r-1"], marked("r-1")),
            (Place::Outside, &["r-1", "r-2", "r-2", "r-3"], marked("r-3")),
            (Place::Outside, &["r-1", "r-3", "r-2", "r-1"], marked("r-3")),
            (Place::Outside, &["r-2", "r-1", "r-9"], marked("r-2")),
            (Place::Outside, &["r-over", "r-1"], marked("r-over")),
            (Place::Outside, &["r-1", "r-over", "r-2", "r-1"], marked("r-over")),
            (within("r-1"), &["r-1"], within("r-1")),
            (within("r-1"), &["r-9", "r-1"], within("r-1")),
            (within("r-1"), &["r-1", "r-2", "r-1"], marked("r-2")),
            (within("r-2"), &["r-1", "r-2"], within("r-2")),
            (within("r-1"), &["r-over", "r-1"], marked("r-over")),
        ] {
            let found = marks.iter().fold(first.clone(), |place, mark| place.marked((*mark).into(), &runs));
            assert_eq!(found, expected, "{first:?} {marks:?}");
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
