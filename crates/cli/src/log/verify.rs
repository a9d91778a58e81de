//! `remit log verify`: every leaf, tile and sealed frame, every signature, and that nothing is missing or too much.
//!
//! **Invariant:** it exits 0 only when every log that was found was read to its last byte and nothing was wrong; each
//! kind of fault has its own words, because each asks for another answer.

use std::path::PathBuf;

use clap::Args;
use remit_audit::ReadError;
use remit_audit::verify::{Report, VerifyError, verify_dir};
use remit_core::event::check_entry;
use serde::Serialize;

use super::places::{self, Epoch, Log};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::{Out, Style};

/// Longest file of keys, or checkpoint, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit log verify ./log --vkey trusted.vkey --since yesterday.checkpoint")]
pub(crate) struct Verify {
    /// A log: its directory, that of one epoch, or a Remit home with all its logs [default: the home]
    dir: Option<PathBuf>,
    /// The key that you trust to have signed it; without one, the log can only be consistent in itself
    #[arg(long, value_name = "FILE")]
    vkey: Option<PathBuf>,
    /// A checkpoint that you kept: the log must still begin with all that it covers
    #[arg(long, value_name = "CHECKPOINT")]
    since: Option<PathBuf>,
}

/// What was found in one epoch.
#[derive(Debug, Serialize)]
struct Finding {
    log: &'static str,
    dir: String,
    origin: String,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unpublished: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

pub(super) fn run(verify: &Verify, context: &Context) -> Result<Exit, CliError> {
    let dir = verify.dir.clone().unwrap_or_else(|| context.home.path().to_owned());
    let keys = verify.vkey.as_deref().map(text).transpose()?;
    let since = verify.since.as_deref().map(checkpoint).transpose()?;
    let logs = places::find(&dir)?;
    let trust = Trust { keys: keys.as_deref(), since: since.as_deref() };
    trust.since_is_here(&logs)?;
    let findings: Vec<Finding> = logs.iter().flat_map(|log| trust.check(log)).collect();
    let exit = findings.iter().map(|finding| finding.exit).max().unwrap_or(Exit::Unevaluated);
    // What could not be read is no proof that nothing was changed, but a change that was found comes first.
    let exit = findings.iter().find(|finding| finding.exit == Exit::Findings).map_or(exit, |found| found.exit);
    let said: Vec<String> = findings.iter().map(says).collect();
    let facts = serde_json::json!({ "ok": exit == Exit::Fine, "says": said.join("; "), "logs": findings });
    context.out.facts(&facts, |out| people(&findings, out));
    Ok(exit)
}

/// What the caller brings.
struct Trust<'a> {
    keys: Option<&'a str>,
    since: Option<&'a str>,
}

impl Trust<'_> {
    /// The trusted key of this origin; where none has its name, the first, which then is another log's.
    fn key(&self, origin: &str) -> Option<&str> {
        let lines = || self.keys.unwrap_or_default().lines().filter(|line| !line.trim().is_empty());
        let named = lines().find(|line| line.split('+').next() == Some(origin));
        self.keys.map(|_| named.or_else(|| lines().next()).unwrap_or_default())
    }

    fn since_is_here(&self, logs: &[Log]) -> Result<(), CliError> {
        let Some(origin) = self.since.map(|note| note.lines().next().unwrap_or_default()) else {
            return Ok(());
        };
        let mut epochs = logs.iter().flat_map(|log| &log.epochs);
        if epochs.any(|epoch| epoch.origin() == origin) {
            return Ok(());
        }
        Err(CliError::finding(
            format!("the log of that checkpoint is not here: {origin}"),
            "name the directory that it was taken from, or the checkpoint of a log that is here",
        ))
    }

    /// Every epoch; each must end as the first entry of the next one says.
    fn check(&self, log: &Log) -> Vec<Finding> {
        let mut next_says: Option<String> = None;
        let mut findings = Vec::new();
        for epoch in log.epochs.iter().rev() {
            let mine = self.since.filter(|note| note.lines().next() == Some(epoch.origin()));
            let mut previous = None;
            let mut first = |index: u64, leaf: &[u8]| {
                if index == 0 {
                    previous = super::entries::previous(leaf);
                }
            };
            let mut result = verify(epoch, self.key(epoch.origin()), mine, &mut first);
            let (end, other): (Option<String>, Option<String>) =
                if next_says.as_deref().is_some_and(|note| origin(note) == epoch.origin()) {
                    (next_says, None)
                } else {
                    (None, next_says)
                };
            findings.extend(other.map(|note| missing(log, epoch, &note)));
            if let (Ok(_), Some(end)) = (&result, &end) {
                result = verify(epoch, self.key(epoch.origin()), Some(end), &mut |_, _| ());
            }
            next_says = previous;
            findings.push(finding(log, epoch, result));
        }
        if let (Some(note), Some(oldest)) = (next_says, log.epochs.first()) {
            // Of a log with its epochs all must be there; of an epoch by itself nobody said so.
            let missing = missing(log, oldest, &note);
            match findings.last_mut().filter(|_| log.one) {
                Some(only) => only.remark = missing.why,
                None => findings.push(missing),
            }
        }
        findings.reverse();
        findings
    }
}

fn verify(
    epoch: &Epoch,
    key: Option<&str>,
    since: Option<&str>,
    seen: &mut dyn FnMut(u64, &[u8]),
) -> Result<Report, VerifyError> {
    verify_dir(&epoch.dir, key, since, &mut |index, leaf, sealed| {
        seen(index, leaf);
        check_entry(leaf, sealed).map(|_kind| ()).map_err(|error| error.to_string())
    })
}

/// The log's name with its epoch, as a checkpoint says it.
fn origin(note: &str) -> &str {
    note.lines().next().unwrap_or_default()
}

