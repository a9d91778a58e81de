//! The log on the simulated disk: nothing that was acknowledged is lost, and each known mistake is found.

use remit_sim::{
    crash::{Control, Counts, run},
    disk::Lie,
    vault,
};

/// Seeds of the short form; the long one is a command.
const SEEDS: u64 = 1_500;
/// Seeds within which a mistake must show.
const CONTROL_SEEDS: u64 = 300;

#[test]
fn no_acknowledged_entry_is_lost_in_any_seed() {
    let mut total = Counts::default();
    for seed in 0..SEEDS {
        match run(seed, Control::None) {
            Ok(counts) => {
                total.acknowledged += counts.acknowledged;
                total.starts += counts.starts;
                total.faults += counts.faults;
            }
            Err(lost) => panic!("seed {seed}: {lost}"),
        }
    }
    assert!(total.faults > SEEDS && total.acknowledged > 10 * SEEDS, "{total:?}");
}

/// Found by a longer search: a directory of tiles or frames without any was left at rest, after entries that nobody was told
/// of were published and then lost with the power.
#[test]
fn what_longer_searches_have_found_stays_mended() {
    for seed in [24_672, 35_737, 39_297, 42_024] {
        assert!(run(seed, Control::None).is_ok(), "seed {seed}");
    }
}

fn check(control: Control) {
    let found = (0..CONTROL_SEEDS).filter(|seed| run(*seed, control).is_err()).count();
    assert!(found > 0, "{control:?} was not found in {CONTROL_SEEDS} seeds");
}

#[test]
fn acknowledging_before_writing_is_found() {
    check(Control::AckFirst);
}

#[test]
fn a_log_that_never_syncs_is_found() {
    check(Control::Disk(Lie::NoSync));
}

#[test]
fn a_log_that_never_syncs_directories_is_found() {
    check(Control::Disk(Lie::NoDirSync));
}

#[test]
fn a_log_whose_syncs_come_late_is_found() {
    check(Control::Disk(Lie::Late));
}

#[test]
fn a_recycled_segment_with_its_old_header_is_found() {
    check(Control::Disk(Lie::StaleHeader));
}

#[test]
fn a_flipped_bit_in_the_last_acknowledged_group_is_found() {
    check(Control::Flip);
}

/// What is sealed is sealed under a durable key: otherwise a receipt would be for something that nobody can open.
#[test]
fn no_key_is_lost_and_none_comes_back_in_any_seed() {
    let looked = (0..SEEDS).map(|seed| match vault::run(seed, Lie::None) {
        Ok(looked) => looked,
        Err(lost) => panic!("seed {seed}: {lost}"),
    });
    assert!(looked.sum::<u64>() > 10 * SEEDS);
}

#[test]
fn a_vault_that_never_syncs_or_is_written_late_is_found() {
    for lie in [Lie::NoSync, Lie::NoDirSync, Lie::Late] {
        assert!((0..CONTROL_SEEDS).any(|seed| vault::run(seed, lie).is_err()), "{lie:?}");
    }
}
