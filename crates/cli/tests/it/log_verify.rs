//! `remit log verify`: a sound log, and every way in which a copy of it can be wrong, each in its own words.

use std::path::{Path, PathBuf};

use remit_audit::checkpoint::Checkpoint;
use remit_audit::note::{Signer, Verifier};
use remit_audit::vault::{Kek, Vault};
use remit_audit::{Config, Entry, Log, LogKey, durable};
use remit_core::event::{Epoch, Head, Heartbeat, Outcome, Status};
use remit_core::label::Label;
use serde_json::Value;

use crate::remit::run;

fn head(at: u64) -> Head {
    Head { uid: format!("uid-{at}"), at_ms: 1_795_262_400_000, log: "demo.example/log/gw1".into() }
}

/// Writes entries and ends cleanly. Returns the epoch's directory.
fn write(dir: &Path, entries: u64) -> PathBuf {
    let (log, opened) = Log::open(Config::new(dir, "demo.example", "gw1"), LogKey::from_seed([3; 32])).unwrap();
    for at in opened.size..opened.size + entries {
        let leaf = if at == 0 {
            Epoch { epoch: opened.epoch, previous: opened.previous.as_deref() }.write(&head(at))
        } else {
            Heartbeat { low_water: 0, open: at, bundle: 0 }.write(&head(at))
        };
        log.commit_wait(Entry { leaf: leaf.unwrap(), sealed: Vec::new() }).unwrap();
    }
    let epoch = log.dir().to_owned();
    log.close().unwrap();
    epoch
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What `remit log verify` says: its exit code, and the result of each epoch.
fn verify(home: &Path, words: &[&str]) -> (i32, Vec<String>) {
    let (code, out, err) = run(home, &[&["--json", "log", "verify"], words].concat());
    let said: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let Some(logs) = said["logs"].as_array() else {
        return (code, vec![said["error"]["message"].as_str().unwrap().to_owned()]);
    };
    assert_eq!(said["ok"], (code == 0), "{said}");
    (code, logs.iter().map(|log| log["result"].as_str().unwrap().to_owned()).collect())
}

#[track_caller]
fn check(home: &Path, words: &[&str], code: i32, result: &str) {
    assert_eq!(verify(home, words), (code, vec![result.to_owned()]), "{words:?}");
}

#[test]
fn each_kind_of_wrong_copy_has_its_own_words() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let epoch = write(&at("log"), 300);
    copy(&epoch, &at("earlier"));
    write(&at("log"), 5);
    let (vkey, newest) = (text(&epoch.join("vkey")), text(&epoch.join("checkpoint")));
    let (log, one) = (text(&at("log")), text(&epoch));

    // Sound: named by the log, by the epoch, by the home.
    check(home.path(), &[&log], 0, "self-consistent only");
    check(home.path(), &[&one, "--vkey", &vkey, "--since", &newest], 0, "verified");
    copy(&at("log"), &at("gateway/log"));
    check(home.path(), &[], 0, "self-consistent only");

    // Truncated: consistent in itself, and found by what was kept.
    let earlier = text(&at("earlier"));
    check(home.path(), &[&earlier, "--vkey", &vkey], 0, "verified");
    check(home.path(), &[&earlier, "--vkey", &vkey, "--since", &newest], 1, "truncated");
    let before = text(&at("earlier/checkpoint"));
    check(home.path(), &[&one, "--vkey", &vkey, "--since", &before], 0, "verified");

    // Changed.
    copy(&epoch, &at("changed"));
    let bundle = at("changed/tile/entries/000");
    let mut bytes = std::fs::read(&bundle).unwrap();
    bytes[7000] ^= 1;
    durable::write(&bundle, &bytes, 0o600).unwrap();
    check(home.path(), &[&text(&at("changed"))], 1, "changed");

    // Signed with another key: consistent in itself, and found by the trusted key.
    copy(&epoch, &at("resigned"));
    let key = Verifier::parse(std::fs::read_to_string(&vkey).unwrap().trim_end()).unwrap();
    let checkpoint = Checkpoint::open(&std::fs::read_to_string(&newest).unwrap(), &key).unwrap();
    let other = Signer::from_seed(key.name(), &[9; 32]).unwrap();
    durable::write(&at("resigned/checkpoint"), checkpoint.sign(&other).as_bytes(), 0o600).unwrap();
    durable::write(&at("resigned/vkey"), format!("{}\n", other.vkey()).as_bytes(), 0o600).unwrap();
    check(home.path(), &[&text(&at("resigned"))], 0, "self-consistent only");
    check(home.path(), &[&text(&at("resigned")), "--vkey", &vkey], 1, "signed with another key");
}

