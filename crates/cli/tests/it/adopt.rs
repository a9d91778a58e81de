//! A client's file with standing keys, moved to the gateway.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::apart::{Apart, PIN, SERVER, start, tools, write};
use crate::remit::{ended, remit};
use crate::upstream::Upstream;

const KEY: &str = "sk-live-0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const OTHER: &str = "ghp_77aa88bb99cc00dd11ee22ff33445566";

/// What nobody would take for a key, by its name or its form.
const TENANT: &str = "north-harbour-17";

/// What a file holds that was written by hand: members that nobody here knows, an order, and spaces.
fn file(url: &str, program: &str) -> String {
    format!(
        r#"{{
  "permissions":   {{ "allow": ["Read"], "deny": [] }},
  "mcpServers": {{
    "Notes HTTP": {{ "type": "http", "url": "{url}", "timeout": 30,
      "headers": {{ "Authorization": "Bearer ${{NOTES_KEY}}", "X-Toolset": "all", "X-Tenant": "{TENANT}" }} }},
    "local": {{ "command": "{program}", "args": [], "env": {{ "NOTES_TOKEN": "{OTHER}", "LOG_LEVEL": "debug" }} }},
    "in-args": {{ "command": "{program}", "args": ["--api-key", "{OTHER}"] }},
    "gone": {{ "url": "http://127.0.0.1:1/mcp" }}
  }},
  "z": 1, "a": 12345678901234567890123
}}
"#
    )
}

struct World {
    apart: Apart,
    upstream: Upstream,
    path: String,
    text: String,
}

impl World {
    fn start() -> Self {
        let apart = start();
        write(Path::new(&apart.file("pin")), std::str::from_utf8(PIN).unwrap(), 0o600);
        write(Path::new(&apart.file("server.sh")), SERVER, 0o700);
        write(Path::new(&apart.file("tools.json")), &tools("Reads a note."), 0o600);
        apart.must(&["admin", "pin", "--new-pin-file", &apart.file("pin")]);
        let upstream = Upstream::start(&format!("authorization: Bearer {KEY}"));
        let text = file(&upstream.url(), &apart.file("server.sh"));
        let path = apart.file("mcp.json");
        write(Path::new(&path), &text, 0o644);
        Self { apart, upstream, path, text }
    }

    /// What it says, and how it ends. Never with a key.
    #[track_caller]
    fn adopt(&self, words: &[&str], exit: i32) -> Value {
        let mut command = remit(&self.apart.authority);
        command.env("NOTES_KEY", KEY).args(["--json", "adopt", &self.path]).args(words);
        let (code, out, err) = ended(&command.output().unwrap());
        assert_eq!(code, exit, "{out}{err}");
        for key in [KEY, OTHER] {
            assert!(!out.contains(key) && !err.contains(key), "{out}{err}");
        }
        serde_json::from_str(&out).unwrap()
    }

    fn now(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap()
    }
}

fn states(said: &Value) -> Vec<(&str, &str)> {
    let servers = said["servers"].as_array().unwrap().iter();
    servers.map(|server| (server["name"].as_str().unwrap(), server["state"].as_str().unwrap())).collect()
}

