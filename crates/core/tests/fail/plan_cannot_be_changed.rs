//! What may happen, once found, stands.

use remit_core::plan::{Outcome, Plan};

fn overrule(plan: &mut Plan) {
    plan.outcome = Outcome::Permit;
}

fn main() {}
