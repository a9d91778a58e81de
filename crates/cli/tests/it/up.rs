//! `remit up` and everything that is done with it: the demo is the long test, this the short ones.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::remit::{remit, run};

/// A running `remit up`; it is killed with this value.
pub(crate) struct Up {
    pub(crate) child: Child,
    pub(crate) said: Value,
}

impl Drop for Up {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn up(home: &Path, words: &[&str]) -> Up {
    let mut command = remit(home);
    command.args(["--json", "up"]).args(words);
    Up::begin(command)
}

impl Up {
    /// Until it says where it is.
    pub(crate) fn begin(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        Self { child, said }
    }
}

pub(crate) const ANY_PORT: [&str; 4] = ["--listen-authority", "127.0.0.1:0", "--listen-gateway", "127.0.0.1:0"];

pub(crate) fn term(up: &mut Up) -> i32 {
    let pid = rustix::process::Pid::from_child(&up.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    up.child.wait().unwrap().code().unwrap()
}

/// The PIN is set once it was shown, which is a moment later.
fn status_with_pin(home: &Path) -> Value {
    for _ in 0..500 {
        let (code, out, err) = run(home, &["--json", "status"]);
        assert_eq!(code, 0, "{out}{err}");
        let status: Value = serde_json::from_str(&out).unwrap();
        if status["authority"]["pin_set"] == true {
            return status;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the PIN is not set");
}

fn toml(home: &Path) -> String {
    std::fs::read_to_string(home.join("remit.toml")).unwrap()
}

#[test]
fn the_first_start_makes_a_home_and_the_second_finds_it() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let mut first = up(home, &ANY_PORT);
    let pin = first.said["pin"].as_str().unwrap().to_owned();
    assert_eq!((pin.len(), first.said["first_start"].clone()), (8, true.into()));
    for file in ["remit.toml", "authority/keys/root.key", "gateway/keys/log"] {
        let mode = std::fs::metadata(home.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let status = status_with_pin(home);
    assert_eq!(status["authority"]["gateway"], first.said["gateway"]);
    assert_eq!(status["authority"]["pin_set"], true);
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, out, _) = run(home, &["doctor"]);
    assert_eq!((code, out.contains("is open to others (mode 755)")), (1, true), "{out}");
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700)).unwrap();
    let (code, out, err) = run(home, &["doctor"]);
    assert_eq!(code, 0, "{out}{err}");

    // A second one at the same time is refused, and the first goes on.
    let (code, _, err) = run(home, &[&["up"][..], &ANY_PORT].concat());
    assert_eq!((code, err.contains("running already")), (2, true), "{err}");

    // It ends cleanly, and the logs are at rest.
    assert_eq!(term(&mut first), 0);
    let (code, out, _) = run(home, &["--json", "log", "verify"]);
    let verified: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, verified["logs"].as_array().unwrap().len()), (0, 2), "{out}");
    assert!(verified["logs"].as_array().unwrap().iter().all(|log| log["live"] == false), "{out}");

    let second = up(home, &[]);
    assert_eq!((second.said["pin"].clone(), second.said["first_start"].clone()), (Value::Null, false.into()));
    assert_eq!(second.said["gateway"], first.said["gateway"]);
}

#[test]
fn what_needs_the_pin_is_refused_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let pin = home.join("pin");
    let pin = pin.to_str().unwrap();
    let up = up(home, &[&ANY_PORT[..], &["--pin-file", pin]].concat());
    assert_eq!(up.said["pin"], Value::Null);
    let (code, _, err) = run(home, &["admin", "rotate-keys"]);
    assert_eq!((code, err.contains("--pin-file FILE")), (1, true), "{err}");
    let wrong = home.join("wrong");
    remit_audit::durable::write(&wrong, b"00000000x\n", 0o600).unwrap();
    let words = ["admin", "rotate-keys", "--pin-file"];
    let (code, _, err) = run(home, &[&words[..], &[wrong.to_str().unwrap()]].concat());
    assert_eq!((code, err.contains("the PIN is wrong")), (1, true), "{err}");
    let (code, out, err) = run(home, &[&words[..], &[pin]].concat());
    assert_eq!((code, out.contains("signs from now on")), (0, true), "{err}");
}

#[test]
fn the_first_start_keeps_the_configuration_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let mine = "# mine\n[gateway]\ncalls_max = 7 # few\nurl = \"https://gateway.acme.example\"\n\n[trust]\ndomain = \"acme.example\"\n";
    remit_audit::durable::write(&home.join("remit.toml"), mine.as_bytes(), 0o600).unwrap();
    let mut first = up(home, &ANY_PORT);
    assert_eq!(
        (&first.said["trust_domain"], &first.said["gateway"]),
        (&"acme.example".into(), &"https://gateway.acme.example".into())
    );
    assert_eq!(term(&mut first), 0);
    let written = toml(home);
    assert!(mine.lines().all(|line| written.lines().any(|other| other == line)), "{written}");
    let (code, out, err) = run(home, &["--json", "config", "show"]);
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &shown["gateway.calls_max"]["value"]), (0, &7.into()), "{err}");
    assert!(shown["gateway.listen"]["value"].as_str().unwrap().starts_with("127.0.0.1:"), "{written}");
    // And it is whole: the next start needs nothing else.
    let again = up(home, &[]);
    assert_eq!(again.said["first_start"], false);
}

#[test]
fn a_flag_does_not_change_what_a_home_is_known_by() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let mut first = up(home, &ANY_PORT);
    status_with_pin(home);
    assert_eq!(term(&mut first), 0);
    let before = toml(home);
    for (words, says) in [
        (&["--listen-gateway", "127.0.0.1:1"][..], "listen = \"127.0.0.1:1\""),
        (&["--listen-authority", "127.0.0.1:0"], "`authority.url` is http://127.0.0.1:"),
        (&["--trust-domain", "other.example"], "the domain of trust of this home is localhost"),
        (&["--pin-file", "new-pin"], "is set already"),
    ] {
        let (code, _, err) = run(home, &[&["up"], words].concat());
        assert_eq!((code, err.contains(says)), (2, true), "{words:?} {err}");
    }
    assert!(!home.join("new-pin").exists());
    // The port is somebody else's: the help moves the URL with it.
    let url = first.said["gateway"].as_str().unwrap();
    let _other = std::net::TcpListener::bind(url.trim_start_matches("http://")).unwrap();
    let (code, _, err) = run(home, &["up"]);
    assert_eq!((code, err.contains("cannot listen"), err.contains("[gateway]")), (2, true, true), "{err}");
    assert_eq!(toml(home), before);
}

#[test]
fn a_pin_that_nobody_saw_is_not_set() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = remit(home);
    let (code, _, err) = crate::remit::ended(&command.arg("up").args(ANY_PORT).stdout(full).output().unwrap());
    assert_eq!(code, 2, "{err}");
    let second = up(home, &[]);
    assert_eq!(second.said["pin"].as_str().map(str::len), Some(8), "{}", second.said);
    status_with_pin(home);
}
