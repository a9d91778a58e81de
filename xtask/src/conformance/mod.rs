//! `cargo xtask conformance`: the MCP project's own suite against a fixture, directly and with the gateway between them.
//!
//! The fixture passes what the suite asks of a server. What is worse through the gateway is a difference, and each stands
//! on a page with its reason. As a client of authorization servers, the suite looks at the authority: whatever does not pass
//! there is a difference, too.
//!
//! **Invariant:** no scenario that passes directly fails through the gateway for a reason that nobody wrote down.

mod authorization;
pub(crate) mod broker;
mod differences;
mod fixture;
mod gateway;
mod listener;
mod suite;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Instant;

use crate::interop::home::Home;
use crate::interop::packages::{self, Group, Packages};
use crate::interop::{Tally, record};
use crate::{programs, say};
use differences::{Difference, PAGE, Place};
use fixture::Fixture;
use gateway::Between;
use suite::{REVISIONS, Scenario, Status};

/// What was found of one scenario.
struct Row {
    revision: &'static str,
    name: String,
    direct: Scenario,
    through: Scenario,
    differences: Vec<Difference>,
}

/// Runs all of it. A difference without a reason is a failure, and so is a reason without a difference.
pub(crate) fn run(root: &Path) -> io::Result<Tally> {
    let listed = differences::listed(&std::fs::read_to_string(root.join(PAGE))?)?;
    programs::build(root)?;
    unreleased(root)?;
    let packages = Packages::prepare(&root.join("target/interop"), packages::of_the_suite())?;
    if let Some(why) = packages.lack(&[Group::Node, Group::Conformance]) {
        let why = vec![why.to_owned()];
        return Ok(Tally { failed: packages.broken.len(), not_run: REVISIONS.len(), why, ..Tally::default() });
    }
    let began = Instant::now();
    let scratch = std::env::temp_dir().join(format!("remit-conformance-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let scratch = scratch.canonicalize()?;
    let rows = talk(root, &packages, &scratch)?;
    let clients = broker::run(&packages, &scratch.join("broker"))?;
    broker::print(&clients, &listed);
    let faults = print(&rows, broker::differences(&clients), &listed);
    let passed: usize = clients.iter().map(|one| one.scenario.passed).sum();
    say(&format!("broker: {} scenarios, {passed} checks passed", clients.len()));
    say(&format!("conformance: {} in {} s", line(&rows, faults), began.elapsed().as_secs()));
    if faults == 0 {
        std::fs::remove_dir_all(&scratch)?;
    } else {
        say(&format!("what every program said is in {}", scratch.display()));
    }
    let good = (rows.len() + clients.len()).saturating_sub(faults);
    Ok(Tally { good, failed: faults, ..Tally::default() })
}

/// The listener's mark must be in this program, or nothing was looked for, and must not be in what is released.
fn unreleased(root: &Path) -> io::Result<()> {
    let holds = |program: &Path| {
        let bytes = std::fs::read(program)?;
        Ok::<_, io::Error>(bytes.windows(listener::MARK.len()).any(|window| window == listener::MARK.as_bytes()))
    };
    match (holds(&std::env::current_exe()?)?, holds(&root.join("target/debug/remit"))?) {
        (true, false) => Ok(()),
        (false, _) => Err(io::Error::other("the listener's mark cannot be found where it is")),
        (true, true) => Err(io::Error::other("remit holds the listener with a fixed identity")),
    }
}

fn talk(root: &Path, packages: &Packages, scratch: &Path) -> io::Result<Vec<Row>> {
    let fixture = Fixture::start(root, scratch)?;
    let mut between = Between::start(root, scratch, &fixture.url, &fixture.menu)?;
    let (all, little) = (format!("http://{}/mcp", between.all), format!("http://{}/mcp", between.little));
    control(packages, &little, &scratch.join("control"))?;
    let mut rows = Vec::new();
    for revision in REVISIONS {
        let out = |name: &str| scratch.join(format!("{name}-{revision}"));
        let chosen = ["--requirements", revision];
        let direct = suite::run(packages, &fixture.url, &chosen, &out("direct"))?;
        let mut through = suite::run(packages, &all, &chosen, &out("through"))?;
        for (name, direct) in direct {
            let through = through.remove(&name).unwrap_or_default();
            let differences = differences::found(revision, &name, &direct, &through);
            rows.push(Row { revision, name, direct, through, differences });
        }
    }
    authorization::run(root, packages, &between, &scratch.join("authorization"))?;
    between.home.stop()?;
    logged(&between.home)?;
    Ok(rows)
}

/// A tool that was not granted must be missed by the suite, or it would miss nothing.
fn control(packages: &Packages, url: &str, out: &Path) -> io::Result<()> {
    let (name, id) = ("tools-call-image", "tools-call-image");
    let scenarios = suite::run(packages, url, &["--scenario", name, "--spec-version", "2025-11-25"], out)?;
    let status = scenarios.get(name).and_then(|scenario| scenario.checks.get(id)).map(|check| check.status);
    if status == Some(Status::Failure) {
        return Ok(());
    }
    Err(io::Error::other(format!("control: {name} without a grant should have failed: {status:?}")))
}

/// All of it was recorded, each with its outcome, in a log that verifies.
fn logged(home: &Home) -> io::Result<()> {
    let record::Figures { entries, intents, outcomes, faults } = record::check(home, &std::iter::empty(), &mut [])?;
    say(&format!("log: {entries} entries, {intents} messages of the suite, {outcomes} outcomes"));
    if faults.is_empty() { Ok(()) } else { Err(io::Error::other(faults.join("; "))) }
}

/// Prints the table; how many faults there are.
fn print(rows: &[Row], of_clients: Vec<Difference>, listed: &BTreeMap<Place, String>) -> usize {
    say(&format!("\n{:<10}  {:<46} {:>8} {:>8}", "revision", "scenario", "direct", "through"));
    for Row { revision, name, direct, through, differences } in rows {
        let of = |scenario: &Scenario| format!("{}/{}", scenario.passed, scenario.passed + scenario.failed);
        let known = differences.iter().filter(|difference| listed.contains_key(&difference.place)).count();
        let verdict = match (known, differences.len() - known) {
            (0, 0) => String::new(),
            (known, 0) => format!("{known} differ, with a reason"),
            (_, unknown) => format!("{unknown} DIFFER"),
        };
        say(format!("{revision}  {name:<46} {:>8} {:>8}  {verdict}", of(direct), of(through)).trim_end());
    }
    let through = rows.iter().flat_map(|row| row.differences.iter().cloned());
    let found: Vec<Difference> = through.chain(of_clients).collect();
    // What fails directly could hide anything.
    let direct = rows.iter().filter(|row| row.direct.failed > 0);
    let direct = direct.map(|row| format!("{} {}: {} checks fail directly", row.revision, row.name, row.direct.failed));
    let faults: Vec<String> = direct.chain(differences::faults(&found, listed)).collect();
    say("");
    for fault in &faults {
        say(fault);
    }
    faults.len()
}

fn line(rows: &[Row], faults: usize) -> String {
    let differ = rows.iter().filter(|row| !row.differences.is_empty()).count();
    let checks = |of: fn(&Row) -> usize| rows.iter().map(of).sum::<usize>();
    let (direct, through) = (checks(|row| row.direct.passed), checks(|row| row.through.passed));
    let fault = if faults > 0 { format!(", {faults} FAULTS") } else { String::new() };
    format!(
        "{} scenarios, {direct} checks passed directly and {through} through the gateway, {differ} scenarios differ{fault}",
        rows.len()
    )
}
