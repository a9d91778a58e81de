//! `remit grant …`: what is held and for how long; renewed, given back early, and what a person was asked for.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use remit_authority::asks::record::{AskRecord, AskState, Asking};
use remit_authority::held::{Held, Whose};
use remit_authority::socket::wire::{AdminAsk, GrantAsk, HeldAsk, Requested, RunAsk};
use remit_core::id::GrantId;
use remit_core::manifest;
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::Revocation;
use serde_json::json;

use crate::ask::{self, PinArgs};
use crate::confirmed;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::{Out, Style, quoted};
use crate::request;
use crate::time::{now, span, utc};

/// How often it is asked whether somebody has answered.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what is held, with what it is limited to and the time that is left
    #[command(after_help = "Examples:
  remit grant list --agent support/triage
  remit grant list --run r-… --json

Inside a run, with REMIT_RUN or --run, it is what the run holds.")]
    List(List),
    /// Renew a grant before its end, within its run's ceiling and what the manifest still gives
    #[command(after_help = "Example:
  remit grant renew g-… --for 10m

It is never wider, and ends with its run. What a run was launched with, and what a person allowed, is not
renewed: ask for it again.")]
    Renew(Renew),
    /// Give a grant back before its end: gateways refuse it in seconds. With what it was launched with, a run ends
    #[command(after_help = "Example:\n  remit grant return g-…")]
    Return(Return),
    /// See how an ask stands, and take what was allowed
    #[command(after_help = "Example:\n  remit grant asked BCDF-GHJK --wait 10m")]
    Asked(Asked),
    /// Take an ask back
    #[command(after_help = "Example:\n  remit grant withdraw BCDF-GHJK")]
    Withdraw(Withdraw),
}

#[derive(Debug, Args)]
struct List {
    #[arg(long, value_name = "RUN", help = "One run: its id or its socket [env: REMIT_RUN]")]
    run: Option<String>,
    /// One agent: TEAM/NAME or TEAM/NAME@VERSION
    #[arg(long, value_name = "AGENT", conflicts_with = "run")]
    agent: Option<String>,
    /// One person, for whom it is held
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    principal: Option<String>,
}

#[derive(Debug, Args)]
struct Renew {
    /// The grant
    grant: GrantId,
    /// For how long from now: 90s, 15m, 2h [default: as long as may be]
    #[arg(long = "for", value_name = "TIME", default_value = "")]
    duration: String,
    #[arg(long, value_name = "RUN", help = "Ask from inside a run: its id or socket [env: REMIT_RUN]")]
    run: Option<String>,
    #[command(flatten)]
    pin: PinArgs,
}

#[derive(Debug, Args)]
struct Return {
    /// The grant
    grant: GrantId,
    #[arg(long, value_name = "RUN", help = "Ask from inside a run: its id or socket [env: REMIT_RUN]")]
    run: Option<String>,
    #[command(flatten)]
    pin: PinArgs,
}

#[derive(Debug, Args)]
struct Asked {
    /// The ask
    #[arg(value_name = "CODE")]
    id: String,
    #[command(flatten)]
    wait: Wait,
    #[arg(long, value_name = "RUN", help = "Ask from inside a run: its id or socket [env: REMIT_RUN]")]
    run: Option<String>,
    #[command(flatten)]
    pin: PinArgs,
}

#[derive(Debug, Args)]
struct Withdraw {
    /// The ask
    #[arg(value_name = "CODE")]
    id: String,
    #[arg(long, value_name = "RUN", help = "Ask from inside a run: its id or socket [env: REMIT_RUN]")]
    run: Option<String>,
    #[command(flatten)]
    pin: PinArgs,
}

/// For how long an answer is waited for.
#[derive(Debug, Default, Args)]
pub(crate) struct Wait {
    /// Wait so long for the answer: 90s, 15m [default: do not wait]
    #[arg(long = "wait", value_name = "TIME", value_parser = seconds)]
    seconds: Option<i64>,
}

impl Wait {
    pub(crate) fn is_set(&self) -> bool {
        self.seconds.is_some()
    }
}

fn seconds(text: &str) -> Result<i64, String> {
    manifest::seconds(text).ok_or_else(|| "write one number of seconds, minutes or hours: 90s, 15m or 2h".into())
}

