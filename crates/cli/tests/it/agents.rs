//! Agents as they are listed and shown: what was revoked says so.

use serde_json::Value;

use crate::program::serve;
use crate::remit::run;

fn manifest(name: &str) -> String {
    format!(
        "[agent]\nname = \"{name}\"\nversion = \"1\"\nteam = \"docs\"\npurpose = \"reads notes\"\nenvironment = \"staging\"\n\
         [harm]\nwrites = false\nreversible = true\nautonomous = true\n\
         [[need]]\ntool = \"notes/read\"\nreason = \"to read\"\nlongest = \"15m\"\n"
    )
}

/// Break: list what nobody can run as if it could act.
#[test]
fn an_agent_that_was_revoked_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let _authority = serve(home);
    let file = |name: &str, text: &str| {
        let path = home.join(name);
        remit_audit::durable::write(&path, text.as_bytes(), 0o600).unwrap();
        path.display().to_string()
    };
    let must = |words: &[&str]| {
        let (code, out, err) = run(home, words);
        assert_eq!(code, 0, "{words:?} {out}{err}");
        out
    };
    let pin = file("pin", "a-pin-of-a-test");
    must(&["admin", "pin", "--new-pin-file", &pin]);
    for name in ["reader", "writer"] {
        must(&["agent", "register", &file("agent.toml", &manifest(name))]);
    }
    must(&["revoke", "agent", "docs/reader", "--pin-file", &pin]);
    let listed = must(&["agent", "list"]);
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap().contains("revoked");
    assert_eq!((line("docs/reader"), line("docs/writer")), (true, false), "{listed}");
    assert!(must(&["agent", "show", "docs/reader"]).contains("revoked      in all its versions"));
    assert!(!must(&["agent", "show", "docs/writer"]).contains("revoked"));
    let shown: Value = serde_json::from_str(&must(&["--json", "agent", "show", "docs/reader"])).unwrap();
    assert_eq!((&shown["revoked"], &shown["manifest"]["agent"]["name"]), (&true.into(), &"reader".into()));
    must(&["revoke", "agent", "docs/writer@1", "--pin-file", &pin]);
    assert!(must(&["agent", "show", "docs/writer"]).contains("revoked      in this version"));
}
