//! A run begins another one, which calls a tool: who it was, for whom and by whom is proved from that one entry.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::apart::{Apart, MANIFEST, PIN, REVIEW, SERVER, is_done, start, tools, until, write};
use crate::remit::{ended, remit, run};

/// A command of a process that belongs to this run.
fn inside(home: &Path, run: &str, words: &[&str]) -> (i32, String, String) {
    ended(&remit(home).env("REMIT_RUN", run).args(words).output().unwrap())
}

#[track_caller]
fn must_inside(home: &Path, run: &str, words: &[&str]) -> Value {
    let (code, out, err) = inside(home, run, &[&["--json"], words].concat());
    assert_eq!(code, 0, "{words:?} {out}{err}");
    serde_json::from_str(&out).unwrap()
}

#[track_caller]
fn refused_inside(home: &Path, run: &str, words: &[&str], says: &str) {
    let (code, out, err) = inside(home, run, words);
    assert!(code != 0 && err.contains(says), "{words:?} {out}{err}");
}

/// A server, and two agents: one that leads, one that reads.
fn furnished() -> Apart {
    let apart = start();
    let lead = MANIFEST.replace("\"reader\"", "\"lead\"").replace("version = \"1.0.0\"", "version = \"2.1.0\"");
    for (name, text, mode) in [
        ("pin", std::str::from_utf8(PIN).unwrap(), 0o600),
        ("server.sh", SERVER, 0o700),
        ("tools.json", &tools("Reads a note."), 0o600),
        ("review.toml", REVIEW, 0o600),
        ("reader.toml", MANIFEST, 0o600),
        ("lead.toml", &lead, 0o600),
    ] {
        write(Path::new(&apart.file(name)), text, mode);
    }
    let (pin, review) = (apart.file("pin"), apart.file("review.toml"));
    apart.must(&["admin", "pin", "--new-pin-file", &pin]);
    let add = ["server", "add", "notes", "--environment", "staging", "--expose", "read_note", "--review", &review];
    apart.must(&[&add[..], &["--pin-file", &pin, "--", &apart.file("server.sh")]].concat());
    apart.must(&["agent", "register", &apart.file("lead.toml")]);
    apart.must(&["agent", "register", &apart.file("reader.toml")]);
    apart
}

fn read_note(apart: &Apart, child: &str) -> (u16, Value) {
    let headers = must_inside(&apart.authority, child, &["token", "notes", "--to", "gateway"]);
    apart.ask_with(&headers, "tools/call", json!({ "name": "read_note", "arguments": { "id": 3 } }))
}

