//! `remit approvals`, `remit approve` and `remit deny`: what waits for a person's word, and the word.

use clap::Args;
use remit_authority::asks::record::{AskRecord, AskShown};
use remit_authority::grant::typed;
use remit_authority::login::LoginShown;
use remit_authority::org::Import;
use remit_authority::socket::wire::{AdminAsk, Answered, Approval, Word};
use serde_json::json;

use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::grant::names;
use crate::out::{Out, Style, named, quoted};
use crate::time::{now, span};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit approve BCDF-GHJK --why \"INC-42, with Claude Desktop\"
  remit approve BCDF-GHJK --for 5m --why \"INC-42\"")]
pub(crate) struct Approve {
    /// What: the code that the program or its page shows
    #[arg(value_name = "CODE")]
    id: String,
    /// Why, in a sentence
    #[arg(long, value_name = "REASON", default_value = "")]
    why: String,
    /// For how long: 90s, 15m, 2h [default: the longest that agent.toml allows]
    #[arg(long = "for", value_name = "TIME", default_value = "")]
    duration: String,
    /// Only if it is this, as `remit approvals` showed it
    #[arg(long, value_name = "DIGEST")]
    digest: Option<String>,
    #[command(flatten)]
    pin: PinArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  remit deny BCDF-GHJK\n  remit deny BCDF-GHJK --as ada --why \"one refund at a time\""
)]
pub(crate) struct Deny {
    /// What: the code that the program or its page shows
    #[arg(value_name = "CODE")]
    id: String,
    /// Why, in a sentence
    #[arg(long, value_name = "REASON", default_value = "")]
    why: String,
    #[command(flatten)]
    pin: PinArgs,
}

pub(crate) fn list(context: &Context) -> Result<Exit, CliError> {
    let waiting: Vec<Approval> = ask::admin(context, &AdminAsk::Approvals {})?;
    context.out.facts(&json!({ "approvals": waiting }), |out| {
        if waiting.is_empty() {
            out.line("nothing waits for a word");
        }
        for approval in &waiting {
            match approval {
                Approval::Login(login) => show(login, out),
                Approval::Import(import) => show_import(import, out),
                Approval::Scope(shown) => show_scope(shown, out),
            }
        }
    });
    Ok(Exit::Fine)
}

fn show(login: &LoginShown, out: &Out) {
    let left = span(login.until.saturating_sub(now()));
    out.line(format!(
        "{}  {} wants to act as {}",
        out.style(Style::Good, &login.id),
        login.client,
        login.agent.short()
    ));
    out.line(format!("  for    {}", login.tools.join(", ")));
    if !login.owners.is_empty() {
        let owners: Vec<String> = login.owners.iter().map(ToString::to_string).collect();
        out.line(format!("  owned  by {}", owners.join(", ")));
    }
    if let Some(redirect) = &login.redirect {
        out.line(format!("  back   {redirect}"));
    }
    out.line(format!("  within {left}: remit approve {} --why \"…\", or remit deny {}", login.id, login.id));
}

fn show_import(import: &Import, out: &Out) {
    let (id, agent) = (&import.id, import.agent.short());
    out.line(format!("{}  {} asks for {agent} to be registered here", out.style(Style::Good, id), import.issuer));
    out.line(format!("  for    {}", import.manifest.agent.purpose));
    for need in &import.manifest.needs {
        out.line(format!("  needs  {} for {}: {}", need.target, need.longest, need.reason));
    }
    let stakes = import.at_stake();
    if !stakes.is_empty() {
        out.line(format!("  with   {}", out.style(Style::Strong, stakes.join(", "))));
    }
    // Whoever brought it chose the key: compare it with what the other organization says of itself.
    out.line(format!("  signed {}", import.key));
    out.line(format!(
        "  owner  {}/owner or platform: remit approve {id} --why \"…\", or remit deny {id}",
        import.agent.team
    ));
}

