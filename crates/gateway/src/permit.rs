//! The permit: without one nothing is sent, and there is one way to get it.
//!
//! **Invariant:** a `Permit` exists only for a call that was permitted and whose very decision is durable in the log.

use remit_audit::Receipt;
use remit_core::decide::{Decided, Verdict};
use remit_core::rejection::{Code, Rejection};

use crate::refusal;

/// The right to send one call once. It owns the exact bytes; it cannot be copied, and sending consumes it.
#[must_use = "a permit that is not used is a call that was recorded and never made"]
pub struct Permit {
    decided: Decided,
    receipt: Receipt,
}

impl Permit {
    /// Checks that the call is permitted and that the receipt is of this very decision.
    ///
    /// Anything else is a rejection that names the entry which holds its reason.
    pub fn new(decided: Decided, receipt: Receipt) -> Result<Self, Rejection> {
        if decided.leaf_hash() != Some(&receipt.leaf_hash()) {
            let message = "the record of the call is of another call";
            return Err(Rejection::new(Code::Internal, message, "report this: it is a defect of the gateway"));
        }
        match decided.verdict() {
            Verdict::Permit => Ok(Self { decided, receipt }),
            Verdict::Pending(_) | Verdict::Forbid(_) => Err(refusal::recorded(&decided, receipt.index())),
        }
    }

    /// The decision.
    pub fn decided(&self) -> &Decided {
        &self.decided
    }

    /// The caller.
    pub fn claims(&self) -> Option<&std::sync::Arc<remit_core::claims::Claims>> {
        self.decided.input().claims()
    }

    /// Index of its entry in the log.
    pub fn index(&self) -> u64 {
        self.receipt.index()
    }
}

#[cfg(test)]
mod tests;
