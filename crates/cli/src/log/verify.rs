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
    log: String,
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
    #[serde(skip)]
    exit: Exit,
}

pub(super) fn run(verify: &Verify, context: &Context) -> Result<Exit, CliError> {
    let dir = verify.dir.clone().unwrap_or_else(|| context.home.path().to_owned());
    let keys = verify.vkey.as_deref().map(text).transpose()?;
    let since = verify.since.as_deref().map(text).transpose()?;
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
            if let (Ok(_), Some(end)) = (&result, &next_says) {
                result = verify(epoch, self.key(epoch.origin()), Some(end), &mut |_, _| ());
            }
            next_says = previous;
            findings.push(finding(log, epoch, result));
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

fn finding(log: &Log, epoch: &Epoch, result: Result<Report, VerifyError>) -> Finding {
    let mut finding = Finding {
        log: log.name.clone(),
        dir: epoch.dir.display().to_string(),
        origin: epoch.origin().to_owned(),
        result: "verified",
        entries: None,
        unpublished: None,
        root: None,
        trusted: None,
        live: None,
        why: None,
        exit: Exit::Fine,
    };
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
            let live = if finding.live == Some(true) { ", in use" } else { "" };
            out.line(format!("  {}: {entries} entries, root {root}{live}", finding.origin));
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
        "truncated" => "entries that were signed are gone: look for a copy that has them",
        "rewritten" => "its key signed two histories: keep both, and revoke the key",
        "signed with another key" => "this is not the log that you trust, however consistent it is in itself",
        "not a key" => "--vkey takes a file that holds `name+id+key`, such as a log's own `vkey`",
        "unreadable" => "read it as a user who may",
        _ => "name the log that this checkpoint was taken from",
    }
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
