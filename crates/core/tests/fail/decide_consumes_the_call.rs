//! What was decided cannot be changed or used again afterwards, because it is gone.

use remit_core::call::Call;
use remit_core::decide::decide;
use remit_core::gate::Evidence;
use remit_core::input::Input;
use remit_core::plan::plan;
use remit_core::policy::Compiled;

fn reuse(bundle: &Compiled, call: Call, input: Input) {
    let plan = plan(bundle, input);
    let decided = decide(bundle, call, plan, Evidence::default());
    let body = call.body();
    drop((decided, body));
}

fn main() {}
