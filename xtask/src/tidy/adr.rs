//! The decisions in `docs/adr`: numbered without gaps, short, and each with its four parts.

use super::Finding;
use super::tree::{File, Tree};

const FOLDER: &str = "docs/adr/";
const LINES_MAX: usize = 60;
const PARTS: &[&str] = &["Context", "Decision", "Consequences", "What would change our mind"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let records = tree.files.iter().filter_map(|file| Some((file.path.strip_prefix(FOLDER)?, file)));
    let mut findings = Vec::new();
    // The files are sorted, so the numbers must count up from one.
    let mut expected = 1;
    for (name, file) in records.filter(|(name, _file)| *name != "README.md") {
        match number(name) {
            Some(found) if found == expected => expected += 1,
            Some(_) => {
                let message = format!("numbers must be continuous: expected {expected:04}");
                findings.push(Finding::new(&file.path, 0, message));
            }
            None => findings.push(Finding::new(&file.path, 0, "is not named NNNN-what-was-decided.md")),
        }
        findings.extend(form(file));
    }
    findings
}

fn number(name: &str) -> Option<u32> {
    let (digits, title) = name.strip_suffix(".md")?.split_once('-')?;
    let valid = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if valid && !title.is_empty() { digits.parse().ok() } else { None }
}

fn form(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        findings.push(Finding::new(&file.path, 0, format!("{lines} lines, at most {LINES_MAX}")));
    }
    let headings: Vec<&str> = file
        .text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim())
        .collect();
    for part in PARTS.iter().filter(|part| !headings.contains(part)) {
        findings.push(Finding::new(&file.path, 0, format!("has no part `{part}`")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tree::findings_of;
    use super::*;

    const GOOD: &str = "# 1. Why\n## Context\n## Decision\n## Consequences\n## What would change our mind\n";

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        findings_of(check, files)
    }

    #[test]
    fn good_records_pass() {
        let files = [("docs/adr/0001-a.md", GOOD), ("docs/adr/0002-b.md", GOOD), ("docs/x.md", "")];
        assert_eq!(found(&files), [""; 0]);
        assert_eq!(found(&[("docs/adr/README.md", "")]), [""; 0]);
    }

    #[test]
    fn gaps_doubles_and_bad_names_are_found() {
        for names in [["0001-a.md", "0003-b.md"], ["0001-a.md", "0001-b.md"], ["0000-a.md", "0001-b.md"]] {
            let paths = names.map(|name| format!("{FOLDER}{name}"));
            let found = found(&[(&paths[0], GOOD), (&paths[1], GOOD)]);
            assert_eq!(found.len(), 1, "{names:?}: {found:?}");
            assert!(found[0].contains("continuous"), "{found:?}");
        }
        for name in ["1-a.md", "0001.md", "0001-.md", "00x1-a.md", "0001-a.txt", "notes.md"] {
            let found = found(&[(&format!("{FOLDER}{name}"), GOOD)]);
            assert!(found.iter().any(|line| line.contains("is not named")), "{name}: {found:?}");
        }
    }

    #[test]
    fn long_or_incomplete_records_are_found() {
        let long = format!("{GOOD}{}", "\n".repeat(60));
        assert_eq!(found(&[("docs/adr/0001-a.md", &long)]), ["docs/adr/0001-a.md: 65 lines, at most 60"]);
        for part in PARTS {
            let without = GOOD.replace(part, "Else");
            let expected = format!("docs/adr/0001-a.md: has no part `{part}`");
            assert_eq!(found(&[("docs/adr/0001-a.md", &without)]), [expected]);
        }
    }
}
