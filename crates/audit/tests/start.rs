//! What does not start: a log whose files cannot be what one crash has left.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use remit_audit::{
    Config, Damage, Entry, Log, LogKey, OpenError, ReadError,
    checkpoint::Checkpoint,
    durable,
    note::{Signer, Verifier},
    wal::{self, HEADER_BYTES, Header, Payload},
};

const KEY: [u8; 32] = [1; 32];

fn open(home: &Path) -> Result<Log, OpenError> {
    // Nothing is published before the log is closed: what is not, lies in the segments.
    let publish_every = Duration::from_hours(1);
    let config =
        Config { segment_bytes: 64 << 10, reserve_bytes: 0, publish_every, ..Config::new(home, "example.org", "gw1") };
    Log::open(config, LogKey::from_seed(KEY)).map(|(log, _)| log)
}

/// Writes up to this size, and ends cleanly or not. Returns the epoch's directory.
fn write(home: &Path, size: u64, clean: bool) -> PathBuf {
    let log = open(home).unwrap();
    for i in log.size()..size {
        log.commit_wait(Entry { leaf: format!("leaf {i}").into_bytes(), sealed: b"sealed".to_vec() }).unwrap();
    }
    let dir = log.dir().to_owned();
    if clean {
        log.close().unwrap();
    }
    dir
}

