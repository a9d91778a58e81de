//! A credential of an upstream: sealed at the authority, lent to a gateway that proves who it is, and seen by nobody else.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::apart::{Apart, MANIFEST, PIN, REVIEW, SERVER, code, is_done, start_loudly, tools, until, write};
use crate::remit::{ended, remit, run};
use crate::upstream::Upstream;

const KEY: &str = "sk-live-0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const NEXT: &str = "sk-next-77aa88bb99cc00dd11ee22ff33445566";

/// Both processes, an agent that may read notes, and all that was ever said to anybody.
struct World {
    apart: Apart,
    run: String,
    said: std::cell::RefCell<Vec<String>>,
}

impl World {
    fn start(server: &[&str]) -> Self {
        let apart = start_loudly();
        for (name, text, mode) in [
            ("pin", std::str::from_utf8(PIN).unwrap(), 0o600),
            ("review.toml", REVIEW, 0o600),
            ("agent.toml", MANIFEST, 0o600),
            ("server.sh", SERVER, 0o700),
            ("tools.json", &tools("Reads a note."), 0o600),
        ] {
            write(Path::new(&apart.file(name)), text, mode);
        }
        apart.must(&["admin", "pin", "--new-pin-file", &apart.file("pin")]);
        let world = Self { apart, run: String::new(), said: Vec::new().into() };
        let review = world.apart.file("review.toml");
        let add = ["server", "add", "notes", "--environment", "staging", "--expose", "read_note", "--review", &review];
        world.must_with_pin(&[&add, server].concat());
        world.apart.must(&["agent", "register", &world.apart.file("agent.toml")]);
        let asked = ["request", "notes/read_note", "--agent", "docs/reader", "--for", "10m", "--why", "INC-42"];
        let given = world.apart.must(&asked);
        Self { run: given["run"]["id"].as_str().unwrap().to_owned(), ..world }
    }

    /// A command that must go well, with the PIN.
    #[track_caller]
    fn must_with_pin(&self, words: &[&str]) -> Value {
        let pin = self.apart.file("pin");
        // Before the words of a program, if there are any.
        let at = words.iter().position(|word| *word == "--").unwrap_or(words.len());
        let (before, after) = words.split_at(at);
        self.say(&[before, &["--pin-file", &pin], after].concat(), 0)
    }

    /// A command that must end so. What it says is kept.
    #[track_caller]
    fn say(&self, words: &[&str], exit: i32) -> Value {
        let (code, out, err) = run(&self.apart.authority, &[&["--json"], words].concat());
        assert_eq!(code, exit, "{words:?} {out}{err}");
        self.said.borrow_mut().extend([out.clone(), err]);
        serde_json::from_str(&out).unwrap_or_default()
    }

    /// The gateway is registered, by the file that it made.
    fn admit(&self) {
        let file = self.apart.gateway.join("gateway/identity.jwk").display().to_string();
        self.must_with_pin(&["gateway", "add", "edge", &file]);
    }

    fn read(&self, note: u64) -> (u16, Value) {
        let headers = self.apart.must(&["token", "notes", "--run", &self.run, "--to", "gateway"]);
        let call = json!({ "name": "read_note", "arguments": { "id": note } });
        let answer = self.apart.ask_with(&headers, "tools/call", call);
        self.said.borrow_mut().push(answer.1.to_string());
        answer
    }

    fn read_until(&self, wanted: impl Fn(&(u16, Value)) -> bool) {
        // Not faster: after a failure the gateway waits before it asks again, and a run has a rate.
        let slowly = || {
            std::thread::sleep(std::time::Duration::from_millis(400));
            self.read(3)
        };
        until(slowly, wanted);
    }

    /// Which gateway was lent which version, as the authority's log says it.
    fn leases(&self) -> Vec<String> {
        let words = ["--json", "log", "tail", "--log", "authority", "--lines", "500", "--kind", "token"];
        let (_, out, _) = run(&self.apart.authority, &words);
        let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let leases = lines.filter(|entry| entry["result"] == "lease");
        leases.map(|entry| format!("{} {}", entry["who"].as_str().unwrap(), entry["what"].as_str().unwrap())).collect()
    }

