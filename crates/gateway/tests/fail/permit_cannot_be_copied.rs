//! One permit is one call.

use remit_gateway::permit::Permit;

fn double(permit: &Permit) -> Permit {
    permit.clone()
}

fn main() {}
