//! Which crate may link which: the house's plan, kept by `cargo metadata`.
//!
//! Invariant: `core` and `audit` reach no runtime, no HTTP and no database by any road.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Finding;
use super::tree::Tree;

/// Each package of the workspace, with those that it may link. Not named here: not allowed.
const MAY_LINK: &[(&str, &[&str])] = &[
    ("remit-core", &[]),
    ("remit-audit", &[]),
    ("remit-gateway", &["remit-core", "remit-audit"]),
    ("remit-authority", &["remit-core", "remit-audit"]),
    ("remit-lake", &["remit-core", "remit-audit"]),
    ("remit-claude", &["remit-core"]),
    ("remit-sandbox", &["remit-core"]),
    ("remit-eval", &["remit-core"]),
    (
        "remit-cli",
        &[
            "remit-core",
            "remit-audit",
            "remit-gateway",
            "remit-authority",
            "remit-lake",
            "remit-claude",
            "remit-sandbox",
            "remit-eval",
            "ticketdesk",
        ],
    ),
    ("remit-sim", &["remit-core", "remit-audit"]),
    ("remit-hostile", &["remit-core", "remit-audit", "remit-gateway", "remit-authority", "remit-sim"]),
    ("ticketdesk", &[]),
    // A program of its own, started beside the suite; nobody links it.
    ("conformance", &[]),
    ("remit-bench", &["remit-core", "remit-audit"]),
    ("xtask", &["remit-core", "remit-audit"]),
];

/// What tests of any package may use beyond that.
const TESTS_MAY_LINK: &[&str] = &["remit-sim", "ticketdesk"];

const PURE: &[&str] = &["remit-core", "remit-audit"];
/// What a pure package must not reach.
const IMPURE: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "mio",
    "hyper",
    "hyper-util",
    "http",
    "axum",
    "tower",
    "h2",
    "reqwest",
    "rmcp",
    "rusqlite",
    "libsqlite3-sys",
    "tokio-postgres",
    "sqlx",
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    match metadata(&tree.root) {
        Ok(metadata) => judge(&metadata),
        Err(error) => vec![Finding::new("Cargo.toml", 0, format!("cargo metadata: {error}"))],
    }
}

/// Of this machine's platform only: the others' packages need not be downloaded.
fn metadata(root: &Path) -> io::Result<Value> {
    let version = output(Command::new("rustc").arg("-vV"), root)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| io::Error::other("rustc does not name its host"))?;
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--format-version", "1", "--filter-platform", host]);
    Ok(serde_json::from_str(&output(&mut cargo, root)?)?)
}

fn output(command: &mut Command, root: &Path) -> io::Result<String> {
    let output = command.current_dir(root).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(said.trim().replace('\n', " ")));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}

fn judge(metadata: &Value) -> Vec<Finding> {
    let graph = Graph::read(metadata);
    let mut findings = Vec::new();
    for member in &graph.members {
        let name = graph.name(member);
        let Some((_name, may_link)) = MAY_LINK.iter().find(|(known, _)| *known == name) else {
            findings.push(finding(name, "has no row in the table of directions"));
            continue;
        };
        for link in graph.links(member).filter(|link| graph.members.contains(link.to)) {
            let target = graph.name(link.to);
            let for_tests = link.only_tests && TESTS_MAY_LINK.contains(&target);
            if !may_link.contains(&target) && !for_tests {
                findings.push(finding(name, &format!("must not link {target}")));
            }
        }
        if PURE.contains(&name) {
            findings.extend(impure(&graph, member));
        }
    }
    if graph.members.is_empty() {
        findings.push(finding("workspace", "has no members"));
    }
    findings
}

fn impure(graph: &Graph<'_>, member: &str) -> Vec<Finding> {
    let reached = graph.reached(member);
    let names: BTreeSet<&str> = reached.iter().map(|id| graph.name(id)).collect();
    IMPURE
        .iter()
        .filter(|name| names.contains(**name))
        .map(|name| finding(graph.name(member), &format!("must not reach {name}")))
        .collect()
}

fn finding(package: &str, message: &str) -> Finding {
    Finding::new("Cargo.toml", 0, format!("{package} {message}"))
}

/// What `cargo metadata` resolved, by package id.
struct Graph<'a> {
    members: BTreeSet<&'a str>,
    names: BTreeMap<&'a str, &'a str>,
    links: BTreeMap<&'a str, Vec<Link<'a>>>,
}

struct Link<'a> {
    to: &'a str,
    only_tests: bool,
}

