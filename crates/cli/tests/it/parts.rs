//! What is advised in a home where only a part of Remit lives, or nothing yet: never a command that would make the other.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::program::serve;
use crate::remit::run;

#[track_caller]
fn doctor(home: &Path, says: &[&str], never: &[&str]) {
    let (code, out, err) = run(home, &["doctor", "--quick"]);
    assert_eq!(code, 1, "{out}{err}");
    for text in says {
        assert!(out.contains(text), "{text} is not in\n{out}");
    }
    for text in never {
        assert!(!out.contains(text), "{text} is in\n{out}");
    }
}

#[test]
fn a_home_of_nothing_has_no_keys_and_a_long_one_no_sockets() {
    let dir = tempfile::tempdir().unwrap();
    doctor(dir.path(), &["keys         there is none"], &["only their owner"]);
    let long = dir.path().join("h".repeat(90));
    std::fs::create_dir(&long).unwrap();
    doctor(&long, &["no run can be reached", "choose a shorter home"], &[]);
    let config = "[trust]\ndomain = \"a.example\"\n[authority]\nurl = \"http://127.0.0.1:1\"\n[gateway]\nurl = \"http://127.0.0.1:2\"\n";
    remit_audit::durable::write(&long.join("remit.toml"), config.as_bytes(), 0o600).unwrap();
    let (code, said, _) = run(&long, &["--json", "serve", "authority"]);
    assert_eq!((code, said.contains("choose a shorter home")), (2, true), "{said}");
}

#[test]
fn a_gateway_alone_is_not_told_to_begin_an_authority() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    std::fs::create_dir(home.join("gateway")).unwrap();
    let config = "[authority]\nurl = \"http://127.0.0.1:1\"\n[gateway]\nurl = \"http://127.0.0.1:2\"\n";
    remit_audit::durable::write(&home.join("remit.toml"), config.as_bytes(), 0o600).unwrap();
    let start = format!("remit --home {} serve gateway", home.display());
    doctor(home, &["start it where it lives: remit serve authority", &start], &[" up"]);
    let (code, out, _) = run(home, &["--json", "status"]);
    assert_eq!((code, out.contains("remit serve authority, where it lives"), out.contains(" up")), (4, true, false));
}

#[test]
fn an_authority_alone_is_started_alone_and_a_known_key_is_not_called_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let authority = serve(home);
    let root = home.join("authority/keys/root.key");
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o644)).unwrap();
    let chmod = format!("chmod 600 {}; nothing replaces root.key", root.display());
    doctor(home, &[&chmod, "start it where it lives: remit serve gateway"], &["rotate-keys", " up", "trust.root"]);
    let (code, said, _) = run(home, &["--json", "token", "tickets", "--run", "r-gone"]);
    assert_eq!((code, said.contains("the run is over")), (4, true), "{said}");
    drop(authority);
    let (start, left) =
        (format!("remit --home {} serve authority", home.display()), home.join("authority/runs/r-left"));
    std::fs::create_dir(&left).unwrap();
    drop(std::os::unix::net::UnixListener::bind(left.join("sock")).unwrap());
    for run_id in ["r-gone", "r-left"] {
        let (code, said, _) = run(home, &["--json", "token", "tickets", "--run", run_id]);
        assert_eq!((code, said.contains("the authority is down"), said.contains(&start)), (4, true, true), "{said}");
    }
    let (code, said, _) = run(home, &["--json", "status"]);
    assert_eq!((code, said.contains(&start)), (4, true), "{said}");
}
