//! What was judged is what is sent.

use remit_core::decide::Decided;
use remit_gateway::permit::Permit;

fn change(permit: &mut Permit, other: Decided) {
    permit.decided = other;
}

fn main() {}
