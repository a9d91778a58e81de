//! `remit log …`: reading, proving and checking the logs, all of it offline, from the directory alone.

mod entries;
mod fsck;
mod places;
mod prove;
mod replay;
mod show;
mod summary;
mod tail;
mod verify;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::{CliError, Exit};

#[derive(Debug, Args)]
pub(crate) struct Log {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the newest entries, and with --follow those that come
    Tail(tail::Tail),
    /// Print one entry in full
    Show(show::Show),
    /// Prove that an entry is in the log, or check such a proof
    Prove(prove::Prove),
    /// Verify every byte of a log that counts
    Verify(verify::Verify),
    /// Check a stopped log more deeply: every segment, signature and stray file
    Fsck(fsck::Fsck),
    /// Decide recorded calls again, and compare
    Replay(replay::Replay),
}

pub(crate) fn run(log: &Log, context: &Context) -> Result<Exit, CliError> {
    match &log.command {
        Command::Tail(tail) => tail::run(tail, context),
        Command::Show(show) => show::run(show, context),
        Command::Prove(prove) => prove::run(prove, context),
        Command::Verify(verify) => verify::run(verify, context),
        Command::Fsck(fsck) => fsck::run(fsck, context),
        Command::Replay(replay) => replay::run(replay, context),
    }
}

/// Which log.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// A log: its directory, that of one epoch, or a Remit home
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The gateway's log, or the authority's [default: the gateway's, where there is one]
    #[arg(long, value_name = "NAME", value_parser = ["gateway", "authority"])]
    log: Option<String>,
}

impl Which {
    /// The newest epoch of the log.
    fn epoch(&self, context: &Context) -> Result<places::Epoch, CliError> {
        let dir = self.dir.as_deref().unwrap_or(context.home.path());
        let mut found = places::find(dir)?;
        // The gateway's comes first.
        if let Some(name) = &self.log {
            found.retain(|log| log.name == *name);
            if found.is_empty() {
                return Err(CliError::unevaluated(
                    format!("there is no {name} log in {}", dir.display()),
                    "name where it is: --dir DIR, or leave --log away for the log that is here",
                ));
            }
        }
        let newest = found.into_iter().next().and_then(|mut log| log.epochs.pop());
        newest.ok_or_else(|| places::none(dir))
    }
}

/// Whether every log of a home is consistent in itself: the number of entries, or what is wrong.
pub(crate) fn sound(home: &Path) -> Result<u64, String> {
    let mut count = 0_u64;
    for log in places::find(home).map_err(|error| error.to_string())? {
        for epoch in &log.epochs {
            let (_, report) =
                entries::verified(epoch, |_| false).map_err(|error| format!("{}: {error}", epoch.dir.display()))?;
            count = count.saturating_add(report.size);
        }
    }
    Ok(count)
}

/// When the newest published entry of a home was written, in seconds since 1970.
pub(crate) fn newest_s(home: &Path) -> Option<i64> {
    let newest = |log: &places::Log| {
        let epoch = log.epochs.last()?;
        let size = entries::published(epoch).ok()?;
        let (_, leaf) = entries::leaves_of(&epoch.dir, size.checked_sub(1)?, size).ok()?.pop()?;
        let (_, node) = remit_core::event::read(&leaf)?;
        Some(node.int(&["time"])?.div_euclid(1000))
    };
    places::find(home).ok()?.iter().filter_map(newest).max()
}
