//! Teams, the veto and portable posture, by the real binary: an authority and a gateway each, with a server behind.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::apart::{Apart, MANIFEST, PIN, SERVER, code, is_done, start, tools, until, write};
use crate::remit::run;

/// Read at T1: from there on somebody answers for the tool.
const REVIEW: &str = "[read_note]\ntier = \"T1\"\nreturns = { trust = \"internal\", sensitivity = \"public\" }\n";

/// What the platform does once.
fn furnished() -> Apart {
    let apart = start();
    for (name, text, mode) in [
        ("pin", std::str::from_utf8(PIN).unwrap(), 0o600),
        ("server.sh", SERVER, 0o700),
        ("tools.json", &tools("Reads a note."), 0o600),
        ("review.toml", REVIEW, 0o600),
    ] {
        write(Path::new(&apart.file(name)), text, mode);
    }
    let (pin, review, server) = (apart.file("pin"), apart.file("review.toml"), apart.file("server.sh"));
    apart.must(&["admin", "pin", "--new-pin-file", &pin]);
    let add = ["server", "add", "notes", "--environment", "staging", "--expose", "read_note", "--review", &review];
    apart.must(&[&add[..], &["--owner", "notes-desk/owner", "--pin-file", &pin, "--", &server]].concat());
    apart
}

fn register(apart: &Apart, manifest: &str, more: &[&str]) -> Value {
    let file = apart.file("agent.toml");
    write(Path::new(&file), manifest, 0o600);
    apart.must(&[&["agent", "register", &file], more].concat())
}

fn begin(apart: &Apart, agent: &str) -> String {
    let given = apart.must(&["request", "notes/read_note", "--agent", agent, "--for", "5m", "--why", "INC-42"]);
    given["run"]["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn refused(apart: &Apart, words: &[&str], says: &str) {
    let (code, out, err) = run(&apart.authority, words);
    assert!(code != 0 && (err.contains(says) || out.contains(says)), "{words:?} {out}{err}");
}

/// Break: have the platform do anything between a team's beginning and its first call.
#[test]
fn a_new_team_has_its_first_granted_call_within_a_minute_and_by_itself() {
    let apart = furnished();
    // The administrators' PIN is not at hand for anything that follows.
    std::fs::remove_file(apart.file("pin")).unwrap();
    let began = Instant::now();
    let added = apart.must(&["team", "add", "b"]);
    assert_eq!(added["roles"][0]["role"], "b/owner");
    register(&apart, &MANIFEST.replace("\"docs\"", "\"b\""), &[]);
    let run = begin(&apart, "b/reader");
    apart.read_note_until(&run, is_done);
    let took = began.elapsed();
    assert!(took < Duration::from_mins(1), "{took:?}");
    let shown = apart.must(&["team", "show", "b"]);
    assert_eq!(shown["agents"], json!(["b/reader@1.0.0"]));
    refused(&apart, &["team", "add", "b"], "there is a team `b` already");
}

/// Break: stop it at the next token only, or let a person without the role lift it.
#[test]
fn a_veto_reaches_a_live_run_and_ends_when_its_role_lifts_it() {
    let apart = furnished();
    let pin = apart.file("pin");
    let production = MANIFEST.replace("\"staging\"", "\"production\"");
    register(&apart, &production, &["--pin-file", &pin]);
    let run = begin(&apart, "docs/reader");
    apart.read_note_until(&run, is_done);
    let own = apart.file("sam.pin");
    write(Path::new(&own), "sam's own pin", 0o600);
    apart.must(&["person", "add", "sam", "--new-pin-file", &own, "--pin-file", &pin]);
    let veto = ["agent", "veto", "docs/reader@1.0.0", "--as", "sam", "--pin-file", &own];
    let why = [&veto[..], &["--why", "INC-42"]].concat();
    refused(&apart, &why, "this belongs to agent-security, and sam does not hold it");
    apart.must(&["role", "give", "agent-security", "sam", "--pin-file", &pin]);
    // A token that is good for minutes yet, with proofs that nobody has used.
    let kept: Vec<Value> = (0..20).map(|_| apart.must(&["token", "notes", "--run", &run, "--to", "gateway"])).collect();
    let mut kept = kept.into_iter();
    let began = Instant::now();
    apart.must(&why);
    let mut next = || kept.next().unwrap();
    let mut call = || apart.ask_with(&next(), "tools/call", json!({ "name": "read_note", "arguments": { "id": 3 } }));
    let mut answer = call();
    while code(&answer) != Some("revoked") {
        assert!(began.elapsed() < Duration::from_secs(5), "{answer:?}");
        std::thread::sleep(Duration::from_millis(100));
        answer = call();
    }
    refused(&apart, &["token", "notes", "--run", &run], "is vetoed in production");
    refused(&apart, &["agent", "veto", "docs/reader@1.0.0", "--lift", "--pin-file", &pin], "belongs to agent-security");
    apart.must(&[&veto[..], &["--lift"]].concat());
    apart.read_note_until(&run, is_done);
}

/// Break: take the other authority's word for what may be done here.
#[test]
fn an_agent_of_another_authority_has_the_same_verdicts_here_until_the_floor_of_here_says_no() {
    let (there, here) = (furnished(), furnished());
    register(&there, MANIFEST, &[]);
    let statement = there.must(&["agent", "export", "docs/reader"])["statement"].as_str().unwrap().to_owned();
    let (file, key) = (here.file("reader.jws"), there.authority.join("authority/root.vkey"));
    write(Path::new(&file), &statement, 0o600);
    let words = ["--json", "agent", "import", &file, "--from", key.to_str().unwrap()];
    let (ended, out, err) = run(&here.authority, &words);
    assert_eq!(ended, 5, "{out}{err}");
    let id = serde_json::from_str::<Value>(&out).unwrap()["id"].as_str().unwrap().to_owned();
    refused(&here, &["request", "notes/read_note", "--agent", "docs/reader", "--for", "5m", "--why", "x"], "no agent");
    let pin = here.file("pin");
    here.must(&["approve", &id, "--why", "the same desk", "--pin-file", &pin]);
    let (one, other) = (begin(&there, "docs/reader"), begin(&here, "docs/reader"));
    for (apart, run_id) in [(&there, &one), (&here, &other)] {
        apart.read_note_until(run_id, is_done);
        let ask = ["request", "notes/purge", "--agent", "docs/reader", "--for", "5m", "--why", "x"];
        refused(apart, &ask, "does not declare notes/purge");
    }
    let floor = here.authority.join("authority/policies/floor/here.cedar");
    write(&floor, "@id(\"not-here\") forbid (principal, action in Action::\"CallTool\", resource);\n", 0o600);
    here.must(&["admin", "reload"]);
    let answer = here.read_note_until(&other, |answer| code(answer) == Some("policy_forbid"));
    let said = answer.1.to_string();
    assert!(said.contains("forbidden by policy floor/here/not-here; owned by notes-desk/owner"), "{said}");
    assert!(is_done(&there.read_note(&one)));
    // Who answers for it stands in the entry too.
    let tail = until(
        || {
            let (_, tail, _) =
                run(&here.gateway, &["--json", "log", "tail", "--lines", "500", "--kind", "call_intent"]);
            let last = tail.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).next_back();
            (0, last.unwrap_or_default())
        },
        |(_, last)| last["result"] == "forbid: policy_forbid",
    );
    let index = tail.1["index"].to_string();
    let (_, shown, _) = run(&here.gateway, &["--json", "log", "show", &index]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["event"]["unmapped"]["remit"]["owners"], json!(["notes-desk/owner"]));
}

