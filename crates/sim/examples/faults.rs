//! `cargo run -p remit-sim --example faults -- power SEEDS [FIRST]` or `-- edits short|long`: the log on a disk that fails,
//! and a log that somebody has changed. First every mistake that the method must find, then the log as it is.
//! The last line begins with `=` and holds the counts. Exit 0: all is well; 1: not so; 2: usage.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use remit_sim::crash::{self, Control};
use remit_sim::disk::Lie;
use remit_sim::edit::{Bench, Found, Judge, State};
use remit_sim::vault;

/// Seeds within which a mistake must show.
const CONTROL_SEEDS: u64 = 300;
/// Edits within which a weak judge must show.
const CONTROL_EDITS: u64 = 500;
/// Every so many bits one is flipped in the short form: odd, so that each bit of a byte comes.
const STEP_SHORT: usize = 61;
/// Failures that are told before the rest is left alone.
const TOLD_MAX: usize = 10;

type Outcome = Result<[u64; 3], String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let line = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["power", seeds] => seeds.parse().ok().map(|seeds| power(seeds, 0)),
        ["power", seeds, first] => seeds.parse().ok().zip(first.parse().ok()).map(|(seeds, first)| power(seeds, first)),
        ["edits", "short"] => Some(edits(STEP_SHORT, 2_000)),
        ["edits", "long"] => Some(edits(1, 100_000)),
        _ => None,
    };
    match line {
        None => {
            say("usage: faults power SEEDS [FIRST] | faults edits short|long");
            ExitCode::from(2)
        }
        Some(Ok(line)) => {
            say(&format!("= {line}"));
            ExitCode::SUCCESS
        }
        Some(Err(why)) => {
            say(&why);
            ExitCode::FAILURE
        }
    }
}

/// Crashes, torn and reordered writes, errors of every kind and full disks, seed by seed.
fn power(seeds: u64, first: u64) -> Result<String, String> {
    let log: [(&str, Control); 6] = [
        ("acknowledge before write", Control::AckFirst),
        ("no fsync", Control::Disk(Lie::NoSync)),
        ("no directory sync", Control::Disk(Lie::NoDirSync)),
        ("a sync that comes late", Control::Disk(Lie::Late)),
        ("recycled segment with stale frames", Control::Disk(Lie::StaleHeader)),
        ("flip in the last acknowledged group", Control::Flip),
    ];
    for (name, control) in log {
        caught(name, CONTROL_SEEDS, |seed| crash::run(seed, control).err())?;
    }
    let keys = [
        ("vault: no fsync", Lie::NoSync),
        ("vault: no directory sync", Lie::NoDirSync),
        ("vault written late", Lie::Late),
    ];
    for (name, lie) in keys {
        caught(name, CONTROL_SEEDS, |seed| vault::run(seed, lie).err())?;
    }
    let [acknowledged, starts, faults] = all("seeds", seeds, &|turn| {
        let seed = first.wrapping_add(turn);
        let counts = crash::run(seed, Control::None).map_err(|lost| format!("seed {seed}: {lost}"))?;
        let frames = vault::run(seed, Lie::None).map_err(|lost| format!("seed {seed}, vault: {lost}"))?;
        Ok([counts.acknowledged + frames, counts.starts, counts.faults])
    })?;
    nonzero(faults)?;
    Ok(format!(
        "{faults} faults in {seeds} seeds; {acknowledged} entries and frames kept over {starts} starts; {} controls caught",
        log.len() + keys.len()
    ))
}

