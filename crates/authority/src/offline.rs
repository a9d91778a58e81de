//! What agents may be handed by a link, without the authority: it says so beforehand, in the bundle.
//!
//! **Invariant:** nothing that the authority itself would not let the agent have now; and where that changes, the next bundle
//! says so within seconds.

use remit_core::id::AgentId;
use remit_core::registry::Offline;

use crate::authority::{Core, State};
use crate::change::AgentRecord;
use crate::error::AuthorityError;
use crate::separation::{self, Rule};
use crate::standing::frozen;

/// What each agent that may begin by a link may be handed, as it was issued last.
pub(crate) type Terms = Vec<(AgentId, Vec<Offline>)>;

/// What an agent may be handed now; nothing where its manifest does not let it begin by a link.
pub(crate) fn terms(
    core: &Core,
    rules: &[Rule],
    agent: &AgentRecord,
    now: i64,
) -> Result<Vec<Offline>, AuthorityError> {
    if !agent.manifest.agent.offline || frozen(core, agent, now)?.is_some() {
        return Ok(Vec::new());
    }
    // One without an end was registered by a release that knew none, and is given one at the next start.
    let end = core.journal.store().expires(&agent.id)?.unwrap_or(now);
    let allowed = agent.manifest.needs.iter().filter(|need| !separation::stands(rules, &agent.manifest, &need.target));
    let offline = allowed.map(|need| Offline {
        target: need.target.clone(),
        seconds: need.longest_s(),
        until: need.until_s().map_or(end, |until| until.min(end)),
    });
    Ok(offline.collect())
}

impl State {
    /// Whether what some agent may be handed is not what was issued last: it was frozen since, or thawed, or renewed.
    pub(crate) fn terms_changed(&self) -> Result<bool, AuthorityError> {
        let issued = self.loaded().offline.clone();
        if issued.is_empty() {
            return Ok(false);
        }
        let (rules, now) = (self.rules()?, self.config.clock.now());
        let core = self.core();
        for (id, then) in &issued {
            let agent = core.journal.store().agent(id)?;
            let current = agent.map_or(Ok(Vec::new()), |agent| terms(&core, &rules, &agent, now))?;
            if current != *then {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
