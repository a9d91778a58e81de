//! What may happen is what grant and policy say, and not what is written down.

use remit_core::plan::{Outcome, Plan};

fn forge() -> Plan {
    Plan { outcome: Outcome::Permit, policies: Default::default(), about: None }
}

fn main() {}