/// Break: list what is fine, or say of what is not only that it is so.
#[test]
fn what_is_to_be_done_about_an_agent_is_shown_with_the_command() {
    let apart = furnished();
    register(&apart, &MANIFEST.replace("purpose", "expires = \"7d\"\npurpose"), &[]);
    let (ended, out, _) = run(&apart.authority, &["agent", "list", "--stale"]);
    assert_eq!((ended, out.contains("docs/reader@1.0.0  of docs\n")), (1, true), "{out}");
    assert!(
        out.contains("its registration ends in 6 days: remit agent renew docs/reader")
            || out.contains("ends in 7 days"),
        "{out}"
    );
    register(&apart, MANIFEST, &["--pin-file", &apart.file("pin")]);
    let (ended, out, _) = run(&apart.authority, &["agent", "list", "--stale"]);
    assert_eq!(ended, 0, "{out}");
    let (_, out, _) = run(&apart.authority, &["agent", "show", "docs/reader"]);
    assert!(out.contains("owner        docs/owner") && out.contains("remit agent renew docs/reader"), "{out}");
    apart.must(&["agent", "renew", "docs/reader", "--pin-file", &apart.file("pin")]);
    apart.must(&["team", "add", "desk"]);
    apart.must(&["agent", "own", "docs/reader", "--team", "desk", "--pin-file", &apart.file("pin")]);
    let (_, out, _) = run(&apart.authority, &["team", "show", "desk"]);
    assert!(out.contains("docs/reader@1.0.0"), "{out}");
    for words in [&["team", "list"][..], &["role", "list"], &["person", "list"]] {
        assert_eq!(run(&apart.authority, words).0, 0, "{words:?}");
    }
}