#[track_caller]
fn refused(home: &Path) -> Damage {
    match open(home) {
        Err(OpenError::Read(ReadError::Damaged { damage, .. })) => damage,
        Err(other) => panic!("{other}"),
        Ok(log) => panic!("it started with {} entries", log.size()),
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    durable::write(path, bytes, 0o600).unwrap();
}

#[test]
fn an_older_checkpoint_beside_newer_tiles_does_not_start() {
    for (old, new) in [(1, 2), (20, 40), (20, 256), (20, 300), (255, 256), (256, 257)] {
        let home = tempfile::tempdir().unwrap();
        let checkpoint = write(home.path(), old, true).join("checkpoint");
        let older = fs::read(&checkpoint).unwrap();
        write(home.path(), new, true);
        let newer = fs::read(&checkpoint).unwrap();
        replace(&checkpoint, &older);
        assert_eq!(refused(home.path()), Damage::Beyond { size: old }, "{old} of {new}");
        replace(&checkpoint, &newer);
        assert_eq!(open(home.path()).unwrap().size(), new);
    }
}

/// While it was open, an older checkpoint leaves a gap before the segments.
#[test]
fn an_older_checkpoint_before_newer_segments_does_not_start() {
    let home = tempfile::tempdir().unwrap();
    let checkpoint = write(home.path(), 20, true).join("checkpoint");
    let older = fs::read(&checkpoint).unwrap();
    write(home.path(), 40, true);
    write(home.path(), 60, false);
    let newer = fs::read(&checkpoint).unwrap();
    replace(&checkpoint, &older);
    assert_eq!(refused(home.path()), Damage::Gap { have: 20, first: 40 });
    replace(&checkpoint, &newer);
    assert_eq!(open(home.path()).unwrap().size(), 60);
}

#[test]
fn a_tree_that_is_not_the_signed_one_does_not_start() {
    let home = tempfile::tempdir().unwrap();
    let dir = write(home.path(), 40, true);
    for (file, at) in [("tile/0/000.p/40", 5), ("tile/entries/000.p/40", 5), ("checkpoint", 30), ("checkpoint", 120)] {
        let path = dir.join(file);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        *bad.get_mut(at).unwrap() ^= 1;
        replace(&path, &bad);
        refused(home.path());
        fs::remove_file(&path).unwrap();
        assert_eq!(refused(home.path()), Damage::Missing, "{file}");
        replace(&path, &good);
    }
    // Another tree of the same size, whole in itself: nothing but the signed root tells it apart.
    let other = tempfile::tempdir().unwrap();
    let log = open(other.path()).unwrap();
    for i in 0..40 {
        log.commit_wait(Entry { leaf: format!("fake {i}").into_bytes(), sealed: b"sealed".to_vec() }).unwrap();
    }
    let fake = log.dir().to_owned();
    log.close().unwrap();
    let files = ["tile/0/000.p/40", "tile/entries/000.p/40", "sealed/000"];
    let good = files.map(|file| fs::read(dir.join(file)).unwrap());
    for file in files {
        replace(&dir.join(file), &fs::read(fake.join(file)).unwrap());
    }
    assert!(matches!(refused(home.path()), Damage::Root { size: 40, .. }));
    for (file, good) in files.iter().zip(&good) {
        replace(&dir.join(file), good);
    }
    assert_eq!(open(home.path()).unwrap().size(), 40);
}

/// The segment that holds the entries of a log that was not closed.
fn segment(dir: &Path) -> (PathBuf, Vec<u8>, Header) {
    let mut names: Vec<PathBuf> = fs::read_dir(dir.join("wal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| !path.to_str().unwrap().contains("spare"));
    let [path] = names.as_slice() else { panic!("{names:?}") };
    let bytes = fs::read(path).unwrap();
    let header = Header::decode(bytes.get(..HEADER_BYTES).unwrap()).unwrap();
    (path.clone(), bytes, header)
}

#[test]
fn a_damaged_group_before_a_whole_one_does_not_start() {
    let home = tempfile::tempdir().unwrap();
    let dir = write(home.path(), 5, false);
    let (path, good, header) = segment(&dir);
    let groups = wal::scan(&good, &header).unwrap().groups;
    for group in groups.iter().take(groups.len() - 1) {
        let mut bad = good.clone();
        *bad.get_mut(group.footer.start + 30).unwrap() ^= 1;
        replace(&path, &bad);
        assert!(matches!(refused(home.path()), Damage::Group { .. }));
    }
    let mut bad = good.clone();
    *bad.get_mut(20).unwrap() ^= 1;
    replace(&path, &bad);
    assert_eq!(refused(home.path()), Damage::Header);
    replace(&path, &good);
    assert_eq!(open(home.path()).unwrap().size(), 5);
}

/// Whoever can write the segment can make its checksums fit. The footer's signature he cannot make.
#[test]
fn a_group_whose_footer_is_not_signed_for_it_does_not_start() {
    let home = tempfile::tempdir().unwrap();
    let dir = write(home.path(), 5, false);
    let (path, good, header) = segment(&dir);
    let last = wal::scan(&good, &header).unwrap().groups.pop().unwrap();
    let Some(Payload::Footer(note)) =
        wal::frame(good.get(last.footer.clone()).unwrap(), header.seed(), last.footer.start as u64).map(|f| f.payload)
    else {
        panic!("no footer")
    };
    let vkey = fs::read_to_string(dir.join("vkey")).unwrap();
    let signed = Checkpoint::open(note, &Verifier::parse(vkey.trim_end()).unwrap()).unwrap();
    let own = Signer::from_seed(&signed.origin, &KEY).unwrap();
    let other = Signer::from_seed(&signed.origin, &[2; 32]).unwrap();
    let start = |checkpoint: Checkpoint, signer: &Signer| {
        let mut bad = good.clone();
        bad.truncate(last.footer.start);
        let note = checkpoint.sign(signer);
        wal::push_frame(&mut bad, header.seed(), 0, last.number, Payload::Footer(&note)).unwrap();
        bad.resize(good.len(), 0);
        replace(&path, &bad);
        refused(home.path())
    };
    let root = Checkpoint { root: [7; 32], ..signed.clone() };
    assert!(matches!(start(root, &own), Damage::Root { size: 5, .. }));
    let size = Checkpoint { size: 6, ..signed.clone() };
    assert_eq!(start(size, &own), Damage::Footer { found: 5, signed: 6 });
    assert!(matches!(start(signed.clone(), &other), Damage::Note(_)));
    let origin = Checkpoint { origin: "example.org/log/gw2/1".into(), ..signed };
    assert!(matches!(start(origin, &own), Damage::Origin { .. }));
    replace(&path, &good);
    assert_eq!(open(home.path()).unwrap().size(), 5);
}
