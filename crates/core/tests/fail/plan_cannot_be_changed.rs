//! What was found of one input does not become another's.

use remit_core::plan::Plan;

fn exchange(plan: &mut Plan, other: Plan) {
    plan.input = other.input;
}

fn main() {}
