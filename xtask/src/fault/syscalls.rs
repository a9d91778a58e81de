//! One fault at each single file syscall of the real binary: at its start, and under load.
//!
//! First every file syscall of every thread that writes is counted, on a home like those that follow. Then for each of
//! them, one at a time, `strace` makes the kernel say EIO, ENOSPC or EINTR without doing it, or kills the process there.
//! Short writes are real ones: a limit on the size of files makes the kernel write less than it was asked to.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::tracer::{self, Role, Tracer};
use super::workers::{scratch, share};
use super::world::{LOOK_EVERY, World};
use super::{Done, Form, controls, failed, load};
use crate::say;

/// How long a fault is waited for: tiles are published every second.
const COMES_WITHIN: Duration = Duration::from_millis(3_500);
/// And so long for a segment to be full.
const FILLED_WITHIN: Duration = Duration::from_secs(15);
/// What the thread that writes groups does only when it takes another segment.
const FILLING: [(Role, &str, usize); 5] = [
    (Role::GatewayCommit, "rename", 1),
    (Role::GatewayCommit, "openat", 1),
    (Role::GatewayCommit, "fsync", 1),
    (Role::GatewayCommit, "rename", 2),
    (Role::GatewayPublish, "pwrite64", 40),
];
/// How long callers go on after it.
const AFTERWARDS: Duration = Duration::from_millis(200);
/// How long a start with a fault in it is watched.
const START_MAX: Duration = Duration::from_secs(20);
/// How long the syscalls are counted.
const SURVEY: Duration = Duration::from_secs(4);
/// Of the occurrences of one syscall in one thread, the first ones: later ones are the same again.
const OCCURRENCES_MAX: usize = 12;
/// A start makes each step for each of the two logs.
const OCCURRENCES_OF_START_MAX: usize = 24;
/// Calls that are made before it is set.
const CALLS_BEFORE: u64 = 12;
/// Groups that are written while the limit is being set.
const AHEAD_BYTES: u64 = 100_000;
const SHORT_FAULTS: usize = 84;
const SHORT_TOOK_MIN: usize = 60;
const LONG_TOOK_MIN: usize = 500;
/// Faults that did not come, as far as they are told.
const MISSED_TOLD_MAX: usize = 20;
/// Short writes that are tried.
const SHORT_WRITES: [usize; 2] = [6, 30];

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// The syscall is not made, and the program is told this.
    Error(&'static str),
    /// The process is killed as it enters the syscall.
    Kill,
}

const HOWS: [How; 4] = [How::Error("EIO"), How::Error("ENOSPC"), How::Error("EINTR"), How::Kill];

