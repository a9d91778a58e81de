//! Errors: each says what happened and the one next step, and its exit code is the documented one.

use expect_test::{Expect, expect};

use crate::remit::{run, steers_nothing};

#[track_caller]
fn check(words: &[&str], expected: &Expect) {
    let home = tempfile::tempdir().unwrap();
    let (code, out, err) = run(home.path(), words);
    let name = home.path().display().to_string();
    let said = format!("exit {code}\n{out}{err}").replace(&name, "HOME");
    expected.assert_eq(&said.lines().map(|line| format!("{}\n", line.trim_end())).collect::<Vec<_>>().concat());
}

#[test]
fn nobody_answers() {
    check(
        &["status"],
        &expect![[r#"
        exit 4
          × the authority does not answer at HOME/authority/admin.sock: No such file or directory
          help: start it: remit --home HOME up
    "#]],
    );
    check(
        &["--json", "agent", "list"],
        &expect![[r#"
        exit 4
        {"says":"the authority does not answer at HOME/authority/admin.sock: No such file or directory","error":{"code":"unreachable","message":"the authority does not answer at HOME/authority/admin.sock: No such file or directory","help":"start it: remit --home HOME up","exit":4}}
    "#]],
    );
}

#[test]
fn there_is_no_log() {
    check(
        &["log", "verify"],
        &expect![[r#"
        exit 2
          × there is no log in HOME
          help: name the directory of a log, of one of its epochs, or a Remit home; `remit --home HOME up` begins one
    "#]],
    );
    check(
        &["log", "show", "3"],
        &expect![[r#"
        exit 2
          × there is no log in HOME
          help: name the directory of a log, of one of its epochs, or a Remit home; `remit --home HOME up` begins one
    "#]],
    );
}

#[test]
fn it_is_not_clear_who_asks() {
    check(
        &["request", "tickets/read_ticket"],
        &expect![[r#"
        exit 2
          × it is not clear which agent asks: there is no agent.toml here
          help: name it: remit --home HOME request … --agent TEAM/NAME, one of: remit --home HOME agent list
    "#]],
    );
    check(
        &["token", "tickets"],
        &expect![[r#"
        exit 2
          × it is not clear which run asks
          help: begin one: remit --home HOME request SERVER/TOOL --for 15m --why "…"; then: remit --home HOME token SERVER --run RUN
    "#]],
    );
}

#[test]
fn nothing_that_grants_trust_has_a_default() {
    check(
        &["serve", "gateway"],
        &expect![[r#"
        exit 2
          × `trust.domain` is not set, and there is no default for what grants trust
          help: add to HOME/remit.toml:
        
                [trust]
                domain = "acme.example"
    "#]],
    );
}

#[test]
fn what_is_typed_wrongly_is_named() {
    check(
        &["lokdown"],
        &expect![[r#"
        exit 2
        error: unrecognized subcommand 'lokdown'

          tip: a similar subcommand exists: 'lockdown'

        Usage: remit [OPTIONS] <COMMAND>

        For more information, try '--help'.
    "#]],
    );
    check(
        &["log", "tail", "--kind", "x"],
        &expect![[r#"
        exit 2
        error: invalid value 'x' for '--kind <KIND>': there is no kind `x`; there are call_intent, call_outcome, outcome_unknown, method, hook_call, token, grant, registration, approval_asked, approval_answered, endorsement, revocation, bundle, lockdown, key_destroyed, epoch, heartbeat, refusals

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn what_others_word_does_not_steer_the_terminal() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("evidence.json");
    let evidence = "{ \"format\": \"remit.evidence/v1\", \"\\u001b[2J\\nPROVED\\u202e\": 1 }";
    remit_audit::durable::write(&file, evidence.as_bytes(), 0o600).unwrap();
    let words = ["log", "prove", "--check", file.to_str().unwrap()];
    let (code, _, err) = run(home.path(), &words);
    assert_eq!(
        (code, err.contains("\\u{1b}[2J"), err.lines().any(|line| line.starts_with("PROVED"))),
        (2, true, false)
    );
    steers_nothing(&err);
    let (code, out, _) = run(home.path(), &[&["--json"], &words[..]].concat());
    assert_eq!(code, 2);
    steers_nothing(&out);
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(said["error"]["message"].as_str().unwrap().contains('\u{202e}'), "{said}");
}

#[test]
fn what_could_not_be_printed_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    for words in [&["config", "show"][..], &["--json", "config", "show"], &["completion", "bash"], &["--help"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = crate::remit::remit(home.path()).args(words).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
    // A reader who has seen enough is none.
    let mut child =
        crate::remit::remit(home.path()).args(["config", "show"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_configuration_that_is_wrong_can_be_looked_at() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("remit.toml");
    let wrong = b"[gateway]\ncalls_max = \"many\"\nlissten = 1\nname = \"gw7\"\n";
    remit_audit::durable::write(&file, wrong, 0o600).unwrap();
    let (code, out, err) = run(home.path(), &["config", "show"]);
    assert_eq!(code, 2, "{err}");
    for part in ["`gateway.calls_max`", "`gateway.lissten`", "name = \"gw7\""] {
        assert!(out.contains(part), "{out}");
    }
    let (code, out, _) = run(home.path(), &["doctor"]);
    assert_eq!((code, out.contains("`gateway.calls_max`"), out.contains("WRONG  config")), (1, true, true), "{out}");
    assert_eq!(run(home.path(), &["status"]).0, 2);
    let (code, _, err) = run(home.path(), &["--config", "nope.toml", "status"]);
    assert_eq!((code, err.contains("no such configuration")), (2, true), "{err}");
}

#[test]
fn what_is_typed_wrongly_is_one_object_for_programs() {
    let home = tempfile::tempdir().unwrap();
    for (words, says) in [
        (&["--json", "lokdown"][..], "unrecognized subcommand 'lokdown'"),
        (&["log", "show", "--json"], "the following required arguments were not provided: <INDEX>"),
        (&["--json", "log"], "no command is named"),
    ] {
        let (code, out, err) = run(home.path(), words);
        let said: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        assert_eq!((code, &said["error"]["exit"], err.as_str()), (2, &2.into(), ""), "{words:?}");
        assert_eq!(said["error"]["message"], says);
    }
}

#[test]
fn what_starts_is_not_what_does_not_run() {
    let home = tempfile::tempdir().unwrap();
    // Sockets have short names, and their path a blank.
    let home = home.path().join("my home");
    std::fs::create_dir_all(home.join("authority")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(home.join("authority/admin.sock")).unwrap());
    let (code, _, err) = run(&home, &["status"]);
    let next =
        format!("try again in a moment; if it was killed, start it: remit --home '{}' serve authority", home.display());
    assert_eq!((code, err.contains(&next), err.contains("os error")), (4, true, false), "{err}");
}