impl<'a> Graph<'a> {
    fn read(metadata: &'a Value) -> Self {
        let names = list(metadata, "packages")
            .filter_map(|package| Some((text(package, "id")?, text(package, "name")?)))
            .collect();
        let links = metadata
            .get("resolve")
            .into_iter()
            .flat_map(|resolve| list(resolve, "nodes"))
            .filter_map(|node| Some((text(node, "id")?, list(node, "deps").filter_map(link).collect())))
            .collect();
        let members = list(metadata, "workspace_members").filter_map(Value::as_str).collect();
        Self { members, names, links }
    }

    fn name(&self, id: &'a str) -> &'a str {
        self.names.get(id).copied().unwrap_or(id)
    }

    fn links(&self, id: &str) -> impl Iterator<Item = &Link<'a>> {
        self.links.get(id).into_iter().flatten()
    }

    /// Everything that is linked with the package, directly or not; its tests aside.
    fn reached(&self, id: &'a str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::from([id]);
        let mut open = vec![id];
        while let Some(from) = open.pop() {
            for link in self.links(from).filter(|link| !link.only_tests) {
                if reached.insert(link.to) {
                    open.push(link.to);
                }
            }
        }
        reached
    }
}

fn link(dependency: &Value) -> Option<Link<'_>> {
    let only_tests = list(dependency, "dep_kinds").all(|kind| text(kind, "kind") == Some("dev"));
    Some(Link { to: text(dependency, "pkg")?, only_tests })
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::super::tree::findings_of;
    use super::*;

    /// What the rule says of a workspace of stubs: each package, then its dependency tables.
    fn found(packages: &[(&str, &str)]) -> Vec<String> {
        let mut files =
            vec![("Cargo.toml".to_owned(), "[workspace]\nresolver = \"3\"\nmembers = [\"p/*\"]\n".to_owned())];
        for (name, tables) in packages {
            let mut manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n");
            let rows = tables.split(';').filter_map(|row| row.trim().split_once(' '));
            manifest.extend(
                rows.map(|(header, dependency)| format!("[{header}.{dependency}]\npath = \"../{dependency}\"\n")),
            );
            files.push((format!("p/{name}/Cargo.toml"), manifest));
            files.push((format!("p/{name}/src/lib.rs"), String::new()));
        }
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        findings_of(check, &files)
            .into_iter()
            .map(|line| line.trim_start_matches("Cargo.toml: ").to_owned())
            // The stubs stand in for packages from elsewhere.
            .filter(|line| !line.ends_with("no row in the table of directions") || !line.starts_with("x-"))
            .collect()
    }

    #[test]
    fn allowed_directions_pass() {
        let packages = [
            ("remit-core", "dev-dependencies remit-sim"),
            ("remit-audit", ""),
            ("remit-sim", "dependencies remit-core; dependencies remit-audit"),
            ("remit-gateway", "dependencies remit-core; dev-dependencies ticketdesk"),
            ("remit-cli", "dependencies remit-gateway; dependencies ticketdesk"),
            ("ticketdesk", ""),
        ];
        assert_eq!(found(&packages), [""; 0]);
    }

    #[test]
    fn forbidden_directions_are_found() {
        for (from, to) in [
            ("remit-core", "remit-audit"),
            ("remit-audit", "remit-core"),
            ("remit-gateway", "remit-authority"),
            ("remit-authority", "remit-gateway"),
            ("remit-core", "remit-cli"),
            ("remit-claude", "remit-audit"),
            ("remit-gateway", "remit-sim"),
            ("xtask", "remit-gateway"),
            // The fixture, and the listener with a fixed identity, are in no program that is released.
            ("remit-cli", "conformance"),
            ("remit-cli", "xtask"),
            ("remit-gateway", "xtask"),
        ] {
            for table in ["dependencies", "build-dependencies"] {
                let found = found(&[(from, &format!("{table} {to}")), (to, "")]);
                assert_eq!(found, [format!("{from} must not link {to}")], "{table}");
            }
        }
        let tests = [("remit-gateway", "dev-dependencies remit-authority"), ("remit-authority", "")];
        assert_eq!(found(&tests), ["remit-gateway must not link remit-authority"]);
    }

    #[test]
    fn impure_packages_are_found_at_any_distance() {
        let packages = [("remit-audit", "dependencies x-helper"), ("x-helper", "dependencies tokio"), ("tokio", "")];
        let found = found(&packages);
        assert!(found.contains(&"remit-audit must not reach tokio".to_owned()), "{found:?}");
    }

    #[test]
    fn unknown_packages_and_no_workspace_are_found() {
        assert_eq!(found(&[("remit-new", "")]), ["remit-new has no row in the table of directions"]);
        assert!(findings_of(check, &[])[0].starts_with("Cargo.toml: cargo metadata: "));
    }
}
