//! What was not recorded is not sent.

use remit_core::decide::Decided;
use remit_gateway::permit::Permit;

fn skip_the_log(decided: Decided) -> Permit {
    Permit::new(decided).unwrap()
}

fn main() {}
