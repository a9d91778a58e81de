//! The programs that the methods start, built as the tests build them.

use std::io;
use std::path::Path;
use std::process::Command;

/// Builds every program of the workspace below `target/debug`.
///
/// With the tests, although none is run: cargo then chooses the same features of every library, and takes what it has
/// built for the tests. A package by itself has other features, and half of the libraries would be compiled again.
pub(crate) fn build(root: &Path) -> io::Result<()> {
    let mut cargo = Command::new(env!("CARGO"));
    // Not the program that runs: it looks into its own file, and starts itself again.
    cargo.current_dir(root).args(["build", "--quiet", "--locked", "--workspace", "--exclude", "xtask"]);
    cargo.args(["--bins", "--tests", "--examples"]);
    if cargo.status()?.success() { Ok(()) } else { Err(io::Error::other("the programs do not build")) }
}
