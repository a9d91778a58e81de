//! One record permits one call.

use remit_audit::Receipt;
use remit_core::decide::Decided;
use remit_gateway::permit::Permit;

fn two_of_one(one: Decided, two: Decided, receipt: Receipt) {
    let _one = Permit::new(one, receipt);
    let _two = Permit::new(two, receipt);
}

fn main() {}
