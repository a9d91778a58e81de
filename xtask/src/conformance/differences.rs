//! What is worse through the gateway than directly, and the page on which each such difference stands with its reason.
//!
//! **Invariant:** a difference that does not stand there fails, and so does a row of the page that no longer holds.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::suite::{Scenario, Status};

/// The page, from the root of the repository.
pub(crate) const PAGE: &str = "docs/conformance.md";
/// The head of the tables that are read.
const HEAD: [&str; 4] = ["revision", "scenario", "check", "why"];

/// A check of a scenario in a revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) revision: String,
    pub(crate) scenario: String,
    pub(crate) check: String,
}

/// One check that came out worse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) place: Place,
    pub(crate) direct: Status,
    pub(crate) through: Status,
    /// What the suite says of it.
    pub(crate) says: String,
}

/// What is worse through the gateway. A check that is not there is as good as one that was skipped.
pub(crate) fn found(revision: &str, name: &str, direct: &Scenario, through: &Scenario) -> Vec<Difference> {
    let ids: BTreeSet<&String> = direct.checks.keys().chain(through.checks.keys()).collect();
    let status = |scenario: &Scenario, id| scenario.checks.get(id).map_or(Status::Skipped, |check| check.status);
    let worse = ids.into_iter().filter_map(|id| {
        let (before, after) = (status(direct, id), status(through, id));
        let place = Place { revision: revision.to_owned(), scenario: name.to_owned(), check: id.clone() };
        let says = through.checks.get(id).map(|check| check.says.clone()).unwrap_or_default();
        // What only informs is nothing that could be lost.
        let lost = after > before && !(before == Status::Info && after == Status::Skipped);
        lost.then_some(Difference { place, direct: before, through: after, says })
    });
    worse.collect()
}

/// The rows of the page's tables, with their reasons. A row may name several checks of its scenario.
pub(crate) fn listed(page: &str) -> io::Result<BTreeMap<Place, String>> {
    let mut inside = false;
    let rows = page.lines().map(cells).filter(|row| {
        let begins = row == &HEAD;
        inside = begins || (inside && !row.is_empty());
        inside && !begins && !row.iter().all(|cell| cell.starts_with("---"))
    });
    let mut listed = BTreeMap::new();
    for row in rows {
        let [revision, scenario, checks, why] = row.as_slice() else {
            return Err(io::Error::other(format!("{PAGE}: not four columns: {}", row.join(" | "))));
        };
        let bare = |text: &str| text.trim_matches('`').to_owned();
        for check in checks.split(',').map(|check| bare(check.trim())) {
            let named = format!("{PAGE}: {revision} {scenario} {check}");
            if why.is_empty() {
                return Err(io::Error::other(format!("{named} has no reason")));
            }
            let place = Place { revision: bare(revision), scenario: bare(scenario), check };
            if listed.insert(place, (*why).to_owned()).is_some() {
                return Err(io::Error::other(format!("{named} stands there twice")));
            }
        }
    }
    Ok(listed)
}

/// The cells of a table's row; none of any other line.
fn cells(line: &str) -> Vec<&str> {
    let inner = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    inner.map(|inner| inner.split('|').map(str::trim).collect()).unwrap_or_default()
}

/// What is wrong: differences that are not listed, and rows that no longer hold.
pub(crate) fn faults(found: &[Difference], listed: &BTreeMap<Place, String>) -> Vec<String> {
    let unlisted = found.iter().filter(|difference| !listed.contains_key(&difference.place)).map(|difference| {
        let Difference { place, direct, through, says } = difference;
        let (direct, through) = (direct.name(), through.name());
        format!("{} {} {}: {direct} directly, {through} through: {says}", place.revision, place.scenario, place.check)
    });
    let gone = listed.keys().filter(|place| !found.iter().any(|difference| difference.place == **place));
    let gone = gone.map(|place| {
        format!("{PAGE}: {} {} {} is listed and no longer differs", place.revision, place.scenario, place.check)
    });
    unlisted.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::super::suite::Check;
    use super::*;

    fn scenario(checks: &[(&str, Status)]) -> Scenario {
        let checks =
            checks.iter().map(|(id, status)| ((*id).to_owned(), Check { status: *status, says: "why".into() }));
        Scenario { checks: checks.collect(), ..Scenario::default() }
    }

    fn differing(direct: &[(&str, Status)], through: &[(&str, Status)]) -> Vec<String> {
        let found = found("r", "s", &scenario(direct), &scenario(through));
        found.into_iter().map(|difference| difference.place.check).collect()
    }

    #[test]
    fn what_is_worse_or_missing_is_found_and_what_is_better_is_not() {
        use Status::{Failure, Info, Skipped, Success, Warning};
        assert_eq!(differing(&[("a", Success)], &[("a", Failure)]), ["a"]);
        assert_eq!(differing(&[("a", Success)], &[("a", Warning)]), ["a"]);
        assert_eq!(differing(&[("a", Success)], &[("a", Skipped)]), ["a"]);
        assert_eq!(differing(&[("a", Success)], &[]), ["a"]);
        assert_eq!(differing(&[], &[("a", Failure)]), ["a"]);
        for (before, after) in [(Failure, Success), (Success, Success), (Failure, Failure), (Warning, Skipped)] {
            assert_eq!(differing(&[("a", before)], &[("a", after)]), [""; 0]);
        }
        assert_eq!(differing(&[("a", Info)], &[]), [""; 0]);
        assert_eq!(differing(&[("a", Info)], &[("a", Failure)]), ["a"]);
    }

    const TABLE: &str = "text\n\n| revision | scenario | check | why |\n|---|---|---|---|\n";

    #[test]
    fn every_difference_is_listed_and_every_row_holds() {
        let page = format!("{TABLE}| r | s | `a` | by design |\n\n| revision | other |\n");
        let listed = listed(&page).unwrap();
        let differs = found("r", "s", &scenario(&[("a", Status::Success)]), &scenario(&[]));
        assert_eq!(faults(&differs, &listed), [""; 0]);
        let gone = faults(&[], &listed);
        assert_eq!(gone, ["docs/conformance.md: r s a is listed and no longer differs"]);
        let unlisted = faults(&differs, &BTreeMap::new());
        assert_eq!(unlisted, ["r s a: passed directly, skipped through: "]);
    }

    #[test]
    fn a_row_without_a_reason_and_a_row_twice_are_errors() {
        for rows in ["| r | s | a | |\n", "| r | s | a | x |\n| r | s | a | y |\n", "| r | s | a |\n"] {
            assert!(listed(&format!("{TABLE}{rows}")).is_err(), "{rows}");
        }
        assert!(listed(TABLE).unwrap().is_empty());
        assert_eq!(listed(&format!("{TABLE}| r | s | `a`, `b` | x |\n")).unwrap().len(), 2);
        let two =
            format!("{TABLE}| r | s | a | x |\n\n| other | table |\n|---|---|\n| r | s |\n{TABLE}| r | s | b | x |\n");
        assert_eq!(listed(&two).unwrap().len(), 2);
        assert!(listed(&format!("{TABLE}| r | s | `a`, `a` | x |\n")).is_err());
    }
}