/// The index of the reader's call that was permitted, once it is published.
fn call(home: &Path) -> String {
    let began = Instant::now();
    loop {
        let (_, tail, _) = run(home, &["--json", "log", "tail", "--lines", "500", "--kind", "call_intent"]);
        let mut calls = tail.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(call) = calls.find(|call| call["who"] == "docs/reader@1.0.0" && call["result"] == "permit") {
            return call["index"].to_string();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{tail}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// That call, proved to somebody who has the log's key: the statement and its sentence.
fn proved(apart: &Apart) -> (Value, String) {
    let (home, file) = (&apart.gateway, apart.file("evidence.json"));
    let (ended, out, err) = run(home, &["log", "prove", &call(home), "--disclose", "--out", &file]);
    assert_eq!(ended, 0, "{out}{err}");
    let mut epochs = std::fs::read_dir(home.join("gateway/log")).unwrap().map(|epoch| epoch.unwrap().path());
    let vkey = epochs.find_map(|epoch| Some(epoch.join("vkey")).filter(|vkey| vkey.exists())).unwrap();
    let words = ["--json", "log", "prove", "--check", &file, "--vkey", vkey.to_str().unwrap()];
    let (ended, out, err) = run(home, &words);
    assert_eq!(ended, 0, "{out}{err}");
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&said["proved"], &said["trusted"]), (&json!(true), &json!(true)));
    (said["statement"].clone(), said["sentence"].as_str().unwrap().to_owned())
}

#[test]
fn a_child_of_a_run_calls_a_tool_and_its_entry_proves_who_began_it() {
    let apart = furnished();
    let home = &apart.authority;
    let root = ["request", "notes/read_note", "--agent", "docs/lead", "--for", "10m", "--why", "INC-42"];
    let root = apart.must(&root)["run"]["id"].as_str().unwrap().to_owned();
    let ask = ["request", "notes/read_note", "--agent", "docs/reader", "--for", "5m", "--why", "to sum up note 3"];
    let given = must_inside(home, &root, &ask);
    let child = given["run"]["id"].as_str().unwrap();
    let parent = format!("spiffe://acme.example/agent/docs/lead/2.1.0/{root}");
    assert_eq!(given["spawned_by"], json!([parent]));
    assert_eq!((&given["run"]["parent"], &given["run"]["root"]), (&json!(root), &json!(root)));

    // People are told the same, and with which name to start it.
    let (_, out, _) = inside(home, &root, &ask);
    let second = out.lines().find_map(|line| line.strip_prefix("run    ")).unwrap();
    let (second, of) = second.split_once(", ").unwrap();
    assert_eq!(of, format!("a child of {root} (docs/lead@2.1.0)"));
    let next = format!("next   REMIT_RUN={second} remit --home {} token notes", home.display());
    assert!(out.contains(&next), "{out}");
    let (_, out, _) = inside(home, child, &["status"]);
    assert!(
        out.starts_with(&format!("run {child} of docs/reader@1.0.0\n  a child of {root} (docs/lead@2.1.0)\n")),
        "{out}"
    );
    let (_, out, _) = run(home, &["status"]);
    assert!(
        out.contains(&format!("{child}  docs/reader@1.0.0, ")) && out.contains(&format!(", a child of {root}")),
        "{out}"
    );

    // Each has its own socket, and a child that calls itself its parent is none.
    refused_inside(home, &root, &["token", "notes", "--run", child], "another run's");
    refused_inside(home, child, &["token", "notes", "--run", &root], "another run's");
    let typed = format!("REMIT_RUN={root} {} --home {} token notes", env!("CARGO_BIN_EXE_remit"), home.display());
    let mut shell = Command::new("/bin/sh");
    let shell = shell.env_clear().env("HOME", home).env("REMIT_RUN", child).args(["-c", &typed]);
    let (code, _, err) = ended(&shell.output().unwrap());
    assert!(code != 0 && err.contains("another run's"), "{err}");
    let principal = [&ask[..], &["--principal", "ada"]].concat();
    refused_inside(home, &root, &principal, "a run acts for whom it was launched");

    until(|| read_note(&apart, child), is_done);
    let (statement, sentence) = proved(&apart);
    assert_eq!((&statement["spawned_by"], &statement["until"]), (&json!([parent]), &given["run"]["until"]));
    let user = statement["user"].as_str().unwrap();
    let policy = statement["policies"].as_array().unwrap().first().and_then(Value::as_str).unwrap();
    for part in [
        format!(" agent docs/reader version 1.0.0, spawned by {parent}, for user uid:"),
        format!(" ({user}), because \"to sum up note 3\" (words from inside the run), until 20"),
        format!(" called notes/read_note with exactly {{\"id\":3}} under policy {policy}"),
    ] {
        assert!(sentence.contains(&part), "{part} is not in {sentence}");
    }

    // With the run that began it, it is over.
    let headers = must_inside(home, child, &["token", "notes", "--to", "gateway"]);
    apart.must(&["revoke", "run", &root, "--why", "done"]);
    let call = || apart.ask_with(&headers, "tools/call", json!({ "name": "read_note", "arguments": { "id": 3 } }));
    until(call, |answer| crate::apart::code(answer) == Some("revoked") || answer.0 == 401);
    refused_inside(home, child, &["token", "notes"], "the run is over");
}
