//! Which file a program is: found once, on the `PATH` of the person who registers it, and named by its path from then on.
//! The gateway's `PATH` is another one, and so may be the directory that a relative path is meant from.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::Env;
use crate::error::CliError;

/// The absolute path of a program. Links stay as they are: a program may look at the name that it is called by.
pub(crate) fn resolve(command: &str, env: &Env) -> Result<String, CliError> {
    let found = if command.contains('/') {
        Some(PathBuf::from(command)).filter(|path| is_program(path))
    } else {
        let path = env.get("PATH").unwrap_or_default();
        std::env::split_paths(path).map(|dir| dir.join(command)).find(|path| is_program(path))
    };
    let absolute = found.and_then(|path| std::path::absolute(path).ok());
    absolute.and_then(|path| path.into_os_string().into_string().ok()).ok_or_else(|| {
        let place = if command.contains('/') { "that can be executed" } else { "on your PATH" };
        CliError::unevaluated(
            format!("there is no program `{command}` {place}"),
            "name it by its path: remit server add NAME -- /PATH/TO/PROGRAM ARGUMENTS",
        )
    })
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_once_and_named_by_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, mode: u32| {
            let path = dir.path().join(name);
            remit_audit::durable::write(&path, b"#!/bin/sh\n", mode).unwrap();
            path.display().to_string()
        };
        let (program, data) = (file("server", 0o700), file("data", 0o600));
        let path = format!("/nowhere:{}", dir.path().display());
        let env = Env::from([("PATH", path.as_str())]);
        for (command, expected) in [("server", Some(&program)), (program.as_str(), Some(&program))] {
            assert_eq!(resolve(command, &env).ok().as_ref(), expected, "{command}");
        }
        for command in ["data", &data, "gone", "/nowhere/server", "", "../x"] {
            assert!(resolve(command, &env).is_err(), "{command}");
        }
        let relative = resolve("src/../Cargo.toml", &env);
        assert!(relative.is_err(), "no program");
        assert!(resolve("server", &Env::default()).is_err());
    }
}
