//! Reading a log from an entry on: how its user rebuilds what it keeps in memory.
//!
//! **Invariant:** no entry is given that does not hash to what the tree has; what the tree has was compared with its
//! signed root when the log was opened, and is in memory since.

use std::{collections::VecDeque, sync::Arc};

use crate::{disk::Disk, entry::Entry, error::ReadError, store::Store};

/// Entries in order, read a bundle at a time. Ends at the first error, which it gives.
pub(crate) struct Entries<D: Disk> {
    store: Arc<Store<D>>,
    ready: VecDeque<Entry>,
    next: u64,
    end: u64,
}

impl<D: Disk> Entries<D> {
    pub(crate) fn new(store: Arc<Store<D>>, from: u64, end: u64) -> Self {
        Self { store, ready: VecDeque::new(), next: from, end }
    }
}

impl<D: Disk> Iterator for Entries<D> {
    type Item = Result<(u64, Entry), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        if self.ready.is_empty() {
            match self.store.read_bundle(self.next) {
                Ok(entries) => self.ready = entries.into(),
                Err(error) => {
                    self.end = self.next;
                    return Some(Err(error));
                }
            }
        }
        let Some(entry) = self.ready.pop_front() else {
            self.end = self.next;
            return Some(Err(ReadError::NoEntry(self.next)));
        };
        let index = self.next;
        self.next += 1;
        Some(Ok((index, entry)))
    }
}