/// All that a word on it would be about, to the byte: the digest is of it.
fn show_scope(shown: &AskShown, out: &Out) {
    let ask = &shown.ask;
    let left = span(ask.until.saturating_sub(now()));
    let whose = ask.run.as_ref().map_or_else(|| "a new run".to_owned(), |(run, _)| format!("the run {run}"));
    let what = format!("{} asks for more, for {} of {whose}", named(&shown.asker), ask.agent.short());
    out.line(format!("{}  {what}", out.style(Style::Good, &ask.id)));
    out.line(format!("  for    {} for {}", typed::named(&ask.details).join(", "), typed::duration(ask.seconds)));
    match typed::wheres(&ask.details) {
        Some(wheres) if wheres.is_empty() => out.line("  where  any arguments"),
        Some(wheres) => wheres.iter().for_each(|typed| out.line(format!("  where  {typed}"))),
        None => out.line("  where  see: remit approvals --json"),
    }
    let said = if ask.run.is_some() { ", in the run's own words" } else { "" };
    out.line(format!("  why    {}{said}", quoted(&ask.asked.why)));
    out.line(format!("  beyond {}", ask.beyond));
    out.line(format!("  digest {}", ask.digest));
    let by = ask.gate.as_ref().map_or_else(String::new, |gate| format!(", by the gate {gate}"));
    out.line(format!("  owner  {}{by}{}", ask.role, names(&shown.people)));
    out.line(format!(
        "  within {left}: remit approve {} --as NAME --why \"…\", or remit deny {} --as NAME",
        ask.id, ask.id
    ));
}

pub(crate) fn approve(approve: &Approve, context: &Context) -> Result<Exit, CliError> {
    let (id, why, duration) = (approve.id.clone(), approve.why.clone(), approve.duration.clone());
    let word = Word { id, allow: true, why, duration, digest: approve.digest.clone() };
    let answered: Answered = ask::admin_with_pin(context, &AdminAsk::Answer(word), &approve.pin)?;
    context.out.facts(&answered, |out| {
        let login = match &answered.approval {
            Approval::Login(login) => login,
            Approval::Import(import) => {
                let agent = import.agent.short();
                out.line(format!("{}  {agent}, under this authority's floor", out.style(Style::Good, "registered")));
                return;
            }
            Approval::Scope(shown) => return approved(&shown.ask, out),
        };
        let duration = answered.asked.as_ref().map_or("", |asked| asked.duration.as_str());
        let what = format!("{}  {} acts as {}", out.style(Style::Good, "approved"), login.client, login.agent.short());
        out.line(format!("{what} for {duration}: {}", login.tools.join(", ")));
        out.line("it takes effect when the program comes for it, within a minute; see it: remit status");
    });
    Ok(Exit::Fine)
}

fn approved(ask: &AskRecord, out: &Out) {
    let (what, time) = (typed::named(&ask.details).join(", "), typed::duration(ask.seconds));
    out.line(format!("{}  {what} for {}, once, for {time}", out.style(Style::Good, "approved"), ask.agent.short()));
    out.line(match &ask.run {
        Some((run, _)) => format!("it holds from now on; see it: remit status --run {run}"),
        None => format!("its run begins when whoever asked comes for it: remit grant asked {}", ask.id),
    });
}

pub(crate) fn deny(deny: &Deny, context: &Context) -> Result<Exit, CliError> {
    let (id, why) = (deny.id.clone(), deny.why.clone());
    let word = Word { id, allow: false, why, duration: String::new(), digest: None };
    let answered: Answered = ask::admin_with_pin(context, &AdminAsk::Answer(word), &deny.pin)?;
    context.out.facts(&answered, |out| {
        let who = match &answered.approval {
            Approval::Login(login) => login.client.clone(),
            Approval::Import(import) => import.agent.short(),
            Approval::Scope(shown) => shown.ask.agent.short(),
        };
        out.line(format!("{}  {who} gets nothing", out.style(Style::Bad, "denied")));
    });
    Ok(Exit::Fine)
}
