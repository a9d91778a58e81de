//! Several homes at a time, each with one fault after another: most of the time is spent waiting for a disk or a start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use super::failed;
use super::world::World;
use crate::say;

/// Homes at a time.
const WORKERS: usize = 4;
/// Faults of one home, before another one begins: its log grows, and all of it is read at each start.
const FAULTS_OF_HOME: usize = 25;
/// Failures after which the rest is left alone.
const FAILURES_MAX: usize = 5;

/// A scratch directory of this process. What failed in it stays for whoever looks.
pub(super) fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("remit-fault-{}", std::process::id())).join(name)
}

struct Shared<'a, T, R> {
    name: &'a str,
    next: Mutex<std::slice::Iter<'a, T>>,
    done: Mutex<Vec<R>>,
    failures: Mutex<Vec<String>>,
    all: usize,
}

/// Runs each item in a home that is up and was checked, and leaves it so. Ends every home cleanly, and checks it whole.
pub(super) fn share<T: Sync + std::fmt::Debug, R: Send>(
    root: &Path,
    name: &str,
    items: &[T],
    each: &(impl Fn(&mut World, &T) -> io::Result<R> + Sync),
) -> io::Result<Vec<R>> {
    let shared = Shared {
        name,
        next: Mutex::new(items.iter()),
        done: Mutex::default(),
        failures: Mutex::default(),
        all: items.len(),
    };
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let shared = &shared;
            scope.spawn(move || work(root, worker, shared, each));
        }
    });
    let failures = shared.failures.into_inner().map_err(|_| failed("a worker panicked"))?;
    if !failures.is_empty() {
        let where_ = scratch("").display().to_string();
        return Err(failed(format!(
            "{} of {} failed; what is left of them is in {where_}",
            failures.len(),
            items.len()
        )));
    }
    std::fs::remove_dir_all(scratch(name)).ok();
    shared.done.into_inner().map_err(|_| failed("a worker panicked"))
}

fn work<T: std::fmt::Debug, R>(
    root: &Path,
    worker: usize,
    shared: &Shared<'_, T, R>,
    each: &impl Fn(&mut World, &T) -> io::Result<R>,
) {
    let mut homes = 0;
    loop {
        homes += 1;
        let dir = scratch(shared.name).join(format!("{worker}-{homes}"));
        match home(root, &dir, shared, each) {
            Ok(true) => {
                // Nothing went wrong in it.
                std::fs::remove_dir_all(&dir).ok();
            }
            Ok(false) => return,
            Err(why) => {
                say(&format!("FAILED {why}, see {}", dir.display()));
                let Ok(mut failures) = shared.failures.lock() else { return };
                failures.push(why);
                if failures.len() >= FAILURES_MAX {
                    return;
                }
            }
        }
    }
}

/// The life of one home; false where nothing was left to do.
fn home<T: std::fmt::Debug, R>(
    root: &Path,
    dir: &Path,
    shared: &Shared<'_, T, R>,
    each: &impl Fn(&mut World, &T) -> io::Result<R>,
) -> Result<bool, String> {
    let mut world = None;
    for _ in 0..FAULTS_OF_HOME {
        let Some(item) = shared.next.lock().ok().and_then(|mut next| next.next()) else { break };
        let up = match world.take() {
            Some(up) => up,
            None => World::new(root, dir, &dir.join("home")).map_err(|error| format!("a new home: {error}"))?,
        };
        let up = world.insert(up);
        let result = each(up, item).map_err(|error| format!("{item:?}: {error}"))?;
        let Ok(mut done) = shared.done.lock() else { break };
        done.push(result);
        if done.len().is_multiple_of((shared.all / 10).max(1)) {
            say(&format!("{} of {} {}", done.len(), shared.all, shared.name));
        }
    }
    let Some(mut world) = world else { return Ok(false) };
    world.finish().map_err(|error| format!("at the end of a home: {error}"))?;
    Ok(true)
}
