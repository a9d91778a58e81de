//! `kill -9` of the real binary under load, again and again: half of the time at any moment, also while it starts, and
//! half of the time as it enters a chosen syscall of a chosen thread, which needs no code in the product.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::syscalls::under_load;
use super::tracer::{self, Role};
use super::workers::share;
use super::world::World;
use super::{Form, controls, load};

/// Longest time after a start at which it is killed.
const LIFE_MS_MAX: u64 = 900;

/// When it is killed.
#[derive(Debug, Clone, Copy)]
enum When {
    /// So many milliseconds after the load begins.
    After(u64),
    /// So many milliseconds after it was told to start.
    Starting(u64),
    /// As this thread enters this syscall for the nth time.
    At(Role, &'static str, usize),
}

/// Where it is killed on purpose: before a group is written, between write and sync, after the sync and before anybody is
/// told of the group, and around each step of a publication.
const POINTS: &[(Role, &str)] = &[
    (Role::GatewayCommit, "pwrite64"),
    (Role::GatewayCommit, "fdatasync"),
    (Role::GatewayCommit, "futex"),
    (Role::GatewayPublish, "rename"),
    (Role::GatewayPublish, "fsync"),
    (Role::GatewayPublish, "unlink"),
    (Role::GatewayPublish, "pwrite64"),
    (Role::AuthorityCommit, "pwrite64"),
    (Role::AuthorityCommit, "fdatasync"),
    (Role::AuthorityCommit, "futex"),
    (Role::Worker, "pwrite64"),
    (Role::Worker, "sendto"),
];

pub(super) fn run(root: &Path, form: Form) -> io::Result<String> {
    let count = match form {
        Form::Short => 44,
        Form::Long => 1_000,
    };
    controls::of_kill(root)?;
    let traced = tracer::lack().is_none();
    let items: Vec<When> = (0..count).map(|turn| when(turn, traced)).collect();
    let done = share(root, "kill", &items, &kill)?;
    let points = done.iter().filter(|(at_point, _)| *at_point).count();
    let slowest = done.iter().map(|(_, start)| *start).max().unwrap_or_default();
    Ok(format!(
        "{} kills, {points} of them at chosen syscalls; slowest start afterwards {} ms; {}",
        done.len(),
        slowest.as_millis(),
        controls::OF_KILL
    ))
}

/// The same ones each time, spread by a stride that meets every remainder.
fn when(turn: usize, traced: bool) -> When {
    let spread = (turn as u64 * 7_919) % LIFE_MS_MAX;
    let point = POINTS.get(turn / 2 % POINTS.len());
    match (turn % 2, point) {
        (0, Some((role, syscall))) if traced => When::At(*role, syscall, 1 + turn / 2 / POINTS.len() % 9),
        _ if turn % 12 == 1 => When::Starting(spread / 2),
        _ => When::After(spread),
    }
}

/// Whether it was killed where that was wanted, and how long the start took that followed.
fn kill(world: &mut World, when: &When) -> io::Result<(bool, Duration)> {
    let at_point = match *when {
        When::After(ms) => {
            // While callers call: they see the connection end.
            load::under(world, |world, _| {
                thread::sleep(Duration::from_millis(ms));
                world.kill()
            })?;
            false
        }
        When::Starting(ms) => {
            load::under(world, |world, _| world.kill())?;
            world.spawn(&[])?;
            let until = Instant::now() + Duration::from_millis(ms);
            thread::sleep(until.saturating_duration_since(Instant::now()));
            world.kill()?;
            false
        }
        When::At(role, syscall, nth) => under_load(world, role, syscall, &format!("{syscall}:signal=KILL:when={nth}"))?,
    };
    Ok((at_point, world.recover()?))
}
