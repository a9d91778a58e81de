//! `cargo xtask worlds`: the real decision against the naive model on a million random worlds.
//!
//! In a process of its own, so that `xtask` does not link the policy engine.

use std::io;
use std::path::Path;
use std::process::Command;

/// How many, where nobody says otherwise.
const WORLDS: &str = "1000000";

/// Whether they agree on `count` worlds, and no answer is rare.
pub(crate) fn run(root: &Path, count: Option<&str>) -> io::Result<bool> {
    let build = ["run", "--release", "--quiet", "-p", "remit-sim", "--example", "worlds", "--"];
    let mut cargo = Command::new(env!("CARGO"));
    let status = cargo.current_dir(root).args(build).arg(count.unwrap_or(WORLDS)).status()?;
    Ok(status.success())
}
