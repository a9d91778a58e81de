//! The broker as the suite's client: a whole `remit up` is told of the suite's server as a person would tell it, connects
//! by its own road, and asks the server what it offers. Nothing here speaks OAuth.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::differences::{Difference, Place};
use super::suite::{Check, Scenario, Status};
use crate::interop::browser::Browser;
use crate::interop::home::{Home, write};
use crate::interop::packages::Packages;
use crate::interop::process;
use crate::say;

/// What the suite starts for each scenario, with the server's URL after it.
pub(crate) const COMMAND: &str = "broker-client";
/// The name of the suite's server at the broker.
const SERVER: &str = "suite";
const PROGRAM: &str = "@modelcontextprotocol/conformance/dist/index.js";
const RUN_MAX: Duration = Duration::from_mins(3);
const COMMAND_MAX: Duration = Duration::from_secs(20);
/// How often the server is asked: some want something else the second time.
const QUESTIONS: usize = 2;
/// How often it is registered again.
const AGAIN_MAX: usize = 2;
/// How many scenarios run at a time: each has a whole `remit up`.
const WORKERS: usize = 3;
/// In the names of what is of an older revision.
const LEFT_OUT: &str = "2025-03-26";
/// The control's way: nobody consents to anything.
pub(crate) const UNCONNECTED: &str = "--unconnected";

/// What was found of one scenario.
pub(crate) struct Found {
    /// The newest revision that has it, or `extension`.
    pub(crate) revision: String,
    pub(crate) name: String,
    pub(crate) scenario: Scenario,
}

/// Every scenario about authorization but those of a revision that is not spoken, each once. First the control: whoever
/// has consented to nothing must be seen to be without a token.
pub(crate) fn run(packages: &Packages, out: &Path) -> io::Result<Vec<Found>> {
    control(packages, &out.join("control"))?;
    let names = listed(packages)?;
    let next = Mutex::new(names.iter());
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _worker in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().ok().and_then(|mut next| next.next());
                    let Some((name, revision)) = taken else { break };
                    let scenario = one(packages, name, &[], out);
                    if let Ok(mut found) = found.lock() {
                        found.push(scenario.map(|scenario| Found {
                            revision: revision.clone(),
                            name: name.clone(),
                            scenario,
                        }));
                    }
                }
            });
        }
    });
    let found = found.into_inner().map_err(|_| io::Error::other("a worker failed"))?;
    let mut found = found.into_iter().collect::<io::Result<Vec<_>>>()?;
    found.sort_by(|one, other| one.name.cmp(&other.name));
    if found.is_empty() {
        return Err(io::Error::other("the suite has no scenario for a client"));
    }
    Ok(found)
}

fn control(packages: &Packages, out: &Path) -> io::Result<()> {
    let found = one(packages, "auth/metadata-default", &[UNCONNECTED], out)?;
    if found.failed > 0 {
        return Ok(());
    }
    Err(io::Error::other("control: a client that has connected nothing should have failed"))
}

/// The scenarios, each with its newest revision.
fn listed(packages: &Packages) -> io::Result<Vec<(String, String)>> {
    let mut suite = Command::new(packages.node());
    let output = process::run(suite.arg(packages.module(PROGRAM)).arg("list"), "", COMMAND_MAX)?;
    let lines = output.out.lines().filter_map(|line| line.trim().strip_prefix("- ")?.split_once(" ["));
    let named = lines.filter(|(name, _)| name.starts_with("auth/") && !name.contains(LEFT_OUT));
    let newest = |all: &str| all.trim_end_matches(']').rsplit(',').next().unwrap_or_default().to_owned();
    Ok(named.map(|(name, all)| (name.to_owned(), newest(all))).collect())
}

fn one(packages: &Packages, name: &str, how: &[&str], out: &Path) -> io::Result<Scenario> {
    let own = std::env::current_exe()?;
    let command = format!("{} {COMMAND} {}", own.display(), how.join(" "));
    let mut suite = Command::new(packages.node());
    suite.arg(packages.module(PROGRAM)).args(["client", "--command", command.trim(), "--scenario", name]);
    // Whether it is content is not asked: what its checks say is.
    process::run(suite.arg("-o").arg(out), "", RUN_MAX)?;
    let begins = format!("{}-20", name.trim_start_matches("auth/"));
    for entry in std::fs::read_dir(out.join("auth")).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&begins) {
            return Scenario::read(&std::fs::read_to_string(entry.path().join("checks.json"))?);
        }
    }
    Err(io::Error::other(format!("the suite found nothing of {name}")))
}

