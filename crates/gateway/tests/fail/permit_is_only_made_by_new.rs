//! A permit is made of a decision and the receipt of its record, by the function that compares both.

use remit_audit::Receipt;
use remit_core::decide::Decided;
use remit_gateway::permit::Permit;

fn forge(decided: Decided, receipt: Receipt) -> Permit {
    Permit { decided, receipt }
}

fn main() {}
