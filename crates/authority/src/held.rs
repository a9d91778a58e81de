//! What is held, and for how long: grants are listed, renewed within what still allows them, and given back early.
//!
//! **Invariant:** renewing widens nothing. What is renewed is judged as if it were asked for now, ends with its run's
//! ceiling at the latest, and holds for the reason for which it was granted. A ceiling is not renewed: its end is what
//! gateways remember the run by.

use remit_core::id::{GrantId, PrincipalId, RunId};
use remit_core::manifest;
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::{Kind, Revocation};
use serde::{Deserialize, Serialize};

use crate::authority::{Core, State};
use crate::change::{Change, Extension, Grant, Run};
use crate::error::AuthorityError;
use crate::grant::{Granted, Stated, narrow, stated, typed};
use crate::request::{fits, offers, over};
use crate::socket::wire::Requested;
use crate::standing::may_act;

/// Who renews from inside a run, in the log.
const INSIDE: &str = "run";

/// A grant as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The grant.
    pub grant: Grant,
    /// The name of the person for whom.
    pub person: String,
    /// What may be done, as it is asked for.
    pub tools: Vec<String>,
    /// Within what, as `--where` takes it; nothing where that cannot be typed, and stands in the grant alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Vec<String>>,
    /// For how long yet, in seconds.
    pub left_s: i64,
}

/// Which grants are listed: those of which all that is named is so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Whose {
    /// Of this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Of this agent, `<team>/<name>` or `<team>/<name>@<version>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// For this person, by name or pseudonym.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
}

impl State {
    /// What is held.
    pub(crate) fn held(&self, whose: &Whose) -> Result<Vec<Held>, AuthorityError> {
        let now = self.config.clock.now();
        let core = self.core();
        let store = core.journal.store();
        let grants = match &whose.run {
            Some(run) if store.live_run(run, now)?.is_none() => return Err(over(run)),
            Some(run) => store.held_by(run, now)?,
            None => store.held(now)?,
        };
        let all: Result<Vec<Held>, AuthorityError> = grants.into_iter().map(|grant| shown(&core, grant, now)).collect();
        let mut all = all?;
        all.retain(|held| {
            let agent = &held.grant.agent;
            let is_agent =
                |named: &String| *named == agent.short() || *named == format!("{}/{}", agent.team, agent.name);
            let is_person = |named: &String| *named == held.person || named == held.grant.principal.as_str();
            whose.agent.as_ref().is_none_or(is_agent) && whose.person.as_ref().is_none_or(is_person)
        });
        Ok(all)
    }

    /// Renews a grant; of this run alone, where one is named. For as long as may be, where no time is.
    pub(crate) fn extend(
        &self,
        id: &GrantId,
        within: Option<&RunId>,
        duration: &str,
        by: Option<&PrincipalId>,
    ) -> Result<Requested, AuthorityError> {
        let now = self.config.clock.now();
        let mut core = self.core();
        let (run, mut grant) = held(&core, id, within, now)?;
        renewable(&grant, now)?;
        let store = core.journal.store();
        let ceiling = store.ceiling(&run.id)?.ok_or_else(|| over(&run.id))?;
        let granted = self.judged_again(&core, &grant, &ceiling, duration, now)?;
        let until = narrow(&ceiling, &granted, now)?;
        if until <= grant.until {
            let left = grant.until.saturating_sub(now);
            let help = if ceiling.until <= grant.until { "it ends with its run" } else { "ask for more: --for TIME" };
            return Err(refused(Code::RequestInvalid, format!("the grant holds for {left}s, which is no less"), help));
        }
        core.journal.record(&Change::Extended(Extension {
            grant: grant.id.clone(),
            run: run.id.clone(),
            root: run.root.clone(),
            agent: run.agent.clone(),
            was: grant.until,
            until,
            by: by.map_or_else(|| INSIDE.to_owned(), ToString::to_string),
            at: now,
        }))?;
        grant.until = until;
        self.requested(&core, run, grant)
    }

