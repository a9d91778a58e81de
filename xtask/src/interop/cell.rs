//! One client before one server in one era: what it must see, and what it saw.

use std::io;
use std::path::Path;

use super::clients::{self, Answer, Client, Era, Said, Task};
use super::home::Home;
use super::packages::Packages;
use super::questions::Questions;
use super::servers::{Call, Server};
use crate::say;

/// What must come of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The server's own answer.
    Answered,
    /// Refused by the gateway, with this code.
    Refused(&'static str),
    /// Not called by the client, which saw no such tool and says so in these words.
    NotCalled(&'static str),
}

/// The step before which the run is revoked.
const REVOKED: &str = "run revoked";

/// A call, what must come of it, and its name in what is reported.
pub(crate) struct Step {
    pub(crate) title: &'static str,
    pub(crate) call: Call,
    pub(crate) expected: Expected,
}

/// What was found in one cell.
pub(crate) struct Row {
    pub(crate) client: Client,
    pub(crate) server: &'static str,
    pub(crate) era: Era,
    /// The revision that was spoken, by the log.
    pub(crate) revision: String,
    pub(crate) run: String,
    /// What must stand in the log. None where the server does not speak the client's revision.
    pub(crate) steps: Vec<Step>,
    /// How the client shows what was refused, by the step's title.
    pub(crate) shown: Vec<(&'static str, String)>,
    pub(crate) faults: Vec<String>,
    /// Where it is about what the server asks of the client.
    pub(crate) questions: Option<Questions>,
}

/// Whether the client can say nothing but that this server does not speak its revision.
fn incompatible(server: &Server, era: Era) -> bool {
    era == Era::Modern && !server.modern
}

/// What the gateway and the authority answer while the disk is slower than their log waits for it, and its status.
const NOT_RECORDED: &[&str] = &["could not be recorded", "audit_unavailable", "503"];

type Parts<'a> = (Client, &'a Server, Era);

/// Everything of a cell but what the log says of it.
///
/// A refusal because the disk is busy says "try again", so that is done, once and aloud: how long a log waits is not what
/// is asked about here, and a machine that builds at the same time is no fault of a client or a server.
pub(crate) fn run(root: &Path, around: (&Home, &Packages), parts: Parts<'_>) -> Row {
    patiently(|suffix| attempt(root, around, parts, suffix))
}

/// Once more where the disk was busy, with this suffix of what it writes.
pub(crate) fn patiently(attempt: impl Fn(&str) -> Row) -> Row {
    let row = attempt("");
    let busy = |fault: &String| NOT_RECORDED.iter().any(|words| fault.contains(words));
    if !row.faults.iter().any(busy) {
        return row;
    }
    say(&format!("again, because the disk was busy: {} {} {}", row.client.name(), row.server, row.era.name()));
    attempt("-again")
}

fn attempt(root: &Path, around: (&Home, &Packages), (client, server, era): Parts<'_>, suffix: &str) -> Row {
    let name = format!("{:?}-{}-{}{suffix}", client, server.name, era.name()).to_lowercase();
    let steps = if incompatible(server, era) { Vec::new() } else { steps(client, server) };
    let (run, shown, faults) = match converse(root, around, (client, server, era), (&name, &steps)) {
        Ok((run, said)) => {
            let (shown, faults) = found(client, server, &steps, &said);
            (run, shown, faults)
        }
        Err(error) => (String::new(), Vec::new(), vec![error.to_string()]),
    };
    Row { client, server: server.name, era, revision: String::new(), run, steps, shown, faults, questions: None }
}

/// The run's id, and what its client saw.
fn converse(
    root: &Path,
    (home, packages): (&Home, &Packages),
    (client, server, era): Parts<'_>,
    (name, steps): (&str, &[Step]),
) -> io::Result<(String, Said)> {
    let scratch = home.scratch.join(name);
    std::fs::create_dir_all(&scratch)?;
    let run = home.request(server, &[], &format!("{} asks {}", client.name(), server.name))?;
    let calls: Vec<Call> = steps.iter().map(|step| step.call.clone()).collect();
    let task = Task { root, home, packages, server, era, run: &run, calls: &calls, scratch: &scratch };
    let said = clients::converse(client, &task)?;
    Ok((run, said))
}

type Shown = Vec<(&'static str, String)>;

/// How refusals were shown, and what was wrong. Without a step there was nothing to be said but that it cannot be.
fn found(client: Client, server: &Server, steps: &[Step], said: &Said) -> (Shown, Vec<String>) {
    match (said, steps.is_empty()) {
        (Said::Refused(why), true) => (vec![("other revision", short(why))], Vec::new()),
        (Said::Talked { .. }, true) => (Vec::new(), vec!["it spoke a revision that the server does not have".into()]),
        (Said::Refused(why), false) => (Vec::new(), vec![format!("no connection: {}", short(why))]),
        (Said::Talked { tools, answers }, false) => {
            (shown(steps, answers), judge(client, server, steps, tools, answers))
        }
    }
}

/// The calls in turn. The run is revoked before the last one.
fn steps(client: Client, server: &Server) -> Vec<Step> {
    let (allowed, _) = &server.allowed;
    let step = |title, call: &Call, expected| Step { title, call: call.clone(), expected };
    let unlisted = |code| match client.says_not_listed() {
        Some(words) => Expected::NotCalled(words),
        None => Expected::Refused(code),
    };
    vec![
        step("allowed", allowed, Expected::Answered),
        step("argument outside the grant", &server.outside, Expected::Refused("arguments_outside_grant")),
        step("tool not granted", &server.declared, unlisted("insufficient_scope")),
        step("tool not exposed", &server.hidden, unlisted("unknown")),
        step(REVOKED, allowed, Expected::Refused("revoked")),
    ]
}

fn judge(client: Client, server: &Server, steps: &[Step], tools: &[String], answers: &[Answer]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut listed: Vec<&str> = tools.iter().map(String::as_str).collect();
    listed.sort_unstable();
    if listed != server.granted {
        faults.push(format!("it lists {listed:?}, and was granted {:?}", server.granted));
    }
    if answers.len() != steps.len() {
        faults.push(format!("{} answers to {} calls", answers.len(), steps.len()));
    }
    for (step, answer) in steps.iter().zip(answers) {
        let good = match step.expected {
            Expected::Answered => !answer.error && answer.text.contains(server.allowed.1),
            // As of a tool that does not exist: it names no code.
            Expected::Refused("unknown") => answer.error && answer.text.contains("Unknown tool"),
            // Answers of the transport, which clients put into words of their own.
            Expected::Refused("insufficient_scope") => answer.error && answer.text.contains(client.says_forbidden()),
            Expected::Refused("revoked") => answer.error && answer.text.contains(client.says_unauthorized()),
            Expected::Refused(words) | Expected::NotCalled(words) => answer.error && answer.text.contains(words),
        };
        if !good {
            faults.push(format!("{}: it shows {:?}", step.title, short(&answer.text)));
        }
    }
    faults
}

fn shown(steps: &[Step], answers: &[Answer]) -> Shown {
    let refused = steps.iter().zip(answers).filter(|(step, _)| step.expected != Expected::Answered);
    refused.map(|(step, answer)| (step.title, short(&answer.text))).collect()
}

/// Longest text of a client that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 240;

pub(crate) fn short(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
