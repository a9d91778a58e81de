//! `cargo xtask ci`: the steps in order, each with its time, up to the first that fails.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{say, tidy};

const FORMAT: &[&str] = &["fmt", "--all", "--check"];
const LINTS: &[&str] = &[
    "clippy",
    "--workspace",
    "--all-targets",
    "--locked",
    "--",
    "-D",
    "warnings",
];
const NEXTEST: &[&str] = &["nextest", "run", "--workspace", "--locked"];
const TEST: &[&str] = &[
    "test",
    "--workspace",
    "--lib",
    "--bins",
    "--tests",
    "--locked",
];
const DOC_TESTS: &[&str] = &["test", "--workspace", "--doc", "--locked"];
/// Without the advisories: they need the network, and change without a change of ours.
const DENY: &[&str] = &["deny", "check", "bans", "licenses", "sources"];
const TIDY: &[&str] = &["xtask", "tidy"];

/// One step: the cargo command that repeats it, or why it is left out here.
struct Step {
    name: &'static str,
    cargo: &'static [&'static str],
    skipped: Option<&'static str>,
}

/// True if every step passed.
pub(crate) fn run(root: &Path) -> io::Result<bool> {
    let began = Instant::now();
    let mut summary = Vec::new();
    for step in steps(root)? {
        let command = format!("cargo {}", step.cargo.join(" "));
        if let Some(reason) = step.skipped {
            say(&format!("== {}: skipped, {reason}", step.name));
            summary.push(row(step.name, "skipped", reason));
            continue;
        }
        say(&format!("== {}: {command}", step.name));
        let step_began = Instant::now();
        let passed = perform(root, &step)?;
        let took = seconds(step_began.elapsed());
        if !passed {
            say(&format!(
                "== {}: FAILED after {took}; repeat it with\n\n    {command}",
                step.name
            ));
            return Ok(false);
        }
        say(&format!("== {}: passed in {took}", step.name));
        summary.push(row(step.name, "passed", &took));
    }
    say(&format!(
        "\nci passed in {}\n{}",
        seconds(began.elapsed()),
        summary.join("\n")
    ));
    Ok(true)
}

fn steps(root: &Path) -> io::Result<Vec<Step>> {
    let step = |name, cargo| Step {
        name,
        cargo,
        skipped: None,
    };
    let tests = if has(root, "nextest")? { NEXTEST } else { TEST };
    let deny = if has(root, "deny")? {
        None
    } else {
        Some("cargo-deny is not installed")
    };
    Ok(vec![
        step("format", FORMAT),
        step("lints", LINTS),
        step("tests", tests),
        step("doc tests", DOC_TESTS),
        Step {
            name: "supply chain",
            cargo: DENY,
            skipped: deny,
        },
        step("tidy", TIDY),
    ])
}

fn perform(root: &Path, step: &Step) -> io::Result<bool> {
    if step.cargo == TIDY {
        return tidy::run(root);
    }
    Ok(cargo(root).args(step.cargo).status()?.success())
}

/// Whether cargo knows the subcommand on this machine.
fn has(root: &Path, subcommand: &str) -> io::Result<bool> {
    let silent = || Stdio::null();
    let status = cargo(root)
        .args([subcommand, "--version"])
        .stdout(silent())
        .stderr(silent())
        .status()?;
    Ok(status.success())
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root).stdin(Stdio::null());
    command
}

fn row(name: &str, result: &str, detail: &str) -> String {
    format!("  {name:<13} {result:<8} {detail}")
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
