//! `cargo xtask fuzz`: searches for bytes that break a property of a parser, with libFuzzer and no other tool.
//!
//! The properties stand in `crates/hostile`, the targets in `fuzz/`, and what is worth keeping in `fuzz/corpus`.
//! **Invariant:** a run that finds nothing has first found the mistakes that are planted for it.

mod build;
mod options;
mod search;
mod table;

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use crate::say;

pub(crate) use options::{Options, USAGE};
use search::{Search, Searched};

/// Searches at the same time: what two cores carry.
const WORKERS: usize = 2;
/// The target whose mistakes must be found, and their names.
const PLANTED: &str = "planted";
const MISTAKES: [&str; 3] = ["twice", "slow", "large"];
/// How long a planted mistake may stay hidden, in seconds.
const PLANTED_SECONDS_MAX: u64 = 60;

/// Whether every mistake that was planted was found, and nothing else.
pub(crate) fn run(root: &Path, options: &Options) -> io::Result<bool> {
    let known = build::targets(root)?;
    if let Some(stranger) = options.targets.iter().find(|name| !known.contains(name)) {
        return Err(io::Error::other(format!("no target `{stranger}`; there are: {}", known.join(" "))));
    }
    let wanted = |name: &&String| options.targets.is_empty() || options.targets.contains(name);
    let wanted: Vec<&String> = known.iter().filter(wanted).collect();
    say(&format!("building {} targets", wanted.len()));
    let programs = build::build(root)?;
    let sound = limits(&programs)?;
    let controls = MISTAKES.iter().map(|mistake| Search::control(root, &programs, mistake, PLANTED_SECONDS_MAX));
    let searches = wanted.iter().map(|name| Search::of(root, &programs, name, options.effort));
    let searches: Vec<Search> = controls.chain(searches).collect();
    say(&format!("{} searches, {}, {WORKERS} at a time", searches.len(), options.effort));
    let done = all(searches)?;
    say(&table::of(&done));
    let faults: Vec<String> = done.iter().filter_map(Searched::fault).collect();
    for fault in &faults {
        say(fault);
    }
    if options.keep && faults.is_empty() {
        for name in wanted {
            Search::of(root, &programs, name, options.effort).keep()?;
        }
    }
    Ok(sound && faults.is_empty())
}

/// The largest inputs of each parser, read alone.
fn limits(programs: &Path) -> io::Result<bool> {
    say("the largest inputs:");
    Ok(Command::new(programs.join("limits")).status()?.success())
}

/// Every search, a few at a time, in the order in which they were given.
fn all(searches: Vec<Search>) -> io::Result<Vec<Searched>> {
    let count = searches.len();
    let open = Mutex::new(searches.into_iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(count));
    let worker = || -> io::Result<()> {
        loop {
            let next = open.lock().map_err(|_| io::Error::other("a worker ended"))?.next();
            let Some((at, search)) = next else { return Ok(()) };
            let one = search.run()?;
            say(&one.line());
            done.lock().map_err(|_| io::Error::other("a worker ended"))?.push((at, one));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| io::Error::other("a worker ended"))?)
    })?;
    let mut done = done.into_inner().map_err(|_| io::Error::other("a worker ended"))?;
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, one)| one).collect())
}
