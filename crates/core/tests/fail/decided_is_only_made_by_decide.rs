//! A verdict cannot be written down by hand.

use remit_core::call::Call;
use remit_core::decide::{Decided, Verdict};
use remit_core::gate::Evidence;
use remit_core::input::Input;

fn forge(call: Call, input: Input) -> Decided {
    Decided {
        call,
        input,
        evidence: Evidence::default(),
        verdict: Verdict::Permit,
        policies: Default::default(),
        owners: Default::default(),
        about: None,
        leaf_hash: None,
    }
}

fn main() {}
