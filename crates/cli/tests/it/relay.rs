//! Clients that know nothing of proofs, before the real relay and the real gateway: what they send is one header, for as long
//! as the run lives.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::apart::{Apart, MANIFEST, PIN, REVIEW, SERVER, ask_at, code, is_done, start_briefly, tools, until, write};
use crate::remit::{ended, remit, run};
use crate::up::{ANY_PORT, Up};

/// A life of a token, in seconds.
const LIFE_S: u32 = 4;

/// A server, an agent that proves possession, and a run of it.
fn furnished() -> (Apart, String) {
    let apart = start_briefly(LIFE_S);
    for (name, text, mode) in [
        ("pin", std::str::from_utf8(PIN).unwrap(), 0o600),
        ("server.sh", SERVER, 0o700),
        ("tools.json", &tools("Reads a note."), 0o600),
        ("review.toml", REVIEW, 0o600),
        ("agent.toml", MANIFEST, 0o600),
    ] {
        write(Path::new(&apart.file(name)), text, mode);
    }
    let (pin, review) = (apart.file("pin"), apart.file("review.toml"));
    apart.must(&["admin", "pin", "--new-pin-file", &pin]);
    let add = ["server", "add", "notes", "--environment", "staging", "--expose", "read_note", "--review", &review];
    apart.must(&[&add[..], &["--pin-file", &pin, "--", &apart.file("server.sh")]].concat());
    apart.must(&["agent", "register", &apart.file("agent.toml")]);
    let ask = ["request", "notes/read_note", "--agent", "docs/reader", "--for", "10m", "--why", "INC-42"];
    let id = apart.must(&ask)["run"]["id"].as_str().unwrap().to_owned();
    (apart, id)
}

