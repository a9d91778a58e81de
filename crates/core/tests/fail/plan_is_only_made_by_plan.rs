//! What may happen is what grant and policy say of this very input, and not what they said of another.

use remit_core::input::Input;
use remit_core::plan::Plan;

fn forge(input: Input, other: Plan) -> Plan {
    Plan { input, ..other }
}

fn main() {}
