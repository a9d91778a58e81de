//! What agents and servers word is shown as it is, and steers no terminal.

use crate::remit::{run, steers_nothing};
use crate::up::{ANY_PORT, up};

const MANIFEST: &str = r#"[agent]
name = "reader"
version = "1.0.0"
team = "docs"
purpose = "reads\u001b[2J\u009b1m\nPROVED  entry 1\u202e"
environment = "staging"

[harm]
writes = false
reversible = true
autonomous = true

[[need]]
tool = "notes/read_note"
reason = "to know\nregistered   by root\u200b"
longest = "15m"
"#;

#[test]
fn a_manifest_and_a_name_are_shown_on_their_own_line() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let _up = up(home, &ANY_PORT);
    let manifest = home.join("agent.toml");
    remit_audit::durable::write(&manifest, MANIFEST.as_bytes(), 0o600).unwrap();
    assert_eq!(run(home, &["agent", "register", manifest.to_str().unwrap()]).0, 0);
    let forged = "u-\u{1b}[2J\nPROVED\u{202e}";
    run(home, &["revoke", "principal", forged]);
    for words in [
        &["agent", "list"][..],
        &["agent", "show", "docs/reader"],
        &["agent", "show", forged],
        &["status"],
        &["log", "tail", "--log", "authority"],
        &["--json", "agent", "list"],
    ] {
        let (_, out, err) = run(home, words);
        steers_nothing(&out);
        steers_nothing(&err);
        let lies = |line: &str| line.starts_with("PROVED") || line.starts_with("registered   by root");
        assert!(!out.lines().chain(err.lines()).any(lies), "{words:?} {out}{err}");
    }
    let (_, out, _) = run(home, &["agent", "list"]);
    assert!(out.contains(r"reads\u{1b}[2J\u{9b}1m\u{a}PROVED  entry 1\u{202e}"), "{out}");
}
