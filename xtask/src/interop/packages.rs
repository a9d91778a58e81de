//! The programs of other makers, in exact versions, from the registries that everybody uses.
//!
//! **Invariant:** what cannot be installed is named in one line and counts as not run, never as passed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process;
use crate::say;

/// A slow network may take this long for one group of packages.
const INSTALL_MAX: Duration = Duration::from_mins(5);
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
struct Package {
    group: Group,
    npm: bool,
    name: &'static str,
    version: &'static str,
}

const fn npm(group: Group, name: &'static str, version: &'static str) -> Package {
    Package { group, npm: true, name, version }
}

const fn pypi(group: Group, name: &'static str, version: &'static str) -> Package {
    Package { group, npm: false, name, version }
}

/// Inspector and the servers need a Node that is newer than many machines have.
const PACKAGES: &[Package] = &[
    npm(Group::Node, "node", "22.23.3"),
    npm(Group::Inspector, "@modelcontextprotocol/inspector", "2.12.0"),
    npm(Group::Everything, "@modelcontextprotocol/server-everything", "2026.8.31"),
    npm(Group::Filesystem, "@modelcontextprotocol/server-filesystem", "2026.8.31"),
    npm(Group::Claude, "@anthropic-ai/claude-code", "2.1.329"),
    pypi(Group::Mcp, "mcp", "2.3.0"),
    pypi(Group::Time, "mcp-server-time", "2026.10.19"),
    pypi(Group::Git, "mcp-server-git", "2026.10.19"),
];

/// Where they lie, and which are missing.
pub(crate) struct Packages {
    dir: PathBuf,
    missing: Vec<(Group, String)>,
}

impl Packages {
    /// Those in a directory; what is missing there is installed.
    pub(crate) fn prepare(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        // Other programs are started elsewhere, and must find it all the same.
        let mut found = Self { dir: dir.canonicalize()?, missing: Vec::new() };
        say(&format!("packages in {}", found.dir.display()));
        for package in PACKAGES {
            let Package { group, name, version, .. } = package;
            if found.has(package) {
                say(&format!("  {name} {version} is there"));
            } else if let Err(why) = found.install(package) {
                say(&format!("  {name} {version} cannot be installed here: {why}"));
                found.missing.push((*group, format!("{name} {version} cannot be installed here")));
            } else {
                say(&format!("  {name} {version} installed"));
            }
        }
        Ok(found)
    }

    /// Why something that needs these cannot be run.
    pub(crate) fn lack(&self, groups: &[Group]) -> Option<&str> {
        self.missing.iter().find(|(group, _)| groups.contains(group)).map(|(_, why)| why.as_str())
    }

    pub(crate) fn node(&self) -> PathBuf {
        self.module("node/bin/node")
    }

    /// A file below `node_modules`.
    pub(crate) fn module(&self, path: &str) -> PathBuf {
        self.dir.join("node_modules").join(path)
    }

    /// A program of the Python environment.
    pub(crate) fn python(&self, program: &str) -> PathBuf {
        self.dir.join("venv/bin").join(program)
    }

    /// Claude Code itself, which is a package of its own for each platform.
    pub(crate) fn claude(&self) -> PathBuf {
        let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
        let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
        self.module(&format!("@anthropic-ai/claude-code-{system}-{machine}/claude"))
    }

    fn has(&self, package: &Package) -> bool {
        let found = if package.npm {
            let text = std::fs::read_to_string(self.module(package.name).join("package.json")).unwrap_or_default();
            let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            manifest.get("version").and_then(|version| version.as_str()).map(ToOwned::to_owned)
        } else {
            let program = format!("import importlib.metadata as m; print(m.version('{}'))", package.name);
            let asked = process::run(Command::new(self.python("python")).args(["-c", &program]), "", ASK_MAX);
            asked.ok().map(|output| output.out.trim().to_owned())
        };
        found.as_deref() == Some(package.version)
    }

    fn install(&self, package: &Package) -> Result<(), String> {
        let Package { name, version, .. } = package;
        if package.npm {
            let mut npm = Command::new("npm");
            npm.current_dir(&self.dir).args(["install", "--prefix"]).arg(&self.dir);
            npm.args(["--save-exact", "--no-audit", "--no-fund", "--loglevel=error", &format!("{name}@{version}")]);
            return must(&mut npm);
        }
        if !self.python("python").exists() {
            must(Command::new("python3").args(["-m", "venv"]).arg(self.dir.join("venv")))?;
        }
        let mut pip = Command::new(self.python("python"));
        must(pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            &format!("{name}=={version}"),
        ]))
    }
}

fn must(command: &mut Command) -> Result<(), String> {
    match process::run(command, "", INSTALL_MAX) {
        Ok(output) if output.good => Ok(()),
        Ok(output) => Err(output.last_line().to_owned()),
        Err(error) => Err(format!("{}: {error}", command.get_program().to_string_lossy())),
    }
}
