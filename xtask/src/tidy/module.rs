//! Every source file says first what it is.

use super::Finding;
use super::tree::Tree;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending(".rs")
        .filter(|file| !file.text.starts_with("//!"))
        .map(|file| Finding::new(&file.path, 1, "does not begin with `//!`: say what it is, and its invariant"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::findings_of;
    use super::*;

    #[test]
    fn silent_modules_are_found() {
        assert!(findings_of(check, &[("a.rs", "//! Says it.\n"), ("a.md", "x")]).is_empty());
        for text in ["", "// Not it.\n", "use a;\n//! Late.\n"] {
            let found = findings_of(check, &[("src/a.rs", text)]);
            assert!(found[0].starts_with("src/a.rs:1: does not begin"), "{found:?}");
        }
    }
}
