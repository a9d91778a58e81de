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

use std::io::Read;

use remit_core::claims::DELEGATION_DEPTH_MAX;
use remit_core::id::RunId;
use tokio::net::UnixStream;

use crate::authority::State;
use crate::change::{Process, Run};
use crate::error::AuthorityError;
use crate::store::Store;

/// Deepest chain of parents that is followed, in processes; who is deeper is refused.
const PARENTS_MAX: usize = 1_024;

/// Longest environment that is read, in bytes: more than the kernel lets one process be started with. Who has made
/// itself a longer one is refused.
const ENVIRON_BYTES_MAX: u64 = 8 << 20;
const RUN: &[u8] = b"REMIT_RUN=";

/// A process that connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

/// Where a process belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

impl State {
    /// Where a process belongs; nothing where its parents cannot all be read.
    pub(crate) fn place(&self, pid: i32) -> Result<Option<Place>, AuthorityError> {
        // All that is read of processes is read before the lock is taken: some of it can be made slow by them.
        let line: Vec<Option<Step>> = line(pid, stat).collect();
        let runs = concerned(self.core().journal.store(), &line, self.config.clock.now())?;
        Ok(placed(&line, &runs))
    }
}

/// One process of those that another descends from.
struct Step {
    process: Process,
    parent: i32,
    /// What it was started with in `REMIT_RUN`.
    mark: Option<String>,
}

fn line<S>(pid: i32, stat: S) -> impl Iterator<Item = Option<Step>>
where
    S: Fn(i32) -> Option<(i32, Process)>,
{
    let step = |(parent, process): (i32, Process)| Step { process, parent, mark: marked(process.pid) };
    parents(pid, stat).map(move |found| found.map(step))
}

/// Live runs that a line of processes speaks of, and those that these descend from.
fn concerned(store: &Store, line: &[Option<Step>], now: i64) -> Result<Vec<Run>, AuthorityError> {
    let mut runs: Vec<Run> = Vec::new();
    for step in line.iter().flatten() {
        runs.extend(store.live_run_of(step.process, now)?);
        let mark = step.mark.as_deref().and_then(|mark| RunId::new(mark).ok());
        if let Some(mark) = mark.filter(|mark| runs.iter().all(|run| run.id != *mark)) {
            runs.extend(store.live_line(&mark, now)?);
        }
    }
    Ok(runs)
}

fn placed(line: &[Option<Step>], runs: &[Run]) -> Option<Place> {
    let mut marks = Vec::new();
    for step in line {
        let step = step.as_ref()?;
        let own = runs.iter().find(|run| run.process == Some(step.process));
        if own.is_none() {
            marks.extend(step.mark.clone());
        }
        let first = match own {
            Some(run) => Place::Within(run.id.clone()),
            None if step.parent == 0 => Place::Outside,
            None => continue,
        };
        return Some(marks.into_iter().rev().fold(first, |place, mark| place.marked(mark, runs)));
    }
    None
}

/// A process and those that it descends from, each with its parent: up to the first, to one that cannot be read, or as
/// far as is followed at all.
fn parents<S>(pid: i32, stat: S) -> impl Iterator<Item = Option<(i32, Process)>>
where
    S: Fn(i32) -> Option<(i32, Process)>,
{
    let mut next = Some(pid);
    let step = move || {
        let step = stat(next?);
        next = step.map(|(parent, _)| parent).filter(|parent| *parent != 0);
        Some(step)
    };
    std::iter::from_fn(step).take(PARENTS_MAX)
}

/// What a process was started with in `REMIT_RUN`. A run that is over still marks whoever it started. Nothing where the
/// environment cannot be read: such a process is another user's, and no agent's.
fn marked(pid: i32) -> Option<String> {
    mark_in(std::fs::File::open(format!("/proc/{pid}/environ")).ok()?)
}

