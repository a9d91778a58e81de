//! What went wrong elsewhere, and what goes wrong here: each row of these pages names a test that makes it happen, and
//! the test exists.

use std::collections::BTreeSet;

use super::Finding;
use super::lexer::{Token, mask, tokens};
use super::tree::{File, Tree};

const PAGE: &str = "docs/vulnerabilities.md";
const ROAD: &str = "docs/road-under-fault.md";
/// Tests that exist for the first page alone.
const FOR_IT: &str = "crates/gateway/tests/it/others.rs";
/// Below such a heading nothing is claimed, so nothing is shown.
const NOT_CLAIMED: &str = "Not ";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let named = rows(tree, PAGE, &mut findings);
    rows(tree, ROAD, &mut findings);
    let unnamed = tree.file(FOR_IT).map(|file| tests_of(&file.text)).unwrap_or_default();
    let unnamed = unnamed.iter().filter(|test| !named.contains(test.as_str()));
    findings.extend(unnamed.map(|test| Finding::new(FOR_IT, 0, format!("`{test}` is not in {PAGE}"))));
    findings
}

/// The functions that a page names, once each of its rows was looked at.
fn rows<'a>(tree: &'a Tree, path: &str, findings: &mut Vec<Finding>) -> BTreeSet<&'a str> {
    let mut named = BTreeSet::new();
    let Some(page) = tree.file(path) else {
        findings.push(Finding::new(path, 0, "is missing"));
        return named;
    };
    let mut claimed = true;
    for (line, text) in (1..).zip(page.text.lines()) {
        if let Some(heading) = text.strip_prefix("## ") {
            claimed = !heading.starts_with(NOT_CLAIMED);
        }
        // Crate, file and function; what has fewer parts is code that the page speaks of.
        let named_whole = |code: &&str| code.matches("::").count() == 2;
        let tests: Vec<&str> = text.split('`').skip(1).step_by(2).filter(named_whole).collect();
        if claimed && is_row(page, line, text) && tests.is_empty() {
            findings.push(Finding::new(path, line, "names no test"));
        }
        let gone = tests.iter().filter(|test| !exists(tree, test));
        findings.extend(gone.map(|test| Finding::new(path, line, format!("there is no test `{test}`"))));
        named.extend(tests.iter().filter_map(|test| test.rsplit("::").next()));
    }
    named
}

/// A row of a table that is neither its head nor the line below that.
fn is_row(page: &File, line: usize, text: &str) -> bool {
    let is_rule = |text: &str| text.starts_with("|--");
    text.starts_with('|') && !is_rule(text) && !page.text.lines().nth(line).is_some_and(is_rule)
}

/// Whether `crate::file::test` is a test of that crate, in a file of that name or in a folder of it.
fn exists(tree: &Tree, test: &str) -> bool {
    let Some(((package, file), name)) =
        test.rsplit_once("::").and_then(|(path, name)| Some((path.split_once("::")?, name)))
    else {
        return false;
    };
    let folder = if package == "xtask" { "xtask/".to_owned() } else { format!("crates/{package}/") };
    let is_it = |found: &&File| {
        let path = found.path.strip_prefix(&folder).and_then(|path| path.strip_suffix(".rs"));
        path.is_some_and(|path| path.rsplit('/').take(2).any(|part| part == file))
    };
    tree.ending(".rs").filter(is_it).any(|found| tests_of(&found.text).iter().any(|known| known == name))
}

/// Functions with an attribute that ends in `test`, with or without arguments.
fn tests_of(text: &str) -> Vec<String> {
    let mask = mask(text);
    let tokens = tokens(&mask);
    let mut found = Vec::new();
    let mut is_test = false;
    let mut rest = tokens.as_slice();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first.text, after) {
            ("#", [open, attribute @ ..]) if open.text == "[" => is_test |= names_test(attribute),
            ("fn", [name, ..]) => {
                if is_test {
                    found.push(name.text.to_owned());
                }
                is_test = false;
            }
            _ => {}
        }
    }
    found
}

/// The path of an attribute, up to its arguments.
fn names_test(attribute: &[Token<'_>]) -> bool {
    let path = attribute.iter().take_while(|token| !["]", "(", "="].contains(&token.text));
    path.last().is_some_and(|token| token.text == "test")
}

#[cfg(test)]
mod tests {
    use super::super::tree::findings_of;
    use super::*;

    const CODE: &str = "#[test]\nfn it_holds() {}\nfn helper() {}\n#[tokio::test(flavor = \"x\")]\n#[ignore]\nasync fn \
                        it_waits() {}\n#[cfg(test)]\nmod a { fn no_test() {} }\n";

    fn found(page: &str) -> Vec<String> {
        both(page, "")
    }

    fn both(page: &str, road: &str) -> Vec<String> {
        let tests = [("crates/x/tests/it/calls.rs", CODE), (FOR_IT, "#[test]\nfn tried() {}\n")];
        findings_of(check, &[[(PAGE, page), (ROAD, road)], tests].concat())
    }

    #[test]
    fn rows_with_tests_pass() {
        let table = "| a | b |\n|---|---|\n| c | `x::calls::it_holds`, `x::it::it_waits`, `gateway::others::tried` |\n";
        assert_eq!(found(table), [""; 0]);
        let open = format!("{table}## Not ruled out\n| a | b |\n|---|---|\n| c | d |\n");
        assert_eq!(found(&open), [""; 0]);
    }

    #[test]
    fn rows_without_a_test_and_tests_that_are_none_are_found() {
        let found = |row: &str| found(&format!("`gateway::others::tried`\n| a | b |\n|---|---|\n{row}\n"));
        assert_eq!(found("| c | `d` |"), ["docs/vulnerabilities.md:4: names no test"]);
        for gone in
            ["x::calls::gone", "x::calls::helper", "x::calls::no_test", "x::other::it_holds", "y::calls::it_holds"]
        {
            let expected = format!("docs/vulnerabilities.md:4: there is no test `{gone}`");
            assert_eq!(found(&format!("| c | `{gone}` |")), [expected]);
        }
        assert_eq!(found("| c | `x::it_holds` |").len(), 1);
        let road = |row: &str| both("`gateway::others::tried`", &format!("| a |\n|---|\n{row}\n"));
        assert_eq!(road("| `x::calls::it_holds` |"), [""; 0]);
        assert_eq!(road("| c |"), ["docs/road-under-fault.md:3: names no test"]);
        assert_eq!(road("| `x::calls::no` |"), ["docs/road-under-fault.md:3: there is no test `x::calls::no`"]);
    }

    #[test]
    fn a_missing_page_and_a_test_that_is_not_on_it_are_found() {
        let missing = [PAGE, ROAD].map(|page| format!("{page}: is missing"));
        assert_eq!(findings_of(check, &[]), missing);
        assert_eq!(found(""), [format!("{FOR_IT}: `tried` is not in docs/vulnerabilities.md")]);
    }
}
