//! What must hold after every fault, held against three witnesses: what callers were told, what the upstream did, and
//! what the logs say.
//!
//! **Invariant:** it trusts nothing that the gateway says of itself but its answers to callers and the files of its log.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use super::entries::{Said, leaves, said};
use super::failed;

/// Something that a caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// The call was made, and here is its result.
    Made(String),
    /// The call ended well; the upstream's ledger names it otherwise.
    Landed(String),
    /// The call was refused, for the reason in this entry.
    Refused(String, u64),
    /// A run has this grant.
    Granted(String),
}

/// An intent, and what became of it.
#[derive(Debug, Clone)]
struct Intent {
    index: u64,
    permitted: bool,
    status: Option<String>,
}

/// Everything that was seen of one home so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Oracle {
    /// What callers were told.
    pub(super) told: Vec<Told>,
    /// Ids of the calls that the upstream made, in order.
    pub(super) effects: Vec<String>,
    leaves: Vec<Vec<u8>>,
    intents: BTreeMap<String, Intent>,
    open: BTreeMap<u64, String>,
    decisions: u64,
    authority: Vec<Vec<u8>>,
    grants: BTreeSet<String>,
}

impl Oracle {
    /// Reads what is new in the logs; what was there before must be there still, to the byte.
    pub(super) fn read(&mut self, home: &Path) -> io::Result<()> {
        let size = self.leaves.len() as u64;
        let gateway = leaves(&home.join("gateway/log"), 0)?;
        grown("gateway", &self.leaves, &gateway)?;
        let new = gateway.get(self.leaves.len()..).unwrap_or_default();
        for (index, leaf) in (size..).zip(new) {
            self.note(index, said(leaf)?);
        }
        self.leaves = gateway;
        if let Some((index, id)) = self.open.range(..size).next() {
            return Err(failed(format!("intent {index} ({id}) is open after a start")));
        }
        let authority = leaves(&home.join("authority/log/authority"), 0)?;
        grown("authority", &self.authority, &authority)?;
        for leaf in authority.get(self.authority.len()..).unwrap_or_default() {
            let event: serde_json::Value = serde_json::from_slice(leaf)?;
            let id = event.pointer("/unmapped/remit/id").and_then(serde_json::Value::as_str);
            self.grants.extend(id.map(ToOwned::to_owned));
        }
        self.authority = authority;
        Ok(())
    }

    fn note(&mut self, index: u64, said: Said) {
        match said {
            Said::Intent { id, permitted } => {
                self.decisions += 1;
                if permitted {
                    self.open.insert(index, id.clone());
                }
                self.intents.insert(id, Intent { index, permitted, status: None });
            }
            Said::Outcome { of, status } => {
                let id = self.open.remove(&of);
                if let Some(intent) = id.and_then(|id| self.intents.get_mut(&id)).filter(|intent| intent.index == of) {
                    intent.status = Some(status);
                }
            }
            Said::Other => {}
        }
    }

    /// Everything that somebody was told or that was done must be in the logs.
    pub(super) fn check(&self) -> io::Result<()> {
        let mut done = BTreeSet::new();
        for id in &self.effects {
            if !self.intents.get(id).is_some_and(|intent| intent.permitted) {
                return Err(failed(format!("an effect without an intent: {id}")));
            }
            if !done.insert(id) {
                return Err(failed(format!("an effect was made twice: {id}")));
            }
        }
        self.told.iter().try_for_each(|told| self.kept(told, &done).map_err(failed))
    }

    fn kept(&self, told: &Told, done: &BTreeSet<&String>) -> Result<(), String> {
        match told {
            Told::Made(id) | Told::Landed(id) => {
                let intent =
                    self.intents.get(id).ok_or_else(|| format!("acknowledged and lost: the intent of {id}"))?;
                match intent.status.as_deref() {
                    Some("ok") if matches!(told, Told::Landed(_)) || done.contains(id) => Ok(()),
                    Some("ok") => Err(format!("acknowledged and never made: {id}")),
                    status => Err(format!("acknowledged and lost: the outcome of {id}, which is {status:?}")),
                }
            }
            Told::Refused(id, index) => match self.intents.get(id) {
                Some(intent) if !intent.permitted && intent.index == *index => Ok(()),
                other => Err(format!("acknowledged and lost: refusal {id} at entry {index}; there is {other:?}")),
            },
            Told::Granted(grant) if self.grants.contains(grant) => Ok(()),
            Told::Granted(grant) => Err(format!("acknowledged and lost: grant {grant}")),
        }
    }

    /// Intents without an outcome. After a clean end there are none.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Decisions in the gateway's log.
    pub(super) fn decisions(&self) -> u64 {
        self.decisions
    }

    /// As if the outcome of the last call that was made had never been written.
    pub(super) fn without_last_outcome(&self) -> Self {
        let mut other = self.clone();
        let last =
            self.intents.iter().filter(|(_, intent)| intent.status.is_some()).max_by_key(|(_, intent)| intent.index);
        if let Some((id, intent)) = last {
            other.open.insert(intent.index, id.clone());
        }
        other
    }
}

fn grown(log: &str, before: &[Vec<u8>], now: &[Vec<u8>]) -> io::Result<()> {
    if now.starts_with(before) {
        return Ok(());
    }
    Err(failed(format!("the {log}'s log lost entries: {} before, {} now, or other ones", before.len(), now.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle(effects: &[&str], told: &[Told]) -> Oracle {
        let mut oracle = Oracle { told: told.to_vec(), ..Oracle::default() };
        oracle.effects = effects.iter().map(|id| (*id).to_owned()).collect();
        let intent = |id: &str, permitted| Said::Intent { id: id.into(), permitted };
        let outcome = |of, status: &str| Said::Outcome { of, status: status.into() };
        let log = [
            intent("made", true),
            outcome(0, "ok"),
            intent("cut", true),
            outcome(2, "unknown"),
            intent("refused", false),
            intent("open", true),
        ];
        (0..).zip(log).for_each(|(index, said)| oracle.note(index, said));
        oracle
    }

    #[test]
    fn what_was_told_and_done_must_be_in_the_log() {
        let good =
            |effects: &[&str], told: &[Told]| assert!(oracle(effects, told).check().is_ok(), "{effects:?} {told:?}");
        let bad =
            |effects: &[&str], told: &[Told]| assert!(oracle(effects, told).check().is_err(), "{effects:?} {told:?}");
        good(&["made", "cut"], &[Told::Made("made".into()), Told::Refused("refused".into(), 4)]);
        good(&[], &[Told::Landed("made".into())]);
        bad(&[], &[Told::Made("made".into())]);
        bad(&["cut"], &[Told::Made("cut".into())]);
        bad(&[], &[Told::Made("lost".into())]);
        bad(&["made", "made"], &[]);
        bad(&["never"], &[]);
        bad(&["refused"], &[]);
        bad(&[], &[Told::Refused("refused".into(), 3)]);
        bad(&[], &[Told::Refused("made".into(), 0)]);
        bad(&[], &[Told::Granted("g".into())]);
    }

    #[test]
    fn an_intent_without_an_outcome_is_open() {
        assert_eq!(oracle(&[], &[]).open.keys().collect::<Vec<_>>(), [&5]);
    }
}
