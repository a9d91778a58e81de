//! The page on which each mutant stands that cannot be observed, with its reason.
//!
//! **Invariant:** a row without a reason, or of a mutant that is not there any more, fails.

use std::collections::BTreeMap;
use std::io;

use super::tool::Mutant;

/// The page, from the root of the repository.
pub(crate) const PAGE: &str = "docs/mutants.md";
/// The head of the one table that is read.
const HEAD: [&str; 2] = ["mutant", "why no test can find it"];

/// The labels of mutants that are the same program, with their reasons.
pub(crate) fn listed(page: &str) -> io::Result<BTreeMap<String, String>> {
    let rows = page.lines().map(cells).skip_while(|row| row != &HEAD).skip(2).take_while(|row| !row.is_empty());
    let mut listed = BTreeMap::new();
    for row in rows {
        let [label, why] = row.as_slice() else {
            return Err(io::Error::other(format!("{PAGE}: not two columns: {}", row.join(" | "))));
        };
        let label = label.trim_matches('`').to_owned();
        if why.is_empty() {
            return Err(io::Error::other(format!("{PAGE}: {label} has no reason")));
        }
        if listed.insert(label.clone(), why.clone()).is_some() {
            return Err(io::Error::other(format!("{PAGE}: {label} stands there twice")));
        }
    }
    Ok(listed)
}

/// The cells of a table's row, in which `\|` is a bar of the text; none of any other line.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim().replace("\\|", "\0");
    let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    let cell = |cell: &str| cell.trim().replace('\0', "|");
    inner.map(|inner| inner.split('|').map(cell).collect()).unwrap_or_default()
}

/// Rows of mutants that no longer exist.
pub(crate) fn gone<'a>(listed: &'a BTreeMap<String, String>, mutants: &[Mutant]) -> Vec<&'a str> {
    let there = |label: &str| mutants.iter().any(|mutant| mutant.label == label);
    listed.keys().map(String::as_str).filter(|label| !there(label)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: &str = "# Mutants\n\n| mutant | elsewhere |\n|---|---|\n| `x` | no |\n\n| mutant | why no test can find it |\n|---|---|\n";

    fn read(rows: &str) -> io::Result<BTreeMap<String, String>> {
        listed(&format!("{TOP}{rows}\nAnd so on.\n"))
    }

    #[test]
    fn rows_are_read_with_their_reasons_or_refused() {
        let rows = read("| `a.rs: replace \\|\\| with && in f` | It is the same. |\n| `b` | So. |\n").unwrap();
        let expected = [("a.rs: replace || with && in f", "It is the same."), ("b", "So.")];
        assert_eq!(rows, expected.map(|(label, why)| (label.to_owned(), why.to_owned())).into());
        assert!(listed("no table").unwrap().is_empty());
        for bad in ["| `a` | |", "| `a` |", "| `a` | b | c |", "| `a` | b |\n| `a` | c |"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_no_longer_exists_is_found() {
        let there = Mutant { name: "a:1:2: x".into(), file: "a".into(), function: "f".into(), label: "a: x".into() };
        let rows = read("| `a: x` | w |\n| `a: x #2` | w |\n").unwrap();
        assert_eq!(gone(&rows, &[there]), ["a: x #2"]);
    }

    #[test]
    fn the_page_itself_is_read() {
        listed(&std::fs::read_to_string(crate::root().join(PAGE)).unwrap()).unwrap();
    }
}
