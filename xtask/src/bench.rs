//! `cargo xtask bench` and `cargo xtask soak`: build the release and the benchmark, and run it. The benchmark is a process
//! of its own, so that neither it nor `xtask` is linked with what it measures.

use std::io;
use std::path::Path;
use std::process::Command;

/// What a governed call costs: whether the run came to its end.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> io::Result<bool> {
    with(root, None, arguments)
}

/// Overload and soak: whether every goal was reached.
pub(crate) fn soak(root: &Path, arguments: &[&str]) -> io::Result<bool> {
    with(root, Some("soak"), arguments)
}

fn with(root: &Path, command: Option<&str>, arguments: &[&str]) -> io::Result<bool> {
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
    bench.args(command).arg("--remit").arg(programs.join("remit")).arg("--root").arg(root).args(arguments);
    Ok(bench.status()?.success())
}
