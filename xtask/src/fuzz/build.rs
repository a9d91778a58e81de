//! The targets, built so that libFuzzer sees which edges an input takes.
//!
//! By the stable compiler's own coverage pass, and without a sanitizer of memory: no crate of ours has `unsafe` code.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";
/// Programs beside the targets.
const OTHERS: [&str; 2] = [super::PLANTED, "limits"];

/// The targets' names.
pub(crate) fn targets(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join("fuzz/src/bin"))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).map(ToOwned::to_owned);
        names.extend(name.filter(|name| !OTHERS.contains(&name.as_str())));
    }
    names.sort();
    Ok(names)
}

/// Builds all of them; the folder of the programs.
pub(crate) fn build(root: &Path) -> io::Result<PathBuf> {
    let (fuzz, target) = (root.join("fuzz"), root.join("target/fuzz"));
    // What is searched is what is released: each package in the version of the lock file.
    fs::copy(root.join("Cargo.lock"), fuzz.join("Cargo.lock"))?;
    let host = host(root)?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&fuzz).args(["build", "--release", "--bins", "--target", &host, "--target-dir"]).arg(&target);
    // With a named target the flags are not those of build scripts, which no libFuzzer is linked with.
    let status = cargo.env("RUSTFLAGS", FLAGS).stdin(Stdio::null()).status()?;
    if !status.success() {
        return Err(io::Error::other("the targets do not build; they need a C++ compiler, such as Debian's g++"));
    }
    Ok(target.join(host).join("release"))
}

fn host(root: &Path) -> io::Result<String> {
    let output = Command::new("rustc").arg("-vV").current_dir(root).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(ToOwned::to_owned).ok_or_else(|| io::Error::other("rustc does not name its host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_corpus() {
        let root = crate::root();
        let names = targets(root).unwrap();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            let kept = fs::read_dir(root.join("fuzz/corpus").join(&name)).map(Iterator::count);
            assert!(kept.is_ok_and(|kept| kept > 0), "{name}");
        }
    }
}
