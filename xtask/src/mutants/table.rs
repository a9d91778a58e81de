//! What a run came to: a row for each file, and what is wrong.

use std::collections::BTreeMap;

use super::scope;
use super::tool::{Fate, Mutant};
use super::tree::{Planted, planted};

/// A mutant, and what came of it.
pub(crate) struct Tried<'a> {
    pub(crate) mutant: &'a Mutant,
    /// `None` where it was not tried at all.
    pub(crate) fate: Option<Fate>,
    /// Whether the page lists it as the same program.
    pub(crate) same: bool,
}

#[derive(Default)]
struct Counts {
    caught: usize,
    timed_out: usize,
    unviable: usize,
    same: usize,
    survived: usize,
}

impl Counts {
    fn add(&mut self, tried: &Tried<'_>) {
        let count = match tried.fate {
            Some(Fate::Caught) => &mut self.caught,
            Some(Fate::TimedOut) => &mut self.timed_out,
            Some(Fate::Unviable) => &mut self.unviable,
            Some(Fate::Survived) if tried.same => &mut self.same,
            Some(Fate::Survived) => &mut self.survived,
            None => return,
        };
        *count += 1;
    }

    fn row(&self, name: &str) -> String {
        let Self { caught, timed_out, unviable, same, survived } = self;
        let all = caught + timed_out + unviable + same + survived;
        format!("  {name:<40} {all:>7} {caught:>7} {timed_out:>9} {unviable:>8} {same:>5} {survived:>8}")
    }
}

/// A row for each file, and the sum; planted ones aside.
pub(crate) fn of(tried: &[Tried<'_>]) -> String {
    let mut files: BTreeMap<&str, Counts> = BTreeMap::new();
    let mut all = Counts::default();
    for one in tried.iter().filter(|one| planted(&one.mutant.file, "").is_none()) {
        files.entry(&one.mutant.file).or_default().add(one);
        all.add(one);
    }
    let head = "mutants  caught timed out unviable  same survived";
    let rows: Vec<String> = files.iter().map(|(file, counts)| counts.row(file)).collect();
    format!("\n  {:<40} {head}\n{}\n{}", "file", rows.join("\n"), all.row("all"))
}

/// What survived outside of the strict set: listed, and no failure.
pub(crate) fn survivors_elsewhere<'a>(tried: &'a [Tried<'_>]) -> impl Iterator<Item = &'a str> {
    let survived =
        tried.iter().filter(|one| one.fate == Some(Fate::Survived) && !one.same && !must_be_found(one.mutant));
    survived.filter(|one| planted(&one.mutant.file, "").is_none()).map(|one| one.mutant.name.as_str())
}

/// What is wrong.
pub(crate) fn faults(tried: &[Tried<'_>]) -> Vec<String> {
    let mut faults: Vec<String> = tried.iter().filter_map(fault).collect();
    let strict = tried.iter().filter(|one| must_be_found(one.mutant));
    if !strict.clone().any(|one| matches!(one.fate, Some(Fate::Caught | Fate::TimedOut | Fate::Survived))) {
        faults.push("no mutant of the strict set was tried: this run proves nothing".to_owned());
    }
    for kind in [Planted::Tested, Planted::Untested] {
        if !tried.iter().any(|one| planted(&one.mutant.file, &one.mutant.function) == Some(kind)) {
            faults.push(format!("no planted function ({kind:?}) was tried: this run proves nothing"));
        }
    }
    faults
}

fn fault(one: &Tried<'_>) -> Option<String> {
    let name = &one.mutant.name;
    match (planted(&one.mutant.file, &one.mutant.function), one.fate) {
        (_, None) => Some(format!("not tried: {name}")),
        (Some(Planted::Tested), Some(Fate::Caught)) | (Some(Planted::Untested), Some(Fate::Survived)) => None,
        (Some(_), Some(fate)) => Some(format!("planted, and {fate:?}: {name}: this run proves nothing")),
        (None, Some(Fate::Survived)) if !one.same && must_be_found(one.mutant) => Some(format!("SURVIVED: {name}")),
        (None, Some(fate)) if one.same && fate != Fate::Survived => {
            Some(format!("listed as the same program, and {fate:?}: {name}"))
        }
        (None, Some(_)) => None,
    }
}

fn must_be_found(mutant: &Mutant) -> bool {
    scope::of(&mutant.file).is_some_and(|scope| scope.must_be_found(&mutant.file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(file: &str, function: &str) -> Mutant {
        Mutant {
            name: format!("{file}:1:1: {function}"),
            file: file.into(),
            function: function.into(),
            label: String::new(),
        }
    }

    const STRICT: &str = "crates/core/src/plan.rs";
    const PLANTED: &str = "crates/core/src/planted.rs";

    /// A good run with one more mutant, and what is wrong with it.
    fn found(file: &str, function: &str, fate: Option<Fate>, same: bool) -> Vec<String> {
        let known = [
            (mutant(STRICT, "a"), Fate::Caught),
            (mutant(PLANTED, "tested"), Fate::Caught),
            (mutant(PLANTED, "untested"), Fate::Survived),
        ];
        let mut tried: Vec<_> =
            known.iter().map(|(mutant, fate)| Tried { mutant, fate: Some(*fate), same: false }).collect();
        let more = mutant(file, function);
        tried.push(Tried { mutant: &more, fate, same });
        faults(&tried)
    }

    #[test]
    fn a_survivor_of_the_strict_set_is_a_fault_and_elsewhere_it_is_not() {
        for (fate, same, faulty) in [
            (Some(Fate::Survived), false, true),
            (Some(Fate::Survived), true, false),
            (Some(Fate::Caught), true, true),
            (Some(Fate::Unviable), true, true),
            (Some(Fate::Unviable), false, false),
            (Some(Fate::TimedOut), false, false),
            (None, false, true),
        ] {
            assert_eq!(found(STRICT, "b", fate, same).len(), usize::from(faulty), "{fate:?} {same}");
        }
        assert!(found("crates/core/src/json.rs", "b", Some(Fate::Survived), false).is_empty());
    }

    #[test]
    fn the_planted_must_come_out_as_planted() {
        for (function, fate, faulty) in [
            ("untested", Fate::Survived, false),
            ("untested", Fate::Caught, true),
            ("untested", Fate::Unviable, true),
            ("tested", Fate::Caught, false),
            ("tested", Fate::Survived, true),
            ("tested", Fate::TimedOut, true),
        ] {
            assert_eq!(found(PLANTED, function, Some(fate), false).len(), usize::from(faulty), "{function} {fate:?}");
        }
    }

    #[test]
    fn a_run_in_which_nothing_was_tried_is_a_fault() {
        assert_eq!(faults(&[]).len(), 3);
        let unviable = mutant(STRICT, "a");
        let tried = [Tried { mutant: &unviable, fate: Some(Fate::Unviable), same: false }];
        assert_eq!(faults(&tried).len(), 3);
    }

    #[test]
    fn planted_ones_are_not_counted() {
        let all = [mutant(STRICT, "a"), mutant(PLANTED, "untested"), mutant("crates/core/src/json.rs", "b")];
        let tried: Vec<_> =
            all.iter().map(|mutant| Tried { mutant, fate: Some(Fate::Survived), same: false }).collect();
        assert!(of(&tried).ends_with("2       0         0        0     0        2"), "{}", of(&tried));
        assert_eq!(survivors_elsewhere(&tried).collect::<Vec<_>>(), ["crates/core/src/json.rs:1:1: b"]);
    }
}
