//! `remit request`: a scoped grant by one command, in well under a second.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use remit_authority::asks::record::Asking;
use remit_authority::change::Grant;
use remit_authority::grant::{Asked, Where, typed};
use remit_authority::socket::wire::{AdminAsk, GrantAsk, HeldAsk, Request, Requested, RunAsk, Spawn};
use remit_core::grant::Detail;
use remit_core::id::Instance;
use remit_core::manifest::Manifest;
use serde_json::json;

use crate::ask;
use crate::constraint::constraint;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::grant;
use crate::jwk;
use crate::out::{Out, Style};
use crate::time::{now, span, utc};

/// What a key file is.
const KEY_FILE: &str = "name a public key, Ed25519 or P-256, as a JWK: --key FILE";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit request tickets/read_ticket --for 15m --why \"INC-42\"
  remit request tickets/issue_refund --for 5m --why \"INC-42\" --where 'id=41' --where 'amount_cents<=5000' --where 'iban=*'

Beyond what agent.toml declares or the run holds, a person is asked (exit code 5 until somebody answers):
  remit request tickets/issue_refund --for 5m --why \"INC-42\" --where 'id=41' --ask --wait 10m

From inside a run, with REMIT_RUN or --run, less of what the run holds, or a run of another agent below it:
  remit request tickets/read_ticket --for 5m --why \"only ticket 41\" --where 'id=41'
  remit request tickets/read_ticket --for 5m --why \"to sum it up\" --agent support/reader")]
pub(crate) struct RequestArgs {
    /// What is needed: SERVER/TOOL, prompt:SERVER/NAME or resource:SERVER/URI
    #[arg(required = true, value_name = "SERVER/TOOL")]
    tools: Vec<String>,
    /// For how long: 90s, 15m, 2h
    #[arg(long = "for", value_name = "TIME", default_value = "")]
    duration: String,
    /// Why, in a sentence
    #[arg(long, value_name = "REASON", default_value = "")]
    why: String,
    /// Constrain an argument: ARG=VALUE, ARG=A|B, ARG<=N, ARG>=N, ARG=* for anything; SERVER/TOOL:ARG… for one tool.
    /// Once one argument of a tool is constrained, those that are not named are refused
    #[arg(long = "where", value_name = "ARG=VALUE", value_parser = constraint)]
    constraints: Vec<Where>,
    /// The agent: TEAM/NAME or TEAM/NAME@VERSION [default: that of ./agent.toml]. From inside a run it begins a child run
    /// of that agent, within the run's ceiling
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// On whose behalf; another than you needs the PIN [default: the operating-system user]
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    #[arg(long, value_name = "RUN", conflicts_with = "principal")]
    #[arg(help = "Ask from inside a run, within its ceiling: its id or socket [env: REMIT_RUN]")]
    run: Option<String>,
    /// The run's own public key (a JWK file), where its private half is not to be kept by the authority: it then asks for its
    /// tokens over OAuth
    #[arg(long, value_name = "FILE", conflicts_with = "run")]
    key: Option<PathBuf>,
    /// The process whose descendants are the run: this command's child, or its own
    #[arg(long, value_name = "PID", hide = true)]
    pid: Option<i32>,
    /// Where policy does not grant it at once, ask the people whom policy names: what they allow is this, once
    #[arg(long, conflicts_with = "pid")]
    ask: bool,
    #[command(flatten)]
    wait: grant::Wait,
    #[command(flatten)]
    pin: ask::PinArgs,
}

pub(crate) fn run(request: &RequestArgs, context: &Context) -> Result<Exit, CliError> {
    let began = Instant::now();
    let asked = Asked {
        tools: request.tools.clone(),
        constraints: request.constraints.clone(),
        duration: request.duration.clone(),
        why: request.why.clone(),
    };
    if request.wait.is_set() && !request.ask {
        return Err(CliError::unevaluated("nobody is asked, so there is no answer to wait for", "add --ask"));
    }
    let given: Requested = match (ask::run_socket(context, request.run.as_deref()), request.ask) {
        (Some(socket), false) => ask::run(context, &socket, &inside(request, asked)?)?,
        (Some(socket), true) => return ask_inside(request, asked, &socket, began, context),
        (None, false) => {
            let wanted = outside(request, asked, context)?;
            ask::admin_with_pin(context, &AdminAsk::Request(Box::new(wanted)), &request.pin)?
        }
        (None, true) => return ask_outside(request, asked, began, context),
    };
    Ok(granted(&given, began, context))
}

/// What is asked of the admin socket: a run that begins.
fn outside(request: &RequestArgs, asked: Asked, context: &Context) -> Result<Request, CliError> {
    Ok(Request {
        agent: agent(request.agent.as_deref(), &context.home.flag(&context.env))?,
        asked,
        principal: request.principal.clone(),
        pid: request.pid,
        key: request.key.as_deref().map(|file| jwk::read(file, KEY_FILE)).transpose()?,
        golden: false,
    })
}

/// Asks a person, where policy alone does not grant it; and waits for the answer, as long as was said.
fn ask_outside(request: &RequestArgs, asked: Asked, began: Instant, context: &Context) -> Result<Exit, CliError> {
    let wanted = outside(request, asked, context)?;
    let ask = |ask| ask::admin_with_pin::<Asking>(context, &AdminAsk::Grant(ask), &request.pin);
    let first = ask(GrantAsk::Ask(Box::new(wanted)))?;
    let id = first.ask.as_ref().map(|shown| shown.ask.id.clone()).unwrap_or_default();
    grant::follow(first, &request.wait, || ask(GrantAsk::Asked { id: id.clone() }), began, context)
}

