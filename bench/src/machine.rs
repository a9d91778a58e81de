//! What the figures are of: the machine, its load, and the file system. Figures without these say nothing.

use std::io;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// How long the machine is watched before a run.
const WATCH: Duration = Duration::from_secs(2);
/// File systems that keep nothing, on which a sync costs nothing.
const MEMORY: &[&str] = &["tmpfs", "ramfs", "devtmpfs"];

/// What the machine is, in one line.
pub(crate) fn machine() -> String {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cpu}, {cores} cores, {} GiB, Linux {}", kib.unwrap_or_default() >> 20, kernel.trim())
}

/// The load averages of one, five and fifteen minutes.
pub(crate) fn load() -> String {
    read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Percent of all processors that somebody uses while this process only waits.
pub(crate) fn busy() -> u64 {
    let before = jiffies();
    sleep(WATCH);
    let after = jiffies();
    let (all, idle) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    all.saturating_sub(idle) * 100 / all.max(1)
}

/// All time of all processors, and that in which they had nothing to do.
fn jiffies() -> (u64, u64) {
    let text = read("/proc/stat");
    let first = text.lines().next().unwrap_or_default();
    let times: Vec<u64> = first.split_whitespace().skip(1).take(8).filter_map(|time| time.parse().ok()).collect();
    (times.iter().sum(), times.iter().skip(3).take(2).sum())
}

/// Kind and device of the file system that a directory is on; one that keeps nothing is an error.
pub(crate) fn file_system(dir: &Path) -> io::Result<String> {
    let dir = dir.canonicalize()?;
    let mounts = read("/proc/self/mounts");
    let found = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, place, kind) = (words.next()?, words.next()?, words.next()?);
        dir.starts_with(place).then_some((place.len(), device, kind))
    });
    // Of those over each other at one place the last one is seen.
    let (_, device, kind) = found.max_by_key(|(length, ..)| *length).unwrap_or((0, "unknown", "unknown"));
    if MEMORY.contains(&kind) {
        let why = format!("{} is on {kind}: name a directory on a disk with --dir", dir.display());
        return Err(io::Error::other(why));
    }
    Ok(format!("{kind} on {device}"))
}

/// Memory of a process that is in RAM now, and the most that ever was, in MiB.
pub(crate) fn resident(pid: u32) -> (u64, u64) {
    (kib(pid, "VmRSS").div_ceil(1024), kib(pid, "VmHWM").div_ceil(1024))
}

/// Memory of a process that is in RAM now, in KiB.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    kib(pid, "VmRSS")
}

fn kib(pid: u32, name: &str) -> u64 {
    let text = field(&format!("/proc/{pid}/status"), name);
    text.and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0)
}

/// How many files a process has open, connections among them.
pub(crate) fn files(pid: u32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |all| all.count() as u64)
}

/// Time of the processors that a process has used so far, in its own code and in the kernel for it.
pub(crate) fn used(pid: u32) -> Duration {
    // Of every Linux: what it counts in for programs.
    const TICKS_PER_SECOND: u64 = 100;
    let text = read(&format!("/proc/{pid}/stat"));
    // The name, which may hold anything, ends with the last parenthesis.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}

/// What a command prints, in one line; nothing where it fails.
pub(crate) fn said(root: &Path, line: &[&str]) -> String {
    let [program, arguments @ ..] = line else { return String::new() };
    let output = Command::new(program).args(arguments).current_dir(root).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = read(file);
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).next()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}
