//! A verdict, once given, stands.

use remit_core::decide::{Decided, Verdict};

fn overrule(decided: &mut Decided) {
    decided.verdict = Verdict::Permit;
    decided.leaf_hash = None;
}

fn main() {}