/// The same for a run: beside what it holds, for a while.
fn ask_inside(
    request: &RequestArgs,
    asked: Asked,
    socket: &Path,
    began: Instant,
    context: &Context,
) -> Result<Exit, CliError> {
    let RunAsk::Request { asked } = inside(request, asked)? else {
        return Err(CliError::unevaluated(
            "a child run gets what its parent holds, and a person is asked for the parent",
            "leave --agent out",
        ));
    };
    let ask = |ask| ask::run::<Asking>(context, socket, &RunAsk::Held(ask));
    let first = ask(HeldAsk::Ask { asked })?;
    let id = first.ask.as_ref().map(|shown| shown.ask.id.clone()).unwrap_or_default();
    grant::follow(first, &request.wait, || ask(HeldAsk::Asked { id: id.clone() }), began, context)
}

/// Shows what was granted.
pub(crate) fn granted(given: &Requested, began: Instant, context: &Context) -> Exit {
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let facts = json!({
        "run": given.run, "grant": given.grant, "tools": tools(&given.grant), "socket": given.socket, "took_ms": took_ms,
        "spawned_by": given.spawned_by, "narrower": given.narrower,
    });
    if let Some(warning) = &given.warning {
        context.out.remark(warning);
    }
    if let Some(narrower) = &given.narrower {
        context.out.remark(format!("past use needed no more than: {narrower}"));
    }
    context.out.facts(&facts, |out| people(given, took_ms, &context.home.flag(&context.env), out));
    Exit::Fine
}

/// What is asked of the run's own socket: less of what it holds, or, where an agent is named, a run of it below this one.
fn inside(request: &RequestArgs, asked: Asked) -> Result<RunAsk, CliError> {
    if request.key.is_some() {
        return Err(CliError::unevaluated(
            "a run with a key of its own begins outside every run, or by token exchange",
            "leave --key out, or see docs/delegation.md",
        ));
    }
    if request.principal.is_some() {
        return Err(CliError::unevaluated(
            "a run acts for whom it was launched, and so does all that it asks for",
            "leave --principal out, or ask from outside every run",
        ));
    }
    match (&request.agent, request.pid) {
        (Some(agent), pid) => Ok(RunAsk::Spawn(Box::new(Spawn { agent: agent.clone(), asked, pid }))),
        (None, None) => Ok(RunAsk::Request { asked }),
        (None, Some(_)) => Err(CliError::unevaluated(
            "a grant within a run has no process of its own",
            "leave --pid out, or begin a child run: --agent TEAM/NAME",
        )),
    }
}

/// The run that began this one, and the run that began that one, as people read it; nothing where it is a root.
pub(crate) fn parentage(spawned_by: &[Instance]) -> Option<String> {
    let names: Vec<String> = spawned_by.iter().map(|link| format!("{} ({})", link.run, link.agent.short())).collect();
    (!names.is_empty()).then(|| format!("a child of {}", names.join(", a child of ")))
}

/// All that was granted, as it is asked for.
pub(crate) fn tools(grant: &Grant) -> Vec<String> {
    typed::named(&grant.details)
}

fn server(detail: &Detail) -> &str {
    detail.locations.first().and_then(|url| url.rsplit('/').next()).unwrap_or("SERVER")
}

fn people(given: &Requested, took_ms: u64, home: &str, out: &Out) {
    let tools = tools(&given.grant);
    let left = span(given.grant.until.saturating_sub(now()));
    out.line(format!(
        "{}  {} for {} in {took_ms} ms",
        out.style(Style::Good, "granted"),
        tools.join(", "),
        given.run.agent.short()
    ));
    let (id, parentage) = (&given.run.id, parentage(&given.spawned_by));
    out.line(parentage.as_ref().map_or_else(|| format!("run    {id}"), |of| format!("run    {id}, {of}")));
    out.line(format!("until  {} ({left}), decided by {}", utc(given.grant.until), given.grant.by));
    let server = given.grant.details.first().map_or("SERVER", server);
    // What its parent asks on its socket is refused: whatever is to be the child is started with its name.
    if !given.run.key_held {
        out.line("next   its tokens are asked for with its key, over OAuth: docs/delegation.md");
        return;
    }
    // A token states the ceiling, unless another grant is named.
    let of = if given.grant.ceiling { String::new() } else { format!(" --grant {}", given.grant.id) };
    out.line(match parentage {
        Some(_) => format!("next   REMIT_RUN={id} remit{home} token {server}{of}"),
        None => format!("next   remit{home} token {server} --run {id}{of}"),
    });
}

/// The agent that is named, or that the manifest of the working directory describes.
fn agent(named: Option<&str>, home: &str) -> Result<String, CliError> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let nobody = |why: &dyn std::fmt::Display| {
        CliError::unevaluated(
            format!("it is not clear which agent asks: {why}"),
            format!("name it: remit{home} request … --agent TEAM/NAME, one of: remit{home} agent list"),
        )
    };
    let text = std::fs::read_to_string("agent.toml").map_err(|_| nobody(&"there is no agent.toml here"))?;
    let about = Manifest::parse(&text).map_err(|error| nobody(&error))?.agent;
    Ok(format!("{}/{}@{}", about.team, about.name, about.version))
}
