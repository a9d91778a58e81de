//! What a server asks of the user, the model or the client, with a real client and a real server: where it is granted
//! it is asked, marked and answered, and where it is not nobody hears of it.

use std::io;
use std::path::Path;

use serde_json::json;

use super::asking::{Asking, Probe};
use super::cell::{self, Row, short};
use super::clients::python::{self, Question};
use super::clients::{Answer, Client, Era, Said, Task};
use super::home::Home;
use super::packages::Packages;
use super::record::Asked;
use super::servers::{Call, Server};

/// What is expected of a row.
pub(crate) struct Questions {
    pub(crate) granted: bool,
    /// The features by which the server asks.
    asks: Vec<&'static str>,
    /// How many tools are called.
    calls: usize,
}

/// The server, the era of the client, and whether the features are granted.
pub(crate) type Parts<'a> = (&'a Asking, Era, bool);

/// All rows of these servers.
pub(crate) fn rows(all: &[Asking]) -> impl Iterator<Item = Parts<'_>> {
    let each = |asking| move |era: &Era| [true, false].map(|granted| (asking, *era, granted));
    all.iter().flat_map(move |asking| asking.eras.iter().flat_map(each(asking)))
}

/// Everything of a row but what the log says of it.
pub(crate) fn run(root: &Path, around: (&Home, &Packages), parts: Parts<'_>) -> Row {
    cell::patiently(|suffix| attempt(root, around, parts, suffix))
}

fn attempt(root: &Path, around: (&Home, &Packages), parts: Parts<'_>, suffix: &str) -> Row {
    let (asking, era, granted) = parts;
    let (run, shown, faults) = match converse(root, around, parts, suffix) {
        Ok((run, asked, Said::Talked { answers, .. })) => {
            let mut faults = heard(asking, granted, &asked);
            faults.extend(answered(asking, era, granted, &answers));
            (run, if granted { Vec::new() } else { shown(&asking.probes, &answers) }, faults)
        }
        Ok((run, _, Said::Refused(why))) => (run, Vec::new(), vec![format!("no connection: {}", short(&why))]),
        Err(error) => (String::new(), Vec::new(), vec![error.to_string()]),
    };
    let asks = asking.probes.iter().flat_map(|probe| probe.asks).copied().collect();
    let questions = Some(Questions { granted, asks, calls: asking.probes.len() });
    let (client, server, revision) = (Client::Python, asking.server.name, String::new());
    Row { client, server, era, revision, run, steps: Vec::new(), shown, faults, questions }
}

/// The run's id, what its client was asked, and what its user saw.
fn converse(
    root: &Path,
    (home, packages): (&Home, &Packages),
    (asking, era, granted): Parts<'_>,
    suffix: &str,
) -> io::Result<(String, Vec<Question>, Said)> {
    let server = &asking.server;
    let scratch = home.scratch.join(format!("{}-{}-{granted}{suffix}", server.name, era.name()));
    std::fs::create_dir_all(&scratch)?;
    let features = if granted { server.features } else { &[] };
    let run = home.request(server, features, &format!("{} asks its client", server.name))?;
    let calls: Vec<Call> = asking.probes.iter().map(|probe| probe.call.clone()).collect();
    let task = Task { root, home, packages, server, era, run: &run, calls: &calls, scratch: &scratch };
    let (asked, said) = python::answering(&task)?;
    Ok((run, asked, said))
}

/// What is wrong with what the client was asked.
fn heard(asking: &Asking, granted: bool, asked: &[Question]) -> Vec<String> {
    if !granted {
        let unasked = |question: &Question| format!("it was asked by {}, which was not granted", question.method);
        return asked.iter().map(unasked).collect();
    }
    let mut faults = Vec::new();
    for feature in asking.probes.iter().flat_map(|probe| probe.asks) {
        match asked.iter().find(|question| question.method == method(feature)) {
            None => faults.push(format!("it was not asked by {}", method(feature))),
            Some(question) if !marked(question, asking.server.name) => {
                faults.push(format!("{} shows {:?} of {}", question.method, short(&question.words), question.source));
            }
            Some(_) => {}
        }
    }
    faults
}

/// Whether the one who reads it sees whose words they are. Nobody reads a question for folders.
fn marked(question: &Question, server: &str) -> bool {
    let source = json!({ "server": server, "trust": "untrusted" });
    let begin = match question.method.as_str() {
        "elicitation/create" => format!("The server `{server}` asks, in its own words"),
        "sampling/createMessage" => format!("Everything in this request was written by the MCP server `{server}`"),
        _ => return true,
    };
    question.words.starts_with(&begin) && question.source == source
}

/// What is wrong with the results of the calls.
fn answered(asking: &Asking, era: Era, granted: bool, answers: &[Answer]) -> Vec<String> {
    let mut faults = Vec::new();
    if answers.len() != asking.probes.len() {
        faults.push(format!("{} answers to {} calls", answers.len(), asking.probes.len()));
    }
    for (probe, answer) in asking.probes.iter().zip(answers) {
        let [legacy, modern] = probe.untold;
        let untold = if era == Era::Modern { modern } else { legacy };
        let good =
            if granted { answer.text.contains(probe.told) && !answer.error } else { answer.text.contains(untold) };
        if !good {
            faults.push(format!("{}: it shows {:?}", probe.call.tool, short(&answer.text)));
        }
    }
    faults
}

