//! A log at rest: a change of any byte, a missing, a surplus and a shortened file are found, and each kind is told apart.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use remit_audit::{
    Config, Entry, Log, LogKey,
    checkpoint::Checkpoint,
    fsck::fsck_dir,
    note::Verifier,
    proof::verify_consistency,
    prove_consistency_dir, prove_dir,
    receipt::TlogProof,
    verify::{VerifyError, verify_dir},
};

fn entry(i: u64) -> Entry {
    Entry { leaf: format!("leaf {i}").into_bytes(), sealed: format!("sealed {i}").into_bytes() }
}

fn write(home: &Path, key: u8, entries: std::ops::Range<u64>) -> (PathBuf, String) {
    let config = Config { segment_bytes: 64 << 10, reserve_bytes: 0, ..Config::new(home, "example.org", "gw1") };
    let (log, _) = Log::open(config, LogKey::from_seed([key; 32])).unwrap();
    for i in entries {
        log.commit_wait(entry(i)).unwrap();
    }
    let (dir, vkey) = (log.dir().to_owned(), log.vkey().to_owned());
    log.close().unwrap();
    (dir, vkey)
}

fn verify(dir: &Path, vkey: &str) -> Result<u64, VerifyError> {
    let mut check = |i, leaf: &[u8], sealed: &[u8]| {
        let expected = entry(i);
        if leaf == expected.leaf && sealed == expected.sealed { Ok(()) } else { Err("changed".to_owned()) }
    };
    verify_dir(dir, Some(vkey), None, &mut check).map(|report| report.size)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(self::files(&entry.path()));
        } else if entry.file_name() != "marker" {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn a_change_of_any_byte_at_rest_is_found() {
    let home = tempfile::tempdir().unwrap();
    let (dir, vkey) = write(home.path(), 1, 0..270);
    assert_eq!(verify(&dir, &vkey).unwrap(), 270);
    let mut changes = 0;
    for path in files(&dir) {
        let content = fs::read(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        // All of a small file, every 29th byte of a large one: 29 is odd, so every place in a record is met.
        let step = if content.len() < 600 { 1 } else { 29 };
        for at in (0..content.len()).step_by(step) {
            file.write_at(&[content[at] ^ (1 << (at % 8))], at as u64).unwrap();
            assert!(verify(&dir, &vkey).is_err(), "{} byte {at}", path.display());
            file.write_at(&content[at..=at], at as u64).unwrap();
            changes += 1;
        }
    }
    assert!(changes > 600, "{changes}");
    assert_eq!(verify(&dir, &vkey).unwrap(), 270);
}

#[test]
fn missing_surplus_and_shortened_files_are_found() {
    let home = tempfile::tempdir().unwrap();
    let (dir, vkey) = write(home.path(), 1, 0..270);
    for path in files(&dir) {
        let content = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(verify(&dir, &vkey).is_err(), "without {}", path.display());
        for wrong in [&content[..content.len() - 1], &[content.as_slice(), b"\0"].concat()] {
            remit_audit::durable::write(&path, wrong, 0o600).unwrap();
            assert!(verify(&dir, &vkey).is_err(), "{} with {} bytes", path.display(), wrong.len());
        }
        remit_audit::durable::write(&path, &content, 0o600).unwrap();
    }
    for surplus in ["tile/0/001", "tile/0/001.p/13", "tile/7", "sealed/002", "note", "tile/entries/x001/000"] {
        let path = dir.join(surplus);
        let there = path.parent().unwrap().exists();
        remit_audit::durable::create_dir(path.parent().unwrap()).unwrap();
        remit_audit::durable::write(&path, b"", 0o600).unwrap();
        assert!(verify(&dir, &vkey).is_err(), "with {surplus}");
        fs::remove_file(&path).unwrap();
        if !there {
            fs::remove_dir(path.parent().unwrap()).unwrap();
        }
    }
    assert_eq!(verify(&dir, &vkey).unwrap(), 270);
}

#[test]
fn tampered_truncated_and_signed_again_are_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let (dir, vkey) = write(home.path(), 1, 0..20);
    let epoch: u64 = dir.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let older = fs::read_to_string(dir.join("checkpoint")).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let short = copy.path().join(epoch.to_string());
    let status = std::process::Command::new("cp").arg("-a").arg(&dir).arg(&short).status().unwrap();
    assert!(status.success());
    write(home.path(), 1, 20..40);
    let newer = fs::read_to_string(dir.join("checkpoint")).unwrap();
    let ok = &mut |_: u64, _: &[u8], _: &[u8]| Ok(());
    assert_eq!(verify_dir(&dir, Some(&vkey), Some(&older), ok).unwrap().size, 40);
    let truncated = verify_dir(&short, Some(&vkey), Some(&newer), ok);
    assert!(matches!(truncated, Err(VerifyError::Truncated { size: 20, since: 40 })));
    let other = tempfile::tempdir().unwrap();
    let (again, other_vkey) = write(other.path(), 2, 0..40);
    let refused = verify_dir(&again, Some(&vkey), None, ok);
    assert!(matches!(refused, Err(VerifyError::OtherKey { .. })));
    let alone = verify_dir(&again, None, None, ok).unwrap();
    assert!(!alone.trusted && alone.size == 40 && other_vkey != vkey);
    assert!(fsck_dir(&dir, Some(&vkey), ok).is_ok());
}

#[test]
fn proofs_from_the_directory_verify_with_the_key_alone() {
    let home = tempfile::tempdir().unwrap();
    let (dir, vkey) = write(home.path(), 1, 0..600);
    let key = Verifier::parse(&vkey).unwrap();
    for i in (0..600).step_by(37).chain([255, 256, 511, 512, 599]) {
        let text = prove_dir(&dir, i).unwrap().text();
        let proof = TlogProof::parse(&text).unwrap();
        assert_eq!(proof.verify(&entry(i).leaf, &key).unwrap().size, 600);
        assert!(proof.verify(&entry(i + 1).leaf, &key).is_err());
    }
    assert!(prove_dir(&dir, 600).is_err());
    let mut frontier = remit_audit::tree::Frontier::new();
    let note = fs::read_to_string(dir.join("checkpoint")).unwrap();
    let head = Checkpoint::open(&note, &key).unwrap();
    for old in 0..600_u64 {
        if old % 41 == 0 {
            let (path, _) = prove_consistency_dir(&dir, old).unwrap();
            verify_consistency((old, &frontier.root()), (600, &head.root), &path).unwrap();
        }
        frontier.push(remit_audit::tree::leaf_hash(&entry(old).leaf));
    }
}

/// Measures, so not run by itself: `cargo nextest run --release -p remit-audit --run-ignored only -- --no-capture`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, clippy::use_debug, reason = "a measurement prints")]
fn commit_latency() {
    let home = tempfile::tempdir_in(".").unwrap();
    let (log, _) = Log::open(Config::new(home.path(), "example.org", "gw1"), LogKey::from_seed([1; 32])).unwrap();
    let one = || Entry { leaf: vec![7; 1500], sealed: vec![8; 1500] };
    for threads in [1, 16, 64] {
        let start = std::time::Instant::now();
        let mut times: Vec<_> = std::thread::scope(|scope| {
            let run = || {
                (0..3000 / threads + 200).map(|_| {
                    let start = std::time::Instant::now();
                    log.commit_wait(one()).unwrap();
                    start.elapsed()
                })
            };
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(move || run().collect::<Vec<_>>())).collect();
            handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
        });
        let rate = u128::from(times.len() as u64) * 1_000_000 / start.elapsed().as_micros();
        times.sort();
        println!(
            "{threads} writers: p50 {:?} p99 {:?} {rate}/s",
            times[times.len() / 2],
            times[times.len() * 99 / 100]
        );
    }
    let file = fs::OpenOptions::new().create_new(true).write(true).open(home.path().join("bare")).unwrap();
    file.write_all_at(&vec![0; 8 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let mut times: Vec<_> = (0..1000_u64)
        .map(|i| {
            let start = std::time::Instant::now();
            file.write_all_at(&[7; 4096], i * 4096).unwrap();
            file.sync_data().unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("bare 4 KiB + fdatasync: p50 {:?} p99 {:?}", times[500], times[990]);
}
