//! `remit log prove`: a proof that an entry is in the log, for somebody who has the log's key and nothing else; and
//! checking one, offline.

use std::path::{Path, PathBuf};

use clap::Args;
use remit_audit::note::Verifier;
use remit_audit::receipt::TlogProof;
use remit_audit::{durable, prove_dir};
use remit_core::event::{Kind, Opened, OpenedOutcome, OutcomeStatement, Statement, StatementError, read};
use serde::{Deserialize, Serialize};

use super::{Which, entries};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::{Out, Style, named, quoted, visible};
use crate::time::utc;

/// Largest evidence file, in bytes: a leaf and a frame of the greatest size fit.
const EVIDENCE_BYTES_MAX: u64 = 32 << 20;
const FORMAT: &str = "remit.evidence/v1";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit log prove 41                                       the proof alone (c2sp.org/tlog-proof)
  remit log prove 41 --disclose --out evidence.json        with everything that it proves
  remit log prove --check evidence.json --vkey log.vkey    offline, anywhere")]
pub(crate) struct Prove {
    /// Index of the entry
    #[arg(required_unless_present = "check")]
    index: Option<u64>,
    #[command(flatten)]
    which: Which,
    /// Open its sealed frame too: arguments, reason and names
    #[arg(long, conflicts_with = "check")]
    disclose: bool,
    /// Write a file with all that is needed to check it
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Check such a file
    #[arg(long, value_name = "FILE", conflicts_with = "index")]
    check: Option<PathBuf>,
    /// The key that you trust to have signed the log
    #[arg(long, value_name = "FILE", requires = "check")]
    vkey: Option<PathBuf>,
    /// The exact bytes of a result, to prove that they are what came back
    #[arg(long, value_name = "FILE", requires = "check")]
    result: Option<PathBuf>,
}

/// An evidence file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence {
    format: String,
    /// The log's key, as the log says. Whoever checks brings one that he trusts.
    vkey: String,
    /// The `.tlog-proof`.
    proof: String,
    /// The leaf, which is canonical JSON.
    leaf: String,
    /// The sealed frame, opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frame: Option<String>,
}

pub(super) fn run(prove: &Prove, context: &Context) -> Result<Exit, CliError> {
    match (&prove.check, prove.index) {
        (Some(file), _) => check(file, prove, context),
        (None, Some(index)) => make(prove, index, context),
        (None, None) => Err(CliError::unevaluated("no entry is named", "remit log prove INDEX")),
    }
}

fn make(prove: &Prove, index: u64, context: &Context) -> Result<Exit, CliError> {
    let epoch = prove.which.epoch(context)?;
    let entry = entries::one(&epoch, index)?;
    let proof = prove_dir(&epoch.dir, index).map_err(|error| {
        CliError::unevaluated(
            format!("entry {index} cannot be proved: {error}"),
            "a new entry is published within a second: try again",
        )
    })?;
    let frame = prove.disclose.then(|| open(context, &entry)).transpose()?;
    let evidence = Evidence {
        format: FORMAT.into(),
        vkey: epoch.vkey.clone(),
        proof: proof.text(),
        leaf: String::from_utf8_lossy(&entry.leaf).into_owned(),
        frame,
    };
    let statement = stated(&evidence, None)?;
    if let Some(file) = &prove.out {
        write(file, &evidence)?;
    }
    let facts = serde_json::json!({
        "index": index, "origin": epoch.origin(), "proof": evidence.proof, "statement": statement, "file": prove.out,
    });
    context.out.facts(&facts, |out| {
        match (&statement, prove.disclose) {
            (Some(statement), true) => out.line(sentence(statement)),
            _ if prove.out.is_none() => out.lines(evidence.proof.trim_end()),
            _ => {}
        }
        if let Some(file) = &prove.out {
            let next = format!("check it anywhere: remit log prove --check {} --vkey FILE", file.display());
            out.line(format!("written to {}; {next}", file.display()));
        }
    });
    Ok(Exit::Fine)
}

fn open(context: &Context, entry: &entries::Entry) -> Result<String, CliError> {
    let (_, node) = read(&entry.leaf).ok_or_else(not_an_event)?;
    let vault = entries::vault(context)?;
    let plain = entries::unseal(&vault, &node, &entry.sealed)
        .map_err(|error| CliError::unevaluated(error, "the proof itself still holds: leave --disclose away"))?;
    String::from_utf8(plain).map_err(|_| not_an_event())
}