    /// The same, once the log is published so far.
    #[track_caller]
    fn leased(&self, expected: &[&str]) {
        let began = std::time::Instant::now();
        while self.leases() != expected {
            assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", self.leases());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Nothing that is at rest, nothing that was logged, and nothing that anybody was told holds any of these.
    #[track_caller]
    fn nowhere(&self, keys: &[&str]) {
        let homes = [&self.apart.authority, &self.apart.gateway];
        let files: Vec<PathBuf> = homes.into_iter().flat_map(|home| below(home)).collect();
        let mut all: Vec<(String, String)> =
            files.iter().map(|path| (path.display().to_string(), contents(path))).collect();
        all.extend(self.said.borrow().iter().map(|said| ("what was said".to_owned(), said.clone())));
        let found = |needle: &str| all.iter().find(|(_, text)| text.contains(needle));
        assert!(found(&self.run).is_some(), "the search finds what is there");
        assert!(all.iter().any(|(name, text)| name.ends_with("stderr") && !text.is_empty()), "the logs are searched");
        for key in keys {
            let hex = key.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            // Of the whole in base64, wherever it begins: three parts of which one is there.
            let base64 = (0..3).map(|at| STANDARD.encode(&key.as_bytes()[at..]).chars().take(24).collect::<String>());
            let url = URL_SAFE_NO_PAD.encode(key);
            for needle in [(*key).to_owned(), hex, url].into_iter().chain(base64) {
                let place = found(&needle).map(|(name, _)| name);
                assert_eq!(place, None, "{needle}");
            }
        }
    }
}

/// What a file holds, without the room that a log keeps for later.
fn contents(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let used: Vec<&[u8]> = bytes.chunks(4_096).filter(|chunk| chunk.iter().any(|byte| *byte != 0)).collect();
    String::from_utf8_lossy(&used.concat()).into_owned()
}

fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

/// A file outside both homes that holds a key, as it is given to a command.
fn key_file(dir: &Path, name: &str, key: &str) -> String {
    let path = dir.join(name);
    write(&path, &format!("{key}\n"), 0o600);
    path.display().to_string()
}

/// Break: send the key to the agent, keep it anywhere in clear, lend it to whoever asks, let the agent's own token
/// through, or need a restart for another one.
#[test]
fn a_key_reaches_its_server_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(&format!("authorization: Bearer {KEY}"));
    let url = upstream.url();
    let given = ["--url", &url, "--auth", "bearer", "--secret-from", &key_file(dir.path(), "key", KEY)];
    let world = World::start(&given);

    // The authority does not know this gateway: nothing is sent, and the log has it.
    let before = upstream.heard().len();
    until(|| world.read(3), |answer| code(answer) == Some("credential_unavailable"));
    assert_eq!(upstream.heard().len(), before);
    world.admit();
    world.read_until(is_done);
    world.leased(&["edge secret notes version 1"]);
    world.read_until(is_done);

    // What repeats it is withheld: an error, a result, and the refusal of a server that wants another one.
    for note in [13, 14] {
        assert_eq!(code(&world.read(note)), Some("upstream_invalid"), "{note}");
    }
    upstream.wants("authorization: Bearer another");
    assert_eq!(code(&world.read(3)), Some("upstream_invalid"));

    // Replaced, while everything runs.
    upstream.wants(&format!("authorization: Bearer {NEXT}"));
    let next = key_file(dir.path(), "next", NEXT);
    let refused = world.say(&["server", "secret", "notes", "--rotate", "--secret-from", &next], 1);
    assert_eq!(refused["error"]["code"], "admin_required");
    let shown = world.must_with_pin(&["server", "secret", "notes", "--rotate", "--secret-from", &next]);
    assert_eq!((&shown["secrets"][0]["place"], &shown["secrets"][0]["version"]), (&json!("bearer"), &json!(2)));
    world.read_until(is_done);
    // One for each version: between two leases it is kept in memory.
    world.leased(&["edge secret notes version 1", "edge secret notes version 2"]);

    let shown = world.say(&["server", "show", "notes"], 0);
    assert_eq!((&shown["secrets"][0]["place"], shown["secrets"][0]["at"].is_i64()), (&json!("bearer"), true));
    for heard in upstream.heard() {
        let head = heard.split("\r\n\r\n").next().unwrap().to_lowercase();
        assert!(!head.contains("dpop") && head.matches("authorization:").count() == 1, "{head}");
    }
    world.nowhere(&[KEY, NEXT]);
}

/// Break: put the key into the gateway's own environment, or into that of every child.
#[test]
fn a_variable_is_in_its_childs_environment_alone() {
    let dir = tempfile::tempdir().unwrap();
    let key = key_file(dir.path(), "key", KEY);
    // It answers only where it is given the key, and otherwise as if there were no such tool.
    let script = SERVER.replace("while read", &format!("[ \"$NOTES_KEY\" = \"{KEY}\" ] || exit 9\nwhile read"));
    let server = dir.path().join("keyed.sh");
    write(&server, &script, 0o700);
    write(&dir.path().join("tools.json"), &tools("Reads a note."), 0o600);
    let server = server.display().to_string();
    let world = World::start(&["--env", &format!("NOTES_KEY={key}"), "--", &server]);
    world.admit();
    world.read_until(is_done);
    world.leased(&["edge secret notes version 1"]);
    for part in world.apart.pids() {
        let environ = std::fs::read(format!("/proc/{part}/environ")).unwrap_or_default();
        assert!(!environ.windows(KEY.len()).any(|part| part == KEY.as_bytes()));
    }
    world.nowhere(&[KEY]);
}

/// What is asked of it says what it says, and to whom it may go.
#[test]
fn a_credential_is_refused_where_it_could_be_read_or_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(&format!("x-api-key: {KEY}"));
    let url = upstream.url();
    let key = key_file(dir.path(), "key", KEY);
    let given = ["--url", &url, "--auth", "header:X-Api-Key", "--secret-from", &key];
    let world = World::start(&given);
    let two_lines = key_file(dir.path(), "two", &format!("{KEY}\nx-evil: 1"));
    let (pin, variable) = (world.apart.file("pin"), format!("A={key}"));
    for (words, says) in [
        (&["server", "secret", "notes", "--auth", "header:host", "--secret-from", &key][..], "header:host"),
        (&["server", "secret", "notes", "--auth", "bearer", "--secret-from", "/nowhere"], "No such file"),
        (&["server", "secret", "notes", "--rotate", "--secret-from", &two_lines, "--pin-file", &pin], "cannot stand"),
        (&["server", "secret", "notes", "--secret-from", &key, "--pin-file", &pin], "has a credential already"),
        (&["server", "secret", "notes", "--env", &variable, "--pin-file", &pin], "server of this kind"),
        // It is not moved to whoever is called by the same name next.
        (&["server", "diff", "notes"], "shown to nobody"),
    ] {
        let refused = world.say(words, 2);
        let text = refused["error"]["message"].as_str().unwrap_or_default().to_owned();
        let stderr = world.said.borrow().last().unwrap().clone();
        assert!(text.contains(says) || stderr.contains(says), "{words:?} {text} {stderr}");
    }
    world.say(&["server", "diff", "notes", "--secret-from", &key], 0);
    // Elsewhere it is somebody else, who gets none of it.
    let other = Upstream::start("accept: application/json, text/event-stream");
    let review = world.apart.file("review.toml");
    let add = ["server", "add", "notes", "--environment", "staging", "--expose", "read_note", "--review", &review];
    let shown = world.must_with_pin(&[&add[..], &["--url", &other.url()]].concat());
    assert_eq!(shown["secrets"], Value::Null);
    world.admit();
    world.read_until(is_done);
    assert!(other.heard().iter().all(|heard| !heard.contains(KEY)));
    world.nowhere(&[KEY]);
}

