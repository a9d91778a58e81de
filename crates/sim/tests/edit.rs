//! A changed log is refused; and who looks less closely than `verify` is found out. A few changes only: all of them are
//! made by `cargo xtask fault --only edits`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use remit_sim::edit::{Bench, Found, Judge, State};

const EDITS: usize = 60;
/// Within which a weak judge must show.
const EDITS_OF_CONTROL: usize = 300;
/// Odd, so that each bit of a byte comes.
const STEP: usize = 9_001;

#[test]
fn a_change_is_refused_or_loses_nothing() {
    for state in [State::AtRest, State::Crashed] {
        let mut bench = Bench::new(1, state).unwrap();
        assert!(bench.bits() > 60 * 1024 * 8, "{} bits", bench.bits());
        for bit in (0..bench.bits()).step_by(STEP) {
            let found = bench.flip(bit, Judge::Verify).unwrap();
            assert!(found == Found::Refused || state == State::Crashed);
        }
        let refused = (0..EDITS).filter(|_| bench.edit(Judge::Verify).unwrap() == Some(Found::Refused)).count();
        assert!(refused > EDITS / 3, "{state:?}: {refused}");
    }
}

#[track_caller]
fn found_out(judge: Judge) {
    let mut bench = Bench::new(1, State::AtRest).unwrap();
    assert!((0..EDITS_OF_CONTROL).any(|_| bench.edit(judge).is_err()), "{judge:?}");
}

#[test]
fn who_looks_at_the_checkpoint_only_is_found_out() {
    found_out(Judge::CheckpointOnly);
}

#[test]
fn who_kept_no_checkpoint_is_found_out_by_an_old_log() {
    found_out(Judge::NoCheckpoint);
}

/// It is the last group of the segment, which is the last file.
#[test]
fn who_kept_no_checkpoint_is_found_out_by_a_flip_in_the_last_group() {
    let bench = Bench::new(1, State::Crashed).unwrap();
    assert!(bench.flip(bench.bits() - 9, Judge::NoCheckpoint).is_err());
    assert_eq!(bench.flip(bench.bits() - 9, Judge::Verify), Ok(Found::Refused));
}
