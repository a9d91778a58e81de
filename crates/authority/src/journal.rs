//! The log is first: a change is durable in the log before the database has it, and the database follows.
//!
//! **Invariant:** the database never holds what the log does not. Whatever lies between the two after a crash, a
//! failed write or the loss of the database is applied again at start, before anything else is done. And it is applied
//! only from entries that the signed tree has, with the frames that their leaves name.

use std::time::Duration;

use remit_audit::checkpoint::Checkpoint;
use remit_audit::head;
use remit_audit::vault::{Kek, Vault, VaultError};
use remit_audit::{Config as LogConfig, Entry, Log, LogKey, Opened, durable};
use remit_core::event::{self, Head};

use crate::change::Change;
use crate::config::{Clock, Config, Home};
use crate::entry;
use crate::error::AuthorityError;
use crate::random;
use crate::store::{Applied, Store};

/// The name under which the authority's log is kept.
pub(crate) const INSTANCE: &str = "authority";
/// People and tokens wait here, not calls: a disk that is busy for a moment must not fail a revocation.
const COMMIT_DEADLINE: Duration = Duration::from_secs(5);
const AAD: &[u8] = b"remit.authority.change/v1";
const RESTORE: &str = "restore the database that belongs to this log, or begin with an empty home";

/// Log, vault and database as one.
pub(crate) struct Journal {
    log: Log,
    vault: Vault,
    store: Store,
    applied: Applied,
    clock: Clock,
    name: String,
}

impl Journal {
    /// Opens all three, and applies what the database lacks.
    pub(crate) fn open(home: &Home, config: &Config) -> Result<Self, AuthorityError> {
        let keys = home.keys();
        durable::create_dir(&keys).map_err(AuthorityError::at(&keys))?;
        let kek = Kek::load_or_create(&keys.join("vault.key"))?;
        let vault = Vault::open(&home.vault(), kek)?;
        let mut log_config = LogConfig::new(home.log(), config.trust_domain.as_str(), INSTANCE);
        log_config.commit_deadline = COMMIT_DEADLINE;
        log_config.outside = Some(outside(home));
        let (log, opened) = Log::open(log_config, LogKey::load_or_create(&keys.join("log.key"))?)?;
        let store = Store::open(&home.database())?;
        let applied = position(&store, &opened, log.size())?;
        let mut journal = Self {
            log,
            vault,
            store,
            applied,
            clock: config.clock.clone(),
            name: format!("{}/log/{INSTANCE}", config.trust_domain),
        };
        if opened.size == 0 {
            journal.begin_epoch(&opened)?;
        }
        journal.catch_up()?;
        Ok(journal)
    }

    /// Records one change: durable in the log, then in the database. Returns the index of its entry.
    pub(crate) fn record(&mut self, change: &Change) -> Result<u64, AuthorityError> {
        let entry = self.seal(change)?;
        let receipt = self.log.commit_wait(entry)?;
        if receipt.index() == self.applied.entries {
            self.apply(Some(change))?;
        } else {
            // An earlier entry became durable after its deadline had passed, or could not be applied.
            self.catch_up()?;
        }
        Ok(receipt.index())
    }

    /// The database, for questions.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The log, for proofs and for its end.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    fn seal(&self, change: &Change) -> Result<Entry, AuthorityError> {
        if matches!(change, Change::Erased { .. }) {
            let sealed = Vec::new();
            return Ok(Entry { leaf: entry::leaf(change, &sealed, &self.head()?)?, sealed });
        }
        let plain = serde_json::to_vec(change)?;
        let sealed = self.vault.seal(entry::subject(change), AAD, &plain)?;
        let leaf = entry::leaf(change, &sealed, &self.head()?)?;
        Ok(Entry { leaf, sealed })
    }

    fn head(&self) -> Result<Head, AuthorityError> {
        Ok(Head { uid: random::jti()?, at_ms: self.clock.now().saturating_mul(1000), log: self.name.clone() })
    }

    fn begin_epoch(&mut self, opened: &Opened) -> Result<(), AuthorityError> {
        let epoch = event::Epoch { epoch: opened.epoch, previous: opened.previous.as_deref() };
        let leaf = epoch.write(&self.head()?);
        let leaf = leaf.map_err(|error| AuthorityError::Leaf(error.to_string()))?;
        let sealed = Vec::new();
        self.log.commit_wait(Entry { leaf, sealed }).map(|_receipt| ())?;
        Ok(())
    }

    /// Applies every entry that the database lacks.
    fn catch_up(&mut self) -> Result<(), AuthorityError> {
        for read in self.log.entries(self.applied.entries) {
            let (index, entry) = read?;
            let change = self.unseal(index, &entry)?;
            self.apply(change.as_ref())?;
        }
        Ok(())
    }

    fn unseal(&self, index: u64, entry: &Entry) -> Result<Option<Change>, AuthorityError> {
        let bad = |why: String| AuthorityError::Entry { index, why };
        // The tree vouches for the leaf, and the leaf for its frame.
        event::check_entry(&entry.leaf, &entry.sealed).map_err(|error| bad(error.to_string()))?;
        let Some(subject) = entry::subject_of(&entry.leaf) else {
            return Ok(entry::erasure(&entry.leaf));
        };
        match self.vault.open_sealed(&subject, AAD, &entry.sealed) {
            Ok(plain) => serde_json::from_slice(&plain).map(Some).map_err(|error| bad(error.to_string())),
            // What was erased stays erased: the person's rows are not rebuilt.
            Err(VaultError::Erased) => Ok(None),
            Err(error) => Err(bad(error.to_string())),
        }
    }

    fn apply(&mut self, change: Option<&Change>) -> Result<(), AuthorityError> {
        let next = Applied { entries: self.applied.entries.saturating_add(1), ..self.applied.clone() };
        if let Some(Change::Erased { principal, .. }) = change {
            self.vault.destroy(principal.as_str())?;
        }
        self.store.apply(change, &next)?;
        self.applied = next;
        Ok(())
    }
}

/// Where the newest checkpoint is kept, beside the log and not in it. A log that is behind it does not start: it is the
/// only source of what was taken back from whom, so nothing may be assumed in place of what it lacks.
fn outside(home: &Home) -> head::Config {
    head::Config { path: home.path().join("log.head"), behind: head::Behind::Refuse }
}

/// Where in this epoch of the log the database stands; refuses two that cannot both be right.
fn position(store: &Store, opened: &Opened, size: u64) -> Result<Applied, AuthorityError> {
    let diverged = |applied, size| AuthorityError::Diverged { applied, size, help: RESTORE };
    let begin = Applied { origin: opened.origin.clone(), entries: 0 };
    let before = opened.previous.as_deref().and_then(checkpoint);
    match (store.applied()?, before) {
        (Some(applied), _) if applied.origin == opened.origin => {
            if applied.entries > size {
                return Err(diverged(applied.entries, size));
            }
            Ok(applied)
        }
        (None, None) => Ok(begin),
        // The epoch ended where the database stands: a restored directory begins a new one.
        (Some(applied), Some(end)) if applied.origin == end.origin && applied.entries == end.size => Ok(begin),
        (applied, end) => Err(diverged(applied.map_or(0, |applied| applied.entries), end.map_or(size, |end| end.size))),
    }
}

/// The log itself has verified the note: it is the end of its own earlier epoch.
fn checkpoint(note: &str) -> Option<Checkpoint> {
    let (text, _) = note.split_once("\n\n")?;
    Checkpoint::parse(&format!("{text}\n")).ok()
}

#[cfg(test)]
mod tests;
