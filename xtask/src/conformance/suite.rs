//! Running the suite, and reading what it found.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::interop::packages::Packages;
use crate::interop::process;

/// The revisions for which the suite has a set of scenarios, each run in its own era.
pub(crate) const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

pub(super) const PROGRAM: &str = "@modelcontextprotocol/conformance/dist/index.js";
const RUN_MAX: Duration = Duration::from_mins(2);
/// Before the name of a scenario in the name of its folder; after it stands a time.
const FOLDER: &str = "server-";
const TIME_BYTES: usize = "-2026-01-01T00-00-00-000Z".len();

/// How a check came out, the better before the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    Success,
    Info,
    Skipped,
    Warning,
    Failure,
}

/// What one check found, and what it says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) status: Status,
    pub(crate) says: String,
}

/// The checks of one scenario by their ids; of those with the same id, the worst.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) checks: BTreeMap<String, Check>,
    /// Checks, those with the same id counted each.
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

/// Scenarios against one URL, by name: those that are chosen as one types it.
pub(crate) fn run(
    packages: &Packages,
    url: &str,
    chosen: &[&str],
    out: &Path,
) -> io::Result<BTreeMap<String, Scenario>> {
    let mut suite = Command::new(packages.node());
    suite.arg(packages.module(PROGRAM)).args(["server", "--url", url]).args(chosen).arg("-o").arg(out);
    // Whether it is content is not asked: what passes directly is.
    let output = process::run(&mut suite, "", RUN_MAX)?;
    let found = scenarios(out, FOLDER)?;
    if found.is_empty() {
        return Err(io::Error::other(format!("the suite ran nothing: {}", output.last_line())));
    }
    Ok(found)
}

/// What the suite left of its scenarios of one kind, by name.
pub(super) fn scenarios(out: &Path, kind: &str) -> io::Result<BTreeMap<String, Scenario>> {
    let mut scenarios = BTreeMap::new();
    for entry in std::fs::read_dir(out).into_iter().flatten().flatten() {
        let folder = entry.file_name().to_string_lossy().into_owned();
        let name = folder.strip_prefix(kind).and_then(|rest| rest.get(..rest.len().checked_sub(TIME_BYTES)?));
        let Some(name) = name else { return Err(io::Error::other(format!("the suite left {folder}"))) };
        let text = std::fs::read_to_string(entry.path().join("checks.json"))?;
        scenarios.insert(name.to_owned(), Scenario::read(&text)?);
    }
    Ok(scenarios)
}

impl Scenario {
    pub(super) fn read(text: &str) -> io::Result<Self> {
        let checks: Vec<Value> = serde_json::from_str(text)?;
        let mut scenario = Self::default();
        for check in &checks {
            let part = |name: &str| check.get(name).and_then(Value::as_str).unwrap_or_default();
            let status = Status::read(part("status"))?;
            scenario.passed += usize::from(status == Status::Success);
            scenario.failed += usize::from(status == Status::Failure);
            let found = Check { status, says: part("errorMessage").to_owned() };
            let kept = scenario.checks.entry(part("id").to_owned()).or_insert_with(|| found.clone());
            if kept.status < status {
                *kept = found;
            }
        }
        Ok(scenario)
    }
}

impl Status {
    fn read(text: &str) -> io::Result<Self> {
        Ok(match text {
            "SUCCESS" => Self::Success,
            "INFO" => Self::Info,
            "SKIPPED" => Self::Skipped,
            "WARNING" => Self::Warning,
            "FAILURE" => Self::Failure,
            _ => return Err(io::Error::other(format!("the suite says {text}"))),
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Success => "passed",
            Self::Info => "info",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failure => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_checks_with_the_same_id_the_worst_counts() {
        let text = r#"[{"id":"a","status":"SUCCESS"},{"id":"a","status":"FAILURE","errorMessage":"why"},
            {"id":"a","status":"WARNING"},{"id":"b","status":"SUCCESS"}]"#;
        let scenario = Scenario::read(text).unwrap();
        assert_eq!((scenario.passed, scenario.failed), (2, 1));
        assert_eq!(scenario.checks["a"], Check { status: Status::Failure, says: "why".into() });
        assert_eq!(scenario.checks["b"].status, Status::Success);
    }

    #[test]
    fn a_status_that_is_not_known_is_an_error() {
        assert!(Scenario::read(r#"[{"id":"a","status":"FINE"}]"#).is_err());
        assert!(Scenario::read("{}").is_err());
    }
}
