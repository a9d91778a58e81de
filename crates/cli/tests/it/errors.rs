//! Errors: each says what happened and the one next step, and its exit code is the documented one.

use expect_test::{Expect, expect};

use crate::remit::run;

#[track_caller]
fn check(words: &[&str], code: i32, expected: &Expect) {
    let home = tempfile::tempdir().unwrap();
    let (found, out, err) = run(home.path(), words);
    let name = home.path().display().to_string();
    assert_eq!(found, code, "{out}{err}");
    expected.assert_eq(&format!("{out}{err}").replace(&name, "HOME"));
}

#[test]
fn nobody_answers() {
    check(&["status"], 4, &expect![[r#""#]]);
    check(&["--json", "agent", "list"], 4, &expect![[r#""#]]);
}

#[test]
fn there_is_no_log() {
    check(&["log", "verify"], 2, &expect![[r#""#]]);
    check(&["log", "show", "3"], 2, &expect![[r#""#]]);
}

#[test]
fn it_is_not_clear_who_asks() {
    check(&["request", "tickets/read_ticket"], 2, &expect![[r#""#]]);
    check(&["token", "tickets"], 2, &expect![[r#""#]]);
}

#[test]
fn nothing_that_grants_trust_has_a_default() {
    check(&["serve", "gateway"], 2, &expect![[r#""#]]);
}

#[test]
fn what_is_typed_wrongly_is_named() {
    check(&["lokdown"], 2, &expect![[r#""#]]);
    check(&["log", "tail", "--kind", "x"], 2, &expect![[r#""#]]);
}
