//! The README names the one command that runs every test, and CI runs the same.

use super::Finding;
use super::tree::Tree;

const COMMAND: &str = "cargo xtask ci";
const MARK: &str = "<!-- test command -->";
/// Who must name it, and what stands before it there.
const NAMED_IN: &[(&str, Option<&str>)] = &[("README.md", Some(MARK)), (".ci/run", None)];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    NAMED_IN
        .iter()
        .filter(|(path, mark)| !tree.file(path).is_some_and(|file| names(&file.text, *mark)))
        .map(|(path, mark)| {
            let place = mark.map_or(String::new(), |mark| format!(" in a block after `{mark}`"));
            Finding::new(*path, 0, format!("does not name the test command `{COMMAND}`{place}"))
        })
        .collect()
}

/// Whether the command is a whole line: the first of the block after the mark, or any without one.
fn names(text: &str, mark: Option<&str>) -> bool {
    let Some(mark) = mark else {
        return text.lines().any(|line| line.trim() == COMMAND);
    };
    let after = text.lines().skip_while(|line| line.trim() != mark).skip(1);
    let mut lines = after.skip_while(|line| line.trim().is_empty());
    lines.next().is_some_and(|line| line.starts_with("```")) && lines.next().is_some_and(|line| line.trim() == COMMAND)
}

#[cfg(test)]
mod tests {
    use super::super::tree::findings_of;
    use super::*;

    const README: &str = "# X\n\n<!-- test command -->\n```sh\ncargo xtask ci\n```\n";
    const CI: &str = "set -e\ncargo xtask ci\n";

    #[test]
    fn same_command_passes() {
        assert_eq!(findings_of(check, &[("README.md", README), (".ci/run", CI)]), [""; 0]);
    }

    #[test]
    fn missing_or_other_commands_are_found() {
        let other = README.replace(COMMAND, "cargo test");
        let unmarked = README.replace(MARK, "");
        for readme in [&other, &unmarked, ""] {
            let found = findings_of(check, &[("README.md", readme), (".ci/run", CI)]);
            assert_eq!(found.len(), 1, "{readme}");
            assert!(found[0].starts_with("README.md: does not name"), "{found:?}");
        }
        let found = findings_of(check, &[("README.md", README), (".ci/run", "# cargo xtask ci\n")]);
        assert_eq!(found, [".ci/run: does not name the test command `cargo xtask ci`"]);
        assert_eq!(findings_of(check, &[]).len(), 2);
    }
}
