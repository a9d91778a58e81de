//! The demo is the long test: it exits 0 only if every step went as it must. Here is what its home is good for.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::remit::run;

const CHANGES: usize = 200;

/// Plays the demo; its home is in a directory with a short name, because sockets lie below it.
pub(crate) fn play() -> (tempfile::TempDir, PathBuf, Value) {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("d");
    std::fs::create_dir(&home).unwrap();
    let (code, out, err) = run(&home, &["--json", "demo"]);
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let failed: Vec<&Value> = steps(&told).into_iter().filter(|step| step["ok"] != true).collect();
    assert_eq!((code, told["ok"].clone()), (0, true.into()), "{failed:#?}{err}");
    (dir, home, told)
}

fn steps(told: &Value) -> Vec<&Value> {
    let chapters = told["chapters"].as_array().unwrap().iter();
    chapters.flat_map(|chapter| chapter["steps"].as_array().unwrap()).collect()
}

/// The steps that the README shows.
fn in_readme() -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let (_, block) = readme.split_once("<!-- demo output -->").unwrap();
    let (block, _) = block.split_once("<!-- /demo output -->").unwrap();
    let took =
        |step: &str| step.rsplit_once("  ").filter(|(_, took)| took.ends_with(" ms")).map(|(what, _)| what.to_owned());
    let shown = block.lines().filter_map(|line| line.strip_prefix("  ✓ "));
    shown.map(|step| took(step).unwrap_or_else(|| step.to_owned())).collect()
}

#[test]
fn the_demo_holds_and_leaves_a_home_for_every_other_command() {
    let (_dir, home, told) = play();
    assert_eq!(in_readme(), steps(&told).iter().map(|step| step["what"].as_str().unwrap()).collect::<Vec<_>>());
    for words in [&["log", "verify"][..], &["log", "replay"], &["log", "tail"], &["log", "fsck"], &["config", "show"]] {
        let (code, out, err) = run(&home, words);
        assert_eq!(code, 0, "{words:?} {out}{err}");
    }
    // The story is of refusals: each stands in the log with its reason.
    let (_, out, _) = run(&home, &["log", "tail", "--lines", "100"]);
    for refused in [
        "tickets/issue_refund forbid: arguments_outside_grant",
        "tickets/issue_refund pending: gate_pending",
        "tickets/delete_ticket forbid: insufficient_scope",
        "tickets/export_customers forbid: unknown",
        "tickets/list_tickets forbid: proof_invalid",
        "tickets/list_tickets forbid: proof_replayed",
        "tickets/list_tickets forbid: revoked",
    ] {
        assert!(out.contains(refused), "{refused} is not in\n{out}");
    }
}

#[test]
fn any_byte_of_its_logs_that_is_changed_is_found() {
    let (_dir, home, _) = play();
    let mut files = Vec::new();
    logs(&home, &mut files);
    let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    assert!(files.len() >= 10 && bytes > 10_000, "{files:?}");
    let mut number = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..CHANGES {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut at = (number >> 20) % bytes;
        let (file, _) = files.iter().find(|(_, len)| at.checked_sub(*len).map(|rest| at = rest).is_none()).unwrap();
        let good = std::fs::read(file).unwrap();
        let mut bad = good.clone();
        bad[usize::try_from(at).unwrap()] ^= 1 << (number >> 61);
        remit_audit::durable::write(file, &bad, 0o600).unwrap();
        let (code, out, err) = run(&home, &["log", "verify"]);
        assert_eq!(code, 1, "byte {at} of {} was not found: {out}{err}", file.display());
        remit_audit::durable::write(file, &good, 0o600).unwrap();
    }
    assert_eq!(run(&home, &["log", "verify"]).0, 0);
}

/// The files of both logs. A lock is empty, and a marker only tells a copy from the original.
fn logs(home: &Path, files: &mut Vec<(PathBuf, u64)>) {
    let mut open = vec![home.join("gateway/log"), home.join("authority/log")];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                open.push(entry.path());
            } else if meta.len() > 0 && entry.file_name() != "marker" {
                files.push((entry.path(), meta.len()));
            }
        }
    }
}

#[test]
fn it_changes_nothing_that_is_there_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let used = dir.path().join("used");
    std::fs::create_dir(&used).unwrap();
    remit_audit::durable::write(&used.join("mine"), b"mine", 0o600).unwrap();
    let (code, _, err) = run(&used, &["demo"]);
    assert_eq!((code, err.contains("is not empty")), (2, true), "{err}");
    assert_eq!(std::fs::read_dir(&used).unwrap().count(), 1);

    let demo = |tmp: &Path| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_remit"));
        command.env_clear().env("HOME", dir.path()).env("TMPDIR", tmp).arg("demo");
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command
    };
    let missing = dir.path().join("missing");
    assert_eq!(demo(&missing).status().unwrap().code(), Some(2));
    assert!(!missing.exists());

    // Stopped while authority and gateway run.
    let tmp = dir.path().join("t");
    std::fs::create_dir(&tmp).unwrap();
    let mut child = demo(&tmp).spawn().unwrap();
    let began = std::time::Instant::now();
    let runs = || {
        let mut homes = std::fs::read_dir(&tmp).unwrap().map(|entry| entry.unwrap().path());
        homes.any(|home| home.join("authority/admin.sock").exists())
    };
    while !runs() {
        assert!(began.elapsed().as_secs() < 20, "it does not start");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
    let name = tmp.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
    let of_it = |path: &PathBuf| std::fs::read(path).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&name));
    assert_eq!(processes.filter(of_it).collect::<Vec<_>>(), Vec::<PathBuf>::new());
}
