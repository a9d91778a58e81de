//! Segments before and after their use: made ahead, filled with zeros, recycled, and some held back for a full disk.
//!
//! **Invariant:** a file has a number for a name only when its header, with that number, is durable; so an unreadable
//! header is always damage. The last `reserve_segments` spares go only to the outcomes of calls already in flight.

use std::{io, sync::Arc};

use crate::{
    disk::{Disk, is_full, list_if_there, remove_if_there, write_zeros},
    error::{ReadError, at},
    store::{Segment, Spare, State, Store},
    wal::Header,
};

/// Length of the segment that is made while a log is being opened.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;

/// File name of a segment.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:016x}")
}

/// The number in a segment's file name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name, 16).ok()?;
    (segment_name(number) == name).then_some(number)
}

impl<D: Disk> Store<D> {
    /// Takes a spare of at least this length, or makes one.
    pub(crate) fn take_spare(&self, bytes: u64, reserved: bool) -> Result<Spare<D>, ReadError> {
        let held_back = self.reserve_segments;
        if let Some(spare) = take(&mut self.state(), bytes, held_back) {
            return Ok(spare);
        }
        match self.make_spare(bytes.max(self.segment_bytes), true) {
            Err(error) if error.is_full() && reserved => take(&mut self.state(), bytes, 0).ok_or(error),
            result => result,
        }
    }

    /// Gives a spare its header and its name.
    pub(crate) fn activate(&self, spare: Spare<D>, header: &Header) -> Result<Arc<Segment<D>>, ReadError> {
        let path = self.wal().join(segment_name(header.number));
        self.disk.write_at(&spare.file, &header.encode(), 0).map_err(at(&spare.path))?;
        self.disk.sync(&spare.file).map_err(at(&spare.path))?;
        self.disk.rename(&spare.path, &path).map_err(at(&path))?;
        self.disk.sync_dir(&self.wal()).map_err(at(&path))?;
        let Spare { file, bytes, .. } = spare;
        let segment = Segment { file, path, seed: header.seed(), first_index: header.first_index, bytes };
        let segment = Arc::new(segment);
        self.state().segments.push_back(Arc::clone(&segment));
        Ok(segment)
    }

    /// Turns segments of which every entry is published into spares, and fills the pool up to one more than the reserve.
    pub(crate) fn recycle(&self) -> Result<(), ReadError> {
        let mut retired = Vec::new();
        loop {
            // Its own statement: as the scrutinee of a loop, the lock would be held over the body.
            let segment = retire(&mut self.state());
            let Some(segment) = segment else { break };
            let path = self.next_spare_path();
            self.disk.rename(&segment.path, &path).map_err(at(&path))?;
            retired.push((segment, path));
        }
        if !retired.is_empty() {
            // Before the header is overwritten, or a crash could leave the old name on the new header.
            self.disk.sync_dir(&self.wal()).map_err(at(&self.wal()))?;
        }
        for (segment, path) in retired {
            let enough = self.state().spares.len() > self.reserve_segments;
            if enough || segment.bytes != self.segment_bytes {
                self.disk.remove(&path).map_err(at(&path))?;
                continue;
            }
            let file = self.disk.open(&path, true).map_err(at(&path))?;
            self.state().spares.push(Spare { file, path, bytes: segment.bytes });
        }
        self.fill_reserve()?;
        if self.state().spares.len() == self.reserve_segments {
            let spare = self.make_spare(self.segment_bytes, true)?;
            self.state().spares.push(spare);
        }
        Ok(())
    }

    /// Takes the space that is held back. Not zeroed: it is quick, and the reserve need not be.
    pub(crate) fn fill_reserve(&self) -> Result<(), ReadError> {
        while self.state().spares.len() < self.reserve_segments {
            let spare = self.make_spare(self.segment_bytes, false)?;
            self.state().spares.push(spare);
        }
        Ok(())
    }

    /// Removes every segment, used or spare: all is published, or must not be read again.
    pub(crate) fn drop_segments(&self) -> Result<(), ReadError> {
        self.state().segments.clear();
        self.state().spares.clear();
        self.drop_wal_files(|_| true)
    }

    /// Removes spares that an earlier run has left; their space may be needed for recovery.
    pub(crate) fn drop_old_spares(&self) -> Result<(), ReadError> {
        self.drop_wal_files(|name| segment_number(name).is_none())
    }

    fn drop_wal_files(&self, which: impl Fn(&str) -> bool) -> Result<(), ReadError> {
        let wal = self.wal();
        for name in list_if_there(&self.disk, &wal).map_err(at(&wal))? {
            if which(&name.name) {
                let path = wal.join(&name.name);
                remove_if_there(&self.disk, &path).map_err(at(&path))?;
            }
        }
        self.disk.sync_dir(&wal).map_err(at(&wal))
    }

    /// The spare that a log begins with: quick to make, and one of full length is made beside the first entries.
    pub(crate) fn first_spare(&self) -> Result<Spare<D>, ReadError> {
        self.make_spare(self.segment_bytes.min(FIRST_SEGMENT_BYTES), true)
    }

    fn make_spare(&self, bytes: u64, zeroed: bool) -> Result<Spare<D>, ReadError> {
        let path = self.next_spare_path();
        let file = self.disk.create(&path).map_err(at(&path))?;
        let filled = if zeroed { write_zeros(&self.disk, &file, bytes) } else { self.disk.reserve(&file, bytes) };
        match filled.and_then(|()| self.disk.sync(&file)) {
            Ok(()) => Ok(Spare { file, path, bytes }),
            Err(error) => Err(self.give_up(&path, error)),
        }
    }

    fn give_up(&self, path: &std::path::Path, error: io::Error) -> ReadError {
        if is_full(&error) {
            // Half a segment is of no use, and others may need the space; a second failure says nothing new.
            self.disk.remove(path).ok();
        }
        at(path)(error)
    }

    fn next_spare_path(&self) -> std::path::PathBuf {
        let mut state = self.state();
        state.spares_made += 1;
        self.wal().join(format!("spare-{}", state.spares_made))
    }
}

fn take<D: Disk>(state: &mut State<D>, bytes: u64, held_back: usize) -> Option<Spare<D>> {
    if state.spares.len() <= held_back {
        return None;
    }
    let fits = state.spares.iter().rposition(|spare| spare.bytes >= bytes)?;
    Some(state.spares.remove(fits))
}

/// The oldest segment, when the one after it begins at or before what is published.
fn retire<D: Disk>(state: &mut State<D>) -> Option<Arc<Segment<D>>> {
    let next = state.segments.get(1)?;
    if next.first_index > state.published {
        return None;
    }
    state.segments.pop_front()
}
