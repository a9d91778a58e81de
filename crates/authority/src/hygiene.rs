//! What keeps the registry clean: registrations end, and what is not used, not owned or not allowed any more is shown.

use remit_core::grant::Detail;
use remit_core::id::{AgentId, PrincipalId, Team};
use remit_core::manifest::{DAY_S, Manifest, Need};
use remit_core::rejection::{Code, Rejection};
use remit_core::role::{OrgRole, Post};
use remit_core::target::Target;
use serde::{Deserialize, Serialize};

use crate::authority::{Core, State};
use crate::change::{AgentRecord, Change, Grant};
use crate::error::AuthorityError;
use crate::grant::Granted;
use crate::org::{Owned, Renewal};
use crate::separation;
use crate::standing::{Frozen, WARNING_DAYS, frozen, owner, refusal};

/// Days without a run after which an agent counts as unused, where nobody says how many.
pub const UNUSED_DAYS: i64 = 30;

/// How an agent stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The agent, in this version.
    pub agent: AgentId,
    /// The team that answers for it.
    pub owner: Team,
    /// The end of its registration, in seconds since 1970.
    pub expires: i64,
    /// Why it may not act now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// When it was granted something for the last time, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<i64>,
    /// What it declares and was never granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<Target>,
    /// What is to be done about it; nothing where it stands well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<String>,
}

impl State {
    /// How every agent stands. Unused for so many days, it is stale.
    pub(crate) fn standings(&self, unused_days: i64) -> Result<Vec<Standing>, AuthorityError> {
        let core = self.core();
        let rules = self.rules();
        let now = self.config.clock.now();
        let agents = core.journal.store().agents()?;
        let stand = |agent: AgentRecord| {
            let mut standing = standing(&core, &agent, unused_days, now)?;
            let against = rules.as_ref().map_or(Ok(()), |rules| separation::may_be(rules, &agent.manifest));
            standing.stale.extend(against.err().map(|rejection| rejection.message));
            Ok(standing)
        };
        agents.into_iter().map(stand).collect()
    }

    /// Renews a registration, from now on for as long as its manifest says.
    pub(crate) fn renew(&self, agent: &AgentRecord, by: &str) -> Result<Renewal, AuthorityError> {
        let mut core = self.core();
        renew(&mut core, agent, by, self.config.clock.now())
    }

    /// Registrations of a release that knew no end get one when that release is left.
    pub(crate) fn end_the_endless(core: &mut Core, now: i64) -> Result<(), AuthorityError> {
        for agent in core.journal.store().endless_agents()? {
            renew(core, &agent, "upgrade", now)?;
        }
        Ok(())
    }

    /// Gives an agent, in all its versions, to another team, which thaws it where nobody owned it.
    pub(crate) fn own(&self, agent: &AgentRecord, team: &Team, by: &PrincipalId) -> Result<Owned, AuthorityError> {
        let mut core = self.core();
        let store = core.journal.store();
        crate::roles::live(store, team)?;
        if !store.is_held(&OrgRole::of(team, Post::Owner))? {
            let message = format!("nobody owns the team `{team}` either");
            return Err(refused(message, format!("give it an owner first: remit role give {team}/owner PERSON")));
        }
        let name = format!("{}/{}", agent.id.team, agent.id.name);
        let owned = Owned { agent: name, team: team.clone(), at: self.config.clock.now(), by: by.clone() };
        core.journal.record(&Change::Owned(owned.clone()))?;
        Ok(owned)
    }

    /// An agent as people name it, with the team that answers for it.
    pub(crate) fn agent_and_owner(&self, name: &str) -> Result<(AgentRecord, Team), AuthorityError> {
        let core = self.core();
        let store = core.journal.store();
        let agent = store.agent_named(name)?.ok_or_else(|| {
            let message = format!("no agent `{name}` is registered");
            AuthorityError::Refused(Rejection::new(Code::AgentUnregistered, message, "see which are: remit agent list"))
        })?;
        let team = owner(store, &agent.id)?;
        Ok((agent, team))
    }
}

fn renew(core: &mut Core, agent: &AgentRecord, by: &str, now: i64) -> Result<Renewal, AuthorityError> {
    let until = end(agent, now);
    let renewal = Renewal { agent: agent.id.clone(), until, at: now, by: by.to_owned() };
    core.journal.record(&Change::Renewed(renewal.clone()))?;
    Ok(renewal)
}

