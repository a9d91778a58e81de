//! `remit log tail`: the newest entries, and with `--follow` those that come.

use std::time::Duration;

use clap::Args;
use remit_core::event::Kind;

use super::summary::Summary;
use super::{Which, entries};
use crate::context::Context;
use crate::error::{CliError, Exit};

/// How often the log is looked at. It publishes every second.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit log tail --follow --kind call_intent")]
pub(crate) struct Tail {
    #[command(flatten)]
    which: Which,
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: usize,
    /// Go on with entries as they are published
    #[arg(long, short)]
    follow: bool,
    #[arg(long, value_name = "KIND", value_parser = kind, help = "Only these: call_intent, call_outcome, revocation, … [default: all but heartbeat]")]
    kind: Option<Kind>,
}

fn kind(text: &str) -> Result<Kind, String> {
    let names = || Kind::ALL.map(Kind::name).join(", ");
    Kind::named(text).ok_or_else(|| format!("there is no kind `{text}`; there are {}", names()))
}

pub(super) fn run(tail: &Tail, context: &Context) -> Result<Exit, CliError> {
    let epoch = tail.which.epoch(context)?;
    let mut size = entries::published(&epoch)?;
    print(&newest(tail, &epoch.dir, size)?, context);
    while tail.follow && context.out.is_open() {
        std::thread::sleep(LOOK_EVERY);
        let now = entries::published(&epoch)?;
        if now > size {
            let new = entries::leaves_of(&epoch.dir, size, now)?;
            print(&summaries(tail, &new), context);
            size = now;
        }
    }
    Ok(Exit::Fine)
}

/// The last lines that are wanted, read backwards as far as they reach.
fn newest(tail: &Tail, dir: &std::path::Path, size: u64) -> Result<Vec<Summary>, CliError> {
    let mut found: Vec<Summary> = Vec::new();
    let mut end = size;
    while end > 0 && found.len() < tail.lines {
        let from = end.saturating_sub(1) / remit_audit::tile::TILE_WIDTH * remit_audit::tile::TILE_WIDTH;
        let mut bundle = entries::leaves_of(dir, from, size)?;
        bundle.retain(|(index, _)| *index < end);
        let mut earlier = summaries(tail, &bundle);
        earlier.append(&mut found);
        found = earlier;
        end = from;
    }
    let surplus = found.len().saturating_sub(tail.lines);
    found.drain(..surplus);
    Ok(found)
}

fn summaries(tail: &Tail, leaves: &[(u64, Vec<u8>)]) -> Vec<Summary> {
    let all = leaves.iter().map(|(index, leaf)| Summary::of(*index, leaf));
    let wanted = |kind: Option<Kind>| tail.kind.map_or(kind != Some(Kind::Heartbeat), |only| kind == Some(only));
    all.filter(|summary| wanted(summary.kind)).collect()
}

/// One object a line with `--json`: there is no end to wait for.
fn print(summaries: &[Summary], context: &Context) {
    for summary in summaries {
        context.out.object(&summary.json(), |out| out.line(summary.line(out)));
    }
}