/// Break: leave the process as it was started, so that a crash writes its memory to the disk.
#[test]
fn a_crash_leaves_no_core() {
    let dir = tempfile::tempdir().unwrap();
    let dumps = |command: &str, args: &[&str]| {
        let script = format!("ulimit -c unlimited; exec {command} \"$@\"");
        let mut child = Command::new("sh");
        child.args(["-c", &script, "sh"]).args(args).current_dir(dir.path()).env("HOME", dir.path());
        child.stderr(Stdio::null()).process_group(0);
        child
    };
    let control = dumps("sh", &["-c", "kill -ABRT $$"]).status().unwrap();
    let home = dir.path().display().to_string();
    let listen = ["--listen-authority", "127.0.0.1:0", "--listen-gateway", "127.0.0.1:0"];
    let pin = format!("{home}/pin");
    let up = [&["--home", &home, "up", "--pin-file", &pin], &listen[..]].concat();
    let mut remit = dumps(env!("CARGO_BIN_EXE_remit"), &up).stdout(Stdio::piped()).spawn().unwrap();
    // It says that it runs.
    let mut said = [0; 10];
    std::io::Read::read_exact(remit.stdout.as_mut().unwrap(), &mut said).unwrap();
    let pid = rustix::process::Pid::from_child(&remit);
    rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
    let ended = remit.wait().unwrap();
    assert_eq!(ended.signal(), Some(6));
    assert!(!ended.core_dumped(), "one of a shell: {}", control.core_dumped());
    // Where the control leaves one, the test could have failed; elsewhere it shows nothing.
    assert_eq!(control.signal(), Some(6));
}

/// In one home nobody has to register the gateway.
#[test]
fn up_admits_its_own_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().display().to_string();
    let words = [
        "up",
        "--pin-file",
        &format!("{home}/pin"),
        "--listen-authority",
        "127.0.0.1:0",
        "--listen-gateway",
        "127.0.0.1:0",
    ];
    let mut up = remit(dir.path()).args(words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = [0; 10];
    std::io::Read::read_exact(up.stdout.as_mut().unwrap(), &mut said).unwrap();
    let listed = ended(&remit(dir.path()).args(["--json", "gateway", "list"]).output().unwrap());
    up.kill().unwrap();
    up.wait().unwrap();
    let listed: Value = serde_json::from_str(&listed.1).unwrap();
    assert_eq!((&listed["gateways"][0]["name"], &listed["gateways"][0]["by"]), (&json!("gw1"), &json!("up")));
    let public = std::fs::read_to_string(dir.path().join("gateway/identity.jwk")).unwrap();
    assert_eq!(listed["gateways"][0]["key"], serde_json::from_str::<Value>(&public).unwrap());
}
