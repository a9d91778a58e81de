//! `remit demo`: the whole story in a minute, on loopback, in a scratch directory, ending with a verified log.
//!
//! Everything in it is real: the server and its database, the processes, the commands, the protocol, the log. Only the
//! model is missing: the agent is a script that does what a hijacked one would do. The exit code is 0 only if every
//! step went as it must.

mod agent;
mod delegate;
mod page;
mod story;
mod tamper;
mod world;

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::error::{CliError, Exit};
use crate::out::Out;
use crate::serve::Stop;

/// One step of the story.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    /// What is done.
    pub(crate) what: String,
    /// What came of it, in its own words.
    pub(crate) came: String,
    /// Whether that is what had to come.
    pub(crate) ok: bool,
    /// How long it took, in milliseconds.
    pub(crate) ms: u64,
}

/// The story, chapter by chapter.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    /// Whether every step went as it must.
    pub(crate) ok: bool,
    /// How long it took, in milliseconds.
    pub(crate) ms: u64,
    /// The chapters.
    pub(crate) chapters: Vec<Chapter>,
    /// Where the home was left.
    pub(crate) home: Option<PathBuf>,
}

/// A heading and its steps.
#[derive(Debug, Serialize)]
pub(crate) struct Chapter {
    /// The heading.
    pub(crate) title: &'static str,
    /// Its steps.
    pub(crate) steps: Vec<Step>,
}

/// Plays the demo; `home` is where it is to be left.
pub(crate) fn run(home: Option<PathBuf>, out: &Out) -> Result<Exit, CliError> {
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| CliError::unevaluated(format!("no runtime: {error}"), "try again"))?;
    let chapters = runtime.block_on(async {
        let stop = Stop::on_signals()?;
        tokio::select! {
            chapters = story::play(home.as_deref(), out) => chapters,
            // What has begun ends with the story, and its directory goes with it.
            () = stop.wait() => Err(CliError::unevaluated("stopped before its end", "play it again: remit demo")),
        }
    })?;
    let ok = chapters.iter().flat_map(|chapter| &chapter.steps).all(|step| step.ok);
    let told = Told { ok, ms: millis(began), chapters, home };
    out.facts(&told, |out| page::print(&told, out));
    Ok(if ok { Exit::Fine } else { Exit::Findings })
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
