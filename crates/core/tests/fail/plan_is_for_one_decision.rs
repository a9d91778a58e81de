//! A plan is spent by its decision: it says nothing of a second call.

use remit_core::call::Call;
use remit_core::decide::decide;
use remit_core::gate::Evidence;
use remit_core::plan::Plan;
use remit_core::policy::Compiled;

fn twice(bundle: &Compiled, calls: [Call; 2], plan: Plan) {
    for call in calls {
        drop(decide(bundle, call, plan, Evidence::default()));
    }
}

fn main() {}