/// What did not pass, as a difference from what should have.
pub(crate) fn differences(found: &[Found]) -> Vec<Difference> {
    let of = |one: &Found| {
        let bad = |check: &Check| matches!(check.status, Status::Failure | Status::Warning);
        let checks = one.scenario.checks.iter().filter(move |(_, check)| bad(check));
        let difference = |(id, check): (&String, &Check)| Difference {
            place: Place { revision: one.revision.clone(), scenario: one.name.clone(), check: id.clone() },
            direct: Status::Success,
            through: check.status,
            says: check.says.clone(),
        };
        checks.map(difference).collect::<Vec<_>>()
    };
    found.iter().flat_map(of).collect()
}

/// Prints the table.
pub(crate) fn print(found: &[Found], listed: &BTreeMap<Place, String>) {
    say(&format!("\n{:<10}  {:<46} {:>8}", "revision", "scenario", "broker"));
    for one in found {
        let differences = differences(std::slice::from_ref(one));
        let known = differences.iter().filter(|difference| listed.contains_key(&difference.place)).count();
        let verdict = match (known, differences.len() - known) {
            (0, 0) => String::new(),
            (known, 0) => format!("{known} differ, with a reason"),
            (_, unknown) => format!("{unknown} DIFFER"),
        };
        let Scenario { passed, failed, .. } = one.scenario;
        let passed = format!("{passed}/{}", passed + failed);
        say(format!("{:<10}  {:<46} {passed:>8}  {verdict}", one.revision, one.name).trim_end());
    }
}

/// What the suite starts: the scenario is in the environment, the server at this URL.
pub(crate) fn client(root: &Path, url: &str, connects: bool) -> io::Result<bool> {
    #[expect(clippy::disallowed_methods, reason = "this is how the suite says what it is about")]
    let told = |name: &str| std::env::var(name).unwrap_or_default();
    let context: Value = serde_json::from_str(&told("MCP_CONFORMANCE_CONTEXT")).unwrap_or_default();
    let scratch = std::env::temp_dir().join(format!("remit-broker-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let mut home = Home::start(root, &scratch.canonicalize()?)?;
    let done = talk(&home, url, &told("MCP_CONFORMANCE_SCENARIO"), &context, connects);
    home.stop()?;
    std::fs::remove_dir_all(&scratch)?;
    done.map(|()| true)
}

fn talk(home: &Home, url: &str, scenario: &str, context: &Value, connects: bool) -> io::Result<()> {
    let own = !scenario.contains("client-credentials");
    register(home, url, if own { "oauth-user" } else { "oauth-client" }, context)?;
    if own && connects {
        connect(home)?;
    }
    let (mut asked, mut again) = (0, 0);
    while asked < QUESTIONS {
        match offers(home) {
            Ok(()) => asked += 1,
            // As a person does who reads why: registered again, as the server is now, and connected again.
            Err(_) if own && connects && again < AGAIN_MAX => {
                again += 1;
                register(home, url, "oauth-user", context)?;
                connect(home)?;
            }
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

/// Registers the server.
fn register(home: &Home, url: &str, kind: &str, context: &Value) -> io::Result<()> {
    let pin = home.pin_file();
    let mut line = vec!["server", "add", SERVER, "--url", url, "--auth", kind, "--pin-file", &pin];
    let (client, secret) = (context.get("client_id"), context.get("client_secret"));
    let file = home.scratch.join("secret").display().to_string();
    if let Some(client) = client.and_then(Value::as_str) {
        line.extend(["--client-id", client]);
    }
    match secret.and_then(Value::as_str) {
        Some(secret) => {
            write(Path::new(&file), secret)?;
            line.extend(["--secret-from", &file]);
        }
        None if kind == "oauth-client" => line.push("--client-key"),
        None => {}
    }
    home.remit(&line).map(drop)
}

/// A person consents, in a browser, and types what that shows.
pub(crate) fn connect_to(home: &Home, server: &str, browser: &mut Browser) -> io::Result<()> {
    let begun = home.facts(&["server", "connect", server])?;
    let url = begun.get("url").and_then(Value::as_str).unwrap_or_default();
    let page = browser.open(url)?;
    let code = page.text.split_once("--code ").and_then(|(_, rest)| rest.get(..9));
    let code = code.ok_or_else(|| io::Error::other(format!("the browser shows no code: {}", page.text)))?;
    home.remit(&["server", "connect", server, "--code", code]).map(drop)
}

fn connect(home: &Home) -> io::Result<()> {
    connect_to(home, SERVER, &mut Browser::default())
}

/// The server says what it offers, which it says to nobody without a token.
fn offers(home: &Home) -> io::Result<()> {
    let line = home.line(&["server", "diff", SERVER, "--pin-file", &home.pin_file()]);
    let [program, arguments @ ..] = line.as_slice() else { return Err(io::Error::other("no command")) };
    let output = process::run(Command::new(program).args(arguments), "", COMMAND_MAX)?;
    let found: Value = serde_json::from_str(&output.out).map_err(|_| io::Error::other(output.err.clone()))?;
    // It ends with 1 where something is new.
    match found.get("added") {
        Some(_) => Ok(()),
        None => Err(io::Error::other(output.out)),
    }
}
