//! A verdict, once given, stands, also for whoever holds the decision.

use remit_core::decide::{Decided, Verdict};

fn overrule(decided: &mut Decided) {
    *decided.verdict() = Verdict::Permit;
}

fn main() {}
