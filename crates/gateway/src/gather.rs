//! Evidence for what a plan is pending on: the only place between plan and decision where anything is waited for.

use remit_core::gate::Evidence;
use remit_core::plan::{Outcome, Plan};

/// Evidence for the gates of a pending plan; nothing for any other.
///
/// Nobody can be asked yet, so a pending call stays pending: no evidence, no permit.
pub fn evidence(plan: &Plan) -> Evidence {
    match plan.outcome() {
        Outcome::Permit | Outcome::Forbid(_) | Outcome::Pending(_) => Evidence::default(),
    }
}
