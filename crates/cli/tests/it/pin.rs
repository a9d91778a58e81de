//! The administrators' PIN as a person types it, on a terminal (`script` of util-linux is one).

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::remit::run;
use crate::up::{ANY_PORT, up};

/// What is seen on a terminal where these keys are typed at the prompt, with the terminal's state at the end.
fn typed(home: &Path, keys: &[u8]) -> String {
    let remit = env!("CARGO_BIN_EXE_remit");
    let line =
        format!("trap : INT; {remit} --home {} admin rotate-keys; echo exit=$?; stty -a; echo end", home.display());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("SHELL", "/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut terminal = command.spawn().unwrap();
    let (mut stdin, mut stdout) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let (mut seen, mut part, mut keys) = (String::new(), [0; 4096], Some(keys));
    loop {
        let read = stdout.read(&mut part).unwrap();
        seen.push_str(&String::from_utf8_lossy(&part[..read]));
        if seen.contains("PIN: ")
            && let Some(keys) = keys.take()
        {
            // The prompt is written before the terminal is hidden: what is typed at once would be seen.
            std::thread::sleep(std::time::Duration::from_millis(200));
            stdin.write_all(keys).unwrap();
        }
        if read == 0 || seen.lines().any(|line| line == "end") {
            break;
        }
    }
    drop(stdin);
    terminal.wait().unwrap();
    seen
}

#[test]
fn the_terminal_is_as_it_was_and_nothing_is_tried_that_was_not_typed() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let pin = home.join("pin");
    let _up = up(home, &[&ANY_PORT[..], &["--pin-file", pin.to_str().unwrap()]].concat());
    let right = std::fs::read_to_string(&pin).unwrap();
    let good = format!("wrong\x15{}x\x7f\r", right.trim());
    for (keys, says) in [
        (&b"\x03"[..], "exit=2"),
        (b"\r", "no PIN was typed"),
        (b"\x04", "no PIN was typed"),
        (b"wrong\r", "the PIN is wrong"),
        (good.as_bytes(), "exit=0"),
    ] {
        let seen = typed(home, keys);
        assert!(seen.contains(says), "{keys:?} {seen}");
        assert!(seen.contains(" echo ") && seen.contains("isig") && !seen.contains("-isig"), "{keys:?} {seen}");
        assert!(!seen.contains(right.trim()), "{seen}");
    }
    for (text, says) in [("1234\n5678\n", "more than one line"), ("\n", "there is nothing in it")] {
        let file = home.join("other");
        remit_audit::durable::write(&file, text.as_bytes(), 0o600).unwrap();
        let (code, _, err) = run(home, &["admin", "rotate-keys", "--pin-file", file.to_str().unwrap()]);
        assert_eq!((code, err.contains(says)), (2, true), "{err}");
    }
}
