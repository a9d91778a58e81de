//! Mistakes that are made on purpose with the real binary, or with what the oracle is told of it: each must be found.
//!
//! What only a power cut shows (no fsync, no directory sync, a vault that is written late, a recycled segment with stale
//! frames) is found on the simulated disk: as long as the kernel lives, its page cache hides it from every other method.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::oracle::Told;
use super::syscalls::under_load;
use super::tracer::Role;
use super::workers::scratch;
use super::world::World;
use super::{failed, load};
use crate::say;

/// What the method of the syscalls says of its controls.
pub(super) const OF_SYSCALLS: &str = "1 control caught";
/// What the method of the kills says of its controls.
pub(super) const OF_KILL: &str = "6 controls caught";

/// How long callers call before a mistake is made.
const WHILE: Duration = Duration::from_millis(400);
/// How much is told of how it was found.
const WORDS_MAX: usize = 120;
/// How often a mistake is made anew that may have hit nothing that anybody was told of.
const TRIES: usize = 5;

/// The kernel is made to say that a write was done which was not: what an acknowledgement before the write would leave.
pub(super) fn of_syscalls(root: &Path) -> io::Result<()> {
    attempt(root, "acknowledge before write", |world| {
        if !under_load(world, Role::GatewayCommit, "pwrite64", "pwrite64:retval=64:when=4")? {
            return Err(failed("no write was left out"));
        }
        Ok(world.recover().err())
    })
}

pub(super) fn of_kill(root: &Path) -> io::Result<()> {
    attempt(root, "flip in the last acknowledged group", |world| damaged(world, |byte| byte ^ 0x10))?;
    attempt(root, "the last acknowledged group is gone", |world| damaged(world, |_| 0))?;
    let dir = scratch("controls");
    let mut world = World::new(root, &dir, &dir.join("home"))?;
    calls(&mut world)?;
    world.finish()?;
    let mut other = world.oracle.clone();
    other.told.push(Told::Made("never".into()));
    found("acknowledge before write", other.check())?;
    let mut other = world.oracle.clone();
    other.effects.push("never".into());
    found("a ledger with an effect more", other.check())?;
    let mut other = world.oracle.without_last_outcome();
    found("an intent left open", other.read(&world.typed.home))?;
    let key = std::fs::read_dir(world.typed.home.join("gateway/vault/keys"))?.flatten().next();
    let key = key.ok_or_else(|| failed("the vault has no key"))?;
    std::fs::remove_file(key.path())?;
    found("a key of the vault that was never written", world.disclosures())?;
    std::fs::remove_dir_all(&dir)
}

/// Makes a mistake in a home of its own until it is found.
fn attempt(root: &Path, name: &str, mistake: impl Fn(&mut World) -> io::Result<Option<io::Error>>) -> io::Result<()> {
    for _ in 0..TRIES {
        let dir = scratch("control");
        let mut world = World::new(root, &dir, &dir.join("home"))?;
        let why = mistake(&mut world)?;
        drop(world);
        std::fs::remove_dir_all(&dir)?;
        if let Some(why) = why {
            return found(name, Err(why));
        }
    }
    found(name, Ok(()))
}

fn found(name: &str, result: io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) => Err(failed(format!("control NOT CAUGHT: {name}"))),
        Err(why) => {
            let why: String = why.to_string().trim().chars().take(WORDS_MAX).collect();
            say(&format!("control caught: {name} ({why})"));
            Ok(())
        }
    }
}

fn calls(world: &mut World) -> io::Result<()> {
    load::under(world, |_, _| {
        thread::sleep(WHILE);
        Ok(())
    })
}

/// Every caller was answered; then the process is killed, and the newest bytes of its log are changed.
fn damaged(world: &mut World, change: impl Fn(u8) -> u8) -> io::Result<Option<io::Error>> {
    /// Within the last frame, which is a signed footer.
    const BEFORE_END: u64 = 60;
    calls(world)?;
    world.kill()?;
    let (segment, end) = world.segment()?;
    let file = std::fs::File::options().read(true).write(true).open(segment)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, end.saturating_sub(BEFORE_END))?;
    file.write_all_at(&byte.map(change), end.saturating_sub(BEFORE_END))?;
    Ok(world.recover().err())
}
