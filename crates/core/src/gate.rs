//! Gates: forbids of the policy that stated evidence lifts, and the evidence.
//!
//! Evidence is verified here and given to Cedar as context, so no permit can weaken a gate.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::hash::{Digest, b64, sha256};
use crate::id::PrincipalId;
use crate::input::Input;

/// Most pieces of evidence that are looked at for one call.
pub const EVIDENCE_MAX: usize = 16;

/// What lifts a forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// One person who is not the principal approved exactly this call.
    Approval,
    /// Two such persons did.
    Dual,
    /// A person vouched for the values that could not be traced to a trusted source.
    Endorsement,
}

impl Gate {
    /// The gate that an annotation `@gate("…")` names.
    pub fn named(name: &str) -> Option<Self> {
        [Gate::Approval, Gate::Dual, Gate::Endorsement].into_iter().find(|gate| gate.name() == name)
    }

    /// The gate's name.
    pub fn name(self) -> &'static str {
        match self {
            Gate::Approval => "approval",
            Gate::Dual => "dual",
            Gate::Endorsement => "endorsement",
        }
    }
}

/// An approval of exactly one call, as the authority recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Its id.
    pub id: String,
    /// What it approves: [`binding`] of the call.
    pub binds: String,
    /// Who approved.
    pub by: BTreeSet<PrincipalId>,
    /// Its end, in seconds since 1970.
    pub until: i64,
}

/// What was gathered for one call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Approvals, at most [`EVIDENCE_MAX`].
    pub approvals: Vec<Approval>,
}

/// What the evidence amounts to, as the policy's context says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lifted {
    pub(crate) approved: bool,
    pub(crate) dual: bool,
}

/// Digest of what an approval is for: this run, principal, server, tool (or prompt, or resource), pin and exactly these
/// bytes of arguments and answers.
pub fn binding(input: &Input, pin: &str) -> String {
    let claims = input.claims();
    let who = claims.map_or((String::new(), String::new()), |c| (c.run.to_string(), c.sub.to_string()));
    let what = (input.server.as_str(), input.action.method(), input.action.object());
    let fields = [who.0.as_str(), &who.1, what.0, what.1, what.2, pin, &input.arguments, &input.answers.text];
    let mut bytes = b"remit-approval/v1".to_vec();
    for field in fields {
        bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
        bytes.extend_from_slice(field.as_bytes());
    }
    let digest: Digest = sha256(&[&bytes]);
    b64(&digest)
}

impl Evidence {
    /// What of it holds for this call now. An approval of another call, a late one, or one's own counts for nothing.
    pub(crate) fn lifted(&self, input: &Input, pin: &str) -> Lifted {
        let binds = binding(input, pin);
        let own = input.claims().map(|claims| &claims.sub);
        let approvers: BTreeSet<&PrincipalId> = self
            .approvals
            .iter()
            .take(EVIDENCE_MAX)
            .filter(|approval| approval.binds == binds && input.now < approval.until)
            .flat_map(|approval| &approval.by)
            .filter(|by| Some(*by) != own)
            .collect();
        Lifted { approved: !approvers.is_empty(), dual: approvers.len() > 1 }
    }
}