/// What is kept of the old file has no key, and is nobody else's.
fn kept_without_keys(world: &World, adopted: &Value) {
    let backup = format!("{}.before-remit", world.path);
    assert_eq!(adopted["backup"], json!(backup));
    let kept = std::fs::read_to_string(&backup).unwrap();
    assert!(!kept.contains(KEY) && !kept.contains(OTHER) && !kept.contains(TENANT), "{kept}");
    assert!(kept.contains(&world.upstream.url()), "{kept}");
    assert_eq!(std::fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Break: write the file before the keys are sealed, keep a key in it or beside it, lose a member, expose a tool, or seal
/// again what was adopted.
#[test]
fn a_file_with_standing_keys_becomes_one_without() {
    let world = World::start();

    let planned = world.adopt(&["--dry-run"], 1);
    let expected = [("Notes HTTP", "planned"), ("local", "planned"), ("in-args", "kept"), ("gone", "planned")];
    assert_eq!(states(&planned), expected);
    assert_eq!(world.now(), world.text, "nothing changed");
    assert_eq!(world.apart.must(&["server", "list"])["servers"], json!([]));

    let adopted = world.adopt(&[], 1);
    let expected = [("Notes HTTP", "adopted"), ("local", "adopted"), ("in-args", "kept"), ("gone", "kept")];
    assert_eq!(states(&adopted), expected);
    assert_eq!(adopted["servers"][0]["exposed"], 0);
    let text = world.now();
    let now: Value = serde_json::from_str(&text).unwrap();
    let relay = world.apart.must(&["status"])["authority"]["relay"].as_str().unwrap().to_owned();
    let home = world.apart.authority.display();
    assert_eq!(
        now["mcpServers"]["Notes HTTP"],
        json!({
            "type": "http", "url": format!("{relay}/mcp/notes-http"), "timeout": 30,
            "headersHelper": format!("remit --home {home} token notes-http --to relay"),
        })
    );
    assert_eq!(now["mcpServers"]["local"]["url"], format!("{relay}/mcp/local"));
    assert!(now["mcpServers"]["local"].get("env").is_none());
    // What stays, stays to the byte.
    for kept in [
        r#"  "permissions":   { "allow": ["Read"], "deny": [] },"#,
        r#"  "z": 1, "a": 12345678901234567890123"#,
        r#"    "gone": { "url": "http://127.0.0.1:1/mcp" }"#,
        r#""args": ["--api-key", "ghp_"#,
    ] {
        assert!(text.contains(kept), "{kept}\n{text}");
    }
    assert!(!text.contains(KEY) && text.matches(OTHER).count() == 1, "only of the one that was kept: {text}");
    assert_eq!(std::fs::metadata(&world.path).unwrap().permissions().mode() & 0o777, 0o644);

    kept_without_keys(&world, &adopted);
    let shown = world.apart.must(&["server", "show", "notes-http"]);
    let secrets: Vec<_> = shown["secrets"].as_array().unwrap().iter().map(|s| (&s["place"], &s["plain"])).collect();
    let settings = ["header:x-tenant", "header:x-toolset"].map(|place| (json!(place), json!(true)));
    let [tenant, toolset] = &settings;
    let expected = [(&json!("bearer"), &json!(false)), (&tenant.0, &tenant.1), (&toolset.0, &toolset.1)];
    assert_eq!(secrets, expected);
    let shown = world.apart.must(&["server", "show", "local"]);
    let secrets: Vec<_> = shown["secrets"].as_array().unwrap().iter().map(|s| (&s["place"], &s["plain"])).collect();
    assert_eq!(secrets, [(&json!("env:LOG_LEVEL"), &json!(true)), (&json!("env:NOTES_TOKEN"), &json!(false))]);
    assert!(shown["tools"].as_array().unwrap().iter().all(|tool| tool["exposed"] == false));

    // Once more: what is adopted is left alone, and the file with it.
    let again = world.adopt(&[], 1);
    let expected = [("Notes HTTP", "done"), ("local", "done"), ("in-args", "kept"), ("gone", "kept")];
    assert_eq!((states(&again), again["backup"].clone()), (expected.into(), Value::Null));
    assert_eq!(world.now(), text);
}

#[test]
fn exposing_all_is_asked_for_and_needs_the_pin() {
    let world = World::start();
    let refused = world.adopt(&["--expose-all"], 1);
    assert_eq!(states(&refused)[0], ("Notes HTTP", "kept"));
    assert_eq!(world.now(), world.text, "the file changes for what is registered alone");
    let pin = world.apart.file("pin");
    let adopted = world.adopt(&["--expose-all", "--pin-file", &pin], 1);
    assert_eq!((states(&adopted)[0], &adopted["servers"][0]["exposed"]), (("Notes HTTP", "adopted"), &json!(2)));
}
