//! Whom an issuer's token is about, as a principal: under a name that no other issuer can give.

use remit_core::claims::TEXT_BYTES_MAX;
use remit_core::id::PrincipalId;

use super::IssuerRecord;
use super::claims::Claims;
use crate::authority::{Core, State};
use crate::change::{Change, Principal};
use crate::error::AuthorityError;
use crate::random;

/// Claims by which people are shown, the first that is there.
const SHOWN: [&str; 3] = ["name", "preferred_username", "email"];
/// Longest name that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 128;

/// A person or a workload that an issuer vouches for.
#[derive(Clone)]
pub(crate) struct Who {
    /// The one name among all principals.
    pub(crate) name: String,
    /// The name by which people know it.
    pub(crate) shown: Option<String>,
    workload: bool,
}

impl Who {
    /// A person by an issuer's subject. The subject is the name; what people call them is only shown.
    pub(crate) fn person(issuer: &IssuerRecord, sub: &str, claims: &Claims) -> Self {
        let shown = SHOWN.iter().find_map(|claim| claims.text(claim));
        let shown = shown.map(|text| text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect());
        Self { name: issuer.subject(sub), shown, workload: false }
    }

    /// A workload under its own name.
    pub(crate) fn workload(name: String) -> Self {
        Self { name, shown: None, workload: true }
    }

    /// Workloads under a name that a rule gives them. It is nobody else's, whoever has one like it.
    pub(crate) fn named_by_a_rule(name: &str) -> Self {
        Self { name: format!("workload:{name}"), shown: Some(name.to_owned()), workload: true }
    }
}

impl State {
    /// The pseudonym of somebody whom an issuer vouches for, made when they are met for the first time.
    pub(crate) fn meet(&self, core: &mut Core, who: &Who) -> Result<PrincipalId, AuthorityError> {
        if who.name.len() > TEXT_BYTES_MAX {
            return self.principal(core, &who.name);
        }
        if let Some(id) = core.journal.store().principal_named(&who.name)? {
            return Ok(id);
        }
        let (id, at) = (random::principal()?, self.config.clock.now());
        let (name, shown) = (who.name.clone(), who.shown.clone());
        let principal = Principal { id: id.clone(), name, shown, workload: who.workload, at };
        core.journal.record(&Change::Principal(principal))?;
        Ok(id)
    }
}