pub(crate) fn run(grant: &GrantArgs, context: &Context) -> Result<Exit, CliError> {
    match &grant.command {
        Command::List(list) => self::list(list, context),
        Command::Renew(renew) => self::renew(renew, context),
        Command::Return(given) => give_back(given, context),
        Command::Asked(asked) => {
            let look = || poll(asked, context);
            follow(look()?, &asked.wait, look, Instant::now(), context)
        }
        Command::Withdraw(withdraw) => self::withdraw(withdraw, context),
    }
}

fn list(list: &List, context: &Context) -> Result<Exit, CliError> {
    let held = match ask::run_socket(context, list.run.as_deref()) {
        // Whoever names an agent or a person looks from outside, wherever the shell was started.
        Some(socket) if list.agent.is_none() && list.principal.is_none() => {
            ask::run(context, &socket, &RunAsk::Held(HeldAsk::List {}))?
        }
        _ => all(context, list.agent.clone(), list.principal.clone())?,
    };
    let held: Vec<Held> = held;
    context.out.facts(&json!({ "grants": held }), |out| {
        for one in &held {
            line(one, out);
        }
        if held.is_empty() {
            out.line("nothing is held");
        }
    });
    Ok(Exit::Fine)
}

/// What is held, as it is seen from outside every run.
pub(crate) fn all(context: &Context, agent: Option<String>, person: Option<String>) -> Result<Vec<Held>, CliError> {
    ask::admin(context, &AdminAsk::Grant(GrantAsk::List(Whose { run: None, agent, person })))
}

/// One grant: what it is, of whom, within what, and for how long yet.
pub(crate) fn line(held: &Held, out: &Out) {
    let grant = &held.grant;
    let kind = if grant.ceiling { "ceiling" } else { "grant" };
    let limits = match &held.constraints {
        Some(constraints) if constraints.is_empty() => String::new(),
        Some(constraints) => format!(" where {}", constraints.join(" and ")),
        None => " within limits: see --json".to_owned(),
    };
    out.line(format!(
        "  {kind} {}  {}{limits}  {} left, for {} of {}, because {}",
        out.style(Style::Strong, &grant.id),
        held.tools.join(", "),
        span(held.left_s),
        grant.agent.short(),
        grant.run,
        quoted(&grant.why)
    ));
    if grant.ask.is_some() {
        out.line(format!("    allowed by {}, once", grant.by));
    }
}

fn renew(renew: &Renew, context: &Context) -> Result<Exit, CliError> {
    let (grant, duration) = (renew.grant.clone(), renew.duration.clone());
    let renewed: Requested = match ask::run_socket(context, renew.run.as_deref()) {
        Some(socket) => ask::run(context, &socket, &RunAsk::Held(HeldAsk::Renew { grant, duration }))?,
        None => ask::admin_with_pin(context, &AdminAsk::Grant(GrantAsk::Renew { grant, duration }), &renew.pin)?,
    };
    let facts = json!({ "run": renewed.run.id, "grant": renewed.grant });
    context.out.facts(&facts, |out| {
        let (id, until) = (&renewed.grant.id, renewed.grant.until);
        let left = span(until.saturating_sub(now()));
        out.line(format!("{}  {id} until {} ({left})", out.style(Style::Good, "renewed"), utc(until)));
    });
    Ok(Exit::Fine)
}

fn give_back(given: &Return, context: &Context) -> Result<Exit, CliError> {
    let grant = given.grant.clone();
    let people = |done: &Revocation, out: &Out| {
        let what = format!("{}  {}", out.style(Style::Good, "given back"), done.id);
        out.line(format!("{what}: number {} of the feed that every gateway follows", done.seq));
    };
    if let Some(socket) = ask::run_socket(context, given.run.as_deref()) {
        let done: Revocation = ask::run(context, &socket, &RunAsk::Held(HeldAsk::Return { grant }))?;
        context.out.facts(&done, |out| people(&done, out));
        return Ok(Exit::Fine);
    }
    let done: Revocation = ask::admin_with_pin(context, &AdminAsk::Grant(GrantAsk::Return { grant }), &given.pin)?;
    confirmed::wait(context, done, people)
}