#[test]
fn a_byte_that_is_changed_anywhere_is_found() {
    let home = tempfile::tempdir().unwrap();
    let epoch = write(&home.path().join("log"), 20);
    let vkey = home.path().join("trusted");
    std::fs::copy(epoch.join("vkey"), &vkey).unwrap();
    let mut files = Vec::new();
    let mut open = vec![epoch.clone()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() { open.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.retain(|file| !file.ends_with("marker") && std::fs::metadata(file).unwrap().len() > 0);
    assert!(files.len() >= 4, "{files:?}");
    for (seed, file) in files.iter().cycle().take(40).enumerate() {
        let good = std::fs::read(file).unwrap();
        let mut bad = good.clone();
        let at = seed.wrapping_mul(7919) % bad.len();
        bad[at] ^= 1 << (seed % 8);
        durable::write(file, &bad, 0o600).unwrap();
        let words = [epoch.to_str().unwrap(), "--vkey", vkey.to_str().unwrap()];
        let (code, result) = verify(home.path(), &words);
        assert_eq!(code, 1, "byte {at} of {} was not found: {result:?}", file.display());
        durable::write(file, &good, 0o600).unwrap();
    }
}

#[test]
fn an_epoch_must_end_as_the_next_one_says() {
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("log");
    let epoch = write(&log, 10);
    copy(&epoch, &home.path().join("earlier"));
    write(&log, 5);
    // A directory that was copied is another one: the log goes on in a new epoch.
    let moved = home.path().join("moved");
    copy(&log, &moved);
    let next = write(&moved, 3);
    assert_ne!(next.file_name(), epoch.file_name());
    let moved_text = moved.to_str().unwrap();
    let both = vec!["self-consistent only".to_owned(); 2];
    assert_eq!(verify(home.path(), &[moved_text]), (0, both));
    let first = moved.join(epoch.file_name().unwrap());
    std::fs::remove_dir_all(&first).unwrap();
    copy(&home.path().join("earlier"), &first);
    let cut = vec!["truncated".to_owned(), "self-consistent only".to_owned()];
    assert_eq!(verify(home.path(), &[moved_text]), (1, cut));
}

#[test]
fn an_entry_is_proved_to_whoever_has_the_key() {
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("gateway/log");
    let epoch = write(&log, 9);
    let (file, vkey) = (home.path().join("evidence.json"), epoch.join("vkey"));
    let (file, vkey) = (file.to_str().unwrap(), vkey.to_str().unwrap());
    let (code, out, err) = run(home.path(), &["log", "prove", "4"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("c2sp.org/tlog-proof@v1\nindex 4\n"), "{out}");
    assert_eq!(run(home.path(), &["log", "prove", "4", "--out", file]).0, 0);
    let (code, out, _) = run(home.path(), &["log", "prove", "--check", file, "--vkey", vkey]);
    assert_eq!((code, out.split(' ').next()), (0, Some("PROVED")));
    let (code, out, _) = run(home.path(), &["log", "prove", "--check", file]);
    assert_eq!((code, out.starts_with("SELF-CONSISTENT ONLY")), (0, true));

    let evidence = std::fs::read_to_string(file).unwrap();
    durable::write(Path::new(file), evidence.replace("uid-4", "uid-5").as_bytes(), 0o600).unwrap();
    let (code, _, err) = run(home.path(), &["log", "prove", "--check", file, "--vkey", vkey]);
    assert_eq!((code, err.contains("NOT PROVED")), (1, true), "{err}");

    let (code, _, err) = run(home.path(), &["log", "prove", "99"]);
    assert_eq!((code, err.contains("there is no entry 99")), (2, true), "{err}");
}

#[test]
fn a_result_is_proved_to_be_the_one_that_came_back() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    durable::create_dir(&at("gateway/keys")).unwrap();
    let kek = Kek::load_or_create(&at("gateway/keys/vault")).unwrap();
    let vault = Vault::open(&at("gateway/vault"), kek).unwrap();
    let result: &[u8] = b"{\"content\":[]}";
    let outcome = Outcome {
        intent: 3,
        run: Some(("run-2", "run-1")),
        status: Status::Ok,
        duration_us: 1_234,
        label_after: Label::UNKNOWN,
        result: Some(result),
        subject: "u-1",
    };
    let mut seal = |subject: &str, frame: &[u8]| vault.seal(subject, b"uid-0", frame).ok();
    let (leaf, sealed) = outcome.write(&head(0), &mut || [7; 32], &mut seal).unwrap();
    let config = Config::new(at("gateway/log"), "demo.example", "gw1");
    let (log, _) = Log::open(config, LogKey::from_seed([3; 32])).unwrap();
    log.commit_wait(Entry { leaf, sealed }).unwrap();
    let vkey = log.dir().join("vkey");
    log.close().unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (file, same, other) = (at("evidence.json"), at("same"), at("other"));
    durable::write(&same, result, 0o600).unwrap();
    durable::write(&other, b"{\"content\":[1]}", 0o600).unwrap();
    let (code, out, err) = run(home.path(), &["log", "prove", "0", "--disclose", "--out", &text(&file)]);
    assert_eq!((code, out.contains("call of entry 3 ended with `ok`")), (0, true), "{out}{err}");
    let check = |result: &Path| {
        let words = ["log", "prove", "--check", &text(&file), "--vkey", &text(&vkey), "--result", &text(result)];
        run(home.path(), &words)
    };
    let (code, out, _) = check(&same);
    assert_eq!((code, out.contains("is exactly the given one")), (0, true), "{out}");
    let (code, _, err) = check(&other);
    assert_eq!((code, err.contains("NOT PROVED")), (1, true), "{err}");
}

#[test]
fn tail_shows_the_newest_and_only_the_kind_that_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("gateway/log"), 600);
    let indexes = |words: &[&str]| {
        let (code, out, _) = run(home.path(), &[&["--json", "log", "tail"], words].concat());
        assert_eq!(code, 0);
        let index = |line: &str| serde_json::from_str::<Value>(line).unwrap()["index"].as_u64().unwrap();
        out.lines().map(index).collect::<Vec<_>>()
    };
    assert_eq!(indexes(&["-n", "3", "--kind", "heartbeat"]), [597, 598, 599]);
    assert_eq!(indexes(&["-n", "300", "--kind", "heartbeat"]).len(), 300);
    assert_eq!(indexes(&["-n", "3"]), [0], "heartbeats are only shown to who asks for them");
    assert_eq!(indexes(&["--kind", "epoch"]), [0]);
    let (code, out, _) = run(home.path(), &["log", "fsck"]);
    assert_eq!((code, out.starts_with("CLEAN")), (0, true), "{out}");
    let (code, out, _) = run(home.path(), &["log", "show", "0"]);
    assert_eq!((code, out.contains("epoch")), (0, true), "{out}");
}

