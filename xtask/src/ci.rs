//! `cargo xtask ci`: the steps in order, each with its time, up to the first that fails.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{say, tidy};

const FORMAT: &[&str] = &["fmt", "--all", "--check"];
const LINTS: &[&str] = &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
const NEXTEST: &[&str] = &["nextest", "run", "--workspace", "--locked"];
const TEST: &[&str] = &["test", "--workspace", "--lib", "--bins", "--tests", "--locked"];
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
    let report = perform_all(root, &steps(root)?)?;
    let took = seconds(began.elapsed());
    let result = if report.failed.is_none() { "passed" } else { "FAILED" };
    say(&format!("\nci {result} in {took}\n{}", report.rows.join("\n")));
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
                let passed = perform(root, step)?;
                report.failed = (!passed).then_some(command);
                (if passed { "passed" } else { "FAILED" }, seconds(began.elapsed()))
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
        step("doc tests", DOC_TESTS),
        Step { name: "supply chain", cargo: DENY, skipped: deny },
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
}
