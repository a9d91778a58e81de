//! Whether an agent may act now, whatever it was granted: its registration holds, somebody owns it, its version is not vetoed.
//!
//! **Invariant:** what may not act begins no run, is granted nothing more, and gets no token; what it was given before ends
//! with the token, and under a veto at once.

use remit_core::claims::Claims;
use remit_core::id::{AgentId, Team};
use remit_core::manifest::DAY_S;
use remit_core::registry::Environment;
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::Kind;
use remit_core::role::{OrgRole, Post};

use crate::authority::Core;
use crate::change::AgentRecord;
use crate::error::AuthorityError;
use crate::store::Store;

/// How long before its end a registration is spoken of, in days.
pub(crate) const WARNING_DAYS: i64 = 14;

/// Why an agent may not act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frozen {
    /// Its registration was over then.
    Expired(i64),
    /// Nobody owns the team that answers for it, or there is no such team any more.
    Orphan(Team),
    /// Its version is vetoed, and it is of production.
    Vetoed,
}

/// The team that answers for an agent.
pub(crate) fn owner(store: &Store, agent: &AgentId) -> Result<Team, AuthorityError> {
    let other = store.owner_team(&format!("{}/{}", agent.team, agent.name))?;
    Ok(other.unwrap_or_else(|| agent.team.clone()))
}

/// Why an agent may not act now; nothing where it may.
pub(crate) fn frozen(core: &Core, agent: &AgentRecord, now: i64) -> Result<Option<Frozen>, AuthorityError> {
    let store = core.journal.store();
    let production = agent.manifest.agent.environment == Environment::Production;
    if production && core.revoked.has_veto(&agent.id) {
        return Ok(Some(Frozen::Vetoed));
    }
    let team = owner(store, &agent.id)?;
    let there = store.team(&team)?.is_some_and(|team| !team.removed);
    if !there || !store.is_held(&OrgRole::of(&team, Post::Owner))? {
        return Ok(Some(Frozen::Orphan(team)));
    }
    Ok(store.expires(&agent.id)?.filter(|end| *end <= now).map(Frozen::Expired))
}

/// Refuses an agent that may not act now.
pub(crate) fn may_act(core: &Core, agent: &AgentRecord, now: i64) -> Result<(), AuthorityError> {
    match frozen(core, agent, now)? {
        None => Ok(()),
        Some(why) => Err(AuthorityError::Refused(refusal(core.journal.store(), &agent.id, &why, now)?)),
    }
}

/// What is said of it: what happened, who owns that, and what to type.
pub(crate) fn refusal(store: &Store, agent: &AgentId, why: &Frozen, now: i64) -> Result<Rejection, AuthorityError> {
    let (name, short) = (format!("{}/{}", agent.team, agent.name), agent.short());
    let (message, help) = match why {
        Frozen::Expired(end) => {
            let days = now.saturating_sub(*end) / DAY_S;
            let team = owner(store, agent)?;
            let message = format!("the registration of {short} is over since {days} days; owned by {team}/owner");
            (message, format!("renew it, or let it go: remit agent renew {name}"))
        }
        Frozen::Orphan(team) => (
            format!("{short} is frozen: nobody owns the team `{team}`; owned by platform until somebody does"),
            format!("give it to a team that has an owner: remit agent own {name} --team TEAM"),
        ),
        Frozen::Vetoed => (
            format!("{short} is vetoed in production; owned by agent-security"),
            format!("ask them why; they lift it: remit agent veto {short} --lift; the next version is not vetoed"),
        ),
    };
    Ok(Rejection::new(Code::AgentFrozen, message, help))
}

/// Days until a registration ends, where that is soon.
pub(crate) fn ends_soon(store: &Store, agent: &AgentId, now: i64) -> Result<Option<i64>, AuthorityError> {
    let left = store.expires(agent)?.map(|end| end.saturating_sub(now));
    Ok(left.filter(|left| *left <= WARNING_DAYS * DAY_S).map(|left| left.max(0) / DAY_S))
}

impl Core {
    /// What took a token back, if anything did: as a gateway sees it, which knows agents by its bundle.
    pub(crate) fn taken(&self, claims: &Claims) -> Result<Option<Kind>, AuthorityError> {
        if let Some(kind) = self.revoked.token(claims) {
            return Ok(Some(kind));
        }
        for link in claims.lineage().filter(|link| self.revoked.has_veto(&link.agent)) {
            let agent = self.journal.store().agent(&link.agent)?;
            if agent.is_none_or(|agent| agent.manifest.agent.environment == Environment::Production) {
                return Ok(Some(Kind::Veto));
            }
        }
        Ok(None)
    }
}
