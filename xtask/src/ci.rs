//! `cargo xtask ci`: the steps in order, each with its time, up to the first that fails. `cargo xtask prove` is the long
//! form of those that search for faults.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::interop::{self, Tally};
use crate::{conformance, say, tidy, verifiers};

const FORMAT: &[&str] = &["fmt", "--all", "--check"];
const LINTS: &[&str] = &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
const NEXTEST: &[&str] = &["nextest", "run", "--workspace", "--locked", "--no-fail-fast"];
const TEST: &[&str] = &["test", "--workspace", "--lib", "--bins", "--tests", "--locked", "--no-fail-fast"];
/// Without the advisories: they need the network, and change without a change of ours.
const DENY: &[&str] = &["deny", "check", "bans", "licenses", "sources"];
const TIDY: &[&str] = &["xtask", "tidy"];
const INTEROP: &[&str] = &["xtask", "interop"];
const VERIFIERS: &[&str] = &["xtask", "verifiers"];
const CONFORMANCE: &[&str] = &["xtask", "conformance"];
const FAULT: &[&str] = &["xtask", "fault"];
/// The same inputs each time: a lucky search must not stop a change that has nothing to do with what it found.
const FUZZ: &[&str] = &["xtask", "fuzz", "--runs", "20000"];

/// One step: the cargo command that repeats it, or why it is left out here.
struct Step {
    name: &'static str,
    cargo: &'static [&'static str],
    skipped: Option<&'static str>,
}

/// True if every step passed.
pub(crate) fn run(root: &Path) -> io::Result<bool> {
    all("ci", root, &steps(root)?)
}

/// The long form: hours instead of minutes of searching.
pub(crate) fn prove(root: &Path) -> io::Result<bool> {
    let step = |name, cargo| Step { name, cargo, skipped: None };
    let steps = [
        step("worlds", &["xtask", "worlds", "10000000"]),
        step("verifiers", VERIFIERS),
        step("conformance", CONFORMANCE),
        step("interop", INTEROP),
        step("mutants", &["xtask", "mutants"]),
        step("fault", &["xtask", "fault", "--long"]),
        step("fuzz", &["xtask", "fuzz", "--seconds", "3600"]),
    ];
    all("prove", root, &steps)
}

fn all(what: &str, root: &Path, steps: &[Step]) -> io::Result<bool> {
    let began = Instant::now();
    let report = perform_all(root, steps)?;
    let took = seconds(began.elapsed());
    let result = if report.failed.is_none() { "passed" } else { "FAILED" };
    say(&format!("\n{what} {result} in {took}\n{}", report.rows.join("\n")));
    if let Some(command) = &report.failed {
        say(&format!("\nrepeat the step that failed with\n\n    {command}\n"));
    }
    Ok(report.failed.is_none())
}

struct Report {
    /// A line for each step.
    rows: Vec<String>,
    /// The command of the step that failed.
    failed: Option<String>,
}

fn perform_all(root: &Path, steps: &[Step]) -> io::Result<Report> {
    let mut report = Report { rows: Vec::new(), failed: None };
    for step in steps {
        let (result, detail) = match (&report.failed, step.skipped) {
            (Some(_failed), _) => ("not run", String::new()),
            (None, Some(reason)) => ("skipped", reason.to_owned()),
            (None, None) => {
                let command = format!("cargo {}", step.cargo.join(" "));
                say(&format!("== {}: {command}", step.name));
                let began = Instant::now();
                let done = perform(root, step)?;
                report.failed = (done.result == Outcome::Failed).then_some(command);
                (done.result.name(), format!("{} {}", seconds(began.elapsed()), done.detail).trim_end().to_owned())
            }
        };
        say(&format!("== {}: {result} {detail}", step.name));
        report.rows.push(format!("  {:<13} {result:<8} {detail}", step.name).trim_end().to_owned());
    }
    Ok(report)
}

