//! `remit status`: what is running, what holds, and what was taken back. Inside a run: what the run may do.

use clap::Args;
use remit_authority::change::{Grant, Run};
use remit_authority::held::Held;
use remit_authority::socket::wire::{AdminAsk, HeldAsk, RunAsk, RunStatus, Status};
use remit_authority::times::Spread;
use serde_json::json;

use crate::ask;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::grant;
use crate::health::{self, Health};
use crate::out::{Out, Style};
use crate::request::parentage;
use crate::time::{now, span};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit status --json")]
pub(crate) struct StatusArgs {
    #[arg(long, value_name = "RUN", help = "One run: its id or its socket [env: REMIT_RUN]")]
    run: Option<String>,
}

pub(crate) fn run(status: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    if let Some(socket) = ask::run_socket(context, status.run.as_deref()) {
        let found: RunStatus = ask::run(context, &socket, &RunAsk::Status {})?;
        let held: Vec<Held> = ask::run(context, &socket, &RunAsk::Held(HeldAsk::List {}))?;
        context.out.facts(&found, |out| {
            out.line(format!("run {} of {}", found.run.id, found.run.agent.short()));
            if let Some(of) = parentage(&found.spawned_by) {
                out.line(format!("  {of}"));
            }
            for held in &held {
                grant::line(held, out);
            }
        });
        return Ok(Exit::Fine);
    }
    let authority: Status = ask::admin(context, &AdminAsk::Status {})?;
    let runs: Vec<Run> = ask::admin(context, &AdminAsk::Runs {})?;
    let held = grant::all(context, None, None)?;
    let gateway = health::ask_blocking(&[&authority.gateway])?.pop();
    let gateway = gateway.unwrap_or_else(|| Health::Silent("not asked".into()));
    let grants: Vec<&Grant> = held.iter().map(|held| &held.grant).collect();
    let facts = json!({
        "authority": authority, "gateway": gateway.json(), "runs": runs, "grants": grants,
        "request_to_grant": authority.request_to_grant,
    });
    context
        .out
        .facts(&facts, |out| people(&authority, &gateway, (&runs, &held), &context.home.flag(&context.env), out));
    Ok(match gateway {
        Health::Well(_) => Exit::Fine,
        Health::Unwell(_) => Exit::Findings,
        Health::Silent(_) => Exit::Unreachable,
    })
}

fn people(authority: &Status, gateway: &Health, (runs, held): (&[Run], &[Held]), home: &str, out: &Out) {
    let good = |good: bool, word: &str| out.style(if good { Style::Good } else { Style::Bad }, word);
    let bundle = authority.bundle.map_or("none".to_owned(), |version| version.to_string());
    out.line(format!(
        "authority  {}  {} (domain {}, bundle {bundle})",
        good(true, "up"),
        authority.issuer,
        authority.trust_domain
    ));
    if let Some(why) = &authority.bundle_error {
        out.line(format!("           {}: {why}", good(false, "no newer bundle can be made")));
    }
    match gateway {
        Health::Well(said) => {
            let loaded = said.get("bundle").map_or_else(|| "?".to_owned(), ToString::to_string);
            out.line(format!("gateway    {}  {} (bundle {loaded})", good(true, "up"), authority.gateway));
        }
        Health::Unwell(said) => out.line(format!("gateway    {}  {} {said}", good(false, "unwell"), authority.gateway)),
        Health::Silent(why) => out.line(format!("gateway    {}  {} {why}", good(false, "down"), authority.gateway)),
    }
    if let Some(relay) = &authority.relay {
        out.line(format!("relay      {}  {relay} (for MCP clients on this machine)", good(true, "up")));
    }
    for locked in &authority.locked {
        out.line(format!("locked     {}  lift it: remit{home} lockdown {locked} --lift", good(false, locked)));
    }
    for run in runs {
        out.line(format!(
            "run        {}  {}, {} left{}",
            run.id,
            run.agent.short(),
            span(run.until.saturating_sub(now())),
            run.parent.as_ref().map_or_else(String::new, |parent| format!(", a child of {parent}")),
        ));
        for held in held.iter().filter(|held| held.grant.run == run.id) {
            grant::line(held, out);
        }
    }
    let times = &authority.request_to_grant;
    for (what, spread) in [("by policy", times.immediate), ("by a person", times.asked)] {
        if let Some(said) = took(what, spread) {
            out.line(format!("granted    {said}"));
        }
    }
    if runs.is_empty() {
        out.line(format!("runs       none: remit{home} request SERVER/TOOL --for 15m --why \"…\""));
    }
}

/// How long grants took, from the request to the decision.
fn took(what: &str, spread: Spread) -> Option<String> {
    let time = |us: u64| match us {
        0..10_000 => format!("{us} µs"),
        10_000..10_000_000 => format!("{} ms", us / 1_000),
        us => span(i64::try_from(us / 1_000_000).unwrap_or(i64::MAX)),
    };
    let (p50, p99) = (spread.p50_us?, spread.p99_us?);
    Some(format!("{} {what}, from request to grant p50 {}, p99 {}", spread.count, time(p50), time(p99)))
}
