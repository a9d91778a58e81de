//! The generated pages say what the code says.

use super::Finding;
use super::tree::Tree;
use crate::docs::GENERATED;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    GENERATED
        .iter()
        .filter(|page| tree.file(page.path).is_none_or(|file| file.text != (page.text)()))
        .map(|page| Finding::new(page.path, 0, "is not what the code says: run `cargo xtask docs`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::findings_of;
    use super::*;

    #[test]
    fn stale_and_missing_pages_are_found() {
        let fresh: Vec<_> = GENERATED.iter().map(|page| (page.path, (page.text)())).collect();
        let files: Vec<_> = fresh.iter().map(|(path, text)| (*path, text.as_str())).collect();
        assert_eq!(findings_of(check, &files), [""; 0]);
        assert_eq!(findings_of(check, &[]).len(), GENERATED.len());
        let stale = [(GENERATED[0].path, "old")];
        let found = findings_of(check, &stale);
        assert_eq!(found.len(), GENERATED.len());
        assert!(found[0].ends_with("run `cargo xtask docs`"), "{found:?}");
    }
}
