//! Overload and soak: whether the gateway keeps its word when more is asked of it than it can do, beside a flood, beside
//! thousands of streams, and for an hour. Never a part of CI: `cargo xtask soak`.

mod ask;
mod audit;
mod crowd;
mod drive;
mod flood;
mod idle;
mod options;
mod overload;
mod report;
mod scene;
mod steady;
mod watch;

use std::io;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::report::{remark, say};
use crate::{BUSY_PERCENT_MAX, machine, page};
pub(crate) use options::{Options, USAGE};
use report::Report;
use scene::Stage;

/// The page that keeps the figures; each part has marks of its own name.
const PAGE: &str = "docs/overload.md";

/// Whether everything that was asked was reached.
pub(crate) fn run(options: &Options) -> io::Result<bool> {
    files()?;
    let busy = machine::busy();
    if options.write && busy > BUSY_PERCENT_MAX && !options.force {
        let why =
            format!("others use {busy} % of this machine, so the figures would not be its own: wait, or say --force");
        return Err(io::Error::other(why));
    }
    let dir = crate::scratch(&options.root, options.dir.as_deref())?;
    let file_system = machine::file_system(&dir)?;
    let program = std::env::current_exe()?;
    let stage = Stage { remit: &options.remit, program: &program, dir: &dir };
    let done = parts(options, &stage, &format!("{}. Home on {file_system}", machine::machine()), busy);
    std::fs::remove_dir_all(&dir)?;
    done
}

/// Every part that is wanted, whether or not the one before reached what was asked.
fn parts(options: &Options, stage: &Stage<'_>, machine: &str, busy: u64) -> io::Result<bool> {
    let mut all = true;
    for (part, time) in options.parts() {
        remark(part);
        let (mut report, before) = (Report::default(), machine::load());
        crate::single_thread()?.block_on(measure(part, stage, time, &mut report))?;
        let loads = format!(
            "Load average before {before}, after {}; others used {busy} % of the processors before",
            machine::load()
        );
        let text = format!("{}: {machine}. {loads}.\n\n{}", head(options, time), said(options, busy, &report));
        say(&format!("## {part}\n\n{text}"));
        if options.write {
            page::write(&options.root, (PAGE, part), &text)?;
        }
        all &= report.is_reached();
    }
    Ok(all)
}

fn head(options: &Options, time: Duration) -> String {
    let at = |line: &[&str]| machine::said(&options.root, line);
    let version = at(&["git", "describe", "--always", "--dirty", "--abbrev=12"]);
    format!("Measured on {} with version `{version}`, {} min", at(&["date", "-u", "+%F"]), time.as_secs() / 60)
}

fn said(options: &Options, busy: u64, report: &Report) -> String {
    let short = options.minutes.is_some() || busy > BUSY_PERCENT_MAX;
    let care = "**Others used this machine, or its length was not the usual one: take the figures with care.**\n\n";
    let verdict = if report.is_reached() { "Every goal was reached." } else { "**Not every goal was reached.**" };
    format!("{}{verdict}\n\n{}", if short { care } else { "" }, report.text())
}

async fn measure(part: &str, stage: &Stage<'_>, time: Duration, report: &mut Report) -> io::Result<()> {
    match part {
        "overload" => overload::measure(stage, time, report).await,
        "flood" => flood::measure(stage, time, report).await,
        "idle" => idle::measure(stage, time, report).await,
        _ => steady::measure(stage, time, report).await,
    }
}

/// As many open files as there may be: each stream is one here, and two in the gateway, which is a child of this.
fn files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(io::Error::from)
}
