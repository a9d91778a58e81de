//! Verifiers from the Python registry, in an environment of their own, and the program that stands in docs/log.md.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::change::put;
use crate::interop::install::{Failure, must};
use crate::interop::process;

/// What is installed, in exact versions, with the second part of the oldest Python 3 that it works with.
const PACKAGES: &[(&str, &str, u32)] =
    &[("aics-tlog", "0.2.1", 12), ("scitt-cose", "0.5.0", 9), ("cryptography", "50.0.2", 9)];
const INSTALL_MAX: Duration = Duration::from_mins(3);
const ASK_MAX: Duration = Duration::from_secs(20);

/// An environment below a folder, made when it is first needed.
pub(crate) struct Environment {
    dir: PathBuf,
    /// Its Python, and the second part of its version.
    python: Option<(PathBuf, u32)>,
    end: Instant,
}

impl Environment {
    pub(crate) fn new(kept: &Path) -> Self {
        let dir = kept.join("venv");
        let there = dir.join("bin/python");
        let python = if dir.join("bin/pip").exists() { minor(&there).map(|minor| (there, minor)) } else { None };
        Self { dir, python: python.or_else(suitable), end: Instant::now() + INSTALL_MAX }
    }

    /// The Python that has this package, and the package's version.
    pub(crate) fn install(&mut self, name: &str) -> Result<(PathBuf, String), Failure> {
        let (_, version, oldest) = PACKAGES.iter().find(|(known, ..)| *known == name).copied().unwrap_or((name, "", 0));
        let Some((python, minor)) = &self.python else { return Err(Failure::NotHere("no python3 here".into())) };
        if *minor < oldest {
            return Err(Failure::NotHere(format!("needs Python 3.{oldest}, and here is 3.{minor}")));
        }
        let own = self.dir.join("bin/python");
        if !self.dir.join("bin/pip").exists() {
            must("python3", Command::new(python).args(["-m", "venv"]).arg(&self.dir), self.end)?;
        }
        let asked = format!("import importlib.metadata as m; assert m.version('{name}') == '{version}'");
        let there = process::run(Command::new(&own).args(["-c", &asked]), "", ASK_MAX);
        if !there.is_ok_and(|output| output.good) {
            let mut pip = Command::new(&own);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]);
            must("pip", pip.arg(format!("{name}=={version}")), self.end)?;
        }
        Ok((own, version.to_owned()))
    }
}

/// The oldest Python of this machine that suits all packages, or else the newest.
fn suitable() -> Option<(PathBuf, u32)> {
    let mut found: Vec<(PathBuf, u32)> =
        candidates().into_iter().filter_map(|path| Some((path.clone(), minor(&path)?))).collect();
    found.sort_by_key(|(_, minor)| *minor);
    let enough = PACKAGES.iter().map(|(.., oldest)| *oldest).max().unwrap_or(0);
    found.iter().find(|(_, minor)| *minor >= enough).or(found.last()).cloned()
}

/// What may be a Python: those on the path, and those that a version manager keeps beside it.
fn candidates() -> Vec<PathBuf> {
    let on_path = ["python3", "python3.12", "python3.13", "python3.14"].map(PathBuf::from);
    let root =
        process::run(Command::new("pyenv").arg("root"), "", ASK_MAX).map(|output| output.out).unwrap_or_default();
    let kept = std::fs::read_dir(Path::new(root.trim()).join("versions")).into_iter().flatten().flatten();
    on_path.into_iter().chain(kept.map(|version| version.path().join("bin/python3"))).collect()
}

fn minor(python: &Path) -> Option<u32> {
    let asked =
        process::run(Command::new(python).args(["-c", "import sys; print(sys.version_info.minor)"]), "", ASK_MAX);
    asked.ok().filter(|output| output.good)?.out.trim().parse().ok()
}

/// The program of docs/log.md in a file of its own.
pub(crate) fn page(root: &Path, kept: &Path) -> io::Result<PathBuf> {
    let page = std::fs::read_to_string(root.join("docs/log.md"))?;
    let program = program(&page).ok_or_else(|| io::Error::other("docs/log.md holds no program"))?;
    let path = kept.join("docs_log.py");
    put(&path, program.as_bytes())?;
    Ok(path)
}

fn program(page: &str) -> Option<&str> {
    page.split_once("```python\n")?.1.split_once("```").map(|(program, _)| program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_a_program() {
        assert_eq!(program("a\n```python\nb\n```\nc"), Some("b\n"));
        let page = std::fs::read_to_string(crate::root().join("docs/log.md")).unwrap();
        assert!(program(&page).unwrap().contains("Ed25519PublicKey"));
    }
}
