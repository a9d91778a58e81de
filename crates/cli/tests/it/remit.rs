//! Running the binary in a home of its own.

use std::path::Path;
use std::process::{Command, Output};

/// The binary, with nothing of this machine's configuration.
pub(crate) fn remit(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remit"));
    command.env_clear();
    // Tests do not wait for each other's addresses.
    command.env("REMIT__RELAY__LISTEN", "127.0.0.1:0");
    command.env("HOME", home).arg("--home").arg(home).current_dir(home);
    command
}

/// How it ended, what it printed, and what it said of it.
pub(crate) fn run(home: &Path, words: &[&str]) -> (i32, String, String) {
    ended(&remit(home).args(words).output().unwrap())
}

pub(crate) fn ended(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Text that people are shown must not steer their terminal.
#[track_caller]
pub(crate) fn steers_nothing(text: &str) {
    let steers = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}')
    };
    assert!(!text.chars().any(steers), "{text:?}");
}
