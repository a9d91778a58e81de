//! Help: every command shows an example, and the first page is what it was.

use expect_test::expect;

use crate::remit::run;

#[test]
fn the_first_page() {
    let home = tempfile::tempdir().unwrap();
    let (code, out, err) = run(home.path(), &["--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    expect![[r#""#]].assert_eq(&out);
}

#[test]
fn every_command_shows_an_example() {
    let home = tempfile::tempdir().unwrap();
    for words in [
        "demo",
        "up",
        "serve authority",
        "serve gateway",
        "agent register",
        "agent show",
        "server add",
        "server show",
        "server diff",
        "server pin",
        "server expose",
        "request",
        "token",
        "revoke",
        "lockdown",
        "log tail",
        "log show",
        "log prove",
        "log verify",
        "log fsck",
        "log replay",
        "status",
        "doctor",
        "config show",
        "completion",
        "admin pin",
    ] {
        let mut typed: Vec<&str> = words.split(' ').collect();
        typed.push("--help");
        let (code, out, _) = run(home.path(), &typed);
        assert_eq!(code, 0, "{words}");
        assert!(out.contains("Example"), "{words} shows no example:\n{out}");
    }
}

#[test]
fn completion_knows_the_commands() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, err) = run(home.path(), &["completion", shell]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("lockdown") && out.contains("verify"), "{shell}");
    }
}

#[test]
fn config_show_says_where_each_value_came_from() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("remit.toml");
    remit_audit::durable::write(&file, b"[gateway]\nname = \"gw7\"\n", 0o600).unwrap();
    let mut command = crate::remit::remit(home.path());
    command.env("REMIT__GATEWAY__CALLS_MAX", "7").args(["--json", "config", "show"]);
    let (code, out, _) = crate::remit::ended(&command.output().unwrap());
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    let of = |key: &str| (shown[key]["value"].clone(), shown[key]["source"].as_str().unwrap().to_owned());
    assert_eq!(of("gateway.calls_max"), (7.into(), "REMIT__GATEWAY__CALLS_MAX".into()));
    assert_eq!(of("gateway.name"), ("gw7".into(), file.display().to_string()));
    assert_eq!(of("gateway.listen").1, "default");
    assert_eq!(of("trust.root"), (serde_json::Value::Null, "not set".into()));
}
