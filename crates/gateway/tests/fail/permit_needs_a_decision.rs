//! What was not decided is not sent.

use remit_audit::Receipt;
use remit_core::call::Call;
use remit_gateway::permit::Permit;

fn skip_the_policy(call: Call, receipt: Receipt) -> Permit {
    Permit::new(call, receipt).unwrap()
}

fn main() {}
