//! `remit log replay`: what was recorded is decided again, and each of the three results is told.

use std::path::Path;

use remit_audit::vault::{Kek, Vault};
use remit_audit::verify::verify_dir;
use remit_audit::{Config, Entry, Log, LogKey};
use serde_json::Value;

use crate::demo::play;
use crate::remit::run;

/// Exit code; same, differ, erased, not replayable; the first that stands out.
fn replay(home: &Path, words: &[&str]) -> (i32, [u64; 4], Value) {
    let (code, out, err) = run(home, &[&["--json", "log", "replay"], words].concat());
    let said: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let counts = ["same", "differs", "erased", "not_replayable"].map(|name| said[name].as_u64().unwrap());
    (code, counts, said["entries"][0].clone())
}

fn entries(log: &Path) -> Vec<Entry> {
    let epoch = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let mut entries = Vec::new();
    let mut keep = |_, leaf: &[u8], sealed: &[u8]| {
        entries.push(Entry { leaf: leaf.to_vec(), sealed: sealed.to_vec() });
        Ok(())
    };
    verify_dir(&epoch, None, None, &mut keep).unwrap();
    entries
}

/// A log of the same entries, but that one decision says something else.
fn rewrite(dir: &Path, entries: Vec<Entry>) {
    let (log, _) = Log::open(Config::new(dir, "localhost", "gw1"), LogKey::from_seed([3; 32])).unwrap();
    for Entry { leaf, sealed } in entries {
        let leaf = String::from_utf8(leaf).unwrap().replace("\"arguments_outside_grant\"", "\"budget_spent\"");
        log.commit_wait(Entry { leaf: leaf.into_bytes(), sealed }).unwrap();
    }
    log.close().unwrap();
}

#[test]
fn decisions_are_the_same_or_differ_or_are_erased() {
    let (dir, home, _) = play();
    let (code, [same, differs, erased, other], _) = replay(&home, &[]);
    assert_eq!((code, differs, erased, other), (0, 0, 0, 0));
    assert!(same >= 10, "{same}");

    // A gateway that had recorded something else than what it had to decide.
    let entries = entries(&home.join("gateway/log"));
    let subject = entries.iter().find_map(|entry| subject(&entry.leaf)).unwrap();
    let other_log = dir.path().join("other");
    rewrite(&other_log, entries);
    let (code, counts, first) = replay(&home, &["--dir", other_log.to_str().unwrap()]);
    assert_eq!((code, counts), (1, [same - 1, 1, 0, 0]), "{first}");
    assert_eq!(first["recorded"], "forbid budget_spent", "{first}");
    assert_eq!(first["now"], "forbid arguments_outside_grant", "{first}");

    // The person's key is destroyed: what was decided for them can be decided by nobody again.
    let kek = Kek::load_or_create(&home.join("gateway/keys/vault")).unwrap();
    Vault::open(&home.join("gateway/vault"), kek).unwrap().destroy(&subject).unwrap();
    let (code, [still, differs, erased, other], _) = replay(&home, &[]);
    assert_eq!((code, differs, other), (0, 0, 0));
    assert!(erased > 0 && still + erased == same, "{still} {erased} {same}");

    // Without the bundle of that time nothing can be said.
    std::fs::remove_file(home.join("gateway/bundles/4.note")).unwrap();
    let (code, counts, first) = replay(&home, &[]);
    assert_eq!((code, counts[0], counts[1], counts[2]), (2, 0, 0, erased), "{first}");
}

fn subject(leaf: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(leaf).unwrap();
    let remit = &event["unmapped"]["remit"];
    (remit["kind"] == "call_intent").then(|| remit["sealed"]["subject"].as_str().map(ToOwned::to_owned))?
}
