//! `remit doctor`: what is wrong here, each with the command that mends it.

mod checks;
mod keys;
pub(crate) mod part;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::Style;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit doctor --json")]
pub(crate) struct Doctor {
    /// Leave out the verification of the logs, which takes seconds for each million entries
    #[arg(long)]
    quick: bool,
}

/// What one check found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn fine(check: &'static str, says: impl Into<String>) -> Self {
        Self { check, ok: true, says: says.into(), mend: None }
    }

    fn wrong(check: &'static str, says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, ok: false, says: says.into(), mend: Some(mend.into()) }
    }
}

pub(crate) fn run(doctor: &Doctor, context: &Context) -> Result<Exit, CliError> {
    let mut findings = checks::all(doctor.quick, context)?;
    let faults = &context.loaded.faults;
    findings.retain(|finding| finding.check != "config" || faults.is_empty());
    let wrong = |fault: &CliError| Finding::wrong("config", one_line(&fault.to_string()), one_line(fault.help_text()));
    findings.splice(0..0, faults.iter().map(wrong));
    let ok = findings.iter().all(|finding| finding.ok);
    context.out.facts(&json!({ "ok": ok, "checks": findings }), |out| {
        for finding in &findings {
            let (style, word) = if finding.ok { (Style::Good, "fine ") } else { (Style::Bad, "WRONG") };
            out.line(format!("{}  {:<12} {}", out.style(style, word), finding.check, finding.says));
            if let Some(mend) = &finding.mend {
                out.line(format!("       {:<12} mend it: {mend}", ""));
            }
        }
    });
    Ok(if ok { Exit::Fine } else { Exit::Findings })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
