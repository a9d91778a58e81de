//! One decision is for one call: it cannot be used twice.

use remit_core::decide::Decided;

fn twice(decided: &Decided) -> Decided {
    decided.clone()
}

fn main() {}
