//! `cargo xtask mutants`: small mistakes in the code that decides and verifies, one after the other, and whether a test
//! finds each. By cargo-mutants, in a copy of the repository.
//!
//! **Invariant:** a run has caught a planted mistake that a test finds, and told of one that no test finds.

mod options;
mod page;
mod scope;
mod table;
mod tool;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::say;

pub(crate) use options::{Options, USAGE};
use scope::{SCOPES, Scope};
use table::Tried;
use tool::{Fate, Mutant, Trial};
use tree::Tree;

/// Longest run of a crate's quick tests, in seconds; they take less than ten.
const QUICK_SECONDS_MAX: u32 = 120;
/// The same of all tests that are asked in the end.
const ALL_SECONDS_MAX: u32 = 900;

/// Whether a test found every mutant that must be found.
pub(crate) fn run(root: &Path, options: &Options) -> io::Result<bool> {
    let tree = Tree::copied(root)?;
    if !tool::installed(&tree)? {
        return Err(io::Error::other(format!("cargo-mutants is not installed; install it with `{}`", tool::INSTALL)));
    }
    let same = page::listed(&fs::read_to_string(root.join(page::PAGE))?)?;
    let mutants = tool::list(&tree, &files(options))?;
    let gone = if matches!(options, Options::Files(_)) { Vec::new() } else { page::gone(&same, &mutants) };
    let chosen = chosen(options, &mutants, &same);
    say(&format!("{} mutants, {} of them tried", mutants.len(), chosen.len()));
    let mut fates = BTreeMap::new();
    for scope in SCOPES {
        fates.extend(tried(&tree, scope, &chosen, &same)?);
    }
    let tried: Vec<Tried<'_>> = chosen
        .iter()
        .map(|mutant| Tried { mutant, fate: fates.get(&mutant.name).copied(), same: same.contains_key(&mutant.label) })
        .collect();
    say(&table::of(&tried));
    for survivor in table::survivors_elsewhere(&tried) {
        say(&format!("  survived: {survivor}"));
    }
    let mut faults = table::faults(&tried);
    faults.extend(gone.iter().map(|label| format!("{}: no such mutant: {label}", page::PAGE)));
    for fault in &faults {
        say(&format!("\n{fault}"));
    }
    say(&format!("\nmutants {}", if faults.is_empty() { "passed" } else { "FAILED" }));
    Ok(faults.is_empty())
}

/// The files whose mutants are listed.
fn files(options: &Options) -> Vec<String> {
    let asked: Vec<String> = match options {
        Options::Strict | Options::Sample(_) => SCOPES.iter().flat_map(Scope::strict).collect(),
        Options::All => SCOPES.iter().map(Scope::all).collect(),
        Options::Files(files) => files.clone(),
    };
    asked.into_iter().chain(tree::planted_files()).collect()
}

/// What is tried: all, or so many that are spread evenly over the code. What is planted always is.
fn chosen<'a>(options: &Options, mutants: &'a [Mutant], same: &BTreeMap<String, String>) -> Vec<&'a Mutant> {
    let Options::Sample(count) = options else { return mutants.iter().collect() };
    let (planted, rest): (Vec<_>, Vec<_>) =
        mutants.iter().partition(|mutant| tree::planted(&mutant.file, &mutant.function).is_some());
    let rest: Vec<_> = rest.into_iter().filter(|mutant| !same.contains_key(&mutant.label)).collect();
    // The middle of each of so many parts.
    let middle = |part: usize| (2 * part + 1) * rest.len() / (2 * count);
    let spread = (0..*count).filter_map(|part| rest.get(middle(part)).copied());
    let mut chosen: Vec<&Mutant> = spread.chain(planted).collect();
    chosen.dedup_by(|a, b| a.name == b.name);
    chosen
}

/// What the tests say of the mutants of one crate: those that are quick, then all about what these did not find.
fn tried(
    tree: &Tree,
    scope: &Scope,
    chosen: &[&Mutant],
    same: &BTreeMap<String, String>,
) -> io::Result<BTreeMap<String, Fate>> {
    let own = |mutant: &&Mutant| scope::of(&mutant.file).is_some_and(|of| of.package == scope.package);
    let mutants: Vec<&Mutant> = chosen.iter().copied().filter(own).collect();
    if mutants.is_empty() {
        return Ok(BTreeMap::new());
    }
    say(&format!("== {}: {} mutants", scope.package, mutants.len()));
    let quick = Trial {
        package: scope.package,
        asked: &[scope.package],
        targets: scope.quick,
        tests: &scope.quick_tests(),
        retries: 0,
        seconds_max: QUICK_SECONDS_MAX,
    };
    let mut fates = tool::run(tree, &quick, &mutants)?;
    let left = |mutant: &&Mutant| fates.get(&mutant.name) == Some(&Fate::Survived) && !same.contains_key(&mutant.label);
    let left: Vec<&Mutant> = mutants.into_iter().filter(left).collect();
    if left.iter().all(|mutant| tree::planted(&mutant.file, &mutant.function).is_some()) {
        return Ok(fates);
    }
    say(&format!("== {}: {} that the quick tests did not find", scope.package, left.len()));
    let all = Trial {
        asked: scope.more,
        targets: &[],
        tests: &Scope::all_tests(),
        retries: 1,
        seconds_max: ALL_SECONDS_MAX,
        ..quick
    };
    fates.extend(tool::run(tree, &all, &left)?);
    Ok(fates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(at: usize) -> Mutant {
        let label = format!("crates/core/src/plan.rs: {at}");
        Mutant { name: label.clone(), file: "crates/core/src/plan.rs".into(), function: "f".into(), label }
    }

    #[test]
    fn a_sample_is_spread_evenly_and_always_the_same() {
        let planted = Mutant { file: "crates/core/src/planted.rs".into(), ..mutant(100) };
        let mut all: Vec<Mutant> = (0..100).map(mutant).collect();
        all.push(planted.clone());
        let names = |count| {
            let chosen = chosen(&Options::Sample(count), &all, &BTreeMap::new());
            chosen.iter().map(|mutant| mutant.label.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(4), ["12", "37", "62", "87", "100"]);
        assert_eq!(names(1), ["50", "100"]);
        assert_eq!(names(500).len(), 101, "each once, however many are asked for");
        // What is the same program shows nothing.
        let same = BTreeMap::from([(mutant(12).label, "why".to_owned())]);
        assert!(!chosen(&Options::Sample(100), &all, &same).contains(&&mutant(12)));
        assert_eq!(chosen(&Options::Strict, &all, &same).len(), 101);
    }

    #[test]
    fn what_is_planted_is_listed_with_whatever_is_asked_for() {
        for options in [Options::Strict, Options::Sample(1), Options::All, Options::Files(vec!["a.rs".into()])] {
            assert!(files(&options).contains(&"crates/audit/src/planted.rs".to_owned()), "{options:?}");
        }
    }
}