/// One fault.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// At one occurrence of one syscall of one thread.
    At { role: Role, syscall: &'static str, nth: usize, how: How },
    /// The same while segments are filled, taken into use and recycled.
    Filling { role: Role, syscall: &'static str, nth: usize, how: How },
    /// A group that is written so far and no further, and everything behind it.
    ShortWrite { bytes: u64 },
}

pub(super) fn run(root: &Path, form: Form) -> io::Result<Done> {
    if let Some(why) = tracer::lack() {
        return Ok(Done::Skipped(why));
    }
    controls::of_syscalls(root)?;
    let places = survey(root)?;
    let count: usize = places.values().map(Vec::len).sum();
    say(&format!("{count} places of {} syscalls in {} threads", kinds(&places), Role::SERVING.len() + 1));
    let faults = choose(&places, form);
    let took = share(root, "syscalls", &faults, &|world, fault| make(world, fault).map(|took| (fault.clone(), took)))?;
    let effective = took.iter().filter(|(_, took)| *took).count();
    for (fault, _) in took.iter().filter(|(_, took)| !*took).take(MISSED_TOLD_MAX) {
        say(&format!("it did not come to {fault:?}"));
    }
    let least = if form == Form::Short { SHORT_TOOK_MIN } else { LONG_TOOK_MIN };
    if effective < least {
        return Err(failed(format!("only {effective} of {} faults took effect", faults.len())));
    }
    Ok(Done::Well(format!(
        "{effective} of {} faults took effect ({}); {}",
        faults.len(),
        tally(&took),
        controls::OF_SYSCALLS
    )))
}

/// How many took effect of each kind.
fn tally(took: &[(Fault, bool)]) -> String {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (fault, _) in took.iter().filter(|(_, took)| *took) {
        let kind = match fault {
            Fault::At { how: How::Error(name), .. } | Fault::Filling { how: How::Error(name), .. } => {
                (*name).to_owned()
            }
            Fault::At { how: How::Kill, .. } | Fault::Filling { how: How::Kill, .. } => "KILL".to_owned(),
            Fault::ShortWrite { .. } => "short write".to_owned(),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

/// Where faults can be: occurrences of syscalls on files of the home, by thread.
pub(super) type Places = BTreeMap<Role, Vec<(&'static str, usize)>>;

fn kinds(places: &Places) -> usize {
    places.values().flatten().map(|(name, _)| name).collect::<std::collections::BTreeSet<_>>().len()
}

/// Counts them, once under load and once at a start after a kill.
pub(super) fn survey(root: &Path) -> io::Result<Places> {
    let dir = scratch("survey");
    let mut world = World::new(root, &dir, &dir.join("home"))?;
    let all = tracer::SYSCALLS.join(",");
    let mut places = Places::new();
    load::under(&mut world, |world, _| {
        let attach = |role: Role| {
            let out = world.scratch.join(format!("{role:?}"));
            Ok((role, Tracer::attach(role.thread(world.pid()?)?, &out, &all, None)?))
        };
        let tracers = Role::SERVING.into_iter().map(attach).collect::<io::Result<Vec<_>>>()?;
        thread::sleep(SURVEY);
        for (role, tracer) in tracers {
            places.insert(role, of_lines(&tracer.detach()?, &world.typed.home, OCCURRENCES_MAX));
        }
        Ok(())
    })?;
    world.kill()?;
    let out = world.scratch.join("start");
    start_behind(&mut world, &out, &all, None)?;
    places.insert(Role::Start, of_lines(&tracer::lines(&out)?, &world.typed.home, OCCURRENCES_OF_START_MAX));
    world.recover()?;
    std::fs::remove_dir_all(&dir)?;
    Ok(places)
}

/// Occurrences of each syscall, as `strace` will count them, where they are about files of the home.
fn of_lines(lines: &[String], home: &Path, most: usize) -> Vec<(&'static str, usize)> {
    let home = home.display().to_string();
    let mut counts: BTreeMap<&'static str, (usize, usize)> = BTreeMap::new();
    let mut places = Vec::new();
    for line in lines {
        let Some(name) = tracer::name(line) else { continue };
        let (all, ours) = counts.entry(name).or_default();
        *all += 1;
        if line.contains(&home) && *ours < most {
            *ours += 1;
            places.push((name, *all));
        }
    }
    places
}

/// Each place with each kind of fault; in the short form as many of them as are wanted, spread over all.
fn choose(places: &Places, form: Form) -> Vec<Fault> {
    let places = places.iter().flat_map(|(role, places)| places.iter().map(|place| (*role, *place)));
    let places: Vec<(Role, (&'static str, usize))> = places.collect();
    let (wanted, short_writes) = match form {
        Form::Short => (SHORT_FAULTS, SHORT_WRITES[0]),
        Form::Long => (places.len() * HOWS.len(), SHORT_WRITES[1]),
    };
    let at = |turn: usize| {
        let (role, (syscall, nth)) = *places.get(turn * places.len() / wanted)?;
        let how = *HOWS.get(turn % HOWS.len())?;
        Some(Fault::At { role, syscall, nth, how })
    };
    let mut chosen: Vec<Fault> = (0..wanted).filter_map(at).collect();
    for (turn, (role, syscall, nth)) in FILLING.into_iter().enumerate() {
        let all = HOWS.into_iter().map(|how| Fault::Filling { role, syscall, nth, how });
        let one = if form == Form::Short { turn % HOWS.len()..turn % HOWS.len() + 1 } else { 0..HOWS.len() };
        chosen.extend(all.skip(one.start).take(one.len()));
    }
    // Within the head of a frame, within an entry, within what follows.
    chosen.extend((0..short_writes as u64).map(|turn| Fault::ShortWrite { bytes: 1 + turn * turn * 37 % 5_000 }));
    chosen
}

/// Makes it happen to a home that is up, and has it recover; says whether it took effect.
fn make(world: &mut World, fault: &Fault) -> io::Result<bool> {
    let took = match fault {
        Fault::At { role: Role::Start, syscall, nth, how } => at_start(world, syscall, &inject(syscall, *nth, *how)),
        Fault::At { role, syscall, nth, how } => under_load(world, *role, syscall, &inject(syscall, *nth, *how)),
        Fault::Filling { role, syscall, nth, how } => filling(world, *role, syscall, &inject(syscall, *nth, *how)),
        Fault::ShortWrite { bytes } => short_write(world, *bytes),
    }?;
    world.recover()?;
    Ok(took)
}

fn inject(syscall: &str, nth: usize, how: How) -> String {
    match how {
        How::Error(name) => format!("{syscall}:error={name}:when={nth}"),
        How::Kill => format!("{syscall}:signal=KILL:when={nth}"),
    }
}

/// At a start that has something to recover.
fn at_start(world: &mut World, syscall: &str, inject: &str) -> io::Result<bool> {
    load::under(world, |_, _| {
        thread::sleep(AFTERWARDS);
        Ok(())
    })?;
    world.kill()?;
    let out = world.scratch.join("trace");
    start_behind(world, &out, syscall, Some(inject))?;
    Ok(tracer::lines(&out)?.iter().any(|line| tracer::injected(line)))
}

/// Starts it behind `strace`, and kills it when it is ready, unless it has ended by itself.
fn start_behind(world: &mut World, out: &Path, trace: &str, inject: Option<&str>) -> io::Result<()> {
    let mut words = tracer::words(out, trace, inject);
    // So that the process is our child, and not that of strace.
    words.insert(1, "-D".into());
    world.spawn(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    let until = Instant::now() + START_MAX;
    while Instant::now() < until && world.ended()?.is_none() && !world.ready() {
        thread::sleep(LOOK_EVERY);
    }
    let ready = world.ended()?.is_none();
    if ready {
        load::under(world, |_, _| {
            thread::sleep(AFTERWARDS);
            Ok(())
        })?;
    }
    world.kill()
}

/// While callers call.
pub(super) fn under_load(world: &mut World, role: Role, syscall: &str, inject: &str) -> io::Result<bool> {
    loaded(world, load::LIGHT, (role, syscall, inject), COMES_WITHIN)
}

/// While callers fill segments.
fn filling(world: &mut World, role: Role, syscall: &str, inject: &str) -> io::Result<bool> {
    loaded(world, load::HEAVY, (role, syscall, inject), FILLED_WITHIN)
}

fn loaded(
    world: &mut World,
    way: load::Way,
    (role, syscall, inject): (Role, &str, &str),
    within: Duration,
) -> io::Result<bool> {
    let out = world.scratch.join("trace");
    let took = load::with(world, way, |world, _| {
        let mut tracer = Tracer::attach(role.thread(world.pid()?)?, &out, syscall, Some(inject))?;
        let took = tracer.wait(Instant::now() + within, tracer::injected)?;
        if took {
            thread::sleep(AFTERWARDS);
        }
        tracer.detach()?;
        Ok(took)
    })?;
    world.kill()?;
    Ok(took)
}

/// The kernel writes no byte beyond the limit: of the group that crosses it only the beginning.
fn short_write(world: &mut World, bytes: u64) -> io::Result<bool> {
    // With the signal ignored the write that follows fails with EFBIG; otherwise it would be a mere kill.
    world.kill()?;
    world.spawn(&["env", "--ignore-signal=XFSZ"])?;
    let until = Instant::now() + START_MAX;
    while Instant::now() < until && !world.ready() {
        thread::sleep(LOOK_EVERY);
    }
    let (out, other) = (world.scratch.join("trace"), world.scratch.join("trace-publish"));
    load::under(world, |world, load| {
        // Every caller has its run: with the limit the authority's database takes no other.
        while load.made.load(Ordering::Relaxed) < CALLS_BEFORE && Instant::now() < until {
            thread::sleep(LOOK_EVERY);
        }
        let pid = world.pid()?;
        // Whoever comes to the limit first.
        let threads = [(Role::GatewayCommit, &out), (Role::GatewayPublish, &other)];
        let attach = |(role, out): (Role, &PathBuf)| Tracer::attach(role.thread(pid)?, out, "pwrite64", None);
        let mut tracers = threads.into_iter().map(attach).collect::<io::Result<Vec<_>>>()?;
        let (_, end) = world.segment()?;
        let limit = format!("--fsize={}", end + AHEAD_BYTES + bytes);
        let set = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status()?;
        if !set.success() {
            return Err(failed("prlimit does not set a limit"));
        }
        let until = Instant::now() + COMES_WITHIN;
        let mut took = false;
        while !took && Instant::now() < until {
            for tracer in &mut tracers {
                took |= tracer.wait(Instant::now() + 4 * LOOK_EVERY, tracer::short)?;
            }
        }
        thread::sleep(AFTERWARDS);
        for tracer in tracers {
            tracer.detach()?;
        }
        Ok(took)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_home_are_places() {
        let lines = [
            "openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY) = 3</etc/passwd>",
            "openat(AT_FDCWD, \"/h/log\", O_RDONLY) = 3</h/log>",
            "fsync(3</h/log>) = 0",
            "openat(AT_FDCWD, \"/h/log\", O_RDONLY) = 3</h/log>",
        ];
        let lines = lines.map(ToOwned::to_owned);
        assert_eq!(of_lines(&lines, Path::new("/h"), 9), [("openat", 2), ("fsync", 1), ("openat", 3)]);
        assert_eq!(of_lines(&lines, Path::new("/h"), 1), [("openat", 2), ("fsync", 1)]);
    }

    #[test]
    fn the_short_form_is_spread_over_all_threads() {
        let many: Vec<(&'static str, usize)> = (1..=60).map(|nth| ("openat", nth)).collect();
        let places: Places = [(Role::Start, many.clone()), (Role::GatewayCommit, many)].into();
        let chosen = choose(&places, Form::Short);
        assert_eq!(chosen.len(), SHORT_FAULTS + FILLING.len() + SHORT_WRITES[0]);
        let start = chosen.iter().filter(|fault| matches!(fault, Fault::At { role: Role::Start, .. })).count();
        assert_eq!(start, SHORT_FAULTS / 2);
        assert_eq!(choose(&places, Form::Long).len(), 480 + 4 * FILLING.len() + SHORT_WRITES[1]);
    }
}
