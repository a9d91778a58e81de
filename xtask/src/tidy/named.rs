//! What the threat model names in code stands in the code: above all its tests, which are its evidence.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

const THREAT_MODEL: &str = "SECURITY.md";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(page) = tree.file(THREAT_MODEL) else {
        return vec![Finding::new(THREAT_MODEL, 0, "is missing")];
    };
    let known: BTreeSet<&str> = tree.ending(".rs").flat_map(|file| words(&file.text)).collect();
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(page.text.lines()) {
        for name in text.split('`').skip(1).step_by(2).filter(|name| is_name(name) && !known.contains(name)) {
            findings.push(Finding::new(THREAT_MODEL, line, format!("names `{name}`, which is nowhere in the code")));
        }
    }
    findings
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
}

/// Names of functions and keys have an underscore; nothing else in code does there.
fn is_name(code: &str) -> bool {
    code.contains('_')
        && code.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::super::tree::findings_of;
    use super::*;

    #[test]
    fn a_test_that_is_gone_is_found() {
        let code = ("crates/x/src/lib.rs", "#[test]\nfn it_holds() {}\n");
        let page = "| a | b | core: `it_holds`, `it_is_gone` |\nand `--flag`\n";
        let found = findings_of(check, &[("SECURITY.md", page), code]);
        assert_eq!(found, ["SECURITY.md:1: names `it_is_gone`, which is nowhere in the code"]);
        assert_eq!(findings_of(check, &[code]).len(), 1);
    }
}