#[test]
fn a_log_is_called_by_its_own_name_and_what_is_not_there_is_said() {
    let home = tempfile::tempdir().unwrap();
    let epoch = write(&home.path().join("gateway/log"), 9);
    let (code, out, _) = run(home.path(), &["log", "verify", epoch.to_str().unwrap()]);
    assert_eq!((code, out.starts_with("SELF-CONSISTENT ONLY  gateway log, ")), (0, true), "{out}");
    let config = Config::new(home.path().join("elsewhere"), "demo.example", "authority");
    let (log, _) = Log::open(config, LogKey::from_seed([3; 32])).unwrap();
    log.close().unwrap();
    let (_, out, err) = run(home.path(), &["log", "verify", "elsewhere"]);
    assert!(out.contains("  authority log, "), "{out}{err}");
    let file = home.path().join("file");
    durable::write(&file, b"demo.example\nno checkpoint\n", 0o600).unwrap();
    for (words, says) in [
        (&["log", "verify", "--since", "file"][..], "not a checkpoint"),
        (&["log", "tail", "--log", "authority"], "there is no authority log in"),
        (&["log", "replay", "--from", "9"], "nothing to replay from 9 to the newest"),
        (&["log", "replay", "--from", "5", "--to", "4"], "nothing to replay from 5 to 4"),
    ] {
        let (code, out, err) = run(home.path(), words);
        assert_eq!((code, out.as_str(), err.contains(says)), (2, "", true), "{words:?} {err}");
    }
}

/// Break: verify each epoch that is there, and ask nobody for those that are not.
#[test]
fn an_epoch_that_the_next_one_names_must_be_there() {
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("log");
    write(&log, 10);
    let moved = home.path().join("moved");
    copy(&log, &moved);
    let second = write(&moved, 3);
    // Another key is another epoch.
    let (other, opened) = Log::open(Config::new(&moved, "demo.example", "gw1"), LogKey::from_seed([4; 32])).unwrap();
    let leaf = Epoch { epoch: opened.epoch, previous: opened.previous.as_deref() }.write(&head(0)).unwrap();
    other.commit_wait(Entry { leaf, sealed: Vec::new() }).unwrap();
    other.close().unwrap();
    let moved_text = moved.to_str().unwrap();
    let sound = "self-consistent only";
    let is = |code: i32, result: &[&str]| {
        let expected = result.iter().map(|result| (*result).to_owned()).collect::<Vec<_>>();
        assert_eq!(verify(home.path(), &[moved_text]), (code, expected));
    };
    is(0, &[sound, sound, sound]);
    let first = moved.join(
        std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().file_name()).find(|name| name != "lock").unwrap(),
    );
    let aside = home.path().join("aside");
    durable::rename(&second, &aside).unwrap();
    is(1, &[sound, "missing", sound]);
    durable::rename(&aside, &second).unwrap();
    std::fs::remove_dir_all(&first).unwrap();
    is(1, &["missing", sound, sound]);
    // By itself, an epoch is sound; that there was one before is said.
    let (code, out, _) = run(home.path(), &["log", "verify", second.to_str().unwrap()]);
    assert_eq!((code, out.contains("an earlier epoch is not here")), (0, true), "{out}");
}
