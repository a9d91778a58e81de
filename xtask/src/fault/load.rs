//! Callers that call without a pause, and note what they were told before they call again.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::call::{Answer, Caller};
use super::failed;
use super::oracle::Told;
use super::typed::{Run, Typed};
use super::world::World;

/// Callers at a time: their entries share groups.
const CALLERS: usize = 3;
/// Calls of one run; beyond 120 a minute it would be refused.
const CALLS_OF_RUN: usize = 110;
/// Every so many calls one that must be refused, with an entry that says why.
const REFUSED_EVERY: u64 = 9;
/// Every so many calls one with a long text.
const LONG_EVERY: u64 = 3;
/// Between two attempts while nothing answers.
const PAUSE: Duration = Duration::from_millis(20);
/// The ticket that runs may reply to.
pub(super) const TICKET: u64 = 38;
/// One that they may not.
const OTHER_TICKET: u64 = 39;

/// How callers call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// Between two calls.
    pub(super) pace: Duration,
    /// Length of a long text.
    pub(super) text_bytes: usize,
}

/// Without a pause.
pub(super) const LIGHT: Way = Way { pace: Duration::ZERO, text_bytes: 4_000 };
/// With texts that fill a segment in seconds.
pub(super) const HEAVY: Way = Way { pace: Duration::ZERO, text_bytes: 180_000 };
/// With time between two calls: a full authority grants nothing, so that what was granted before must last.
pub(super) const SLOW: Way = Way { pace: Duration::from_millis(60), text_bytes: 4_000 };

/// What callers and whoever watches them share.
#[derive(Default)]
pub(super) struct Load {
    stop: AtomicBool,
    told: Mutex<Vec<Told>>,
    broken: Mutex<Option<io::Error>>,
    /// Calls that were made.
    pub(super) made: AtomicU64,
    /// Calls that were refused because they could not be recorded.
    pub(super) unavailable: AtomicU64,
}

impl Load {
    pub(super) fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Has callers call while `during` runs, and gives what that returns.
pub(super) fn under<T>(world: &mut World, during: impl FnOnce(&mut World, &Load) -> io::Result<T>) -> io::Result<T> {
    with(world, LIGHT, during)
}

/// The same in another way.
pub(super) fn with<T>(
    world: &mut World,
    way: Way,
    during: impl FnOnce(&mut World, &Load) -> io::Result<T>,
) -> io::Result<T> {
    let load = Load::default();
    world.load += 1;
    let seen = Seen {
        gateway: world.gateway.clone(),
        number: world.load,
        notes: world.scratch.clone(),
        typed: world.typed.clone(),
        way,
    };
    let result = thread::scope(|scope| {
        for number in 0..CALLERS {
            let (load, seen) = (&load, &seen);
            scope.spawn(move || {
                if let Err(error) = caller(seen, load, number)
                    && let Ok(mut broken) = load.broken.lock()
                {
                    *broken = Some(error);
                }
            });
        }
        let result = during(world, &load);
        load.stop.store(true, Ordering::Relaxed);
        result
    });
    let told = load.told.into_inner().map_err(|_| failed("a caller panicked"))?;
    world.oracle.told.extend(told);
    match load.broken.into_inner() {
        Ok(Some(error)) => Err(error),
        _ => result,
    }
}

/// What a caller needs to know of the world.
struct Seen {
    gateway: String,
    number: u64,
    notes: std::path::PathBuf,
    typed: Typed,
    way: Way,
}

fn caller(seen: &Seen, load: &Load, number: usize) -> io::Result<()> {
    let mut notes = File::options().create(true).append(true).open(seen.notes.join(format!("told-{number}")))?;
    let mut told_to = notes.try_clone()?;
    let mut tell = |told: Told| {
        writeln!(told_to, "{told:?}")?;
        load.told.lock().map_err(|_| failed("a caller panicked"))?.push(told);
        io::Result::Ok(())
    };
    let mut turn = 0_u64;
    while !load.over() {
        // While the authority cannot record the grant there is none.
        let Ok(run) = seen.typed.request() else {
            thread::sleep(PAUSE);
            continue;
        };
        tell(Told::Granted(run.grant.clone()))?;
        let mut connection = None;
        for _ in 0..CALLS_OF_RUN {
            if load.over() {
                break;
            }
            thread::sleep(seen.way.pace);
            turn += 1;
            let id = format!("{}-{number}-{turn}", seen.number);
            match call(seen, &mut connection, &run, &id, turn) {
                Ok(Answer::Result) => {
                    tell(Told::Made(id))?;
                    load.made.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Answer::Refused(code, index)) => {
                    if let Some(index) = index.filter(|_| must_be_refused(turn)) {
                        tell(Told::Refused(id, index))?;
                    }
                    if code == "audit_unavailable" {
                        load.unavailable.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(PAUSE);
                    }
                }
                // The connection is gone, and whatever became of the call nobody was told of it.
                Err(why) => {
                    writeln!(notes, "no answer to {id}: {why}")?;
                    connection = None;
                    thread::sleep(PAUSE);
                }
            }
        }
    }
    Ok(())
}

fn call(seen: &Seen, connection: &mut Option<Caller>, run: &Run, id: &str, turn: u64) -> io::Result<Answer> {
    let caller = match connection {
        Some(caller) => caller,
        none => none.insert(Caller::connect(&seen.gateway, &run.authorization)?),
    };
    one(caller, id, turn, seen.way.text_bytes)
}

fn one(caller: &mut Caller, id: &str, turn: u64, bytes: usize) -> io::Result<Answer> {
    if must_be_refused(turn) {
        return caller.call(id, "reply_to_customer", &json!({ "id": OTHER_TICKET, "text": id }));
    }
    let long = if turn.is_multiple_of(LONG_EVERY) { "x".repeat(bytes) } else { String::new() };
    caller.call(id, "reply_to_customer", &json!({ "id": TICKET, "text": format!("{id} {long}") }))
}

fn must_be_refused(turn: u64) -> bool {
    turn.is_multiple_of(REFUSED_EVERY)
}
