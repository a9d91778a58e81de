//! `remit status`: what is running, what holds, and what was taken back. Inside a run: what the run may do.

use clap::Args;
use remit_authority::change::{Grant, Run};
use remit_authority::socket::wire::{AdminAsk, RunAsk, RunStatus, Status};
use serde_json::json;

use crate::ask;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::health::{self, Health};
use crate::out::{Out, Style, quoted};
use crate::request::{parentage, tools};
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
        context.out.facts(&found, |out| {
            out.line(format!("run {} of {}", found.run.id, found.run.agent.short()));
            if let Some(of) = parentage(&found.spawned_by) {
                out.line(format!("  {of}"));
            }
            found.grants.iter().for_each(|grant| line(grant, out));
        });
        return Ok(Exit::Fine);
    }
    let authority: Status = ask::admin(context, &AdminAsk::Status {})?;
    let runs: Vec<Run> = ask::admin(context, &AdminAsk::Runs {})?;
    let grants: Vec<Grant> = ask::admin(context, &AdminAsk::Grants {})?;
    let gateway = health::ask_blocking(&[&authority.gateway])?.pop();
    let gateway = gateway.unwrap_or_else(|| Health::Silent("not asked".into()));
    let facts = json!({ "authority": authority, "gateway": gateway.json(), "runs": runs, "grants": grants });
    context
        .out
        .facts(&facts, |out| people(&authority, &gateway, (&runs, &grants), &context.home.flag(&context.env), out));
    Ok(match gateway {
        Health::Well(_) => Exit::Fine,
        Health::Unwell(_) => Exit::Findings,
        Health::Silent(_) => Exit::Unreachable,
    })
}

fn people(authority: &Status, gateway: &Health, (runs, grants): (&[Run], &[Grant]), home: &str, out: &Out) {
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
        grants.iter().filter(|grant| grant.run == run.id).for_each(|grant| line(grant, out));
    }
    if runs.is_empty() {
        out.line(format!("runs       none: remit{home} request SERVER/TOOL --for 15m --why \"…\""));
    }
}

fn line(grant: &Grant, out: &Out) {
    let tools = tools(grant);
    let kind = if grant.ceiling { "ceiling" } else { "grant" };
    let left = span(grant.until.saturating_sub(now()));
    out.line(format!("  {kind} {}  {}  {left} left, because {}", grant.id, tools.join(", "), quoted(&grant.why)));
}
