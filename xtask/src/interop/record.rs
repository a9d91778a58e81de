//! What the log says of each cell, read after the gateway has ended: verified by `remit`, and then read from its files as
//! anybody can who knows their public format.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::Value;

use super::cell::{Expected, Row, Step};
use super::clients::{Era, tool_use_id};
use super::home::Home;
use super::questions;
use super::servers::Server;

/// The revision without a handshake.
const MODERN: &str = "2026-07-28";
/// How what was permitted may end where client, gateway and server understand each other. What a server does not offer it
/// answers with an error, and a client that leaves ends its streams.
const ENDINGS: &[&str] = &["ok", "rpc_error", "cancelled", "revoked"];
/// Entries of a full bundle.
const BUNDLE_ENTRIES: usize = 256;

/// A message of a client, with what came of it.
#[derive(Default)]
pub(crate) struct Asked {
    run: String,
    /// Of the entry.
    pub(crate) kind: String,
    /// The method.
    pub(crate) operation: String,
    revision: String,
    /// What kind of thing is asked for.
    pub(crate) resource: String,
    pub(crate) tool: String,
    pub(crate) verdict: String,
    /// How far the root could be trusted before, and from here on.
    pub(crate) trust: (String, String),
    /// The features by which the server asked what this answers on its way.
    pub(crate) answers: Vec<String>,
    /// Why it was refused.
    pub(crate) code: String,
    tool_use_id: String,
    /// Of the outcome, where one was recorded.
    pub(crate) status: Option<String>,
}

/// The figures of the whole log.
pub(crate) struct Figures {
    pub(crate) entries: usize,
    pub(crate) intents: usize,
    pub(crate) outcomes: usize,
    /// What is wrong with the log itself.
    pub(crate) faults: Vec<String>,
}

/// Verifies the log, and adds to each row what the log lacks of it.
pub(crate) fn check<'a>(
    home: &Home,
    servers: &(impl Iterator<Item = &'a Server> + Clone),
    rows: &mut [Row],
) -> io::Result<Figures> {
    let log = home.log()?;
    let leaves = leaves(&log)?;
    let mut faults: Vec<String> = unverified(home, &log, leaves.len()).into_iter().collect();
    let asked = read(&leaves);
    for row in rows {
        let own: Vec<&Asked> = asked.values().filter(|asked| asked.run == row.run).collect();
        let calls = own.iter().find(|asked| asked.operation == "tools/call");
        row.revision = calls.map(|asked| asked.revision.clone()).unwrap_or_default();
        let found = servers.clone().find(|server| server.name == row.server).map(|server| lacks(row, server, &own));
        row.faults.extend(found.into_iter().flatten());
    }
    let permitted = |asked: &&Asked| asked.verdict == "permit";
    let open = asked.values().filter(permitted).filter(|asked| asked.status.is_none()).count();
    if open > 0 {
        faults.push(format!("{open} permitted messages have no outcome"));
    }
    let outcomes = asked.values().filter(|asked| asked.status.is_some()).count();
    Ok(Figures { entries: leaves.len(), intents: asked.len(), outcomes, faults })
}

/// Why the log is not what was signed with the key that was kept.
fn unverified(home: &Home, log: &Path, entries: usize) -> Option<String> {
    let vkey = home.vkey.display().to_string();
    let facts = match home.facts(&["log", "verify", &log.display().to_string(), "--vkey", &vkey]) {
        Ok(facts) => facts,
        Err(error) => return Some(error.to_string()),
    };
    let trusted = facts.pointer("/logs/0/trusted") == Some(&Value::Bool(true));
    let all = facts.pointer("/logs/0/entries").and_then(Value::as_u64) == u64::try_from(entries).ok();
    let good = facts.get("ok") == Some(&Value::Bool(true)) && trusted && all;
    (!good).then(|| format!("of {entries} entries, remit log verify says: {facts}"))
}

/// Every entry, from the bundles that the checkpoint covers.
fn leaves(log: &Path) -> io::Result<Vec<Value>> {
    let checkpoint = std::fs::read_to_string(log.join("checkpoint"))?;
    let size: usize = checkpoint.lines().nth(1).and_then(|line| line.parse().ok()).ok_or_else(malformed)?;
    let mut leaves = Vec::new();
    while leaves.len() < size {
        let (bundle, rest) = (leaves.len() / BUNDLE_ENTRIES, size - leaves.len());
        let name = if rest < BUNDLE_ENTRIES { format!("{bundle:03}.p/{rest}") } else { format!("{bundle:03}") };
        let bytes = std::fs::read(log.join("tile/entries").join(name))?;
        let mut bytes = bytes.as_slice();
        for _ in 0..rest.min(BUNDLE_ENTRIES) {
            let (length, after) = bytes.split_first_chunk::<2>().ok_or_else(malformed)?;
            let (leaf, after) = after.split_at_checked(u16::from_be_bytes(*length).into()).ok_or_else(malformed)?;
            leaves.push(serde_json::from_slice(leaf).map_err(io::Error::other)?);
            bytes = after;
        }
    }
    Ok(leaves)
}

fn malformed() -> io::Error {
    io::Error::other("the log's files are not what they should be")
}

/// Every message of a client that stands in the log, by its index.
fn read(leaves: &[Value]) -> BTreeMap<u64, Asked> {
    let mut all = BTreeMap::new();
    for (index, event) in (0..).zip(leaves) {
        match text(event, "/unmapped/remit/kind").as_str() {
            "call_intent" | "method" => {
                all.insert(index, asked(event));
            }
            "call_outcome" => {
                let of = event.pointer("/unmapped/remit/intent").and_then(Value::as_u64);
                if let Some(asked) = of.and_then(|of| all.get_mut(&of)) {
                    asked.status = Some(text(event, "/unmapped/remit/status"));
                }
            }
            _ => {}
        }
    }
    all
}