/// Every `step`th bit of a log at rest and of one that a kill has left, and as many edits of both.
fn edits(step: usize, count: u64) -> Result<String, String> {
    for (name, state, judge) in [
        ("who looks at the checkpoint only", State::AtRest, Judge::CheckpointOnly),
        ("who kept no checkpoint, an old log put back", State::AtRest, Judge::NoCheckpoint),
    ] {
        let mut bench = Bench::new(1, state)?;
        caught(name, CONTROL_EDITS, |_| bench.edit(judge).err())?;
    }
    let crashed = Bench::new(1, State::Crashed)?;
    // From the end: the segment is the last of its files, and that group is the last of the segment.
    let bits = crashed.bits();
    let flip = |turn: u64| {
        let bit = usize::try_from(turn * 8).ok().and_then(|before| bits.checked_sub(1 + before))?;
        crashed.flip(bit, Judge::NoCheckpoint).err()
    };
    caught("who kept no checkpoint, flip in the last acknowledged group", CONTROL_EDITS, flip)?;
    let mut line = Vec::new();
    for (name, state) in [("at rest", State::AtRest), ("left by a kill", State::Crashed)] {
        let bits = Bench::new(2, state)?.bits();
        let flips = flips(name, state, bits, step)?;
        let edits = random_edits(name, state, count)?;
        line.push(format!("{flips} bits of {} KiB flipped and {edits} edits {name}", bits / 8 / 1024));
    }
    Ok(format!("{}, all refused or harmless; 3 controls caught", line.join(", ")))
}

fn flips(name: &str, state: State, bits: usize, step: usize) -> Result<u64, String> {
    let threads = threads();
    let chunk = (bits / step).div_ceil(threads * 8);
    let turns = (bits / step).div_ceil(chunk) as u64;
    let [refused, harmless, _] = all(&format!("flips {name}, in parts"), turns, &|turn| {
        let bench = Bench::new(2, state)?;
        let from = usize::try_from(turn).unwrap_or(0) * chunk;
        let mut counts = [0; 3];
        for flip in from..(from + chunk).min(bits / step) {
            count(&mut counts, bench.flip(flip * step, Judge::Verify)?);
        }
        Ok(counts)
    })?;
    nonzero(refused)?;
    Ok(refused + harmless)
}

fn random_edits(name: &str, state: State, edits: u64) -> Result<u64, String> {
    const PART: u64 = 500;
    let [refused, harmless, _] = all(&format!("edits {name}, in parts"), edits.div_ceil(PART), &|turn| {
        let mut bench = Bench::new(3 + turn, state)?;
        let mut counts = [0; 3];
        while counts.iter().sum::<u64>() < PART {
            let found = bench.edit(Judge::Verify).map_err(|why| format!("seed {}: {why}", 3 + turn))?;
            if let Some(found) = found {
                count(&mut counts, found);
            }
        }
        Ok(counts)
    })?;
    nonzero(refused)?;
    Ok(refused + harmless)
}

fn count(counts: &mut [u64; 3], found: Found) {
    let [refused, harmless, _] = counts;
    match found {
        Found::Refused => *refused += 1,
        Found::Harmless => *harmless += 1,
    }
}

/// A mistake shows within so many tries.
fn caught(name: &str, tries: u64, mut run: impl FnMut(u64) -> Option<String>) -> Result<(), String> {
    let (seed, why) = (0..tries)
        .find_map(|seed| run(seed).map(|why| (seed, why)))
        .ok_or_else(|| format!("control NOT CAUGHT in {tries} tries: {name}"))?;
    say(&format!("control caught: {name} (try {seed}: {why})"));
    Ok(())
}

fn nonzero(faults: u64) -> Result<(), String> {
    if faults == 0 { Err("no fault took effect".into()) } else { Ok(()) }
}

/// Every turn, on all processors; failures are told with what repeats them.
fn all(name: &str, turns: u64, run: &(impl Fn(u64) -> Outcome + Sync)) -> Outcome {
    let (next, failed) = (AtomicU64::new(0), AtomicUsize::new(0));
    let work = || {
        let mut sum = [0; 3];
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= turns || failed.load(Ordering::Relaxed) >= TOLD_MAX {
                return sum;
            }
            match run(turn) {
                Ok(counts) => sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count),
                Err(why) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    say(&format!("FAILED {why}"));
                }
            }
            if (turn + 1).is_multiple_of((turns / 10).max(1)) {
                say(&format!("{} of {turns} {name}", turn + 1));
            }
        }
    };
    let sums: Vec<[u64; 3]> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads()).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    });
    match failed.load(Ordering::Relaxed) {
        0 => Ok(sums.into_iter().fold([0; 3], |[a, b, c], [x, y, z]| [a + x, b + y, c + z])),
        failed => Err(format!("{failed} of {turns} {name} failed")),
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    // When nobody reads any more, the exit code still speaks.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}
