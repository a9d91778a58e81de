//! The programs of other makers, in exact versions, from the registries that everybody uses.
//!
//! **Invariant:** what cannot be installed is named in one line and counts as not run, never as passed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::install::{self, Failure};
use super::process;
use crate::say;

const ASK_MAX: Duration = Duration::from_secs(20);

/// What is missed, and what for, when it cannot be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Node,
    Inspector,
    Everything,
    Filesystem,
    Claude,
    Mcp,
    Time,
    Git,
}

/// One package: from which registry, its name and exact version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    group: Group,
    pub(crate) npm: bool,
    pub(crate) name: String,
    pub(crate) version: &'static str,
}

/// Inspector and the servers need a Node that is newer than many machines have; it and Claude Code are programs of their
/// own for each platform, so that nothing has to be run to install them.
fn wanted() -> Vec<Package> {
    let npm = |group, name: &str, version| Package { group, npm: true, name: name.to_owned(), version };
    let pypi = |group, name: &str, version| Package { group, npm: false, name: name.to_owned(), version };
    vec![
        npm(Group::Node, &node_package(), "22.23.3"),
        npm(Group::Inspector, "@modelcontextprotocol/inspector", "2.12.0"),
        npm(Group::Everything, "@modelcontextprotocol/server-everything", "2026.8.31"),
        npm(Group::Filesystem, "@modelcontextprotocol/server-filesystem", "2026.8.31"),
        npm(Group::Claude, &claude_package(), "2.1.329"),
        pypi(Group::Mcp, "mcp", "2.3.0"),
        pypi(Group::Time, "mcp-server-time", "2026.10.19"),
        pypi(Group::Git, "mcp-server-git", "2026.10.19"),
    ]
}

fn node_package() -> String {
    // The short name was taken on that platform.
    let prefix = if cfg!(all(target_os = "macos", target_arch = "aarch64")) { "node-bin" } else { "node" };
    format!("{prefix}-{}", platform())
}

fn claude_package() -> String {
    format!("@anthropic-ai/claude-code-{}", platform())
}

fn platform() -> &'static str {
    match (cfg!(target_os = "macos"), cfg!(target_arch = "aarch64")) {
        (true, true) => "darwin-arm64",
        (true, false) => "darwin-x64",
        (false, true) => "linux-arm64",
        (false, false) => "linux-x64",
    }
}

/// Where they lie, and which are missing.
pub(crate) struct Packages {
    dir: PathBuf,
    missing: Vec<(Group, String)>,
    /// Those that a registry was asked for and could not be installed all the same.
    pub(crate) broken: Vec<String>,
}

impl Packages {
    /// Those in a directory; what is missing there is installed.
    pub(crate) fn prepare(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        // Other programs are started elsewhere, and must find it all the same.
        let mut found = Self { dir: dir.canonicalize()?, missing: Vec::new(), broken: Vec::new() };
        say(&format!("packages in {}", found.dir.display()));
        let (there, absent): (Vec<Package>, Vec<Package>) = wanted().into_iter().partition(|one| found.has(one));
        for package in &there {
            say(&format!("  {} {} is there", package.name, package.version));
        }
        for npm in [true, false] {
            let batch: Vec<&Package> = absent.iter().filter(|package| package.npm == npm).collect();
            for (package, failure) in install::all(&found.dir, npm, &batch) {
                found.miss(package, failure);
            }
        }
        for package in absent.iter().filter(|package| found.lack(&[package.group]).is_none()) {
            say(&format!("  {} {} installed", package.name, package.version));
        }
        if !absent.is_empty() {
            install::settle()?;
        }
        found.programs();
        Ok(found)
    }

    fn miss(&mut self, package: &Package, failure: Failure) {
        let (broken, why) = match failure {
            Failure::NotHere(why) => (false, why),
            Failure::Broken(why) => (true, format!("cannot be installed: {why}")),
        };
        let line = format!("{} {}: {why}", package.name, package.version);
        say(&format!("  {line}"));
        if broken {
            self.broken.push(line);
        }
        self.missing.push((package.group, why));
    }

    /// Programs of the machine that a server's own package does not bring.
    fn programs(&mut self) {
        let asked = process::run(Command::new("git").arg("--version"), "", ASK_MAX);
        if !asked.is_ok_and(|output| output.good) {
            self.missing.push((Group::Git, "no git here".into()));
        }
    }

    /// Why something that needs these cannot be run.
    pub(crate) fn lack(&self, groups: &[Group]) -> Option<&str> {
        self.missing.iter().find(|(group, _)| groups.contains(group)).map(|(_, why)| why.as_str())
    }

    pub(crate) fn node(&self) -> PathBuf {
        self.module(&node_package()).join("bin/node")
    }

    /// A file below `node_modules`.
    pub(crate) fn module(&self, path: &str) -> PathBuf {
        self.dir.join("node_modules").join(path)
    }

    /// A program of the Python environment.
    pub(crate) fn python(&self, program: &str) -> PathBuf {
        install::environment(&self.dir).join("bin").join(program)
    }

    pub(crate) fn claude(&self) -> PathBuf {
        self.module(&claude_package()).join("claude")
    }

    fn has(&self, package: &Package) -> bool {
        let found = if package.npm {
            let text = std::fs::read_to_string(self.module(&package.name).join("package.json")).unwrap_or_default();
            let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            manifest.get("version").and_then(|version| version.as_str()).map(ToOwned::to_owned)
        } else {
            let program = format!("import importlib.metadata as m; print(m.version('{}'))", package.name);
            let asked = process::run(Command::new(self.python("python")).args(["-c", &program]), "", ASK_MAX);
            asked.ok().map(|output| output.out.trim().to_owned())
        };
        found.as_deref() == Some(package.version)
    }
}
