//! Relative links of the documentation lead somewhere, also to headings.

use std::path::Path;

use super::Finding;
use super::tree::{File, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending(".md").flat_map(|file| of_file(tree, file)).collect()
}

fn of_file(tree: &Tree, file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in prose(&file.text) {
        for target in targets(&without_code(text)) {
            if let Some(fault) = fault(tree, file, target) {
                findings.push(Finding::new(&file.path, line, fault));
            }
        }
    }
    findings
}

/// The lines outside of fenced blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The targets of `[text](target)` and `[name]: target`.
fn targets(line: &str) -> Vec<&str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let named = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .and_then(|(_name, target)| target.split_whitespace().next());
    inline.chain(named).map(|target| target.trim_matches(['<', '>'])).collect()
}

fn fault(tree: &Tree, from: &File, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let Some(path) = resolve(&from.path, path) else {
        return Some(format!("{target} leads out of the repository"));
    };
    if !tree.root.join(&path).exists() {
        return Some(format!("{target} leads nowhere"));
    }
    let page = tree.ending(".md").find(|file| file.path == path)?;
    let found = anchor.is_empty() || headings(page).any(|heading| heading == anchor);
    (!found).then(|| format!("{target} leads to no heading"))
}

/// The path from the root, or none if it would leave it.
fn resolve(from: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(from.to_owned());
    }
    let folder = Path::new(from).parent()?.to_str()?;
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchors that a forge makes of the headings.
fn headings(page: &File) -> impl Iterator<Item = String> {
    prose(&page.text).filter(|(_line, text)| text.starts_with('#')).map(|(_line, text)| {
        text.trim_start_matches('#')
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::findings_of;
    use super::*;

    fn found(text: &str) -> Vec<String> {
        findings_of(
            check,
            &[("docs/a.md", text), ("docs/b.md", "# The `head`: one\n```\n# not a heading\n```\n"), ("src/c.rs", "")],
        )
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        for text in [
            "[x](b.md) and [y](../src/c.rs#L3 \"title\")",
            "[x](b.md#the-head-one) [y](../src) [z](./b.md)",
            "[x](https://example.com/none) [y](mailto:a@example.com)",
            "[x]: b.md\n",
            "# Own\n[x](#own)",
            "`[x](none.md)`\n```\n[x](none.md)\n```\n",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn broken_links_are_found() {
        for (text, fault) in [
            ("[x](none.md)", "none.md leads nowhere"),
            ("[x](b.md) [y](/none)", "/none leads nowhere"),
            ("[x]: none.md", "none.md leads nowhere"),
            ("[x](b.md#none)", "b.md#none leads to no heading"),
            ("[x](b.md#not-a-heading)", "b.md#not-a-heading leads to no heading"),
            ("[x](#none)", "#none leads to no heading"),
            ("[x](../../b.md)", "../../b.md leads out of the repository"),
        ] {
            assert_eq!(found(text), [format!("docs/a.md:1: {fault}")], "{text}");
        }
    }
}
