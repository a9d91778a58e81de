//! A disk that is full, again and again: new calls are refused before anything is lost, outcomes of calls in flight are
//! recorded in the space that is held back, and it goes on by itself once there is room.
//!
//! The disk is a small tmpfs in a namespace of its own, in which `xtask` runs itself again.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::call::{Answer, Caller};
use super::load;
use super::oracle::Told;
use super::workers::scratch;
use super::world::{LOOK_EVERY, World};
use super::{Done, Form, failed, simulated};
use crate::say;

/// Twice a reserve of 64 MiB and two segments of 16 MiB, and room for what they become.
const DISK: &str = "size=240m";
/// What the tmpfs is filled up by at a time, down to a page.
const CHUNKS: [usize; 3] = [1 << 20, 64 << 10, 4 << 10];
/// How long a call stays in flight.
const FLIGHT_S: u64 = 3;
/// Within this time calls are refused once the disk is full, and made once it is not. The goal is 5 s on a quiet machine.
const TURNS_WITHIN: Duration = Duration::from_secs(20);
/// How long the control waits for a refusal that must not come.
const NEVER_WITHIN: Duration = Duration::from_secs(2);
/// Every so many cycles it is killed while the disk is full, and started while it is.
const KILL_EVERY: usize = 4;

/// Runs within a namespace, where one can be had.
pub(super) fn run(_root: &Path, form: Form) -> io::Result<Done> {
    let tried = Command::new("unshare").args(["-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    match tried {
        Err(error) => return Ok(Done::Skipped(format!("unshare: {error}"))),
        Ok(output) if !output.status.success() => {
            return Ok(Done::Skipped(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(_) => {}
    }
    let mut again = Command::new("unshare");
    again.args(["-Urm", "--"]).arg(std::env::current_exe()?).args(["fault", "--mounted"]);
    if form == Form::Long {
        again.arg("--long");
    }
    simulated::counts(&mut again).map(Done::Well)
}

/// Within it.
pub(super) fn mounted(root: &Path, form: Form) -> io::Result<String> {
    let cycles = match form {
        Form::Short => 6,
        Form::Long => 200,
    };
    let (dir, disk) = (scratch("full"), scratch("full").join("disk"));
    std::fs::create_dir_all(&disk)?;
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&disk).status()?;
    if !mount.success() {
        return Err(failed("tmpfs is not mounted"));
    }
    let mut world = World::new(root, &dir, &disk.join("home"))?;
    control(&mut world)?;
    let (mut slowest, mut refused) = (Duration::ZERO, 0);
    for cycle in 0..cycles {
        let (calls, resumed) =
            fill(&mut world, &disk, cycle).map_err(|error| failed(format!("cycle {cycle}: {error}")))?;
        slowest = slowest.max(resumed);
        refused += calls;
        if (cycle + 1) % (cycles / 10).max(1) == 0 {
            say(&format!("{} of {cycles} full", cycle + 1));
        }
    }
    world.finish()?;
    drop(world);
    Command::new("umount").arg(&disk).status()?;
    std::fs::remove_dir_all(&dir)?;
    let resumed = slowest.as_millis();
    Ok(format!(
        "the disk was full {cycles} times; {refused} calls refused, {cycles} outcomes from the reserve, {} kills while it was \
         full; went on within {resumed} ms; 2 controls caught",
        cycles / KILL_EVERY
    ))
}

/// A disk that is not full refuses nothing; and who tells of a call that was never made is found.
fn control(world: &mut World) -> io::Result<()> {
    let refused = load::with(world, load::SLOW, |_, load| rises(&load.unavailable, NEVER_WITHIN));
    if refused.is_ok() {
        return Err(failed("control NOT CAUGHT: a disk with room refuses calls"));
    }
    say("control caught: a disk that is not full");
    world.recover()?;
    let mut other = world.oracle.clone();
    other.told.push(Told::Landed("never".into()));
    match other.check() {
        Ok(()) => Err(failed("control NOT CAUGHT: acknowledge before write")),
        Err(why) => {
            say(&format!("control caught: acknowledge before write ({why})"));
            Ok(())
        }
    }
}

/// One cycle: how many calls were refused, and how long it took to go on.
fn fill(world: &mut World, disk: &Path, cycle: usize) -> io::Result<(u64, Duration)> {
    let filler = disk.join("filler");
    let kill = cycle % KILL_EVERY == KILL_EVERY - 1;
    let (refused, resumed) = load::with(world, load::SLOW, |world, load| {
        rises(&load.made, TURNS_WITHIN).map_err(|_| failed("no call is made"))?;
        let id = format!("flight-{}-{cycle}", world.load);
        let run = world.typed.request()?;
        let mut caller = Caller::connect(&world.gateway, &run.authorization)?;
        let flight = thread::spawn({
            let id = id.clone();
            move || caller.call(&id, "watch_ticket", &json!({ "id": load::TICKET, "seconds": FLIGHT_S }))
        });
        let before = load.unavailable.load(Ordering::Relaxed);
        take_all(&filler)?;
        rises(&load.unavailable, TURNS_WITHIN).map_err(|_| failed("the disk is full, and no call is refused"))?;
        let landed = flight.join().map_err(|_| failed("the caller panicked"))?;
        if landed.as_ref().ok() != Some(&Answer::Result) {
            return Err(failed(format!("the outcome of the call in flight: {landed:?}")));
        }
        world.oracle.told.push(Told::Landed(id));
        if kill {
            world.kill()?;
        }
        let refused = load.unavailable.load(Ordering::Relaxed) - before;
        if kill {
            return Ok((refused, Duration::ZERO));
        }
        std::fs::remove_file(&filler)?;
        let freed = Instant::now();
        rises(&load.made, TURNS_WITHIN).map_err(|_| failed("there is room, and it does not go on"))?;
        Ok((refused, freed.elapsed()))
    })?;
    if kill {
        start_while_full(world)?;
        std::fs::remove_file(&filler)?;
        world.recover()?;
    }
    Ok((refused, resumed))
}

/// It may refuse to start as long as there is no room; what it must not do is lose anything by trying.
fn start_while_full(world: &mut World) -> io::Result<()> {
    world.spawn(&[])?;
    let until = Instant::now() + NEVER_WITHIN;
    while Instant::now() < until && world.ended()?.is_none() && !world.ready() {
        thread::sleep(LOOK_EVERY);
    }
    world.kill()
}

/// Takes all space that is left.
fn take_all(filler: &Path) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).open(filler)?;
    for bytes in CHUNKS {
        let chunk = vec![1; bytes];
        while file.write(&chunk).is_ok_and(|written| written > 0) {}
    }
    Ok(())
}

/// Waits until a count rises.
fn rises(count: &AtomicU64, within: Duration) -> io::Result<()> {
    let (before, until) = (count.load(Ordering::Relaxed), Instant::now() + within);
    while count.load(Ordering::Relaxed) == before {
        if Instant::now() > until {
            return Err(failed("nothing comes"));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
