//! The log on a real file system, as its callers use it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path};

use remit_audit::{
    Config, Entry, Log, LogKey, Unavailable,
    verify::{Report, VerifyError, verify_dir},
};

fn config(dir: &Path) -> Config {
    Config { segment_bytes: 64 << 10, reserve_bytes: 128 << 10, ..Config::new(dir, "example.org", "gw1") }
}

fn open(dir: &Path) -> (Log, remit_audit::Opened) {
    Log::open(config(dir), LogKey::from_seed([1; 32])).unwrap()
}

fn entry(i: u64) -> Entry {
    Entry { leaf: format!("leaf {i}").into_bytes(), sealed: vec![i.to_le_bytes()[0]; usize::try_from(i % 97).unwrap()] }
}

fn check(i: u64, leaf: &[u8], sealed: &[u8]) -> Result<(), String> {
    let expected = entry(i);
    if leaf == expected.leaf && sealed == expected.sealed { Ok(()) } else { Err("not what was written".into()) }
}

fn verify(dir: &Path) -> Result<Report, VerifyError> {
    verify_dir(dir, None, None, &mut check)
}

#[test]
fn entries_survive_a_close_and_verify() {
    let home = tempfile::tempdir().unwrap();
    let (log, opened) = open(home.path());
    assert!(opened.new_epoch && opened.size == 0 && opened.previous.is_none());
    for i in 0..700 {
        let receipt = log.commit_wait(entry(i)).unwrap();
        assert_eq!((receipt.index(), receipt.origin()), (i, opened.origin.as_str()));
    }
    for i in [0, 255, 256, 699] {
        assert_eq!(log.read(i).unwrap(), entry(i));
    }
    let dir = log.dir().to_owned();
    let vkey = log.vkey().to_owned();
    log.close().unwrap();
    let report = verify_dir(&dir, Some(&vkey), None, &mut check).unwrap();
    assert_eq!((report.size, report.trusted, report.live), (700, true, false));
    let (log, opened) = open(home.path());
    assert!(!opened.new_epoch && opened.size == 700 && opened.recovered == 0);
    let all: Vec<_> = log.entries(3).map(Result::unwrap).collect();
    assert_eq!(all.len(), 697);
    assert!(all.iter().all(|(i, read)| *read == entry(*i)));
    assert_eq!(log.commit_wait(entry(700)).unwrap().index(), 700);
    assert!(log.leaves(3).map(Result::unwrap).eq((3..701).map(|i| (i, entry(i).leaf))));
}

#[test]
fn a_log_that_was_not_closed_recovers_and_verifies_meanwhile() {
    let home = tempfile::tempdir().unwrap();
    let (log, _) = open(home.path());
    let dir = log.dir().to_owned();
    for i in 0..300 {
        log.commit_wait(entry(i)).unwrap();
    }
    let report = verify(&dir).unwrap();
    assert!(report.live && report.size == 300);
    drop(log);
    assert_eq!(verify(&dir).unwrap().size, 300);
    let (log, opened) = open(home.path());
    assert_eq!((opened.size, opened.new_epoch), (300, false));
    log.close().unwrap();
    assert_eq!(verify(&dir).unwrap().size, 300);
}

#[test]
fn a_second_writer_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (_log, _) = open(home.path());
    let second = Log::open(config(home.path()), LogKey::from_seed([1; 32]));
    assert!(matches!(second, Err(remit_audit::OpenError::Locked)));
}

#[test]
fn what_is_too_large_is_refused_whole() {
    let home = tempfile::tempdir().unwrap();
    let (log, _) = open(home.path());
    let largest = Entry { leaf: vec![1; 65_535], sealed: vec![2; 8 << 20] };
    assert_eq!(log.commit_wait(largest.clone()).unwrap().index(), 0);
    assert_eq!(log.read(0).unwrap(), largest);
    let leaf = Entry { leaf: vec![1; 65_536], sealed: vec![] };
    assert_eq!(log.commit_wait(leaf), Err(Unavailable::TooLarge));
    let sealed = Entry { leaf: vec![], sealed: vec![0; (8 << 20) + 1] };
    assert_eq!(log.commit_wait(sealed), Err(Unavailable::TooLarge));
    let dir = log.dir().to_owned();
    log.close().unwrap();
    assert_eq!(verify_dir(&dir, None, None, &mut |_, _, _| Ok(())).unwrap().size, 1);
}

#[test]
fn many_callers_share_groups_and_every_receipt_is_its_own() {
    let home = tempfile::tempdir().unwrap();
    let (log, _) = open(home.path());
    let threads: Vec<_> = (0..16_u64)
        .map(|t| {
            let log = log.clone();
            std::thread::spawn(move || {
                for i in 0..200_u64 {
                    let leaf = format!("{t}/{i}").into_bytes();
                    let receipt = log.commit_wait(Entry { leaf: leaf.clone(), sealed: vec![] }).unwrap();
                    assert_eq!(log.read(receipt.index()).unwrap().leaf, leaf);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(log.size(), 3200);
    let dir = log.dir().to_owned();
    log.close().unwrap();
    assert_eq!(verify_dir(&dir, None, None, &mut |_, _, _| Ok(())).unwrap().size, 3200);
    // What is refused first is what is said, and nothing is waited for that was to be read ahead.
    let refused = |at| verify_dir(&dir, None, None, &mut |i, _, _| if i < at { Ok(()) } else { Err("no".into()) });
    for at in [0, 255, 256, 1000, 3199] {
        assert!(matches!(refused(at), Err(VerifyError::Entry { index, .. }) if index == at), "{at}");
    }
}

#[test]
fn a_restored_copy_is_a_new_epoch_that_names_the_one_before() {
    let home = tempfile::tempdir().unwrap();
    let (log, first) = open(home.path());
    log.commit_wait(entry(0)).unwrap();
    let dir = log.dir().to_owned();
    log.close().unwrap();
    let final_checkpoint = fs::read_to_string(dir.join("checkpoint")).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("cp").arg("-a").arg(home.path()).arg(copy.path().join("log")).status();
    assert!(status.unwrap().success());
    let (log, opened) = open(&copy.path().join("log"));
    assert!(opened.new_epoch && opened.size == 0 && opened.epoch > first.epoch);
    assert_eq!(opened.previous.as_deref(), Some(final_checkpoint.as_str()));
    drop(log);
    let (_log, again) = open(&copy.path().join("log"));
    assert!(!again.new_epoch && again.previous.as_deref() == Some(final_checkpoint.as_str()));
}

#[test]
fn another_logs_directory_is_refused_and_another_key_begins_an_epoch() {
    let home = tempfile::tempdir().unwrap();
    let (log, _) = open(home.path());
    log.close().unwrap();
    let other = Config { instance: "gw2".into(), ..config(home.path()) };
    let refused = Log::open(other, LogKey::from_seed([1; 32]));
    assert!(matches!(refused, Err(remit_audit::OpenError::OtherLog { .. })));
    let (_log, opened) = Log::open(config(home.path()), LogKey::from_seed([2; 32])).unwrap();
    assert!(opened.new_epoch && opened.previous.is_some());
}
