//! `cargo xtask`: what the project's own machinery needs and no user of Remit ever sees.

mod bench;
mod ci;
mod conformance;
mod fault;
mod fuzz;
mod interop;
mod mutants;
mod programs;
mod tidy;
mod verifiers;
mod worlds;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND

  ci     everything that must pass: format, lints, tests, supply chain, tidy,
         other makers' programs, and the short form of fault
  prove  the long form of what searches for faults: hours
  tidy   the house rules that no compiler knows: lengths, directions, links
  worlds [N]  the decision against its naive model on N random worlds, a million unless told
  fault [--long] [--built] [--only NAME]…  the log when disks fail, the process is killed, and somebody edits: counts, and controls
  fuzz [--seconds N] [--keep] [TARGET…]  bytes that break a property of a parser, searched by libFuzzer
  interop [--packages DIR]  real MCP clients and servers of other makers, with the real gateway between them
  conformance  the suite of the MCP project against a fixture, directly and through the gateway
  mutants [--sample N | --all | FILE…]  small mistakes in what decides and verifies, by cargo-mutants: a test must find each
  verifiers  our log under verifiers of other makers: each accepts the true log and refuses changed ones
  bench [--quick] [--write]  what a governed call costs beside a direct one, and all that is measured; --help says more
  soak [--only PART] [--minutes N] [--write]  overload, a flood, idle streams, and an hour; --help says more";

const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["ci"] => ci::run(root()),
        ["prove"] => ci::prove(root()),
        ["tidy"] => tidy::run(root()),
        ["fault", rest @ ..] => match fault::Options::read(rest) {
            Some(options) => fault::run(root(), &options),
            None => Err(std::io::Error::other(fault::USAGE)),
        },
        ["fuzz", rest @ ..] => match fuzz::Options::read(rest) {
            Some(options) => fuzz::run(root(), &options),
            None => Err(std::io::Error::other(fuzz::USAGE)),
        },
        ["worlds"] => worlds::run(root(), None),
        ["worlds", count] => worlds::run(root(), Some(count)),
        ["conformance"] => conformance::run(root()).and_then(|tally| tally.passed()),
        // What the suite starts as a client, and nobody types.
        [conformance::broker::COMMAND, url] => conformance::broker::client(root(), url, true),
        [conformance::broker::COMMAND, conformance::broker::UNCONNECTED, url] => {
            conformance::broker::client(root(), url, false)
        }
        ["bench", rest @ ..] => bench::run(root(), rest),
        ["soak", rest @ ..] => bench::soak(root(), rest),
        ["interop"] => interop::run(root(), None).and_then(|tally| tally.passed()),
        ["interop", "--packages", dir] => interop::run(root(), Some(dir)).and_then(|tally| tally.passed()),
        ["mutants", rest @ ..] => match mutants::Options::read(rest) {
            Some(options) => mutants::run(root(), &options),
            None => Err(std::io::Error::other(mutants::USAGE)),
        },
        ["verifiers"] => verifiers::run(root()).and_then(|tally| tally.passed()),
        _ => {
            say(USAGE);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("xtask: {error}"));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// The root of the repository that this program was built from.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// One line to whoever watches; flushed, so that it stands before what a child prints next.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    // When nobody reads any more, the exit code still speaks.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}
