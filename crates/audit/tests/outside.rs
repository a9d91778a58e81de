//! What the directory of a log cannot say of itself: that it was edited, that it once held more, that something was added.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use remit_audit::{
    Config, Damage, Entry, Log, LogKey, OpenError, Opened, ReadError,
    checkpoint::Checkpoint,
    durable, epochs,
    head::{self, Behind},
    note::Signer,
    tree::{Frontier, leaf_hash},
    verify::verify_dir,
};

/// A home with a log in `log`, and its newest checkpoint in `log.head`.
fn open(home: &Path, behind: Behind) -> Result<(Log, Opened), OpenError> {
    let outside = Some(head::Config { path: home.join("log.head"), behind });
    let usual = Config::new(home.join("log"), "example.org", "gw1");
    Log::open(Config { segment_bytes: 64 << 10, reserve_bytes: 0, outside, ..usual }, LogKey::from_seed([1; 32]))
}

fn entry(at: u64) -> Entry {
    Entry { leaf: format!("leaf {at:05}").into_bytes(), sealed: b"sealed".to_vec() }
}

fn write(home: &Path, size: u64, clean: bool) -> PathBuf {
    let (log, _) = open(home, Behind::Begin).unwrap();
    for at in log.size()..size {
        log.commit_wait(entry(at)).unwrap();
    }
    let dir = log.dir().to_owned();
    if clean {
        log.close().unwrap();
    } else {
        log.publish().unwrap();
    }
    dir
}

/// Every file below a directory, with its content.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { found.extend(files(&path)) } else { found.push((path.clone(), fs::read(&path).unwrap())) }
    }
    found
}

/// Writes old content back in place, as nothing that a marker sees: same directories, same files.
fn put_back(dir: &Path, old: &[(PathBuf, Vec<u8>)]) {
    for (path, _) in files(dir) {
        if !old.iter().any(|(known, _)| *known == path) {
            fs::remove_file(&path).unwrap();
        }
    }
    for (path, bytes) in old {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
    }
}

/// Break: read less than all of it at start. An old bundle is full and old, so nothing else looks at it.
#[test]
fn an_edited_log_does_not_start() {
    for clean in [true, false] {
        let home = tempfile::tempdir().unwrap();
        let dir = write(home.path(), 600, clean);
        for (name, at) in
            [("tile/entries/000", 9), ("tile/entries/001", 2000), ("tile/0/000", 40), ("tile/0/001", 8000)]
        {
            let path = dir.join(name);
            let good = fs::read(&path).unwrap();
            let mut bad = good.clone();
            *bad.get_mut(at).unwrap() ^= 1;
            durable::write(&path, &bad, 0o600).unwrap();
            match open(home.path(), Behind::Begin) {
                Err(error @ OpenError::Read(ReadError::Damaged { .. })) => {
                    assert!(error.to_string().contains("remit log verify"), "{error}");
                }
                Err(other) => panic!("{other}"),
                Ok((log, _)) => panic!("{name} clean {clean}: it started with {} entries", log.size()),
            }
            durable::write(&path, &good, 0o600).unwrap();
        }
        assert_eq!(open(home.path(), Behind::Begin).unwrap().0.size(), 600);
    }
}

/// Break: give out what a bundle says without comparing it with the tree that was opened.
#[test]
fn what_is_edited_while_the_log_is_open_is_not_read() {
    let home = tempfile::tempdir().unwrap();
    let (log, _) = open(home.path(), Behind::Begin).unwrap();
    for at in 0..300 {
        log.commit_wait(entry(at)).unwrap();
    }
    log.publish().unwrap();
    assert_eq!(log.entries(0).map(Result::unwrap).filter(|(at, one)| *one == entry(*at)).count(), 300);
    for (name, index) in [("tile/entries/000", 3), ("tile/entries/001.p/44", 256)] {
        let path = log.dir().join(name);
        let text = fs::read(&path).unwrap();
        let mut bad = text.clone();
        *bad.get_mut(5).unwrap() ^= 1;
        durable::write(&path, &bad, 0o600).unwrap();
        assert!(log.read(index).is_err() && log.entries(index).next().unwrap().is_err(), "{name}");
        assert!(log.leaves(index).next().unwrap().is_err(), "{name}");
        durable::write(&path, &text, 0o600).unwrap();
        assert_eq!(log.read(index).unwrap(), entry(index));
    }
}

