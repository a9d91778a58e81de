//! `cargo run --release -p remit-sim --example worlds -- COUNT [SEED]`: the real decision against the naive model on
//! as many random worlds, on all processors. Exit 0: they agree and no answer is rare; 1: not so; 2: usage.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use remit_sim::model::judge;
use remit_sim::worlds::{Difference, Tally, compare};

/// Worlds of one seed: small enough that a difference is found again quickly.
const WORLDS_PER_SEED: u64 = 10_000;

fn main() -> ExitCode {
    let numbers: Option<Vec<u64>> = std::env::args().skip(1).map(|a| a.parse().ok()).collect();
    let (count, seed) = match numbers.as_deref() {
        Some([count]) => (*count, 1),
        Some([count, seed]) => (*count, *seed),
        _ => {
            say("usage: worlds COUNT [SEED]");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    match run(seed, count.div_ceil(WORLDS_PER_SEED)) {
        Err(difference) => {
            say(&format!("they differ: {difference:#?}"));
            ExitCode::FAILURE
        }
        Ok(tally) => {
            report(&tally, start.elapsed().as_secs_f64());
            ExitCode::from(u8::from(!tally.rare().is_empty()))
        }
    }
}

fn run(first: u64, seeds: u64) -> Result<Tally, Box<Difference>> {
    let next = AtomicU64::new(0);
    let work = || -> Result<Tally, Box<Difference>> {
        let mut tally = Tally::default();
        loop {
            let taken = next.fetch_add(1, Ordering::Relaxed);
            if taken >= seeds {
                return Ok(tally);
            }
            // Far apart, because neighbouring seeds of this generator share most of their stream.
            let seed = first.wrapping_add(taken).wrapping_mul(0xD134_2543_DE82_EF95);
            let found = compare(seed, WORLDS_PER_SEED, &judge);
            tally = tally.plus(found.inspect_err(|_| next.store(seeds, Ordering::Relaxed))?);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Tally::default();
        for thread in running {
            let found = thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e))?;
            all = all.plus(found);
        }
        Ok(all)
    })
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn report(tally: &Tally, seconds: f64) {
    let worlds = tally.worlds();
    let rate = worlds as f64 / seconds;
    say(&format!("{worlds} worlds agree, in {seconds:.1} s ({rate:.0} a second)"));
    for (name, count) in &tally.0 {
        say(&format!("{name:24} {:5.2} %", *count as f64 * 100.0 / worlds as f64));
    }
    for name in tally.rare() {
        say(&format!("too rare: {name}"));
    }
}

fn say(line: &str) {
    // When nobody reads any more, the exit code still speaks.
    drop(writeln!(io::stdout(), "{line}"));
}
