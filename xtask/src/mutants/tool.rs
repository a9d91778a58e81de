//! cargo-mutants: the mutants that it makes, and what it says of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::tree::Tree;

pub(crate) const INSTALL: &str = "cargo install cargo-mutants --locked";
/// What it returns where all went as it should: nothing missed, something missed, something timed out.
const WORKED: [i32; 3] = [0, 2, 3];

/// One small mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mutant {
    /// Its name with line and column, by which it is chosen.
    pub(crate) name: String,
    /// From the root of the repository.
    pub(crate) file: String,
    /// The function, where it is in one.
    pub(crate) function: String,
    /// Its name without line and column, and which of those it is that have the same.
    pub(crate) label: String,
}

/// What the tests said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// One failed.
    Caught,
    /// One did not end.
    TimedOut,
    /// It does not compile.
    Unviable,
    /// All passed.
    Survived,
}

/// One run over mutants of one crate.
pub(crate) struct Trial<'a> {
    /// Packages that are mutated, and whose tests are asked.
    pub(crate) package: &'a str,
    pub(crate) asked: &'a [&'a str],
    /// Test programs, all where none is named.
    pub(crate) targets: &'a [&'a str],
    /// Which tests, in the words of nextest.
    pub(crate) tests: &'a str,
    /// How often a test that failed is tried again: a mutant is caught by no failure of the machine.
    pub(crate) retries: u32,
    /// Longest run of the tests, in seconds.
    pub(crate) seconds_max: u32,
}

/// Whether it can be run here.
pub(crate) fn installed(tree: &Tree) -> io::Result<bool> {
    let mut cargo = cargo(tree);
    Ok(cargo.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
}

/// The mutants of these files, in the order of the code.
pub(crate) fn list(tree: &Tree, files: &[String]) -> io::Result<Vec<Mutant>> {
    let mut cargo = cargo(tree);
    cargo.args(["--workspace", "--list", "--json"]);
    cargo.args(files.iter().flat_map(|file| ["--file", file]));
    let output = cargo.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other("cargo-mutants lists nothing"));
    }
    listed(&serde_json::from_slice(&output.stdout)?)
}

fn listed(list: &Value) -> io::Result<Vec<Mutant>> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let read = |mutant: &Value| {
        let text = |name: &str| mutant.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let (name, file) = (text("name")?, text("file")?);
        let function = mutant.pointer("/function/function_name").and_then(Value::as_str).unwrap_or_default();
        // `FILE:LINE:COLUMN: what is changed`
        let change = name.strip_prefix(&file)?.split_once(": ")?.1.to_owned();
        let same = seen.entry(format!("{file}: {change}")).or_default();
        *same += 1;
        let label = if *same == 1 { format!("{file}: {change}") } else { format!("{file}: {change} #{same}") };
        Some(Mutant { name, file, function: function.to_owned(), label })
    };
    let mutants = list.as_array().and_then(|list| list.iter().map(read).collect());
    mutants.ok_or_else(|| io::Error::other("the list of cargo-mutants is of another form than this command reads"))
}

/// What the tests say of these mutants.
pub(crate) fn run(tree: &Tree, trial: &Trial<'_>, mutants: &[&Mutant]) -> io::Result<BTreeMap<String, Fate>> {
    let mut cargo = cargo(tree);
    cargo.args(["--package", trial.package, "--test-package", &trial.asked.join(",")]);
    // The tree is a copy already, and a copy of one's own at each run would build everything again.
    cargo.args(["--in-place", "--test-tool", "nextest", "--colors", "never", "--output"]).arg(&tree.out);
    cargo.arg("--timeout").arg(trial.seconds_max.to_string());
    // A member left out of a struct passes every filter by name (cargo-mutants 27.1); no file but these is looked at.
    let files: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
    cargo.args(files.into_iter().flat_map(|file| ["--file", file]));
    cargo.args(mutants.iter().flat_map(|mutant| ["--re".to_owned(), format!("^{}$", escaped(&mutant.name))]));
    cargo.args(trial.targets.iter().map(|target| format!("--cargo-arg={target}")));
    cargo.arg(format!("--cargo-test-arg=--retries={}", trial.retries)).args(["--", "-E", trial.tests]);
    let status = cargo.status()?;
    if !status.code().is_some_and(|code| WORKED.contains(&code)) {
        let why = format!("cargo-mutants ended with {status}; its own words are in {}", tree.out.display());
        return Err(io::Error::other(why));
    }
    fates(&serde_json::from_slice(&fs::read(tree.out.join("mutants.out/outcomes.json"))?)?)
}

