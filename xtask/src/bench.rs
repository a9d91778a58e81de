//! `cargo xtask bench`: builds the release and the benchmark, and runs it. The benchmark is a process of its own, so that
//! neither it nor `xtask` is linked with what it measures.

use std::io;
use std::path::Path;
use std::process::Command;

/// Whether the run came to its end.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> io::Result<bool> {
    // One after the other: built together, the features of one could change the other.
    for package in ["remit-cli", "remit-bench"] {
        let mut cargo = Command::new(env!("CARGO"));
        let built = cargo.current_dir(root).args(["build", "--release", "--quiet", "-p", package]).status()?;
        if !built.success() {
            return Ok(false);
        }
    }
    let programs = root.join("target/release");
    let mut bench = Command::new(programs.join("remit-bench"));
    bench.arg("--remit").arg(programs.join("remit")).arg("--root").arg(root).args(arguments);
    Ok(bench.status()?.success())
}
