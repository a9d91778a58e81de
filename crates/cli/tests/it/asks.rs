//! What is held, and asking a person for more, by the real binary: an authority and a gateway, with a server behind.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::apart::{self, Apart, MANIFEST, PIN, REVIEW, SERVER, is_done, start, tools, until, write};
use crate::remit::{remit, run, steers_nothing};

const OWN: &str = "one-of-three";

/// A server, an agent, and three people: two who approve for its team, and their deputy.
fn furnished() -> Apart {
    let apart = start();
    for (name, text, mode) in [
        ("pin", std::str::from_utf8(PIN).unwrap(), 0o600),
        ("own", OWN, 0o600),
        ("server.sh", SERVER, 0o700),
        ("tools.json", &tools("Reads a note."), 0o600),
        ("review.toml", REVIEW, 0o600),
        ("agent.toml", MANIFEST, 0o600),
    ] {
        write(Path::new(&apart.file(name)), text, mode);
    }
    let (pin, own, review) = (apart.file("pin"), apart.file("own"), apart.file("review.toml"));
    apart.must(&["admin", "pin", "--new-pin-file", &pin]);
    let add = ["server", "add", "notes", "--environment", "staging", "--expose", "read_note", "--review", &review];
    apart.must(&[&add[..], &["--pin-file", &pin, "--", &apart.file("server.sh")]].concat());
    apart.must(&["agent", "register", &apart.file("agent.toml")]);
    for (person, role) in [("ada", "docs/approver"), ("bob", "docs/approver"), ("eve", "docs/deputy")] {
        apart.must(&["person", "add", person, "--new-pin-file", &own, "--pin-file", &pin]);
        apart.must(&["role", "give", role, person, "--pin-file", &pin]);
    }
    apart
}

fn read_note(apart: &Apart, run: &str, grant: &str) -> (u16, Value) {
    let headers = apart.must(&["token", "notes", "--run", run, "--grant", grant, "--to", "gateway"]);
    apart.ask_with(&headers, "tools/call", json!({ "name": "read_note", "arguments": { "id": 3 } }))
}

/// What a command says on standard output, with its exit code.
#[track_caller]
fn said(apart: &Apart, words: &[&str], code: i32) -> Value {
    let (ended, out, err) = run(&apart.authority, &[&["--json"], words].concat());
    assert_eq!(ended, code, "{words:?} {out}{err}");
    serde_json::from_str(&out).unwrap()
}

/// Break: begin the run before anybody has answered, or say it is fine while somebody waits.
#[test]
fn what_policy_does_not_grant_a_person_does_and_the_command_goes_on() {
    let apart = furnished();
    let own = apart.file("own");
    let ask =
        ["request", "notes/read_note", "--agent", "docs/reader", "--for", "30m", "--why", "INC-42", "--where", "id=3"];
    let (code, out, err) = run(&apart.authority, &ask);
    assert!(code == 1 && err.contains("for at most 15m") && err.contains("the same command with --ask"), "{out}{err}");
    // It is asked for, and exit code 5 says that it waits.
    let (code, out, err) = run(&apart.authority, &[&ask[..], &["--ask"]].concat());
    assert!(code == 5 && out.contains("who    docs/approver: ada, bob, eve"), "{out}{err}");
    steers_nothing(&out);
    let id = said(&apart, &[&ask[..], &["--ask"]].concat(), 5)["ask"]["id"].as_str().unwrap().to_owned();
    assert!(out.contains(&format!("grant asked {id} --wait 15m")), "{out}");
    // The approver sees all of it, and says so by name.
    let (code, out, _) = run(&apart.authority, &["approvals"]);
    assert_eq!(code, 0);
    for part in
        ["for    notes/read_note for 30m", "where  id=3", "why    \"INC-42\"", "digest sha256:", "ada, bob, eve"]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, _, err) = run(&apart.authority, &["approve", &id, "--why", "x", "--pin-file", &apart.file("pin")]);
    assert!(code == 1 && err.contains("--as NAME"), "{err}");
    // Somebody waits for the answer meanwhile, and gets what it gives.
    let waits = [&ask[..], &["--ask", "--wait", "1m"]].concat();
    let waiting =
        remit(&apart.authority).arg("--json").args(waits).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let digest = said(&apart, &["grant", "asked", &id], 5)["ask"]["digest"].as_str().unwrap().to_owned();
    let yes = ["approve", &id, "--as", "eve", "--pin-file", &own, "--why", "once", "--digest", &digest];
    let (code, out, err) = run(&apart.authority, &yes);
    assert!(code == 0 && out.contains("approved  notes/read_note for docs/reader@1.0.0, once, for 30m"), "{out}{err}");
    let given = waiting.wait_with_output().unwrap();
    assert!(given.status.success());
    let given: Value = serde_json::from_slice(&given.stdout).unwrap();
    let (of, grant) = (given["run"]["id"].as_str().unwrap(), given["grant"]["id"].as_str().unwrap());
    assert_eq!((&given["grant"]["ask"], &given["tools"]), (&json!(id), &json!(["notes/read_note"])));
    until(|| read_note(&apart, of, grant), is_done);
    // Another one is denied, and says so with another exit code.
    let second = said(&apart, &[&ask[..], &["--ask"]].concat(), 5)["ask"]["id"].as_str().unwrap().to_owned();
    apart.must(&["deny", &second, "--as", "ada", "--pin-file", &own]);
    let denied = said(&apart, &["grant", "asked", &second], 1);
    assert!(denied["error"]["message"].as_str().unwrap().contains("denied by docs/approver"), "{denied}");
    let third = said(&apart, &[&ask[..], &["--ask"]].concat(), 5)["ask"]["id"].as_str().unwrap().to_owned();
    apart.must(&["grant", "withdraw", &third]);
    let times = &apart.must(&["status"])["request_to_grant"];
    assert_eq!(times["asked"]["count"], 1);
    for (kind, what) in [("approval_asked", "ask"), ("approval_answered", "allow"), ("approval_answered", "deny")] {
        logged(&apart, kind, what);
    }
}

