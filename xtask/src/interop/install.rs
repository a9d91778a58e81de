//! Installing packages with the registries' own clients, and telling why it did not work.
//!
//! **Invariant:** only a machine that lacks a client, or cannot reach a registry, is excused; all else is a failure.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::packages::{Package, Registry};
use super::process;

/// How long all of one registry's packages may take together.
const INSTALL_MAX: Duration = Duration::from_mins(5);
const SETTLE_MAX: Duration = Duration::from_mins(2);

/// Why a package is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// This machine cannot have it: it has no client, or reaches no registry.
    NotHere(String),
    /// The registry was reached, and it went wrong all the same.
    Broken(String),
}

/// Installs packages of one registry at once; where that fails, one by one, so that each failure has its name.
pub(crate) fn all<'a>(dir: &Path, from: Registry, packages: &[&'a Package]) -> Vec<(&'a Package, Failure)> {
    let end = Instant::now() + INSTALL_MAX;
    let install = |packages: &[&Package]| match from {
        Registry::Npm => by_npm(dir, packages, end),
        Registry::PyPi(environment) => by_pip(&dir.join(environment), packages, end),
    };
    match packages {
        [] => Vec::new(),
        [package] => install(packages).err().map(|failure| (*package, failure)).into_iter().collect(),
        _ => match install(packages) {
            Ok(()) => Vec::new(),
            // The next one would only wait as long for the same network.
            Err(Failure::NotHere(why)) => {
                packages.iter().map(|package| (*package, Failure::NotHere(why.clone()))).collect()
            }
            Err(Failure::Broken(_)) => {
                packages.iter().filter_map(|package| Some((*package, install(&[package]).err()?))).collect()
            }
        },
    }
}

/// Waits until what was installed is on the disk: hundreds of megabytes on their way there hold up a log that answers
/// within a quarter of a second or not at all.
pub(crate) fn settle() -> io::Result<()> {
    process::run(&mut Command::new("sync"), "", SETTLE_MAX).map(drop)
}

/// Without the packages' own scripts: nothing of theirs is run before it is put behind the gateway.
fn by_npm(dir: &Path, packages: &[&Package], end: Instant) -> Result<(), Failure> {
    let mut npm = Command::new("npm");
    npm.current_dir(dir).args(["install", "--prefix"]).arg(dir);
    npm.args(["--ignore-scripts", "--save-exact", "--no-audit", "--no-fund", "--loglevel=error"]);
    // Its own patience with a network that is not there is minutes.
    npm.args(["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000"]);
    npm.args(packages.iter().map(|package| format!("{}@{}", package.name, package.version)));
    must("npm", &mut npm, end)
}

fn by_pip(environment: &Path, packages: &[&Package], end: Instant) -> Result<(), Failure> {
    // An environment whose making was broken off has a python and no pip.
    if !environment.join("bin/pip").exists() {
        must("python3", Command::new("python3").args(["-m", "venv"]).arg(environment), end)?;
    }
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]);
    pip.args(packages.iter().map(|package| format!("{}=={}", package.name, package.version)));
    must("pip", &mut pip, end)
}

/// Runs a registry's client; where that fails, says whether this machine is to be excused.
pub(crate) fn must(program: &str, command: &mut Command, end: Instant) -> Result<(), Failure> {
    match process::run(command, "", end.saturating_duration_since(Instant::now())) {
        Ok(output) if output.good => Ok(()),
        Ok(output) => Err(failure(program, &format!("{}\n{}", output.out, output.err))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::NotHere(format!("no {program} here"))),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(Failure::NotHere(format!("{program} reached no registry in {} s", INSTALL_MAX.as_secs())))
        }
        Err(error) => Err(Failure::Broken(format!("{program}: {error}"))),
    }
}

/// What npm and pip say where the network does not lead to a registry, or the registry itself is down.
const UNREACHABLE: &[&str] = &[
    "ECONNREFUSED",
    "ECONNRESET",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ETIMEDOUT",
    "ENETUNREACH",
    "EHOSTUNREACH",
    "ERR_SOCKET_TIMEOUT",
    "E500",
    "E502",
    "E503",
    "E504",
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "ConnectionResetError",
];
/// What a python without the means to make an environment says.
const NO_ENVIRONMENT: &str = "ensurepip is not";

fn failure(program: &str, said: &str) -> Failure {
    if let Some(word) = UNREACHABLE.iter().find(|word| said.contains(**word)) {
        return Failure::NotHere(format!("{program} reaches no registry here ({word})"));
    }
    if said.contains(NO_ENVIRONMENT) {
        return Failure::NotHere("python3 cannot make environments here".into());
    }
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.clone().find(|line| line.to_lowercase().contains("error")).or_else(|| lines.next());
    Failure::Broken(line.unwrap_or("it said nothing").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_out_of_reach_is_excused() {
        for said in [
            "npm error code ENOTFOUND\nnpm error errno ENOTFOUND\nnpm error network This is a problem …",
            "npm error code E503\nnpm error 503 Service Unavailable",
            "WARNING: Retrying after connection broken by 'NewConnectionError('…')': /mcp/\nERROR: No matching \
             distribution found for mcp==2.3.0",
            "The virtual environment was not created successfully because ensurepip is not\navailable.",
        ] {
            assert!(matches!(failure("npm", said), Failure::NotHere(_)), "{said}");
        }
        for (said, named) in [
            ("npm error code E404\nnpm error 404 Not Found", "E404"),
            ("npm error code ENOSPC\nnpm error nospc no space left on device", "ENOSPC"),
            ("npm error code EINTEGRITY", "EINTEGRITY"),
            ("ERROR: No matching distribution found for mcp==99.3.0", "mcp==99.3.0"),
            ("", "nothing"),
        ] {
            assert!(matches!(failure("npm", said), Failure::Broken(why) if why.contains(named)), "{said}");
        }
    }

    #[test]
    fn a_machine_without_a_client_is_excused_and_a_client_that_fails_is_not() {
        let end = Instant::now() + Duration::from_secs(10);
        let not_here = Failure::NotHere("no no-such-client here".into());
        assert_eq!(must("no-such-client", &mut Command::new("no-such-client"), end), Err(not_here));
        assert!(matches!(must("npm", &mut Command::new("false"), end), Err(Failure::Broken(_))));
        let mut slow = Command::new("sleep");
        assert!(matches!(must("npm", slow.arg("60"), Instant::now()), Err(Failure::NotHere(_))));
    }
}