fn fates(outcomes: &Value) -> io::Result<BTreeMap<String, Fate>> {
    let other = || io::Error::other("the outcomes of cargo-mutants are of another form than this command reads");
    let outcomes = outcomes.get("outcomes").and_then(Value::as_array).ok_or_else(other)?;
    // Beside the mutants stands the code as it is, which passed: else nothing was tried.
    let of_mutants = outcomes.iter().filter_map(|outcome| Some((outcome.pointer("/scenario/Mutant/name")?, outcome)));
    let fate = |(name, outcome): (&Value, &Value)| {
        let fate = match outcome.get("summary")?.as_str()? {
            "CaughtMutant" => Fate::Caught,
            "Timeout" => Fate::TimedOut,
            "Unviable" => Fate::Unviable,
            "MissedMutant" => Fate::Survived,
            _ => return None,
        };
        Some((name.as_str()?.to_owned(), fate))
    };
    of_mutants.map(|outcome| fate(outcome).ok_or_else(other)).collect()
}

fn cargo(tree: &Tree) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["mutants", "--no-config"]).current_dir(&tree.root).stdin(Stdio::null());
    // A build directory of its own: in another one the mutants would be taken for the code.
    cargo.env("CARGO_TARGET_DIR", &tree.build);
    cargo
}

/// The name as a regular expression that is this very name.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mutants_with_one_name_are_told_apart() {
        let one = |line: u32, change: &str| json!({"name": format!("a/b.rs:{line}:9: {change}"), "file": "a/b.rs", "function": {"function_name": "f"}});
        let list =
            json!([one(1, "replace > with < in f"), one(2, "replace > with == in f"), one(3, "replace > with < in f")]);
        let labels: Vec<_> = listed(&list).unwrap().into_iter().map(|mutant| mutant.label).collect();
        let expected =
            ["a/b.rs: replace > with < in f", "a/b.rs: replace > with == in f", "a/b.rs: replace > with < in f #2"];
        assert_eq!(labels, expected);
        assert!(listed(&json!({})).is_err() && listed(&json!([{"name": "a", "file": "b"}])).is_err());
    }

    #[test]
    fn outcomes_are_read_and_others_refused() {
        let one = |name: &str, summary: &str| json!({"scenario": {"Mutant": {"name": name}}, "summary": summary});
        let outcomes = |list: Value| fates(&json!({"outcomes": list}));
        let all = json!([{"scenario": "Baseline", "summary": "Success"}, one("a", "CaughtMutant"), one("b", "MissedMutant"),
            one("c", "Unviable"), one("d", "Timeout")]);
        let read: Vec<_> = outcomes(all).unwrap().into_values().collect();
        assert_eq!(read, [Fate::Caught, Fate::Survived, Fate::Unviable, Fate::TimedOut]);
        assert!(outcomes(json!([one("a", "Success")])).is_err());
        assert!(fates(&json!({})).is_err());
    }

    #[test]
    fn a_name_is_itself_and_nothing_else() {
        assert_eq!(
            escaped("a.rs:1: replace <T>::f -> Vec<u8> with vec![]"),
            r"a\.rs:1: replace <T>::f \-> Vec<u8> with vec!\[\]"
        );
    }
}