fn steps(root: &Path) -> io::Result<Vec<Step>> {
    let step = |name, cargo| Step { name, cargo, skipped: None };
    let tests = if has(root, "nextest")? { NEXTEST } else { TEST };
    let deny = if has(root, "deny")? { None } else { Some("cargo-deny is not installed") };
    Ok(vec![
        step("format", FORMAT),
        step("lints", LINTS),
        step("tests", tests),
        Step { name: "supply chain", cargo: DENY, skipped: deny },
        step("tidy", TIDY),
        step("interop", INTEROP),
        step("verifiers", VERIFIERS),
        step("conformance", CONFORMANCE),
        step("fault", FAULT),
        step("fuzz", FUZZ),
    ])
}

/// What came of a step, and what there is to say of it.
struct Done {
    result: Outcome,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// Nothing of it could be run here.
    Skipped,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

fn perform(root: &Path, step: &Step) -> io::Result<Done> {
    let passed = match step.cargo {
        TIDY => tidy::run(root)?,
        INTEROP => return Ok(others(interop::run(root, None))),
        VERIFIERS => return Ok(others(verifiers::run(root))),
        CONFORMANCE => return Ok(others(conformance::run(root))),
        _ => cargo(root).args(step.cargo).status()?.success(),
    };
    Ok(Done { result: if passed { Outcome::Passed } else { Outcome::Failed }, detail: String::new() })
}

/// Other makers' programs come from registries that not every machine reaches: nothing run is skipped, never passed.
fn others(tally: io::Result<Tally>) -> Done {
    match tally {
        Ok(Tally { failed: 0, good: 0, why, .. }) => Done { result: Outcome::Skipped, detail: why.join("; ") },
        Ok(tally) => {
            let result = if tally.failed == 0 { Outcome::Passed } else { Outcome::Failed };
            Done { result, detail: tally.line() }
        }
        Err(error) => Done { result: Outcome::Failed, detail: error.to_string() },
    }
}

/// Whether cargo knows the subcommand on this machine.
fn has(root: &Path, subcommand: &str) -> io::Result<bool> {
    let silent = || Stdio::null();
    let status = cargo(root).args([subcommand, "--version"]).stdout(silent()).stderr(silent()).status()?;
    Ok(status.success())
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root).stdin(Stdio::null());
    command
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSES: Step = Step { name: "passes", cargo: &["--version"], skipped: None };
    const FAILS: Step = Step { name: "fails", cargo: &["no-such-command"], skipped: None };
    const LEFT_OUT: Step = Step { name: "left out", cargo: &["--version"], skipped: Some("why") };

    #[test]
    fn passing_steps_are_all_run() {
        let report = perform_all(crate::root(), &[PASSES, LEFT_OUT, PASSES]).unwrap();
        assert_eq!(report.failed, None);
        assert!(report.rows[0].starts_with("  passes        passed"), "{:?}", report.rows);
        assert_eq!(report.rows[1], "  left out      skipped  why");
        assert!(report.rows[2].starts_with("  passes        passed"), "{:?}", report.rows);
    }

    #[test]
    fn first_failure_stops_and_names_its_command() {
        let report = perform_all(crate::root(), &[FAILS, PASSES, LEFT_OUT]).unwrap();
        assert_eq!(report.failed.as_deref(), Some("cargo no-such-command"));
        assert!(report.rows[0].starts_with("  fails         FAILED"), "{:?}", report.rows);
        assert_eq!(report.rows[1], "  passes        not run");
        assert_eq!(report.rows[2], "  left out      not run");
    }

    #[test]
    fn what_could_not_be_run_is_never_green() {
        let tally = |good, failed, not_run: usize| {
            let why = if not_run > 0 { vec!["no npm here".to_owned()] } else { Vec::new() };
            others(Ok(Tally { good, failed, not_run, why }))
        };
        let check = |done: Done, result, detail| assert_eq!((done.result, done.detail.as_str()), (result, detail));
        check(tally(42, 0, 0), Outcome::Passed, "42 cells");
        check(tally(24, 0, 18), Outcome::Passed, "24 cells, 18 not run (no npm here)");
        check(tally(0, 0, 42), Outcome::Skipped, "no npm here");
        check(tally(0, 2, 42), Outcome::Failed, "0 cells, 2 FAILED, 42 not run (no npm here)");
        check(others(Err(io::Error::other("why"))), Outcome::Failed, "why");
    }
}