    /// What the manifest, the menus and the rules say of a grant now.
    fn judged_again(
        &self,
        core: &Core,
        grant: &Grant,
        ceiling: &Grant,
        duration: &str,
        now: i64,
    ) -> Result<Granted, AuthorityError> {
        let store = core.journal.store();
        let agent = store.agent(&grant.agent)?.ok_or_else(|| over(&grant.run))?;
        may_act(core, &agent, now)?;
        let seconds = match manifest::seconds(duration) {
            Some(seconds) if seconds > 0 => Some(seconds),
            _ if duration.is_empty() => None,
            _ => {
                let message = format!("`{duration}` is not a time");
                let help = "write one number of seconds, minutes or hours: --for 90s, --for 15m or --for 2h";
                return Err(refused(Code::GrantIncomplete, message, help));
            }
        };
        let seconds_max = ceiling.until.saturating_sub(now);
        let again = Stated { details: &grant.details, seconds, seconds_max, why: &grant.why };
        let granted = stated(&agent.manifest, &offers(store)?, &self.config.gateway, &again)?;
        fits(self, &agent.manifest, &granted)?;
        Ok(granted)
    }

    /// Takes a grant back before its end, as whoever holds it, or for whom, wants it. With its ceiling a run ends.
    pub(crate) fn give_back(
        &self,
        id: &GrantId,
        within: Option<&RunId>,
        by: Option<&PrincipalId>,
    ) -> Result<Revocation, AuthorityError> {
        let now = self.config.clock.now();
        let mut core = self.core();
        let (run, grant) = held(&core, id, within, now)?;
        self.revoke_in(&mut core, Kind::Grant, grant.id.as_str(), "given back", by.unwrap_or(&run.principal))
    }

    /// A grant that holds, as the answer to a request.
    pub(crate) fn requested(&self, core: &Core, run: Run, grant: Grant) -> Result<Requested, AuthorityError> {
        let spawned_by = core.journal.store().spawned_by(&run)?;
        let socket = self.home.run_socket(run.id.as_str());
        Ok(Requested { run, grant, socket, spawned_by, warning: None, narrower: None })
    }
}

/// A grant that is held, with its run. Another run's is told by nothing from one that does not exist.
fn held(core: &Core, id: &GrantId, within: Option<&RunId>, now: i64) -> Result<(Run, Grant), AuthorityError> {
    let store = core.journal.store();
    let grant = store.grant(id)?.filter(|grant| within.is_none_or(|run| *run == grant.run));
    let grant = grant.ok_or_else(|| {
        refused(Code::RequestInvalid, format!("there is no grant `{id}`"), "see what is held: remit grant list")
    })?;
    let run = store.live_run(&grant.run, now)?.ok_or_else(|| over(&grant.run))?;
    if core.revoked.has(Kind::Grant, id.as_str()) {
        return Err(refused(Code::Revoked, format!("the grant `{id}` was taken back"), &again(&grant)));
    }
    if grant.until <= now {
        return Err(refused(Code::TokenExpired, format!("the grant `{id}` is over"), &again(&grant)));
    }
    Ok((run, grant))
}

/// Refuses what ends when it was said to.
fn renewable(grant: &Grant, now: i64) -> Result<(), AuthorityError> {
    let left = grant.until.saturating_sub(now);
    if grant.ask.is_some() {
        let message = format!("a person allowed this once, and it ends by itself in {left}s");
        return Err(refused(Code::InsufficientScope, message, &format!("{} --ask", again(grant))));
    }
    if grant.ceiling {
        let message = format!("this is what its run was launched with, and the run ends in {left}s");
        return Err(refused(Code::InsufficientScope, message, &again(grant)));
    }
    Ok(())
}

/// The command that asks for the same again.
fn again(grant: &Grant) -> String {
    let duration = typed::duration(grant.until.saturating_sub(grant.at));
    let command = typed::command(&grant.details, &duration, &grant.why);
    let agent = if grant.ceiling { format!(" --agent {}", grant.agent.short()) } else { String::new() };
    let command = command.unwrap_or_else(|| format!("remit request SERVER/TOOL --for {duration} --why \"…\""));
    format!("ask again: {command}{agent}")
}

fn shown(core: &Core, grant: Grant, now: i64) -> Result<Held, AuthorityError> {
    let person = core.journal.store().principal_by_id(&grant.principal)?;
    Ok(Held {
        person: person.map_or_else(|| grant.principal.to_string(), |person| person.name),
        tools: typed::named(&grant.details),
        constraints: typed::wheres(&grant.details),
        left_s: grant.until.saturating_sub(now),
        grant,
    })
}

fn refused(code: Code, message: String, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
