//! The hot path: one group of entries becomes durable with one write and one fdatasync, closed by a signed checkpoint.
//!
//! **Invariant:** the tree in memory moves on only after the sync; whatever fails before leaves it as it was,
//! and after a failed write or sync of a segment nobody can know what the disk holds, so the writer ends.

use std::sync::Arc;

use aws_lc_rs::rand;

use crate::{
    checkpoint::Checkpoint,
    disk::Disk,
    entry::Hashed,
    error::{ReadError, at},
    note::Signer,
    store::{Head, Place, Segment, Spare, Store},
    tree::Frontier,
    wal::{HEADER_BYTES, Header, Payload, entry_bytes, frame_bytes, push_frame},
};

/// Why a group was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No space for another segment. Nothing was written; it may be tried again.
    #[error("no space for another segment")]
    Full,
    /// A write or a sync failed. What is on disk is unknown until recovery.
    #[error("the log is stopped: {0}")]
    Stopped(ReadError),
    /// It was stopped before, or has no randomness.
    #[error("the log is stopped")]
    Ended,
}

/// Appends groups. There is one, and it is driven by one thread.
pub struct Writer<D: Disk> {
    store: Arc<Store<D>>,
    signer: Signer,
    frontier: Frontier,
    next: Frontier,
    segment: Option<Arc<Segment<D>>>,
    end: u64,
    next_segment: u64,
    group: u64,
    buffer: Vec<u8>,
    stopped: bool,
}

impl<D: Disk> Writer<D> {
    pub(crate) fn new(store: Arc<Store<D>>, signer: Signer, frontier: Frontier, next_segment: u64) -> Self {
        Self {
            store,
            signer,
            next: frontier.clone(),
            frontier,
            segment: None,
            end: 0,
            next_segment,
            group: 1,
            buffer: Vec::new(),
            stopped: false,
        }
    }

    /// Makes a group durable and returns the index of its first entry. `reserved` lets it use what is held back.
    pub fn append_group(&mut self, group: &[Hashed], reserved: bool) -> Result<u64, WriteError> {
        if self.stopped {
            return Err(WriteError::Ended);
        }
        let first = self.frontier.size();
        let note = self.sign(group);
        let frames = group.iter().map(|one| entry_bytes(one.entry.leaf.len(), one.entry.sealed.len()));
        let bytes = (frames.sum::<usize>() + frame_bytes(note.len())) as u64;
        let segment = self.segment_for(bytes, reserved)?;
        self.encode(group, &note, &segment);
        let written = self.store.disk.write_at(&segment.file, &self.buffer, self.end);
        let durable = written.and_then(|()| self.store.disk.sync(&segment.file));
        durable.map_err(|error| self.stop(at(&segment.path)(error)))?;
        self.advance(group, note.into(), &segment);
        Ok(first)
    }

    /// Makes the first segment ready, so that the first entry need not wait for it.
    pub(crate) fn prepare(&mut self) -> Result<(), WriteError> {
        let spare = self.store.first_spare().map_err(|error| self.refuse(error))?;
        self.begin(spare).map(drop)
    }

    fn sign(&mut self, group: &[Hashed]) -> String {
        self.next.clone_from(&self.frontier);
        for one in group {
            self.next.push(one.hash);
        }
        let origin = self.signer.name().to_owned();
        Checkpoint { origin, size: self.next.size(), root: self.next.root() }.sign(&self.signer)
    }

    fn encode(&mut self, group: &[Hashed], note: &str, segment: &Segment<D>) {
        self.buffer.clear();
        let (seed, start, number) = (segment.seed, self.end, self.group);
        let entries = group.iter().map(|one| Payload::Entry { leaf: &one.entry.leaf, sealed: &one.entry.sealed });
        for payload in entries.chain([Payload::Footer(note)]) {
            // Sizes are bounded by `Hashed`, far below what 32 bits can say.
            push_frame(&mut self.buffer, seed, start, number, payload).unwrap_or_default();
        }
    }

    fn advance(&mut self, group: &[Hashed], note: Arc<str>, segment: &Arc<Segment<D>>) {
        let mut state = self.store.state();
        let mut offset = self.end;
        for one in group {
            let bytes = entry_bytes(one.entry.leaf.len(), one.entry.sealed.len());
            let segment = Arc::clone(segment);
            state.tail.push_back(Place { hash: one.hash, segment, offset, bytes });
            offset += bytes as u64;
        }
        state.head = Head { size: self.next.size(), note };
        drop(state);
        std::mem::swap(&mut self.frontier, &mut self.next);
        self.end += self.buffer.len() as u64;
        self.group += 1;
    }

    fn segment_for(&mut self, bytes: u64, reserved: bool) -> Result<Arc<Segment<D>>, WriteError> {
        if let Some(segment) = self.segment.as_ref().filter(|segment| self.end + bytes <= segment.bytes) {
            return Ok(Arc::clone(segment));
        }
        let spare = self.store.take_spare(HEADER_BYTES as u64 + bytes, reserved).map_err(|error| self.refuse(error))?;
        self.begin(spare)
    }

    fn begin(&mut self, spare: Spare<D>) -> Result<Arc<Segment<D>>, WriteError> {
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|_| WriteError::Ended)?;
        let header = Header {
            epoch: self.store.epoch,
            number: self.next_segment,
            first_index: self.frontier.size(),
            first_group: self.group,
            bytes: spare.bytes,
            salt,
        };
        let segment = self.store.activate(spare, &header).map_err(|error| self.refuse(error))?;
        self.next_segment += 1;
        self.end = HEADER_BYTES as u64;
        self.segment = Some(Arc::clone(&segment));
        Ok(segment)
    }

    /// A full disk can be tried again; after anything else the segments are in an unknown state.
    fn refuse(&mut self, error: ReadError) -> WriteError {
        if error.is_full() { WriteError::Full } else { self.stop(error) }
    }

    fn stop(&mut self, error: ReadError) -> WriteError {
        self.stopped = true;
        WriteError::Stopped(error)
    }
}