fn not_an_event() -> CliError {
    CliError::finding("the entry is not an event", "see what is wrong: remit log verify")
}

fn check(file: &Path, prove: &Prove, context: &Context) -> Result<Exit, CliError> {
    let evidence: Evidence = serde_json::from_str(&text(file)?).map_err(|error| {
        CliError::unevaluated(
            format!("{} is not an evidence file: {error}", file.display()),
            "make one: remit log prove INDEX --out FILE",
        )
    })?;
    let own = prove.vkey.as_deref().map(text).transpose()?;
    let result = prove.result.as_deref().map(bytes).transpose()?;
    let vkey = own.as_deref().unwrap_or(&evidence.vkey);
    let key = Verifier::parse(vkey.trim_end()).map_err(|error| {
        CliError::unevaluated(error, "--vkey takes a file that holds `name+id+key`, such as a log's own `vkey`")
    })?;
    let refused = |why: &dyn std::fmt::Display| {
        CliError::finding(format!("NOT PROVED: {why}"), "ask for the evidence again, and for the log itself")
    };
    let proof = TlogProof::parse(&evidence.proof).map_err(|error| refused(&error))?;
    let checkpoint = proof.verify(evidence.leaf.as_bytes(), &key).map_err(|error| {
        let other = own.is_some() && Verifier::parse(&evidence.vkey).is_ok_and(|found| found != key);
        if other { refused(&"it is signed with another key than the trusted one") } else { refused(&error) }
    })?;
    let statement = stated(&evidence, result.as_deref())?;
    let facts = serde_json::json!({
        "proved": true, "trusted": own.is_some(), "origin": checkpoint.origin, "index": proof.index,
        "size": checkpoint.size, "statement": statement, "sentence": statement.as_ref().map(sentence),
    });
    context.out.facts(&facts, |out| {
        proved(own.is_some(), &format!("entry {} of {}", proof.index, checkpoint.origin), out);
        if let Some(statement) = &statement {
            out.line(sentence(statement));
        }
    });
    Ok(Exit::Fine)
}

fn proved(trusted: bool, what: &str, out: &Out) {
    if trusted {
        out.line(format!("{}  {what}", out.style(Style::Good, "PROVED")));
    } else {
        out.line(format!("{}  {what}", out.style(Style::Good, "SELF-CONSISTENT ONLY")));
        out.line("  no trusted key is named: remit log prove --check FILE --vkey KEY");
    }
}

/// What an entry states.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Said {
    Call(Box<Statement>),
    Outcome(OutcomeStatement),
}

/// What the entry of a call, or of its outcome, states; nothing where it is another kind of entry.
fn stated(evidence: &Evidence, result: Option<&[u8]>) -> Result<Option<Said>, CliError> {
    let wrong = |error: &dyn std::fmt::Display| {
        CliError::finding(format!("NOT PROVED: {error}"), "ask for the evidence again, and for the log itself")
    };
    let (leaf, frame) = (evidence.leaf.as_bytes(), evidence.frame.as_deref());
    let kind = read(leaf).map(|(kind, _)| kind);
    if result.is_some() && kind != Some(Kind::CallOutcome) {
        return Err(wrong(&StatementError::NotAnOutcome));
    }
    match (kind, frame) {
        (Some(Kind::CallOutcome), frame) => {
            let opened = frame.map(serde_json::from_str::<OpenedOutcome>).transpose().map_err(|error| wrong(&error))?;
            let said = match (opened, result) {
                (Some(opened), Some(result)) => OutcomeStatement::with_result(leaf, &opened, result),
                (None, Some(_)) => Err(StatementError::Frame),
                (_, None) => OutcomeStatement::read(leaf),
            };
            said.map(|said| Some(Said::Outcome(said))).map_err(|error| wrong(&error))
        }
        (_, None) => Ok(Statement::read(leaf, None).ok().map(|said| Said::Call(Box::new(said)))),
        (kind, Some(frame)) => {
            let opened: Opened = serde_json::from_str(frame).map_err(|error| wrong(&error))?;
            if kind == Some(Kind::Method) {
                return opened.check(leaf).map(|_| None).map_err(|error| wrong(&error));
            }
            let said = Statement::read(leaf, Some(&opened)).map_err(|error| wrong(&error))?;
            Ok(Some(Said::Call(Box::new(said))))
        }
    }
}

