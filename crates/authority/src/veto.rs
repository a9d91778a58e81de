//! The veto: `agent-security` stops one version of an agent in production, until it lets it go on.

use remit_core::id::PrincipalId;
use remit_core::registry::Environment;
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::{Kind, Revocation};

use crate::authority::State;
use crate::error::AuthorityError;

impl State {
    /// Records a veto or its end, and wakes every gateway. Whoever asks holds the role: that was looked at before.
    pub(crate) fn veto(
        &self,
        agent: &str,
        lift: bool,
        why: &str,
        by: &PrincipalId,
    ) -> Result<Revocation, AuthorityError> {
        let mut core = self.core();
        let vetoed = core.revoked.vetoed().any(|vetoed| vetoed == agent);
        if lift {
            if !vetoed {
                return Err(refused(format!("`{agent}` is not vetoed"), "see what is: remit agent list"));
            }
            return self.revoke_in(&mut core, Kind::VetoLift, agent, why, by);
        }
        if why.trim().is_empty() {
            return Err(refused("a veto has a reason".into(), "say why: --why \"…\""));
        }
        let found = core.journal.store().agent_named(agent)?.filter(|found| found.id.short() == agent);
        let found = found.ok_or_else(|| {
            let message = format!("no version `{agent}` is registered");
            refused(message, "name one, as TEAM/NAME@VERSION: remit agent list")
        })?;
        if vetoed {
            return Err(refused(
                format!("`{agent}` is vetoed already"),
                "to lift it: remit agent veto TEAM/NAME@VERSION --lift",
            ));
        }
        if found.manifest.agent.environment != Environment::Production {
            tracing::info!(
                agent,
                "a version of staging is vetoed: it takes effect when it is registered for production"
            );
        }
        self.revoke_in(&mut core, Kind::Veto, agent, why, by)
    }
}

fn refused(message: String, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help))
}
