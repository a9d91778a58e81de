//! The files of the repository, read once for all rules.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders that hold no source of ours.
const SKIPPED: &[&str] = &[".git", "target", "node_modules"];

/// The text files under a root.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    /// Sorted by path.
    pub(crate) files: Vec<File>,
}

/// One text file.
pub(crate) struct File {
    /// From the root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        walk(root, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root: root.to_owned(), files })
    }

    /// The files whose path ends in this.
    pub(crate) fn ending(&self, suffix: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.path.ends_with(suffix))
    }

    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if SKIPPED.contains(&name.as_str()) {
            // In a second working tree `.git` is a file.
            continue;
        }
        if kind.is_dir() {
            walk(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file()
            // What is not UTF-8 is not text, and no rule speaks of it.
            && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
        {
            files.push(File { path, text });
        }
    }
    Ok(())
}

/// What a rule says of a temporary tree with these files, each as `path:line: message`.
#[cfg(test)]
pub(crate) fn findings_of(rule: fn(&Tree) -> Vec<super::Finding>, files: &[(&str, &str)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test's scratch file need not be durable")]
        fs::write(path, text).unwrap();
    }
    rule(&Tree::read(dir.path()).unwrap()).iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_builds_and_keeps_hidden_files() {
        fn paths(tree: &Tree) -> Vec<super::super::Finding> {
            tree.files.iter().map(|file| super::super::Finding::new(&file.path, 0, "")).collect()
        }
        let found =
            findings_of(paths, &[("target/a.rs", ""), (".git/b", ""), (".ci/run", ""), ("crates/x/src/lib.rs", "")]);
        assert_eq!(found, [".ci/run: ", "crates/x/src/lib.rs: "]);
    }
}
