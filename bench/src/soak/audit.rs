//! The upstream's ledger held against the log: what was done and stands in no permitted intent was done unaudited.

use std::io;

use remit_audit::disk::Posix;
use remit_audit::epochs;
use remit_audit::verify::verify_dir;
use remit_core::event::{Kind, check_entry, read};

use super::ask::MARK;
use crate::home::Home;

/// What the gateway's log says.
#[derive(Debug, Default)]
pub(crate) struct Audited {
    pub(crate) entries: u64,
    /// Numbers of the calls that were permitted.
    pub(crate) permitted: Vec<u64>,
    /// Entries of refusals of callers whom nobody knows, and entries that sum up further ones.
    pub(crate) strangers: u64,
    pub(crate) summed_up: u64,
}

/// Reads all of a stopped gateway's log, which must verify to its last byte.
pub(crate) fn audited(home: &Home) -> io::Result<Audited> {
    let mut found = Audited::default();
    for (_, dir) in epochs(&Posix, &home.log()).map_err(io::Error::other)? {
        let report = verify_dir(&dir, None, None, &mut |_, leaf, sealed| {
            check_entry(leaf, sealed).map_err(|error| error.to_string())?;
            found.take(leaf);
            Ok(())
        });
        found.entries += report.map_err(io::Error::other)?.size;
    }
    Ok(found)
}

impl Audited {
    fn take(&mut self, leaf: &[u8]) {
        let Some((kind, node)) = read(leaf) else { return };
        let text = |name: &str| node.text(&["unmapped", "remit", name]);
        match kind {
            Kind::CallIntent if node.text(&["unmapped", "remit", "decision", "verdict"]) == Some("permit") => {
                let number = text("tool_use_id").and_then(|id| id.strip_prefix(MARK)?.parse::<u64>().ok());
                self.permitted.extend(number);
            }
            Kind::CallIntent | Kind::Method if text("run").is_none() => self.strangers += 1,
            Kind::Refusals => self.summed_up += 1,
            _ => {}
        }
    }
}

/// Calls of the ledger that no permitted intent is for. One intent is for one call: what was done twice needs two.
pub(crate) fn unaudited(mut ledger: Vec<u64>, mut permitted: Vec<u64>) -> Vec<u64> {
    ledger.sort_unstable();
    permitted.sort_unstable();
    let mut permitted = permitted.into_iter().peekable();
    ledger.retain(|done| {
        while permitted.next_if(|number| number < done).is_some() {}
        permitted.next_if_eq(done).is_none()
    });
    ledger
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ledger: &[u64], permitted: &[u64], expected: &[u64]) {
        assert_eq!(unaudited(ledger.to_vec(), permitted.to_vec()), expected);
    }

    #[test]
    fn one_call_without_an_intent_is_found() {
        check(&[3, 1, 2], &[1, 2, 3], &[]);
        check(&[3, 1, 2], &[1, 3], &[2]);
        // Permitted and not sent is no fault.
        check(&[2], &[1, 2, 3], &[]);
        check(&[1, 2, 2], &[1, 2, 3], &[2]);
        check(&[7, u64::MAX], &[7], &[u64::MAX]);
        check(&[1], &[], &[1]);
    }
}
