//! Reading a log from an entry on: how its user rebuilds what it keeps in memory.
//!
//! **Invariant:** no entry is given that does not hash to what the tree has; what the tree has was compared with its
//! signed root when the log was opened, and is in memory since.

use std::{collections::VecDeque, sync::Arc};

use crate::{disk::Disk, error::ReadError, store::Store};

/// Reads what the bundle that covers an entry has from that entry on.
type Read<D, T> = fn(&Store<D>, u64) -> Result<Vec<T>, ReadError>;

/// Entries, or their leaves alone, in order, read a bundle at a time. Ends at the first error, which it gives.
pub(crate) struct Entries<D: Disk, T> {
    store: Arc<Store<D>>,
    read: Read<D, T>,
    ready: VecDeque<T>,
    next: u64,
    end: u64,
}

impl<D: Disk, T> Entries<D, T> {
    pub(crate) fn new(store: Arc<Store<D>>, read: Read<D, T>, from: u64, end: u64) -> Self {
        Self { store, read, ready: VecDeque::new(), next: from, end }
    }
}

impl<D: Disk, T> Iterator for Entries<D, T> {
    type Item = Result<(u64, T), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        if self.ready.is_empty() {
            match (self.read)(&self.store, self.next) {
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