/// The end of a registration that begins now.
pub(crate) fn end(agent: &AgentRecord, now: i64) -> i64 {
    let days = agent.manifest.registration_days().unwrap_or(1);
    now.saturating_add(days.saturating_mul(DAY_S))
}

fn standing(core: &Core, agent: &AgentRecord, unused_days: i64, now: i64) -> Result<Standing, AuthorityError> {
    let store = core.journal.store();
    let (short, name) = (agent.id.short(), format!("{}/{}", agent.id.team, agent.id.name));
    let grants = store.grants_of_agent(&agent.id)?;
    let used = grants.iter().map(|grant| grant.at).max();
    let unused: Vec<Target> = agent
        .manifest
        .needs
        .iter()
        .filter(|need| !was_granted(need, &grants))
        .map(|need| need.target.clone())
        .collect();
    let mut stale = Vec::new();
    let expires = store.expires(&agent.id)?.unwrap_or(now);
    let why = frozen(core, agent, now)?;
    let said = why.as_ref().map(|why| refusal(store, &agent.id, why, now)).transpose()?;
    if let Some(said) = &said {
        stale.push(format!("{}: {}", said.message, said.help));
    }
    let left = expires.saturating_sub(now);
    if !matches!(why, Some(Frozen::Expired(_))) && left <= WARNING_DAYS * DAY_S {
        stale.push(format!("its registration ends in {} days: remit agent renew {name}", left.max(0) / DAY_S));
    }
    let idle = now.saturating_sub(used.unwrap_or(agent.at)) / DAY_S;
    if idle >= unused_days {
        stale.push(format!("unused for {idle} days: remit revoke agent {short}, if nobody needs it"));
    } else if !unused.is_empty() && now.saturating_sub(agent.at) / DAY_S >= unused_days {
        let names: Vec<String> = unused.iter().map(ToString::to_string).collect();
        stale.push(format!("declared and never asked for: {}; take it out of agent.toml", names.join(", ")));
    }
    stale.extend(agent.manifest.needs.iter().filter(|need| need.until_s().is_some_and(|until| until <= now)).map(
        |need| {
            format!(
                "the need {} was over on {}: take it out of agent.toml",
                need.target,
                need.until.as_deref().unwrap_or("")
            )
        },
    ));
    let frozen = said.map(|said| said.message);
    Ok(Standing { agent: agent.id.clone(), owner: owner(store, &agent.id)?, expires, frozen, used, unused, stale })
}

/// Whether anything of a need was ever granted.
fn was_granted(need: &Need, grants: &[Grant]) -> bool {
    grants.iter().flat_map(|grant| &grant.details).any(|detail| touches(&need.target, detail))
}

/// Whether a grant for one server holds anything of a target.
fn touches(target: &Target, detail: &Detail) -> bool {
    let here = format!("/mcp/{}", target.server());
    detail.locations.iter().any(|location| location.ends_with(&here))
        && match target {
            Target::Tool(_, None) => !detail.tools.is_empty(),
            Target::Tool(_, Some(tool)) => detail.tools.contains_key(tool.as_str()),
            Target::Prompt(_, prompt) => detail.prompts.contains_key(prompt.as_str()),
            Target::Resource(..) => !detail.resources.is_empty(),
            Target::Client(_, feature) => detail.features.contains(feature),
        }
}

/// Refuses what is needed no more, and what is asked for beyond the last day of a need.
pub(crate) fn still_needed(manifest: &Manifest, granted: &Granted, now: i64) -> Result<(), Rejection> {
    let until = now.saturating_add(granted.seconds);
    for need in &manifest.needs {
        let Some(end) = need.until_s().filter(|end| *end < until) else { continue };
        if !granted.details.iter().any(|detail| touches(&need.target, detail)) {
            continue;
        }
        let day = need.until.as_deref().unwrap_or_default();
        if end <= now {
            let message = format!("agent.toml needs `{}` until {day}, and that is over", need.target);
            let help = "say until when it is needed, and why, in agent.toml, then: remit agent register agent.toml";
            return Err(Rejection::new(Code::ScopeUndeclared, message, help));
        }
        let left = end.saturating_sub(now);
        let message = format!("agent.toml needs `{}` until {day}, and what is asked for is longer", need.target);
        return Err(Rejection::new(Code::GrantIncomplete, message, format!("ask for less: --for {left}s")));
    }
    Ok(())
}

fn refused(message: String, help: String) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help))
}
