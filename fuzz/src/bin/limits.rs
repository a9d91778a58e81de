//! Reads the largest inputs that each parser takes, and prints what each costs. Exits 1 where one is beyond the limits.

use std::process::ExitCode;

use libfuzzer_sys as _;
use remit_fuzz::{BYTES_MAX, SLOWER, TIME_MAX, measured};
use remit_hostile::worst;

const RUNS: u32 = 5;

fn main() -> ExitCode {
    let limit = TIME_MAX * SLOWER;
    let mut sound = true;
    for case in worst::ALL {
        let input = (case.input)();
        let (time, memory) = measured(RUNS, TIME_MAX / 20, || (case.read)(&input));
        let fits = time <= limit && memory <= BYTES_MAX;
        sound &= fits;
        let (time, memory) = (time.as_secs_f64() * 1000.0, memory >> 20);
        let word = if fits { "" } else { "  BEYOND THE LIMIT" };
        println!("  {:<34} {:>8} bytes {time:>8.1} ms {memory:>4} MiB{word}", case.name, input.len());
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