fn relay(apart: &Apart) -> SocketAddr {
    let status = apart.must(&["status"]);
    let url = status["authority"]["relay"].as_str().unwrap();
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

fn read(at: SocketAddr, headers: &Value, note: u64) -> (u16, Value) {
    ask_at(at, headers, "tools/call", json!({ "name": "read_note", "arguments": { "id": note } }))
}

/// What the gateway's log says of calls that it refused with this code, once it is published.
fn logged(apart: &Apart, code: &str) -> Value {
    let began = Instant::now();
    loop {
        let words = ["--json", "log", "tail", "--lines", "500", "--kind", "call_intent"];
        let (_, tail, _) = run(&apart.gateway, &words);
        let mut calls = tail.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(call) = calls.find(|call| call["result"].as_str().is_some_and(|said| said.contains(code))) {
            return call;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{tail}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Break: let a token be used to its end; mint one for a call that began with the old one; pass the value on.
#[test]
fn a_client_with_one_header_works_across_many_lives_of_a_token() {
    let (apart, id) = furnished();
    let at = relay(&apart);
    let (code_of, out, err) = run(&apart.authority, &["token", "notes", "--run", &id]);
    assert_eq!((code_of, err.contains(&format!("http://{at}/mcp/notes"))), (0, true), "{err}");
    let headers: Value = serde_json::from_str(&out).unwrap();
    let value = headers["Authorization"].as_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned();
    assert!(headers.as_object().unwrap().len() == 1 && value.starts_with("relay~"), "{out}");
    until(|| read(at, &headers, 0), is_done);

    // Some at a time, over more than two lives, and twice as many renewals; each call is another one, as a loop would be refused.
    let client = |first: u64| {
        let headers = headers.clone();
        thread::spawn(move || {
            let answers = (first..first + 30).map(|note| {
                thread::sleep(Duration::from_millis(350));
                read(at, &headers, note)
            });
            answers.filter(|answer| !is_done(answer)).collect::<Vec<_>>()
        })
    };
    let clients: Vec<_> = [100, 200, 300].map(client).into();
    for client in clients {
        assert_eq!(client.join().unwrap(), []);
    }
    let words = ["--json", "log", "tail", "--log", "authority", "--lines", "500", "--kind", "token"];
    let (_, minted, _) = run(&apart.authority, &words);
    assert!((4..40).contains(&minted.lines().count()), "{minted}");

    // The value is nobody's but the relay's.
    let direct =
        |headers: &Value| apart.ask_with(headers, "tools/call", json!({ "name": "read_note", "arguments": {} }));
    assert_eq!(code(&direct(&headers)), Some("token_invalid"));
    apart.must(&["revoke", "run", &id, "--why", "done"]);
    let refused = read(at, &headers, 1);
    assert_eq!((refused.0, code(&refused)), (401, Some("revoked")));
    let secret = value.rsplit('~').next().unwrap();
    for home in [&apart.authority, &apart.gateway] {
        let said = std::fs::read_to_string(home.join("stderr")).unwrap();
        assert!(said.contains("TRACE") && !said.contains(secret) && !said.contains("DPoP ey"), "it was logged");
    }
}

/// Break: accept a bound token as a bearer token, or without a proof of its own key; do not record who tried.
#[test]
fn a_stolen_token_without_its_key_is_refused_and_recorded() {
    let (apart, id) = furnished();
    let token = || apart.must(&["token", "notes", "--run", &id, "--to", "gateway"]);
    let call = |headers: &Value| {
        apart.ask_with(headers, "tools/call", json!({ "name": "read_note", "arguments": { "id": 1 } }))
    };
    until(|| call(&token()), is_done);
    let mut stolen = token();
    stolen.as_object_mut().unwrap().remove("DPoP");
    assert_eq!((call(&stolen).0, code(&call(&stolen))), (401, Some("proof_invalid")));
    let other = ["request", "notes/read_note", "--agent", "docs/reader", "--for", "10m", "--why", "INC-43"];
    let other = apart.must(&other)["run"]["id"].as_str().unwrap().to_owned();
    // With a proof by a key that the thief does have.
    let own = apart.must(&["token", "notes", "--run", &other, "--to", "gateway"]);
    stolen["DPoP"] = own["DPoP"].clone();
    assert_eq!(code(&call(&stolen)), Some("proof_invalid"));
    logged(&apart, "proof_invalid");
}

#[test]
fn a_run_that_brought_its_own_key_is_told_where_to_ask() {
    let (apart, _) = furnished();
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    write(Path::new(&apart.file("key.jwk")), key, 0o600);
    let ask = ["request", "notes/read_note", "--agent", "docs/reader", "--for", "10m", "--why", "INC-42", "--key"];
    let given = apart.must(&[&ask[..], &[&apart.file("key.jwk")]].concat());
    let id = given["run"]["id"].as_str().unwrap();
    for to in [&[][..], &["--to", "relay"], &["--to", "gateway"]] {
        let (code, _, err) = run(&apart.authority, &[&["token", "notes", "--run", id], to].concat());
        assert!(code != 0 && err.contains("kept elsewhere") && err.contains("docs/delegation.md"), "{err}");
    }
}

/// Where nobody chose an address, and the usual one is taken, another is found, and written down.
#[test]
fn the_first_start_writes_down_where_the_relay_listens() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    // Whoever else has it already: it is taken.
    let _taken = TcpListener::bind("127.0.0.1:7463");
    let mut command = remit(home);
    command.env_remove("REMIT__RELAY__LISTEN").args(["--json", "up"]).args(ANY_PORT);
    let up = Up::begin(command);
    let url = up.said["relay"].as_str().unwrap().to_owned();
    let toml = std::fs::read_to_string(home.join("remit.toml")).unwrap();
    let address = url.strip_prefix("http://").unwrap();
    assert!(toml.contains(&format!("[relay]\nlisten = \"{address}\"")) && !url.ends_with(":7463"), "{url}\n{toml}");

    drop(up);
    let mut open = remit(home);
    let (code, _, err) =
        ended(&open.env("REMIT__RELAY__LISTEN", "0.0.0.0:0").args(["serve", "authority"]).output().unwrap());
    assert_eq!((code, err.contains("not this machine alone")), (2, true), "{err}");
}
