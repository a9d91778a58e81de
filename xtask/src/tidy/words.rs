//! What no file may contain: notes to oneself, and paths of somebody's machine.

use super::Finding;
use super::lexer::is_word;
use super::tree::Tree;

// Written in two parts, so that this file may stand in the tree that it checks.
const NOTES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp/no", "tes")];
/// Forbidden only before somebody's name.
const HOMES: &str = concat!("/ho", "me/");

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(fault) = fault(line) {
                findings.push(Finding::new(&file.path, index + 1, fault));
            }
        }
    }
    findings
}

fn fault(line: &str) -> Option<String> {
    if let Some(note) = NOTES.iter().find(|note| has_word(line, note)) {
        return Some(format!("{note}: do it, or write an issue"));
    }
    let path = MACHINE_PATHS.iter().find(|path| has_path(line, path, |_after| true));
    let home = has_path(line, HOMES, |after| after.starts_with(is_word)).then_some(&HOMES);
    path.or(home).map(|path| format!("a path of one machine: {path}"))
}

fn has_word(line: &str, word: &str) -> bool {
    around(line, word).any(|(before, after)| !before.ends_with(is_word) && !after.starts_with(is_word))
}

/// As an absolute path: what follows a name is a part of a longer, relative one.
fn has_path(line: &str, path: &str, follows: fn(&str) -> bool) -> bool {
    around(line, path)
        .any(|(before, after)| !before.ends_with(|c| is_word(c) || c == '.' || c == '-') && follows(after))
}

fn around<'a>(line: &'a str, text: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    line.match_indices(text).filter_map(move |(at, found)| Some((line.get(..at)?, line.get(at + found.len()..)?)))
}

#[cfg(test)]
mod tests {
    use super::super::tree::findings_of;
    use super::*;

    #[test]
    fn notes_and_machine_paths_are_found() {
        for line in [
            format!("// {}: later", NOTES[0]),
            format!("# {}", NOTES[1]),
            format!("see {}x", MACHINE_PATHS[0]),
            format!("\"{}\"", MACHINE_PATHS[1]),
            format!("file://{}", MACHINE_PATHS[1]),
            format!("{}/a.md", MACHINE_PATHS[2]),
            format!("{HOMES}someone"),
        ] {
            let found = findings_of(check, &[("a.sh", &format!("fine\n{line}\n"))]);
            assert_eq!(found.len(), 1, "{line}");
            assert!(found[0].starts_with("a.sh:2: "), "{found:?}");
        }
    }

    #[test]
    fn words_that_only_resemble_them_are_not() {
        for line in [
            format!("MAS{}S todo", NOTES[0]),
            format!("frame{}x", MACHINE_PATHS[0]),
            format!("https://example.com{}x", MACHINE_PATHS[1]),
            format!("the folder {HOMES} of a user"),
        ] {
            assert_eq!(findings_of(check, &[("a.md", &line)]), [""; 0], "{line}");
        }
    }
}