/// Break: keep no head outside, or believe the directory more than it.
#[test]
fn old_content_in_place_is_a_new_epoch_or_refused() {
    let home = tempfile::tempdir().unwrap();
    let dir = write(home.path(), 20, true);
    let old = files(&dir);
    write(home.path(), 40, true);
    let head = fs::read_to_string(home.path().join("log.head")).unwrap();
    put_back(&dir, &old);
    assert_eq!(verify_dir(&dir, None, None, &mut |_, _, _| Ok(())).unwrap().size, 20);
    let Err(OpenError::Behind { signed: 40, .. }) = open(home.path(), Behind::Refuse) else { panic!("not refused") };
    assert_eq!(epochs(&remit_audit::disk::Posix, &home.path().join("log")).unwrap().len(), 1);
    let (log, opened) = open(home.path(), Behind::Begin).unwrap();
    assert_eq!((opened.new_epoch, opened.size, opened.previous.as_deref()), (true, 0, Some(head.as_str())));
    log.close().unwrap();
    // And from then on it is the new epoch that goes on, also for the one who refuses.
    assert!(!open(home.path(), Behind::Refuse).unwrap().1.new_epoch);
}

/// Break: take a directory without epochs for one that never had any.
#[test]
fn a_deleted_epoch_is_remembered_outside() {
    let home = tempfile::tempdir().unwrap();
    let dir = write(home.path(), 20, true);
    let head = fs::read_to_string(home.path().join("log.head")).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    assert!(matches!(open(home.path(), Behind::Refuse), Err(OpenError::Behind { signed: 20, .. })));
    let (log, opened) = open(home.path(), Behind::Begin).unwrap();
    assert_eq!(opened.previous.as_deref(), Some(head.as_str()));
    assert_ne!(log.dir(), dir, "the same name would be a second history under it");
    // The newest of two deleted: the older one does not go on.
    let older = log.dir().to_owned();
    log.close().unwrap();
    durable::write(&older.join("marker"), b"a copy", 0o600).unwrap();
    let newest = write(home.path(), 5, true);
    assert_ne!(newest, older);
    fs::remove_dir_all(&newest).unwrap();
    let (_, opened) = open(home.path(), Behind::Begin).unwrap();
    assert!(opened.new_epoch && opened.previous.unwrap().contains("\n5\n"));
}

/// Break: compare what is kept outside only with what is in tiles, so that another history may stand in segments.
#[test]
fn a_head_outside_is_compared_with_what_is_in_segments_only() {
    let home = tempfile::tempdir().unwrap();
    let (log, opened) = open(home.path(), Behind::Begin).unwrap();
    let mut frontier = Frontier::new();
    let mut root_of_five = frontier.root();
    for at in 0..7 {
        frontier.push(leaf_hash(&entry(at).leaf));
        root_of_five = if at == 4 { frontier.root() } else { root_of_five };
        log.commit_wait(entry(at)).unwrap();
    }
    drop(log);
    let signer = Signer::from_seed(&opened.origin, &[1; 32]).unwrap();
    let told = |size, root| {
        let head = Checkpoint { origin: opened.origin.clone(), size, root }.sign(&signer);
        durable::write(&home.path().join("log.head"), head.as_bytes(), 0o600).unwrap();
        open(home.path(), Behind::Refuse)
    };
    let Err(OpenError::Read(ReadError::Damaged { damage, .. })) = told(5, [9; 32]) else { panic!("another history") };
    assert!(matches!(damage, Damage::Root { size: 5, signed, .. } if signed == [9; 32]), "{damage:?}");
    assert!(matches!(told(8, [9; 32]), Err(OpenError::Behind { signed: 8, .. })));
    assert_eq!(told(5, root_of_five).unwrap().1.size, 7);
}

