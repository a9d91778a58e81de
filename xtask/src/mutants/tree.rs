//! The copy of the repository in which code is changed, with the planted functions in it.
//!
//! It stays where it is between runs, so that only what changed is built again. **Invariant:** before a run it is what the
//! repository is, whatever an interrupted run left there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::scope::SCOPES;

/// Where the planted functions stand in each crate.
const PLANTED: &str = "src/planted.rs";
/// A mistake in the first is found by a test; no test looks at the second.
const CODE: &str = "//! Planted: what must be found, and what nothing finds.

/// Has a test.
pub fn tested(on: &mut bool) {
    *on = true;
}

/// Has none.
pub fn untested(on: &mut bool) {
    *on = true;
}

#[test]
fn the_planted_test() {
    let mut on = false;
    tested(&mut on);
    assert!(on);
}
";

/// What is known of a planted function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    Tested,
    Untested,
}

/// The copy.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    /// Where it is built.
    pub(crate) build: PathBuf,
    /// Where cargo-mutants says what it did.
    pub(crate) out: PathBuf,
}

impl Tree {
    /// The repository as it is now, with what is not committed and without what is ignored.
    pub(crate) fn copied(root: &Path) -> io::Result<Self> {
        let folder = root.join("target/mutants");
        let tree = Self { root: folder.join("tree"), build: folder.join("build"), out: folder.join("out") };
        fs::create_dir_all(&tree.root)?;
        fs::create_dir_all(&tree.out)?;
        let mut files = files(root)?;
        for scope in SCOPES {
            files.insert(format!("{}/{PLANTED}", scope.folder).into(), CODE.into());
            if let Some(lib) = files.get_mut(&Path::new(scope.folder).join("src/lib.rs")) {
                lib.extend_from_slice(b"\npub mod planted;\n");
            }
        }
        remove_others(&tree.root, &tree.root, &files)?;
        for (file, bytes) in &files {
            put(&tree.root.join(file), bytes)?;
        }
        Ok(tree)
    }
}

/// The planted files, from the root.
pub(crate) fn planted_files() -> impl Iterator<Item = String> {
    SCOPES.iter().map(|scope| format!("{}/{PLANTED}", scope.folder))
}

/// Whether a mutant is one of a planted function.
pub(crate) fn planted(file: &str, function: &str) -> Option<Planted> {
    let kind = if function == "untested" { Planted::Untested } else { Planted::Tested };
    planted_files().any(|planted| planted == file).then_some(kind)
}

/// The repository's files, by git: path and content.
fn files(root: &Path) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root).stdin(Stdio::null());
    let output = git.output()?;
    if !output.status.success() {
        return Err(io::Error::other("git does not say which files are the repository's"));
    }
    let names = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    let names = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    // What was removed and not committed is still named.
    let there = names.filter(|name| root.join(name).is_file());
    there.map(|name| Ok((name.clone(), fs::read(root.join(&name))?))).collect()
}

/// Writes only what differs: what is older than its build is not built again.
fn put(to: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    #[expect(clippy::disallowed_methods, reason = "a copy that is lost is made again")]
    fs::write(to, bytes)
}

fn remove_others(folder: &Path, top: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            remove_others(&path, top, files)?;
        } else if path.strip_prefix(top).is_ok_and(|path| !files.contains_key(path)) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(root: &Path, arguments: &[&str]) {
        assert!(
            Command::new("git").args(arguments).current_dir(root).stdout(Stdio::null()).status().unwrap().success()
        );
    }

    #[test]
    fn whatever_was_left_in_the_copy_it_is_the_repository_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        git(root, &["init", "-q"]);
        put(&root.join(".gitignore"), b"target/\n").unwrap();
        for scope in SCOPES {
            put(&root.join(scope.folder).join("src/lib.rs"), b"//! A crate.\n").unwrap();
        }
        put(&root.join("crates/core/src/old.rs"), b"old").unwrap();
        let tree = Tree::copied(root).unwrap();
        let lib = tree.root.join("crates/core/src/lib.rs");
        assert_eq!(fs::read_to_string(&lib).unwrap(), "//! A crate.\n\npub mod planted;\n");
        assert!(tree.root.join("crates/core/src/old.rs").is_file());
        assert!(!tree.root.join("target").exists());

        put(&lib, b"a mutation").unwrap();
        put(&tree.root.join("crates/core/left.txt"), b"x").unwrap();
        fs::remove_file(root.join("crates/core/src/old.rs")).unwrap();
        let before = fs::metadata(tree.root.join("crates/audit/src/planted.rs")).unwrap().modified().unwrap();
        Tree::copied(root).unwrap();
        assert_eq!(fs::read_to_string(&lib).unwrap(), "//! A crate.\n\npub mod planted;\n");
        assert!(!tree.root.join("crates/core/left.txt").exists() && !tree.root.join("crates/core/src/old.rs").exists());
        // Untouched, so that its crate is not built again.
        let after = fs::metadata(tree.root.join("crates/audit/src/planted.rs")).unwrap().modified().unwrap();
        assert_eq!(before, after);
    }

    #[test]
    fn planted_functions_are_told_apart() {
        assert_eq!(planted("crates/core/src/planted.rs", "tested"), Some(Planted::Tested));
        assert_eq!(planted("crates/audit/src/planted.rs", "untested"), Some(Planted::Untested));
        assert_eq!(planted("crates/core/src/plan.rs", "untested"), None);
    }
}