fn sentence(said: &Said) -> String {
    let sentence = match said {
        Said::Call(said) => of_call(said),
        Said::Outcome(said) => of_outcome(said),
    };
    // It is one line wherever it is read, also out of JSON.
    visible(&sentence).into_owned()
}

fn of_outcome(said: &OutcomeStatement) -> String {
    let result = match said.result_bytes {
        None => String::from("there was no result"),
        Some(bytes) if said.result_proved => format!("the result of {bytes} bytes is exactly the given one"),
        Some(bytes) => format!("its result has {bytes} bytes: --result FILE proves which"),
    };
    let at = utc(said.at_ms.div_euclid(1000));
    format!(
        "At {at} the call of entry {} ended with `{}` after {} µs; {result}.",
        said.intent, said.status, said.duration_us
    )
}

/// The whole statement in one sentence.
fn of_call(said: &Statement) -> String {
    let agent = remit_core::id::AgentId::parse(&said.agent)
        .map_or_else(|_| said.agent.clone(), |id| format!("{}/{} version {}", id.team, id.name, id.version));
    let spawned = match said.spawned_by.as_slice() {
        [] => "launched from outside every run".to_owned(),
        chain => format!("spawned by {}", chain.join(", spawned by ")),
    };
    let user =
        said.user_name.as_ref().map_or_else(|| said.user.clone(), |name| format!("{} ({})", named(name), said.user));
    let because = said.because.as_deref().map_or_else(|| "(not disclosed)".to_owned(), quoted);
    let whose = if said.because_trust == "verified" { "" } else { " (words from inside the run)" };
    let arguments = said.arguments.as_deref().unwrap_or("(not disclosed)");
    let called = if said.verdict == "permit" { "called" } else { "was refused" };
    let policies = if said.policies.is_empty() { "no policy".to_owned() } else { said.policies.join(", ") };
    format!(
        "At {} agent {agent}, {spawned}, for user {user}, because {because}{whose}, until {} (granted by {}), {called} {} \
         with exactly {arguments} under policy {policies} of bundle {} ({}).",
        utc(said.at),
        utc(said.until),
        named(&said.granted_by),
        named(&said.tool),
        said.bundle.0,
        said.bundle.1,
    )
}

fn write(file: &Path, evidence: &Evidence) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(evidence).unwrap_or_default();
    durable::write(file, text.as_bytes(), 0o600).map_err(|error| {
        CliError::unevaluated(format!("{}: {error}", file.display()), "name a file that can be written: --out FILE")
    })
}

fn text(path: &Path) -> Result<String, CliError> {
    String::from_utf8(bytes(path)?).map_err(|error| unreadable(path, &error))
}

fn bytes(path: &Path) -> Result<Vec<u8>, CliError> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > EVIDENCE_BYTES_MAX => Err(unreadable(path, &"larger than 32 MiB")),
        _ => std::fs::read(path).map_err(|error| unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> CliError {
    CliError::unevaluated(format!("{}: {why}", path.display()), "name a file that can be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_one_line_and_what_others_word_stays_within_its_quotes() {
        let said = Statement {
            agent: "spiffe://acme.example/agent/docs/reader/1.0.0".into(),
            spawned_by: vec![],
            user: "u-1".into(),
            user_name: Some("ann (u-2), because \"".into()),
            because: Some("x\u{1b}[2J\nPROVED\u{202e}\", until noon".into()),
            because_trust: "verified".into(),
            until: 0,
            granted_by: "policy".into(),
            tool: "notes/read_note".into(),
            pin: String::new(),
            arguments: Some("{\"id\":\n3}".into()),
            disclosed: std::collections::BTreeMap::new(),
            verdict: "permit".into(),
            policies: vec![],
            bundle: (1, "d".into()),
            at: 0,
        };
        let sentence = sentence(&Said::Call(Box::new(said)));
        for part in [
            r#"for user "ann (u-2), because \"" (u-1), because "x\u{1b}[2J\u{a}PROVED\u{202e}\", until noon", until 1970"#,
            r#"with exactly {"id":\u{a}3} under"#,
        ] {
            assert!(sentence.contains(part), "{sentence}");
        }
    }
}
