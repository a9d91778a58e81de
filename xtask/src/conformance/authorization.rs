//! The suite's scenarios for authorization servers, against the authority: its metadata, and a login with a code, which a
//! person allows at a terminal.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::gateway::{Between, CLIENT};
use super::suite::{PROGRAM, Scenario, Status, scenarios};
use crate::interop::home::free_port;
use crate::interop::login::browser;
use crate::interop::packages::Packages;
use crate::interop::process;
use crate::say;

/// What the suite has for servers of this kind.
const SCENARIOS: [&str; 2] = ["authorization-server-metadata-endpoint", "authorization-code-grant"];
const FOLDER: &str = "authorization-server-";
const LOGIN_MAX: Duration = Duration::from_mins(1);
/// Opens what the suite asks the person to open.
const OPEN: &str = r#"browser=$1; shift; "$@" | while read -r line; do case $line in http*/authorize\?*) "$browser" "$line";; esac; done"#;

/// Each check must succeed: nothing may be skipped, and nothing warned of.
pub(super) fn run(root: &Path, packages: &Packages, between: &Between, out: &Path) -> io::Result<()> {
    let mut faults = faults(&ask(root, packages, between, &between.issuer, out)?);
    // Another name for the same authority is not its issuer.
    let alias = between.issuer.replace("127.0.0.1", "localhost");
    let control = ask(root, packages, between, &alias, &out.with_extension("control"))?;
    if control.values().all(|scenario| scenario.failed == 0) {
        faults.push("control: the suite is content with an issuer that is not the one it asked for".to_owned());
    }
    if faults.is_empty() { Ok(()) } else { Err(io::Error::other(faults.join("; "))) }
}

fn ask(
    root: &Path,
    packages: &Packages,
    between: &Between,
    issuer: &str,
    out: &Path,
) -> io::Result<BTreeMap<String, Scenario>> {
    let person = browser(root, &between.home, "python3")?.join("xdg-open");
    let mut line = Command::new("sh");
    line.args(["-c", OPEN, "sh"]).arg(person).arg(packages.node()).arg(packages.module(PROGRAM));
    line.args(["authorization", "--url", issuer, "--client-id", CLIENT, "--resource", &between.resource()]);
    line.args(["--port", &free_port()?.to_string()]).arg("-o").arg(out);
    process::run(&mut line, "", LOGIN_MAX)?;
    scenarios(out, FOLDER)
}

fn faults(found: &BTreeMap<String, Scenario>) -> Vec<String> {
    let mut faults = Vec::new();
    for name in SCENARIOS {
        let Some(scenario) = found.get(name) else {
            faults.push(format!("authorization {name}: it did not run"));
            continue;
        };
        say(&format!("authorization  {name:<46} {}/{}", scenario.passed, scenario.checks.len()));
        let not = scenario.checks.iter().filter(|(_, check)| check.status != Status::Success);
        faults.extend(
            not.map(|(id, check)| format!("authorization {name}: {id} {}: {}", check.status.name(), check.says)),
        );
    }
    faults
}
