//! `remit log fsck`: all that `verify` does, and every segment, signature and stray file. It changes nothing.

use std::path::PathBuf;

use clap::Args;
use remit_audit::fsck::{Report, fsck_dir};
use remit_audit::verify::VerifyError;
use remit_core::event::check_entry;
use serde_json::json;

use super::places;
use super::verify::kind;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::Style;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit log fsck ~/.local/state/remit")]
pub(crate) struct Fsck {
    /// A log: its directory, that of one epoch, or a Remit home [default: the home]
    dir: Option<PathBuf>,
}

pub(super) fn run(fsck: &Fsck, context: &Context) -> Result<Exit, CliError> {
    let dir = fsck.dir.clone().unwrap_or_else(|| context.home.path().to_owned());
    let mut worst = Exit::Fine;
    let mut found = Vec::new();
    for log in places::find(&dir)? {
        for epoch in &log.epochs {
            let mut check = |_: u64, leaf: &[u8], sealed: &[u8]| {
                check_entry(leaf, sealed).map(|_kind| ()).map_err(|error| error.to_string())
            };
            let result = fsck_dir(&epoch.dir, None, &mut check);
            let exit = result.as_ref().map_or_else(|error| kind(error).1, |_| Exit::Fine);
            if worst == Exit::Fine || exit == Exit::Findings {
                worst = exit;
            }
            found.push((log.name, epoch.dir.display().to_string(), result));
        }
    }
    let facts = json!({ "ok": worst == Exit::Fine, "logs": found.iter().map(fact).collect::<Vec<_>>() });
    context.out.facts(&facts, |out| {
        for (log, dir, result) in &found {
            match result {
                Ok(report) => {
                    let clean = out.style(Style::Good, "CLEAN");
                    out.line(format!("{clean}  {log} log, {dir}: {}", counts(report)));
                }
                Err(error) => {
                    let what = out.style(Style::Bad, kind(error).0.to_uppercase());
                    out.line(format!("{what}  {log} log, {dir}"));
                    out.line(format!("  {error}"));
                    out.line("  is the log in use? stop it first; starting it again is what repairs a crash");
                }
            }
        }
    });
    Ok(worst)
}

fn counts(report: &Report) -> String {
    format!(
        "{} entries, {} of them in segments only; {} groups in {} segments, {} spare; {} unfinished files, {} torn frames",
        report.log.size,
        report.log.unpublished,
        report.groups,
        report.segments,
        report.spares,
        report.unfinished,
        report.log.torn_frames,
    )
}

fn fact((log, dir, result): &(&'static str, String, Result<Report, VerifyError>)) -> serde_json::Value {
    match result {
        Ok(report) => json!({
            "log": log, "dir": dir, "result": "clean", "entries": report.log.size,
            "unpublished": report.log.unpublished, "groups": report.groups, "segments": report.segments,
            "spares": report.spares, "unfinished": report.unfinished, "torn_frames": report.log.torn_frames,
        }),
        Err(error) => json!({ "log": log, "dir": dir, "result": kind(error).0, "why": error.to_string() }),
    }
}
