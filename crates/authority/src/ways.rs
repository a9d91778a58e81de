//! What else can be typed: beside a refusal that a person could lift, and where past use needed less.

use remit_core::grant::Detail;
use remit_core::subset::details_within;
use remit_core::target::Target;

use crate::authority::{Core, State};
use crate::change::{AgentRecord, Grant};
use crate::error::AuthorityError;
use crate::grant::{Asked, beyond, is_askable, or_ask, typed, wanted};
use crate::request::offers;
use crate::used;

impl State {
    /// A refusal with the ways that are left. `ceiling` is that of the run from inside which it was asked.
    pub(crate) fn with_ways(
        &self,
        core: &Core,
        agent: &AgentRecord,
        asked: &Asked,
        ceiling: Option<&Grant>,
        error: AuthorityError,
    ) -> AuthorityError {
        let mut refused = match error {
            AuthorityError::Refused(refused) if is_askable(&refused) => refused,
            other => return other,
        };
        let store = core.journal.store();
        let offers = match offers(store) {
            Ok(offers) => offers,
            Err(error) => return error,
        };
        let (manifest, gateway) = (&agent.manifest, &self.config.gateway);
        if beyond(manifest, &offers, gateway, asked).is_ok() {
            refused = or_ask(refused);
        }
        let is_declared = |tool: &&String| tool.parse::<Target>().is_ok_and(|target| manifest.need(&target).is_some());
        let tools: Vec<String> = asked.tools.iter().filter(is_declared).cloned().collect();
        let declared = Asked { tools, ..asked.clone() };
        match self.enough(core, agent, &declared, ceiling, declared != *asked) {
            Ok(Some(less)) => refused.help = format!("{}\n\npast use needed no more than: {less}", refused.help),
            Ok(None) => {}
            Err(error) => return error,
        }
        AuthorityError::Refused(refused)
    }

    /// The narrower request that the agent's past use would have needed, where there is one. `less` says that it is one
    /// already.
    pub(crate) fn enough(
        &self,
        core: &Core,
        agent: &AgentRecord,
        asked: &Asked,
        ceiling: Option<&Grant>,
        less: bool,
    ) -> Result<Option<String>, AuthorityError> {
        let Ok((details, seconds)) = wanted(&self.config.gateway, asked) else { return Ok(None) };
        let found = used::narrower(core.journal.store(), &agent.id, (details.as_slice(), seconds), less)?;
        // Inside a run only what its ceiling gives is of any use.
        let fits = |details: &[Detail]| ceiling.is_none_or(|ceiling| details_within(details, &ceiling.details));
        let Some((details, seconds)) = found.filter(|(details, _)| fits(details)) else { return Ok(None) };
        let command = typed::command(&details, &typed::duration(seconds), &asked.why);
        let of = if ceiling.is_none() { format!(" --agent {}", agent.id.short()) } else { String::new() };
        Ok(command.map(|command| format!("{command}{of}")))
    }
}