fn shown(probes: &[Probe], answers: &[Answer]) -> Vec<(&'static str, String)> {
    let refused = probes.iter().zip(answers).filter(|(probe, _)| !probe.asks.is_empty());
    refused.map(|(probe, answer)| (probe.call.tool, short(&answer.text))).collect()
}

fn method(feature: &str) -> &'static str {
    match feature {
        "elicitation" => "elicitation/create",
        "sampling" => "sampling/createMessage",
        _ => "roots/list",
    }
}

/// What the log lacks of a row, or has too much of.
pub(crate) fn lacks(questions: &Questions, row: &Row, server: &Server, own: &[&Asked]) -> Vec<String> {
    let mut faults: Vec<String> = calls(questions, row, own).into_iter().collect();
    let is_question =
        |asked: &&&Asked| asked.kind == "method" && questions.asks.iter().any(|f| asked.operation == method(f));
    let mut put = own.iter().filter(is_question);
    if questions.granted {
        faults.extend(questions.asks.iter().filter_map(|feature| unanswered(feature, row, own)));
        // The first question, and nothing else, makes the run untrusted.
        let first = put.next().map(|asked| (asked.trust.0.as_str(), asked.trust.1.as_str()));
        if first.is_none_or(|(before, after)| before == "untrusted" || after != "untrusted") {
            faults.push(format!("log: the first question moves the label so: {first:?}"));
        }
        return faults;
    }
    let of_client = |asked: &&&Asked| asked.resource == "mcp.client" || !asked.answers.is_empty();
    if put.clone().any(|asked| asked.verdict == "permit") || own.iter().any(|asked| of_client(&asked)) {
        faults.push("log: something was asked or answered, and nothing of it was granted".into());
    }
    if own.iter().any(|asked| asked.trust.1 == "untrusted") {
        faults.push("log: the run is untrusted, and was asked nothing".into());
    }
    // A child is told no where its question belongs to nobody who could answer it.
    if server.url.is_some() && !put.any(|asked| asked.code == "insufficient_scope") {
        faults.push("log: no question was refused".into());
    }
    faults
}

/// What is missing of a question that was granted.
fn unanswered(feature: &str, row: &Row, own: &[&Asked]) -> Option<String> {
    let done = |asked: &Asked| asked.verdict == "permit" && asked.status.as_deref() == Some("ok");
    let of_client = format!("{}/{feature}", row.server);
    let asks = |asked: &Asked| asked.kind == "method" && asked.operation == method(feature);
    let answers = |asked: &Asked| match row.era {
        // On the way of the call that is made again.
        Era::Modern => asked.operation == "tools/call" && asked.answers.iter().any(|name| name == feature),
        _ => asked.resource == "mcp.client" && asked.tool == of_client,
    };
    let found = |which: &dyn Fn(&Asked) -> bool| own.iter().any(|asked| which(asked) && done(asked));
    match (found(&asks), found(&answers)) {
        (true, true) => None,
        (asked, _) => {
            Some(format!("log: no {} that was permitted: {feature}", if asked { "answer" } else { "question" }))
        }
    }
}

/// What is wrong with the calls of tools.
fn calls(questions: &Questions, row: &Row, own: &[&Asked]) -> Option<String> {
    let calls = || own.iter().filter(|asked| asked.operation == "tools/call");
    let asked_first = |asked: &&&Asked| asked.status.as_deref() == Some("asked");
    // In the modern era what is asked ends a call, which is made again if it may be answered.
    let modern = usize::from(row.era == Era::Modern);
    let due = questions.calls + if questions.granted { modern } else { 0 };
    let (made, first) =
        (calls().filter(|asked| asked.verdict == "permit").count(), calls().filter(asked_first).count());
    let good = (made, first) == (due, modern) && calls().count() == made;
    (!good)
        .then(|| format!("log: {due} calls were to be permitted, {modern} to be asked first; {made} and {first} were"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_say_whose_they_are_count_as_marked() {
        let source = json!({ "server": "tickets", "trust": "untrusted" });
        let question = |method: &str, words: &str, source: &serde_json::Value| {
            let (method, words) = (method.to_owned(), words.to_owned());
            marked(&Question { method, words, source: source.clone() }, "tickets")
        };
        let words = "The server `tickets` asks, in its own words, which nobody reviewed: who?";
        assert!(question("elicitation/create", words, &source));
        assert!(!question("elicitation/create", "who?", &source));
        assert!(!question("elicitation/create", words, &serde_json::Value::Null));
        assert!(!question("elicitation/create", &words.replace("tickets", "git"), &source));
        assert!(!question("sampling/createMessage", words, &source));
        assert!(question("roots/list", "", &serde_json::Value::Null));
    }
}