fn poll(asked: &Asked, context: &Context) -> Result<Asking, CliError> {
    let id = asked.id.clone();
    match ask::run_socket(context, asked.run.as_deref()) {
        Some(socket) => ask::run(context, &socket, &RunAsk::Held(HeldAsk::Asked { id })),
        None => ask::admin_with_pin(context, &AdminAsk::Grant(GrantAsk::Asked { id }), &asked.pin),
    }
}

fn withdraw(withdraw: &Withdraw, context: &Context) -> Result<Exit, CliError> {
    let id = withdraw.id.clone();
    let ask: AskRecord = match ask::run_socket(context, withdraw.run.as_deref()) {
        Some(socket) => ask::run(context, &socket, &RunAsk::Held(HeldAsk::Withdraw { id }))?,
        None => ask::admin_with_pin(context, &AdminAsk::Grant(GrantAsk::Withdraw { id }), &withdraw.pin)?,
    };
    context.out.facts(&ask, |out| out.line(format!("{}  {}", out.style(Style::Good, "withdrawn"), ask.id)));
    Ok(Exit::Fine)
}

/// What became of asking: what was granted, or, once it was waited long enough, how the ask stands.
pub(crate) fn follow(
    first: Asking,
    wait: &Wait,
    look: impl Fn() -> Result<Asking, CliError>,
    began: Instant,
    context: &Context,
) -> Result<Exit, CliError> {
    let mut asking = first;
    let home = context.home.flag(&context.env);
    let wait = Duration::from_secs(wait.seconds.and_then(|seconds| seconds.try_into().ok()).unwrap_or(0));
    let from = Instant::now();
    let mut told = false;
    loop {
        if let Some(granted) = &asking.granted {
            return Ok(request::granted(granted, began, context));
        }
        let Some(shown) = &asking.ask else {
            return Err(CliError::unevaluated("the authority says nothing of the ask", "see: remit approvals"));
        };
        let open = matches!(shown.ask.state, AskState::Open | AskState::Allowed);
        if !open {
            return Err(ended(&shown.ask, &home));
        }
        if from.elapsed() >= wait {
            context.out.facts(&shown, |out| waiting(&asking, &home, out));
            return Ok(Exit::Pending);
        }
        if !told {
            // Facts come in the end; until then it is said beside them what is waited for.
            context.out.remark(format!(
                "asked  {} of {}; waiting {}",
                shown.ask.id,
                shown.ask.role,
                span(wait_s(wait))
            ));
            told = true;
        }
        std::thread::sleep(POLL.min(wait.saturating_sub(from.elapsed())));
        asking = look()?;
    }
}

fn wait_s(wait: Duration) -> i64 {
    wait.as_secs().try_into().unwrap_or(i64::MAX)
}

fn waiting(asking: &Asking, home: &str, out: &Out) {
    let Some(shown) = &asking.ask else { return };
    let ask = &shown.ask;
    out.line(format!("{}  {}: {}", out.style(Style::Strong, "asked"), ask.id, ask.asked.tools.join(", ")));
    out.line(format!("why    {}", ask.beyond));
    let by = ask.gate.as_ref().map_or_else(String::new, |gate| format!(", by the gate {gate}"));
    out.line(format!("who    {}{by}{}", ask.role, names(&shown.people)));
    out.line(format!("until  {} ({})", utc(ask.until), span(ask.until.saturating_sub(now()))));
    let of = ask.run.as_ref().map_or_else(String::new, |(run, _)| format!(" --run {run}"));
    out.line(format!("next   remit{home} grant asked {}{of} --wait 15m", ask.id));
}

pub(crate) fn names(people: &[String]) -> String {
    if people.is_empty() { String::new() } else { format!(": {}", people.join(", ")) }
}

/// An ask that gives nothing.
fn ended(ask: &AskRecord, home: &str) -> CliError {
    let message = match ask.state {
        AskState::Denied => format!("`{}` was denied by {}", ask.id, ask.role),
        AskState::Withdrawn => format!("`{}` was withdrawn", ask.id),
        AskState::Granted => format!("what `{}` gave is over", ask.id),
        _ => format!("nobody answered `{}` in time", ask.id),
    };
    let help = format!("ask for less, or declare it in agent.toml: remit{home} agent register agent.toml");
    CliError::Refused(Rejection::new(Code::InsufficientScope, message, help))
}