#[test]
fn a_head_that_nobody_signed_is_refused_and_one_that_is_missing_is_written() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), 3, true);
    let path = home.path().join("log.head");
    let good = fs::read_to_string(&path).unwrap();
    durable::write(&path, good.replace("\n3\n", "\n2\n").as_bytes(), 0o600).unwrap();
    assert!(matches!(open(home.path(), Behind::Begin), Err(OpenError::Head { .. })));
    durable::write(&path, b"other.example/log/gw1/1\n0\n", 0o600).unwrap();
    assert!(matches!(open(home.path(), Behind::Begin), Err(OpenError::OtherLog { .. })));
    fs::remove_file(&path).unwrap();
    write(home.path(), 3, true);
    assert_eq!(fs::read_to_string(&path).unwrap(), good);
}

/// Break: let a `wal` excuse everything.
#[test]
fn a_wal_does_not_excuse_what_is_too_much() {
    for (clean, with_wal) in [(true, true), (false, false)] {
        let home = tempfile::tempdir().unwrap();
        let dir = write(home.path(), 300, clean);
        if with_wal {
            fs::create_dir(dir.join("wal")).unwrap();
        }
        let verify = || verify_dir(&dir, None, None, &mut |_, _, _| Ok(()));
        assert!(verify().unwrap().live, "clean {clean}");
        for surplus in ["x", "tile/0/999", "tile/9/000", "tile/entries/077.p/3", "sealed/044", "wal/zzz", "tile/0/y"] {
            let path = dir.join(surplus);
            let there = path.parent().unwrap().exists();
            durable::create_dir(path.parent().unwrap()).unwrap();
            durable::write(&path, b"surplus", 0o600).unwrap();
            assert!(verify().is_err(), "clean {clean}: {surplus}");
            fs::remove_file(&path).unwrap();
            if !there {
                fs::remove_dir(path.parent().unwrap()).unwrap();
            }
        }
        // The last sealed file grows while the log is in use; one of a full bundle does not.
        let full = dir.join("sealed/000");
        let good = fs::read(&full).unwrap();
        durable::write(&full, &[good.as_slice(), b"JUNK"].concat(), 0o600).unwrap();
        assert!(verify().is_err(), "clean {clean}: behind a full bundle");
        durable::write(&full, &good, 0o600).unwrap();
        assert!(verify().is_ok());
    }
    let home = tempfile::tempdir().unwrap();
    let dir = write(home.path(), 300, true);
    let sealed = dir.join("sealed/001");
    let longer = [fs::read(&sealed).unwrap(), b"JUNK".to_vec()].concat();
    durable::write(&sealed, &longer, 0o600).unwrap();
    fs::create_dir(dir.join("wal")).unwrap();
    let verify = || verify_dir(&dir, None, None, &mut |_, _, _| Ok(()));
    assert!(matches!(verify(), Err(remit_audit::verify::VerifyError::Read(ReadError::Damaged { .. }))));
    fs::remove_dir(dir.join("wal")).unwrap();
    durable::write(&sealed, longer.get(..longer.len() - 4).unwrap(), 0o600).unwrap();
    assert!(!verify().unwrap().live);
    durable::write(&dir.join("wal"), b"", 0o600).unwrap();
    assert!(matches!(verify(), Err(remit_audit::verify::VerifyError::Read(ReadError::Damaged { .. }))));
}

/// Measures, so not run by itself: `cargo nextest run --release -p remit-audit --run-ignored only -- --no-capture`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "a measurement prints")]
fn opening_reads_all() {
    const ENTRIES: u64 = 40_000;
    let home = tempfile::tempdir_in(".").unwrap();
    let (log, _) = open(home.path(), Behind::Begin).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..ENTRIES / 64 {
                    log.commit_wait(Entry { leaf: vec![7; 1500], sealed: vec![8; 1500] }).unwrap();
                }
            });
        }
    });
    log.close().unwrap();
    let start = std::time::Instant::now();
    let (log, opened) = open(home.path(), Behind::Begin).unwrap();
    let opening = start.elapsed();
    assert_eq!(log.entries(0).map(Result::unwrap).count() as u64, opened.size);
    let rate = |time: std::time::Duration| u128::from(opened.size) * 1000 / time.as_millis().max(1);
    println!("{} entries: opened {}/s, opened and read back {}/s", opened.size, rate(opening), rate(start.elapsed()));
}
