//! A full disk: new entries are refused before anything is lost, outcomes go on in the reserve, and it resumes by itself.
//!
//! The disk is a small tmpfs in a namespace of its own, in which the test runs itself again.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use remit_audit::{Config, Entry, Log, LogKey, Unavailable, verify::verify_dir};

fn entry() -> Entry {
    Entry { leaf: vec![7; 2000], sealed: vec![8; 2000] }
}

#[test]
fn a_full_disk_refuses_keeps_and_resumes() {
    let script = "mount -t tmpfs -o size=4m tmpfs /mnt && exec \"$0\" --ignored --test-threads 1";
    let this = std::env::current_exe().unwrap();
    let output = Command::new("unshare").args(["-Urm", "sh", "-c", script]).arg(this).env("TMPDIR", "/mnt").output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("2 passed"), "{said}");
}

#[test]
#[ignore = "only within the namespace of the test above"]
fn on_a_small_disk() {
    let home = tempfile::tempdir().unwrap();
    let log = log(home.path(), 512 << 10);
    let mut acknowledged = 0;
    for cycle in 0..10 {
        let filler = home.path().join("filler");
        fill(&filler);
        let mut refused = false;
        for _ in 0..500 {
            match log.commit_wait(entry()) {
                Ok(_) => acknowledged += 1,
                Err(Unavailable::Full) => {
                    refused = true;
                    break;
                }
                Err(other) => panic!("cycle {cycle}: {other}"),
            }
        }
        assert!(refused, "cycle {cycle}: never refused");
        for _ in 0..20 {
            block_on(log.commit_reserved(entry()), cycle);
            acknowledged += 1;
        }
        fs::remove_file(&filler).unwrap();
        let since = Instant::now();
        while log.commit_wait(entry()).is_err() {
            assert!(since.elapsed() < Duration::from_secs(5), "cycle {cycle}: does not resume");
            std::thread::sleep(Duration::from_millis(5));
        }
        acknowledged += 1;
        assert_eq!(log.size(), acknowledged);
        if acknowledged > 250 {
            break;
        }
    }
    let dir = log.dir().to_owned();
    log.close().unwrap();
    assert_eq!(verify_dir(&dir, None, None, &mut |_, _, _| Ok(())).unwrap().size, acknowledged);
}

/// A control: what holds outcomes of calls in flight is the reserve, and nothing else.
#[test]
#[ignore = "only within the namespace of the test above"]
fn without_a_reserve_an_outcome_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let log = log(home.path(), 0);
    fill(&home.path().join("filler"));
    let refused = (0..2_000).any(|_| poll(&mut log.commit_reserved(entry())) == Err(Unavailable::Full));
    assert!(refused);
}

fn log(home: &Path, reserve_bytes: u64) -> Log {
    let config = Config {
        segment_bytes: 128 << 10,
        reserve_bytes,
        publish_every: Duration::from_millis(20),
        commit_deadline: Duration::from_secs(5),
        ..Config::new(home.join("log"), "example.org", "gw1")
    };
    Log::open(config, LogKey::from_seed([1; 32])).unwrap().0
}

/// As much as there is room for: the write that fails has written what fits.
fn fill(filler: &Path) {
    let mut file = fs::OpenOptions::new().create_new(true).write(true).open(filler).unwrap();
    std::io::Write::write_all(&mut file, &vec![1; 8 << 20]).unwrap_err();
}

fn block_on(mut commit: remit_audit::Commit, cycle: u32) {
    poll(&mut commit).unwrap_or_else(|error| panic!("cycle {cycle}: outcome refused: {error}"));
}

fn poll(commit: &mut remit_audit::Commit) -> Result<remit_audit::Receipt, Unavailable> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let since = Instant::now();
    loop {
        match std::pin::Pin::new(&mut *commit).poll(&mut context) {
            std::task::Poll::Ready(answer) => return answer,
            std::task::Poll::Pending => assert!(since.elapsed() < Duration::from_secs(5)),
        }
        std::thread::yield_now();
    }
}