fn asked(event: &Value) -> Asked {
    Asked {
        run: text(event, "/unmapped/remit/run"),
        kind: text(event, "/unmapped/remit/kind"),
        operation: text(event, "/api/operation"),
        revision: text(event, "/api/version"),
        resource: text(event, "/resources/0/type"),
        tool: text(event, "/resources/0/uid"),
        verdict: text(event, "/unmapped/remit/decision/verdict"),
        trust: (text(event, "/unmapped/remit/labels/trust"), text(event, "/unmapped/remit/labels_after/trust")),
        answers: names(event, "/unmapped/remit/answers"),
        code: text(event, "/unmapped/remit/decision/code"),
        tool_use_id: text(event, "/unmapped/remit/tool_use_id"),
        status: None,
    }
}

fn text(event: &Value, pointer: &str) -> String {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn names(event: &Value, pointer: &str) -> Vec<String> {
    let list = event.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|name| name.as_str().map(ToOwned::to_owned)).collect()
}

/// What the log lacks of a cell, or has too much of.
fn lacks(row: &Row, server: &Server, own: &[&Asked]) -> Vec<String> {
    if let Some(questions) = &row.questions {
        let mut faults = questions::lacks(questions, row, server, own);
        faults.extend(wrong_revision(row, server, own, &[]));
        return faults;
    }
    let calls: Vec<&Asked> = own.iter().filter(|asked| asked.operation == "tools/call").copied().collect();
    if row.steps.is_empty() {
        return no_such_revision(own, &calls).map(ToOwned::to_owned).into_iter().collect();
    }
    let mut faults = Vec::new();
    let answered = |asked: &&&Asked| asked.verdict == "permit" && asked.status.as_deref() == Some("ok");
    if !own.iter().any(|asked| asked.operation == "tools/list" && answered(&asked)) {
        faults.push("log: no list of tools was answered".into());
    }
    let permitted = calls.iter().filter(|asked| asked.verdict == "permit").count();
    let (made, good) = (calls.iter().filter(answered).count(), answers_due(row));
    if (permitted, made) != (good, good) {
        faults.push(format!("log: {good} calls were to be answered; {permitted} were permitted, {made} ended well"));
    }
    let lost = |asked: &&&Asked| asked.status.as_deref().is_some_and(|status| !ENDINGS.contains(&status));
    for asked in own.iter().filter(lost) {
        faults.push(format!("log: {} ended as {}", asked.operation, asked.status.as_deref().unwrap_or_default()));
    }
    faults.extend(wrong_revision(row, server, own, &calls));
    faults.extend(row.steps.iter().enumerate().filter_map(|(index, step)| lack(row, server, own, (index, step))));
    faults
}

/// Nothing is called, because the server itself was asked in this revision and answered with an error.
fn no_such_revision(own: &[&Asked], calls: &[&Asked]) -> Option<&'static str> {
    let told = |asked: &&&Asked| asked.verdict == "permit" && asked.status.as_deref() == Some("rpc_error");
    match own.iter().filter(told).find(|asked| asked.revision == MODERN) {
        None => Some("log: the server was not asked in this revision"),
        Some(_) if !calls.is_empty() => Some("log: a tool was called"),
        Some(_) => None,
    }
}

fn answers_due(row: &Row) -> usize {
    row.steps.iter().filter(|step| step.expected == Expected::Answered).count()
}

/// A client that was told to speak one era and spoke another has shown nothing of the one.
fn wrong_revision(row: &Row, server: &Server, own: &[&Asked], calls: &[&Asked]) -> Option<String> {
    let modern = match row.era {
        Era::Legacy => false,
        Era::Modern => true,
        Era::Auto => server.modern,
    };
    // A client that chooses for itself asks first in the one way, then in the other.
    let spoken = if row.era == Era::Auto { calls } else { own };
    let right = if modern { MODERN } else { row.client.legacy_revision() };
    let wrong = spoken.iter().find(|asked| asked.revision != right)?;
    Some(format!("log: it spoke {} in {}", wrong.revision, wrong.operation))
}

/// What the log lacks of one step.
fn lack(row: &Row, server: &Server, own: &[&Asked], (index, step): (usize, &Step)) -> Option<String> {
    let tool = format!("{}/{}", server.name, step.call.tool);
    let of_tool = |asked: &&Asked| asked.operation == "tools/call" && asked.tool == tool;
    let mut candidates = own.iter().copied();
    let found = match step.expected {
        Expected::Answered => candidates.find(|asked| of_tool(asked) && asked.verdict == "permit"),
        Expected::NotCalled(_) => {
            return candidates.any(|asked| of_tool(&asked)).then(|| format!("log: {tool} was called"));
        }
        Expected::Refused("revoked") if row.client.connects_for_each_call() => {
            candidates.find(|asked| asked.code == "revoked")
        }
        Expected::Refused(code) => candidates.find(|asked| of_tool(asked) && asked.code == code),
    };
    let Some(found) = found else {
        return Some(format!("log: nothing of \"{}\" for {tool}", step.title));
    };
    let id = if row.client.sends_tool_use_ids() { tool_use_id(server, index) } else { String::new() };
    let wrong = found.tool_use_id != id;
    wrong.then(|| format!("log: the tool use of \"{}\" is {:?}, not {id:?}", step.title, found.tool_use_id))
}