fn mark_in(environ: impl Read) -> Option<String> {
    let mut bytes = Vec::new();
    let read = environ.take(ENVIRON_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    // The kernel starts nobody with so much: it is of the process's own making, and makes it nobody's.
    if read as u64 > ENVIRON_BYTES_MAX { Some(String::new()) } else { mark(&bytes) }
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
    let mut line = parents(pid, stat).map_while(|step| step).map(|(_, process)| process);
    let first = line.next()?;
    (first.pid == ancestor || line.any(|process| process.pid == ancestor)).then_some(first)
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

    /// Break: look up the runs that are named and not those between them; take another process of the same number for the run's.
    #[test]
    fn of_all_runs_those_are_looked_up_that_a_line_of_processes_concerns() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db")).unwrap();
        let below = |id: &str, parent: &str, lin: &[&str]| Run {
            lin: lin.iter().map(ToString::to_string).collect(),
            ..run(id, Some(parent))
        };
        for run in [
            Run { process: Some(Process { pid: 50, started: 7 }), ..run("r-1", None) },
            below("r-2", "r-1", &["t-1"]),
            below("r-3", "r-2", &["t-1", "t-2"]),
            run("r-9", None),
        ] {
            store.put(&run);
        }
        let step = |pid, started, parent, mark: Option<&str>| {
            Some(Step { process: Process { pid, started }, parent, mark: mark.map(ToOwned::to_owned) })
        };
        let check = |line: &[Option<Step>], expected: Place| {
            let runs = concerned(&store, line, 0).unwrap();
            assert!(runs.iter().all(|run| run.id.as_str() != "r-9"));
            assert_eq!(placed(line, &runs), Some(expected));
        };
        // The run between the two is named by nobody.
        check(&[step(60, 1, 50, Some("r-3")), step(50, 7, 0, None)], Place::Marked("r-3".into()));
        check(&[step(60, 1, 50, None), step(50, 7, 0, None)], Place::Within("r-1".parse().unwrap()));
        check(&[step(60, 1, 50, None), step(50, 8, 0, None)], Place::Outside);
    }

    /// Break: follow parents for as long as there are any, or take who is too deep for one from outside.
    #[test]
    fn a_process_below_more_parents_than_are_followed_is_refused() {
        // Beyond any that there are: nothing is known of them but what is said here.
        let (first, last) = (1 << 30, |depth: usize| (1 << 30) + i32::try_from(depth).unwrap() - 1);
        let below = |pid: i32| Some((if pid == first { 0 } else { pid - 1 }, Process { pid, started: 1 }));
        let placed = |line: Vec<Option<Step>>| placed(&line, &[]);
        assert_eq!(placed(line(last(1_024), below).collect()), Some(Place::Outside));
        assert_eq!(placed(line(last(1_025), below).collect()), None);
        let seen = std::cell::Cell::new(0);
        let endless = |pid| {
            seen.set(seen.get() + 1);
            Some((pid, Process { pid, started: 1 }))
        };
        assert_eq!(placed(line(first, endless).collect()), None);
        assert_eq!(seen.get(), 1_024);
    }

    /// Break: read what a process has put there for as long as it goes on, or take the rest for no mark.
    #[test]
    fn an_environment_that_nobody_was_started_with_is_nobodys() {
        let limit = 8 << 20;
        let environ =
            |bytes: usize| b"REMIT_RUN=r-1\0B=".iter().copied().chain(std::iter::repeat(b'x')).take(bytes).collect();
        let mark = |environ: Vec<u8>| mark_in(environ.as_slice());
        assert_eq!(mark(environ(limit)).as_deref(), Some("r-1"));
        let longer = mark(environ(limit + 1)).unwrap();
        let place = Place::Outside.marked(longer, &[run("r-1", None)]);
        assert!(place != Place::Outside && !place.may_ask(&"r-1".parse().unwrap()), "{place:?}");
        let mut endless = std::io::repeat(b'x').take(16 << 20);
        mark_in(&mut endless).unwrap();
        assert_eq!(endless.limit(), (8 << 20) - 1, "what is beyond the limit was read");
    }

    #[test]
    fn our_own_parents_can_be_followed_to_the_first_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        let place = |pid| placed(&line(pid, stat).collect::<Vec<_>>(), &[]);
        assert_eq!(place(own), Some(Place::Outside));
        assert!(descendant(own, own).is_some());
        assert!(descendant(std::os::unix::process::parent_id().try_into().unwrap(), own).is_none());
        assert_eq!(place(0), None);
    }
}
