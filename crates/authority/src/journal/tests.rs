//! What is recorded is applied, once, also after an interruption; what is lost is rebuilt from the log.

use super::*;
use crate::change::Principal;
use remit_core::id::{PrincipalId, TrustDomain};
use std::path::Path;

fn open(dir: &Path) -> Result<Journal, AuthorityError> {
    let domain = TrustDomain::new("acme.example").unwrap();
    let mut config = Config::new(domain, "https://as.example", "https://gw.example");
    config.clock = Clock::stopped(1_795_250_400);
    Journal::open(&Home::new(dir), &config)
}

fn person(n: u8) -> Change {
    Change::Principal(Principal {
        id: PrincipalId::new(format!("p-{n}")).unwrap(),
        name: format!("person {n}"),
        shown: None,
        workload: false,
        at: 1,
    })
}

#[track_caller]
fn knows(journal: &Journal, names: &[u8]) {
    for n in 1..=4_u8 {
        let found = journal.store().principal_named(&format!("person {n}")).unwrap();
        assert_eq!(found.is_some(), names.contains(&n), "person {n}");
    }
}

#[test]
fn an_entry_that_was_not_applied_is_applied_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    journal.record(&person(1)).unwrap();
    // As when the process ends between commit and apply.
    let entry = journal.seal(&person(2)).unwrap();
    journal.log.commit_wait(entry).map(|_receipt| ()).unwrap();
    knows(&journal, &[1]);
    drop(journal);
    let mut journal = open(dir.path()).unwrap();
    knows(&journal, &[1, 2]);
    // And one that became durable after its deadline is applied before the next.
    let late = journal.seal(&person(3)).unwrap();
    journal.log.commit_wait(late).map(|_receipt| ()).unwrap();
    journal.record(&person(4)).unwrap();
    knows(&journal, &[1, 2, 3, 4]);
}

#[test]
fn a_lost_or_older_database_is_rebuilt_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    journal.record(&person(1)).unwrap();
    drop(journal);
    let database = dir.path().join("authority.db");
    let old = std::fs::read(&database).unwrap();
    let mut journal = open(dir.path()).unwrap();
    journal.record(&person(2)).unwrap();
    drop(journal);
    durable::write(&database, &old, 0o600).unwrap();
    knows(&open(dir.path()).unwrap(), &[1, 2]);
    for name in ["authority.db", "authority.db-wal", "authority.db-shm"] {
        durable::remove(&dir.path().join(name)).unwrap();
    }
    knows(&open(dir.path()).unwrap(), &[1, 2]);
}

#[test]
fn a_log_that_is_behind_the_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    journal.record(&person(1)).unwrap();
    drop(journal);
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    assert!(matches!(open(dir.path()), Err(AuthorityError::Log(remit_audit::OpenError::Behind { .. }))));
    durable::remove(&dir.path().join("log.head")).unwrap();
    assert!(matches!(open(dir.path()), Err(AuthorityError::Diverged { .. })));
}

/// Break: keep no head beside the log, or read back less than all of it.
#[test]
fn a_log_that_is_not_what_was_signed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    // Enough for a full bundle, at which nothing but the whole reading looks.
    for n in 0..260 {
        let id = PrincipalId::new(format!("p-{n}")).unwrap();
        journal
            .record(&Change::Principal(Principal {
                id,
                name: format!("name {n}"),
                shown: None,
                workload: false,
                at: 1,
            }))
            .unwrap();
    }
    let epoch = journal.log().dir().to_owned();
    journal.log.clone().close().unwrap();
    drop(journal);
    for (name, at) in [("tile/entries/000", 500), ("tile/0/000", 64)] {
        let path = epoch.join(name);
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[at] ^= 1;
        durable::write(&path, &bad, 0o600).unwrap();
        let refused = open(dir.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("remit log verify"), "{name}: {refused}");
        durable::write(&path, &good, 0o600).unwrap();
    }
    knows(&open(dir.path()).unwrap(), &[]);
}

/// Break: open whatever frame of the right person lies there.
#[test]
fn frames_of_one_person_that_were_exchanged_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let named = |name: &str| {
        let id = PrincipalId::new("p-1").unwrap();
        Change::Principal(Principal { id, name: name.into(), shown: None, workload: false, at: 1 })
    };
    let [one, two] = ["first", "other"].map(|name| journal.seal(&named(name)).unwrap());
    assert!(journal.unseal(1, &one).unwrap().is_some());
    let exchanged = Entry { leaf: one.leaf, sealed: two.sealed };
    assert!(matches!(journal.unseal(1, &exchanged), Err(AuthorityError::Entry { index: 1, .. })));
}

#[test]
fn an_erased_person_is_not_rebuilt_and_hinders_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    journal.record(&person(1)).unwrap();
    journal.record(&person(2)).unwrap();
    journal.vault.destroy("p-1").unwrap();
    drop(journal);
    durable::remove(&dir.path().join("authority.db")).unwrap();
    knows(&open(dir.path()).unwrap(), &[2]);
}

#[test]
fn the_leaf_says_nothing_of_the_person() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    let index = journal.record(&person(1)).unwrap();
    let leaf = String::from_utf8(journal.log().read(index).unwrap().leaf).unwrap();
    assert!(leaf.contains("p-1") && !leaf.contains("person"), "{leaf}");
}

#[test]
fn when_the_log_is_unavailable_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    journal.log.clone().close().unwrap();
    let refused = journal.record(&person(1)).unwrap_err();
    assert_eq!(refused.rejection().code, remit_core::rejection::Code::AuditUnavailable);
    knows(&journal, &[]);
}

#[test]
fn an_erasure_is_finished_at_start_where_it_was_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path()).unwrap();
    journal.record(&person(1)).unwrap();
    journal.record(&person(2)).unwrap();
    let principal = PrincipalId::new("p-1").unwrap();
    let erased = Change::Erased { principal, ground: "erasure-request".into(), by: "p-2".into() };
    let entry = journal.seal(&erased).unwrap();
    journal.log.commit_wait(entry).map(|_receipt| ()).unwrap();
    knows(&journal, &[1, 2]);
    drop(journal);
    let journal = open(dir.path()).unwrap();
    knows(&journal, &[2]);
    let sealed = journal.log().read(1).unwrap().sealed;
    assert!(matches!(journal.vault.open_sealed("p-1", AAD, &sealed), Err(VaultError::Erased)));
    drop(journal);
    for file in std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
    {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(8).any(|part| part == b"person 1"), "{}", file.display());
    }
}
