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
    Conformance,
    Everything,
    Filesystem,
    Claude,
    Mcp,
    McpOfJune,
    McpOfMarch,
    Time,
    Git,
    Provider,
}

/// Where a package comes from, and for one of Python in which of our environments it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registry {
    Npm,
    PyPi(&'static str),
}

/// The environment of everything that is current, and those of older releases.
pub(crate) const CURRENT: &str = "venv";
pub(crate) const OF_JUNE: &str = "venv-mcp-1.22";
pub(crate) const OF_MARCH: &str = "venv-mcp-1.9";
const REGISTRIES: &[Registry] =
    &[Registry::Npm, Registry::PyPi(CURRENT), Registry::PyPi(OF_JUNE), Registry::PyPi(OF_MARCH)];

/// One package: from which registry, its name and exact version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    group: Group,
    pub(crate) from: Registry,
    pub(crate) name: String,
    pub(crate) version: &'static str,
}

/// Inspector and the servers need a Node that is newer than many machines have; it and Claude Code are programs of their
/// own for each platform, so that nothing has to be run to install them.
pub(crate) fn wanted() -> Vec<Package> {
    let pypi = |group, name: &str, version| package(Registry::PyPi(CURRENT), group, name, version);
    vec![
        node(),
        npm(Group::Inspector, "@modelcontextprotocol/inspector", "2.12.0"),
        npm(Group::Everything, "@modelcontextprotocol/server-everything", "2026.8.31"),
        npm(Group::Filesystem, "@modelcontextprotocol/server-filesystem", "2026.8.31"),
        npm(Group::Provider, "oidc-provider", "9.13.3"),
        npm(Group::Claude, &claude_package(), "2.1.329"),
        pypi(Group::Mcp, "mcp", "2.3.0"),
        pypi(Group::Time, "mcp-server-time", "2026.10.19"),
        pypi(Group::Git, "mcp-server-git", "2026.10.19"),
        package(Registry::PyPi(OF_JUNE), Group::McpOfJune, "mcp", "1.22.0"),
        package(Registry::PyPi(OF_MARCH), Group::McpOfMarch, "mcp", "1.9.4"),
        // With what came later it does not load.
        package(Registry::PyPi(OF_MARCH), Group::McpOfMarch, "pydantic", "2.11.7"),
    ]
}

/// The MCP project's conformance suite.
pub(crate) fn of_the_suite() -> Vec<Package> {
    vec![node(), npm(Group::Conformance, "@modelcontextprotocol/conformance", "0.2.0-alpha.12")]
}

fn node() -> Package {
    npm(Group::Node, &node_package(), "22.23.3")
}

fn npm(group: Group, name: &str, version: &'static str) -> Package {
    package(Registry::Npm, group, name, version)
}

fn package(from: Registry, group: Group, name: &str, version: &'static str) -> Package {
    Package { group, from, name: name.to_owned(), version }
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
    pub(crate) fn prepare(dir: &Path, wanted: Vec<Package>) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        // Other programs are started elsewhere, and must find it all the same.
        let mut found = Self { dir: dir.canonicalize()?, missing: Vec::new(), broken: Vec::new() };
        say(&format!("packages in {}", found.dir.display()));
        let (there, absent): (Vec<Package>, Vec<Package>) = wanted.into_iter().partition(|one| found.has(one));
        for package in &there {
            say(&format!("  {} {} is there", package.name, package.version));
        }
        for from in REGISTRIES {
            let batch: Vec<&Package> = absent.iter().filter(|package| package.from == *from).collect();
            for (package, failure) in install::all(&found.dir, *from, &batch) {
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

    /// Where everything of npm lies.
    pub(crate) fn modules(&self) -> PathBuf {
        self.dir.join("node_modules")
    }

    /// A file below `node_modules`.
    pub(crate) fn module(&self, path: &str) -> PathBuf {
        self.modules().join(path)
    }

    /// A program of the Python environment of what is current.
    pub(crate) fn python(&self, program: &str) -> PathBuf {
        self.of_environment(CURRENT, program)
    }

    /// A program of a Python environment.
    pub(crate) fn of_environment(&self, environment: &str, program: &str) -> PathBuf {
        self.dir.join(environment).join("bin").join(program)
    }

    pub(crate) fn claude(&self) -> PathBuf {
        self.module(&claude_package()).join("claude")
    }

    fn has(&self, package: &Package) -> bool {
        let found = match package.from {
            Registry::Npm => {
                let text = std::fs::read_to_string(self.module(&package.name).join("package.json")).unwrap_or_default();
                let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                manifest.get("version").and_then(|version| version.as_str()).map(ToOwned::to_owned)
            }
            Registry::PyPi(environment) => {
                let program = format!("import importlib.metadata as m; print(m.version('{}'))", package.name);
                let mut python = Command::new(self.of_environment(environment, "python"));
                let asked = process::run(python.args(["-c", &program]), "", ASK_MAX);
                asked.ok().map(|output| output.out.trim().to_owned())
            }
        };
        found.as_deref() == Some(package.version)
    }
}
