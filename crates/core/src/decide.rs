//! The verdict: what the plan and the evidence amount to.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::gate::{Evidence, Gate, Lifted};
use crate::hash::{Digest, leaf_hash};
use crate::input::Input;
use crate::plan::{Finding, Outcome, Plan, found};
use crate::policy::Compiled;
use crate::rejection::Code;
use crate::role::OrgRole;

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may be made.
    Permit,
    /// It may be made once these gates are lifted.
    Pending(BTreeSet<Gate>),
    /// It may not be made.
    Forbid(Code),
}

impl Verdict {
    fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Permit => Self::Permit,
            Outcome::Pending(gates) => Self::Pending(gates),
            Outcome::Forbid(code) => Self::Forbid(code),
        }
    }

    /// The verdict's name, as events write it.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Permit => "permit",
            Verdict::Pending(_) => "pending",
            Verdict::Forbid(_) => "forbid",
        }
    }

    /// The code of the refusal, where it is one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Verdict::Permit => None,
            Verdict::Pending(_) => Some(Code::GatePending),
            Verdict::Forbid(code) => Some(*code),
        }
    }
}

/// A call on which there is a verdict. Its fields can be read and not changed; only [`decide`] makes one.
#[derive(Debug)]
pub struct Decided {
    call: Call,
    input: Input,
    evidence: Evidence,
    verdict: Verdict,
    policies: BTreeSet<String>,
    about: Option<String>,
    owners: BTreeSet<OrgRole>,
    leaf_hash: Option<Digest>,
}

/// Gives the verdict. Consumes the call and everything that it was decided by, so that nothing can be exchanged
/// between the decision, its record, and the effect.
pub fn decide(bundle: &Compiled, call: Call, plan: Plan, evidence: Evidence) -> Decided {
    let Plan { input, finding } = plan;
    // An input that is not this call's would be a decision about something else.
    let same = input.server == *call.server()
        && input.action == *call.action()
        && input.arguments.as_bytes() == call.arguments()
        && input.answers.features == *call.answers()
        && input.answers.text.as_bytes() == call.answer_bytes();
    let finding = if same { close(bundle, &input, finding, &evidence) } else { Finding::forbid(Code::Internal) };
    let Finding { outcome, policies, about } = finding;
    let verdict = Verdict::of(outcome);
    let owners = bundle.owners(&input, &policies);
    Decided { call, input, evidence, verdict, policies, about, owners, leaf_hash: None }
}

/// What is pending is weighed again with what the evidence proves; anything else stands.
fn close(bundle: &Compiled, input: &Input, finding: Finding, evidence: &Evidence) -> Finding {
    if !matches!(finding.outcome, Outcome::Pending(_)) {
        return finding;
    }
    let pin = input.action.tool().and_then(|tool| bundle.tool(&input.server, tool)).map_or("", |e| e.tool.pin.as_str());
    found(bundle, input, &evidence.lifted(input, pin))
}

/// Decides a recorded input again. The same bundle, input and evidence give the same verdict and policies.
pub fn replay(bundle: &Compiled, input: &Input, evidence: &Evidence) -> (Verdict, BTreeSet<String>) {
    let finding = close(bundle, input, found(bundle, input, &Lifted::default()), evidence);
    (Verdict::of(finding.outcome), finding.policies)
}

impl Decided {
    /// The call.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// What it was decided by.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// The evidence that was looked at.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The verdict.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Ids of the determining policies.
    pub fn policies(&self) -> &BTreeSet<String> {
        &self.policies
    }

    /// Remembers the leaf in which the decision is recorded. The first record is the only one.
    pub(crate) fn recorded(&mut self, leaf: &[u8]) {
        self.leaf_hash.get_or_insert_with(|| leaf_hash(leaf));
    }

    /// Hash of the leaf in which the decision is recorded (RFC 6962 section 2.1).
    pub fn leaf_hash(&self) -> Option<&Digest> {
        self.leaf_hash.as_ref()
    }

    /// Who answers for it: the owner of a tool of T1 or above, and of each gate among the policies.
    pub fn owners(&self) -> &BTreeSet<OrgRole> {
        &self.owners
    }

    /// The argument or limit that the verdict is about.
    pub fn about(&self) -> Option<&str> {
        self.about.as_deref()
    }
}
