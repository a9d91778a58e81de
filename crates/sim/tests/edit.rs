//! A changed log is refused; and who looks less closely than `verify` is found out. A few changes only: all of them are
//! made by `cargo xtask fault --only edits`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use remit_sim::edit::{Bench, Found, Judge, State};

const EDITS: usize = 60;
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
fn found_out(state: State, judge: Judge) {
    let mut bench = Bench::new(1, state).unwrap();
    let edits = (0..EDITS).any(|_| bench.edit(judge).is_err());
    assert!(edits || (0..bench.bits()).step_by(STEP / 20).any(|bit| bench.flip(bit, judge).is_err()), "{judge:?}");
}

#[test]
fn who_looks_at_the_checkpoint_only_is_found_out() {
    found_out(State::AtRest, Judge::CheckpointOnly);
}

#[test]
fn who_kept_no_checkpoint_is_found_out() {
    found_out(State::AtRest, Judge::NoCheckpoint);
    found_out(State::Crashed, Judge::NoCheckpoint);
}