/// Until the authority's log shows it: what is recorded is published a moment later.
fn logged(apart: &Apart, kind: &str, what: &str) {
    let began = Instant::now();
    loop {
        let tail = ["--json", "log", "tail", "--log", "authority", "--lines", "500", "--kind", kind];
        let (_, out, _) = run(&apart.authority, &tail);
        let entries = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if entries.into_iter().any(|entry| entry["result"] == what) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{kind} {what}: {out}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Break: end the grant at the authority alone, or renew it in words alone.
#[test]
fn a_grant_is_listed_renewed_and_given_back_from_inside_and_outside() {
    let apart = furnished();
    let home = &apart.authority;
    let begin = ["request", "notes/read_note", "--agent", "docs/reader", "--for", "15m", "--why", "INC-42"];
    let root = apart.must(&begin)["run"]["id"].as_str().unwrap().to_owned();
    let part = ["request", "notes/read_note", "--run", &root, "--for", "2m", "--why", "note 3", "--where", "id=3"];
    let grant = apart.must(&part)["grant"].clone();
    let id = grant["id"].as_str().unwrap();
    for words in [&["grant", "list"][..], &["grant", "list", "--run", &root], &["status"], &["status", "--run", &root]]
    {
        let (code, out, err) = run(home, words);
        assert!(code == 0 && out.contains(&format!("grant {id}  notes/read_note where id=3  ")), "{out}{err}");
        steers_nothing(&out);
    }
    let renewed = apart.must(&["grant", "renew", id, "--for", "5m"]);
    assert!(renewed["grant"]["until"].as_i64() >= grant["until"].as_i64().map(|until| until + 170), "{renewed}");
    let inside = remit(home).env("REMIT_RUN", &root).args(["grant", "renew", id]).output().unwrap();
    assert!(inside.status.success() && String::from_utf8_lossy(&inside.stdout).starts_with("renewed  "));
    until(|| read_note(&apart, &root, id), is_done);
    // Tokens that are good for minutes yet, with proofs that nobody has used.
    let token = || apart.must(&["token", "notes", "--run", &root, "--grant", id, "--to", "gateway"]);
    let kept = std::cell::RefCell::new((0..40).map(|_| token()).collect::<Vec<Value>>());
    let (code, out, err) = run(home, &["grant", "return", id]);
    assert!(code == 0 && out.contains("given back"), "{out}{err}");
    let call = || {
        let headers = kept.borrow_mut().pop().unwrap();
        apart.ask_with(&headers, "tools/call", json!({ "name": "read_note", "arguments": { "id": 3 } }))
    };
    until(call, |answer| apart::code(answer) == Some("revoked"));
    assert_eq!(apart.must(&["grant", "list"])["grants"].as_array().unwrap().len(), 1);
    // Its run goes on, and ends with what it was launched with.
    until(|| apart.read_note(&root), is_done);
    let ceiling = apart.must(&["grant", "list"])["grants"][0]["grant"]["id"].as_str().unwrap().to_owned();
    let (code, _, err) = run(home, &["grant", "renew", &ceiling]);
    assert!(code == 1 && err.contains("request notes/read_note --for 15m --why INC-42"), "{err}");
    let inside = remit(home).env("REMIT_RUN", &root).args(["grant", "return", &ceiling]).output().unwrap();
    assert!(inside.status.success());
    assert_eq!(apart.must(&["grant", "list"])["grants"], json!([]));
}
