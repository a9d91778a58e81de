//! The two methods on a simulated disk: the log when the power goes, and a log that somebody has changed.
//!
//! In a process of its own, so that `xtask` does not link the log. The two crates that the time goes to are optimized in
//! every build (`Cargo.toml`).

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Form, failed};
use crate::say;

/// Crashes at any step, seed by seed.
pub(super) fn power(root: &Path, form: Form) -> io::Result<String> {
    let seeds = match form {
        Form::Short => "20000",
        Form::Long => "1000000",
    };
    example(root, &["power", seeds])
}

/// Every bit flipped, and edits at random.
pub(super) fn edits(root: &Path, form: Form) -> io::Result<String> {
    let form = match form {
        Form::Short => "short",
        Form::Long => "long",
    };
    example(root, &["edits", form])
}

fn example(root: &Path, arguments: &[&str]) -> io::Result<String> {
    counts(Command::new(root.join("target/debug/examples/faults")).current_dir(root).args(arguments))
}

/// Runs a program that shows how far it is, and gives the line with its counts.
pub(super) fn counts(command: &mut Command) -> io::Result<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut last = None;
    for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        let line = line?;
        match line.strip_prefix("= ") {
            Some(counts) => last = Some(counts.to_owned()),
            None => say(&line),
        }
    }
    let good = child.wait()?.success();
    last.filter(|_| good).ok_or_else(|| failed("see above"))
}
