//! Whoever takes something back learns which gateways refuse it already, and which were not heard.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::apart::{Apart, PIN, SERVER, start, tools, write};
use crate::remit::run;

fn lockdown(apart: &Apart, what: &str) -> (i32, Value, String) {
    let (code, out, _) = run(&apart.authority, &["--json", "lockdown", what]);
    let (_, told, _) = run(&apart.authority, &["lockdown", what]);
    (code, serde_json::from_str(&out).unwrap(), told)
}

fn signal(apart: &Apart, signal: Signal) {
    let gateway = apart.pids().last().and_then(|pid| Pid::from_raw(i32::try_from(*pid).unwrap())).unwrap();
    kill_process(gateway, signal).unwrap();
}

/// Break: say that it is refused everywhere before a gateway has said so, or without one that says nothing.
#[test]
fn a_revocation_says_which_gateways_follow_it() {
    let apart = start();
    let files = [("pin", std::str::from_utf8(PIN).unwrap(), 0o600), ("server.sh", SERVER, 0o700)];
    for (name, text, mode) in files.into_iter().chain([("tools.json", &*tools("Reads a note."), 0o600)]) {
        write(Path::new(&apart.file(name)), text, mode);
    }
    let pin = apart.file("pin");
    apart.must(&["admin", "pin", "--new-pin-file", &pin]);
    apart.must(&["server", "add", "notes", "--environment", "staging", "--", &apart.file("server.sh")]);
    let (code, done, told) = lockdown(&apart, "notes/purge");
    assert_eq!((code, &done["gateways"]), (0, &Value::Array(vec![])), "{done}");
    assert!(told.contains("no gateway is registered"), "{told}");

    let identity = apart.gateway.join("gateway/identity.jwk").display().to_string();
    apart.must(&["gateway", "add", "edge", &identity, "--pin-file", &pin]);
    // It is heard at its next request for news.
    let heard = || lockdown(&apart, "notes/purge").1["gateways"][0]["heard_s"].is_u64();
    while !heard() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let (code, done, told) = lockdown(&apart, "notes/read_note");
    assert_eq!((code, &done["gateways"][0]["confirmed"]), (0, &Value::Bool(true)), "{done}");
    assert!(done["gateways"][0]["after_ms"].as_u64().is_some_and(|after| after < 5_000), "{done}");
    assert!(told.contains("confirmed by 1 of 1 gateway, after "), "{told}");

    signal(&apart, Signal::STOP);
    let (code, told, _) = run(&apart.authority, &["lockdown", "notes"]);
    signal(&apart, Signal::CONT);
    assert_eq!(code, 4, "{told}");
    assert!(told.contains("confirmed by 0 of 1 gateway\nedge  was last heard "), "{told}");
    assert_eq!(lockdown(&apart, "notes").0, 0, "it has heard of all that came meanwhile");
}