/// An epoch that another one names and that is not beside it.
fn missing(log: &Log, beside: &Epoch, note: &str) -> Finding {
    let number = origin(note).rsplit('/').next().unwrap_or_default();
    let size = note.lines().nth(1).unwrap_or_default();
    let why =
        format!("an earlier epoch is not here: {} ended with {size} entries, by its signed checkpoint", origin(note));
    Finding {
        dir: beside.dir.with_file_name(number).display().to_string(),
        origin: origin(note).to_owned(),
        result: "missing",
        why: Some(why),
        exit: Exit::Findings,
        ..blank(log, beside)
    }
}

fn finding(log: &Log, epoch: &Epoch, result: Result<Report, VerifyError>) -> Finding {
    let mut finding = blank(log, epoch);
    match result {
        Ok(report) => {
            finding.result = if report.trusted { "verified" } else { "self-consistent only" };
            finding.entries = Some(report.size);
            finding.unpublished = Some(report.unpublished);
            finding.root = Some(remit_core::hash::b64(&report.root));
            finding.trusted = Some(report.trusted);
            finding.live = Some(report.live);
        }
        Err(error) => {
            (finding.result, finding.exit) = kind(&error);
            finding.why = Some(error.to_string());
        }
    }
    finding
}

fn blank(log: &Log, epoch: &Epoch) -> Finding {
    Finding {
        log: log.name,
        dir: epoch.dir.display().to_string(),
        origin: epoch.origin().to_owned(),
        result: "verified",
        entries: None,
        unpublished: None,
        root: None,
        trusted: None,
        live: None,
        why: None,
        remark: None,
        exit: Exit::Fine,
    }
}

/// What happened to the log, in one word, and whether that is a finding.
pub(super) fn kind(error: &VerifyError) -> (&'static str, Exit) {
    match error {
        VerifyError::Read(ReadError::Io { .. }) => ("unreadable", Exit::Unevaluated),
        VerifyError::TrustedKey(_) => ("not a key", Exit::Unevaluated),
        VerifyError::Read(_) | VerifyError::Entry { .. } => ("changed", Exit::Findings),
        VerifyError::OtherKey { .. } => ("signed with another key", Exit::Findings),
        VerifyError::Since(_) => ("another log than that checkpoint's", Exit::Findings),
        VerifyError::Truncated { .. } => ("truncated", Exit::Findings),
        VerifyError::Forked { .. } => ("rewritten", Exit::Findings),
    }
}

/// One epoch in one line.
fn says(finding: &Finding) -> String {
    match (&finding.why, finding.entries) {
        (Some(why), _) if why.starts_with(finding.result) => why.clone(),
        (Some(why), _) => format!("{}: {why}", finding.result),
        (None, entries) => format!("{}: {} entries of {}", finding.result, entries.unwrap_or_default(), finding.origin),
    }
}

fn people(findings: &[Finding], out: &Out) {
    for finding in findings {
        let style = if finding.exit == Exit::Fine { Style::Good } else { Style::Bad };
        let what = out.style(style, finding.result.to_uppercase());
        out.line(format!("{what}  {} log, {}", finding.log, finding.dir));
        if let Some(why) = &finding.why {
            out.line(format!("  {why}"));
            out.line(format!("  {}", next(finding.result)));
        }
        if let (Some(entries), Some(root)) = (finding.entries, &finding.root) {
            let live = if finding.live == Some(true) { ", in use (or copied while it was)" } else { "" };
            out.line(format!("  {}: {entries} entries, root {root}{live}", finding.origin));
        }
        if let Some(remark) = &finding.remark {
            out.line(format!("  {remark}"));
            out.line("  name the directory above this one to have all epochs looked at: remit log verify DIR");
        }
        if finding.trusted == Some(false) {
            out.line("  no trusted key is named, so whoever holds this directory could have written all of it anew:");
            out.line("  remit log verify DIR --vkey FILE, with a key that you got by another road");
        }
    }
}

fn next(result: &str) -> &'static str {
    match result {
        "changed" => "put back a copy from before the change, and find out who could write here",
        "missing" => "look for a copy of that directory: nothing else shows what was in it",
        "truncated" => "entries that were signed are gone: look for a copy that has them",
        "rewritten" => "its key signed two histories: keep both, and revoke the key",
        "signed with another key" => "this is not the log that you trust, however consistent it is in itself",
        "not a key" => "--vkey takes a file that holds `name+id+key`, such as a log's own `vkey`",
        "unreadable" => "read it as a user who may",
        _ => "name the log that this checkpoint was taken from",
    }
}

/// A file that looks like a checkpoint (C2SP tlog-checkpoint): name, size, root, and a signature below.
fn checkpoint(path: &std::path::Path) -> Result<String, CliError> {
    let note = text(path)?;
    let mut lines = note.lines();
    let origin = lines.next().is_some_and(|line| !line.is_empty());
    let size = lines.next().is_some_and(|line| line.parse::<u64>().is_ok());
    let root = lines.next().is_some_and(|line| !line.is_empty());
    if origin && size && root && lines.any(|line| line.starts_with("— ")) {
        return Ok(note);
    }
    Err(CliError::unevaluated(
        format!("{}: not a checkpoint", path.display()),
        "--since takes a copy of the file `checkpoint` of a log's epoch",
    ))
}

fn text(path: &std::path::Path) -> Result<String, CliError> {
    let failed = |why: String| {
        CliError::unevaluated(
            format!("{}: {why}", path.display()),
            "name a file that holds it: remit log verify --help",
        )
    };
    let meta = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if meta.len() > FILE_BYTES_MAX {
        return Err(failed("larger than 1 MiB".into()));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}
