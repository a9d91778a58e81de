//! The house rules that no compiler knows, checked over the whole tree.
//!
//! Invariant: a rule that cannot be evaluated is a finding, never a pass.

mod adr;
mod direction;
mod length;
mod lexer;
mod links;
mod module;
mod named;
mod readme;
mod tree;
mod vulnerabilities;
mod words;

use std::fmt;
use std::io;
use std::path::Path;

use crate::say;
use tree::Tree;

/// One violation of one rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 speaks of the file as a whole.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.path, self.message),
            line => write!(out, "{}:{line}: {}", self.path, self.message),
        }
    }
}

const RULES: &[fn(&Tree) -> Vec<Finding>] = &[
    length::check,
    module::check,
    words::check,
    links::check,
    named::check,
    vulnerabilities::check,
    adr::check,
    readme::check,
    direction::check,
];

/// Says every finding; true if there is none.
pub(crate) fn run(root: &Path) -> io::Result<bool> {
    let findings = findings(root)?;
    for finding in &findings {
        say(&finding.to_string());
    }
    let rules = RULES.len();
    say(&match findings.len() {
        0 => format!("tidy: {rules} rules, no finding"),
        found => format!("tidy: {rules} rules, {found} findings"),
    });
    Ok(findings.is_empty())
}

fn findings(root: &Path) -> io::Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    Ok(RULES.iter().flat_map(|rule| rule(&tree)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_is_tidy() {
        let findings: Vec<String> = findings(crate::root()).unwrap().iter().map(Finding::to_string).collect();
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }
}
