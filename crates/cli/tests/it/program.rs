//! A server that is a program, as it is registered: found on the administrator's `PATH`, and run as the gateway will.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::remit::{ended, remit};

/// Answers with its surroundings as the description of its tool, or, with an argument, complains and ends.
const SERVER: &str = r#"#!/bin/sh
if [ -n "$1" ]; then printf 'no \033[31mkey in %s\nnor here\n' "$1" >&2; exit 3; fi
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/^{"jsonrpc":"2.0","id":\([0-9]*\).*/\1/p')
  case "$line" in
    *'"initialize"'*) result='{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}' ;;
    *'"tools/list"'*) result=$(printf '{"tools":[{"name":"t","description":"%s|%s|%s|%s","inputSchema":{"type":"object"}}]}' \
        "$PATH" "$SECRET" "$(ls -A "$HOME")" "$([ "$(pwd)" = "$HOME" ] && echo same)") ;;
    *) continue ;;
  esac
  printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
done
"#;

pub(crate) struct Authority(Child);

impl Drop for Authority {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) fn serve(home: &Path) -> Authority {
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "[trust]\ndomain = \"acme.example\"\n[authority]\nlisten = \"{at}\"\nurl = \"http://{at}\"\n[gateway]\nurl = \"http://127.0.0.1:1\"\n"
    );
    remit_audit::durable::write(&home.join("remit.toml"), config.as_bytes(), 0o600).unwrap();
    let mut child = remit(home).args(["serve", "authority"]).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    while !home.join("authority/admin.sock").exists() {
        if child.try_wait().unwrap().is_some() || began.elapsed() > Duration::from_secs(20) {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("the authority does not start: {said}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Authority(child)
}

/// `server add`, from a shell with a directory of its own on its `PATH`, and something that is nobody else's business.
fn add(home: &Path, words: &[&str]) -> (i32, String, String) {
    let path = format!("{}:/usr/bin:/bin", home.join("tools").display());
    let mut command = remit(home);
    command.env("PATH", path).env("SECRET", "hunter2").args(["--json", "server", "add", "local", "--"]).args(words);
    ended(&command.output().unwrap())
}

/// Break: run it in the administrator's shell, or register the name that it has there.
#[test]
fn a_program_is_registered_by_its_path_and_runs_as_below_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    std::fs::create_dir(home.join("tools")).unwrap();
    let program = home.join("tools/server");
    remit_audit::durable::write(&program, SERVER.as_bytes(), 0o700).unwrap();
    let _authority = serve(home);

    let (code, out, err) = add(home, &["server"]);
    assert_eq!(code, 0, "{out}{err}");
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["server"]["upstream"]["command"], json!(program));
    let definition: Value = serde_json::from_str(shown["tools"][0]["definition"].as_str().unwrap()).unwrap();
    assert_eq!(definition["description"], "/usr/local/bin:/usr/bin:/bin|||same");
    assert_eq!(std::fs::read_dir(home.join("scratch")).unwrap().count(), 0, "its home ends with it");

    for (words, code, wanted) in [
        (
            ["server", "/x"],
            4,
            "the program ended before it answered (exit status: 3); it said:\n  no \\u{1b}[31mkey in /x\n  nor here",
        ),
        (["nosuch", ""], 2, "there is no program `nosuch` on your PATH"),
    ] {
        let (ended, out, _) = add(home, &words);
        let said: Value = serde_json::from_str(&out).unwrap();
        let message = said["error"]["message"].as_str().unwrap();
        assert_eq!((ended, message.contains(wanted)), (code, true), "{message}");
    }
}
