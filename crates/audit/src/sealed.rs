//! The sealed store: the bytes that were committed beside the leaves, in files of 256 entries, `sealed/<N>`.
//!
//! A file is a sequence of `length u32 · crc32c u32 · bytes`, big-endian, and grows by appending. Unlike an entry bundle
//! it has no partial form, because rewriting up to 256 × 8 MiB at each publication would cost more than the log itself.
//! **Invariant:** at rest a file ends exactly with the record of the last entry that it covers.

use std::path::{Path, PathBuf};

use crate::{
    disk::Disk,
    entry::SEALED_BYTES_MAX,
    error::{Damage, ReadError, at},
    tile::{TILE_WIDTH, index_path},
};

const RECORD_HEADER_BYTES: u64 = 8;

/// The file that covers an entry.
pub(crate) fn path(dir: &Path, index: u64) -> PathBuf {
    dir.join("sealed").join(index_path(index / TILE_WIDTH))
}

/// Appends a record.
pub(crate) fn push(out: &mut Vec<u8>, sealed: &[u8]) {
    let len = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&crc32c::crc32c(sealed).to_be_bytes());
    out.extend_from_slice(sealed);
}

/// Reads the records of one file in order.
pub(crate) struct Reader<'a, D: Disk> {
    disk: &'a D,
    file: D::File,
    path: PathBuf,
    next: u64,
    offset: u64,
}

impl<'a, D: Disk> Reader<'a, D> {
    /// Begins at the first entry of the file that covers `index`.
    pub(crate) fn open(disk: &'a D, dir: &Path, index: u64) -> Result<Self, ReadError> {
        let path = path(dir, index);
        let file = disk.open(&path, false).map_err(at(&path))?;
        Ok(Self { disk, file, path, next: index - index % TILE_WIDTH, offset: 0 })
    }

    /// Goes on to an entry without reading what lies before it.
    pub(crate) fn skip_to(&mut self, index: u64) -> Result<(), ReadError> {
        while self.next < index {
            let (len, _) = self.header()?;
            self.offset += RECORD_HEADER_BYTES + len;
            self.next += 1;
        }
        Ok(())
    }

    /// The next entry's bytes.
    pub(crate) fn next(&mut self) -> Result<Vec<u8>, ReadError> {
        let (len, crc) = self.header()?;
        let mut sealed = vec![0; usize::try_from(len).unwrap_or(SEALED_BYTES_MAX)];
        let read = self.disk.read_at(&self.file, &mut sealed, self.offset + RECORD_HEADER_BYTES);
        if read.map_err(at(&self.path))? != sealed.len() {
            return Err(ReadError::damaged(&self.path, Damage::Malformed));
        }
        if crc32c::crc32c(&sealed) != crc {
            return Err(ReadError::damaged(&self.path, Damage::Sealed(self.next)));
        }
        self.offset += RECORD_HEADER_BYTES + len;
        self.next += 1;
        Ok(sealed)
    }

    /// Offset behind what was read.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Fails unless the file ends here.
    pub(crate) fn expect_end(&self) -> Result<(), ReadError> {
        let len = self.disk.len(&self.file).map_err(at(&self.path))?;
        if len == self.offset { Ok(()) } else { Err(ReadError::damaged(&self.path, Damage::Malformed)) }
    }

    fn header(&self) -> Result<(u64, u32), ReadError> {
        let mut header = [0; 8];
        let read = self.disk.read_at(&self.file, &mut header, self.offset).map_err(at(&self.path))?;
        let (len, crc) = (u64::from_be_bytes(header) >> 32, u64::from_be_bytes(header) & 0xffff_ffff);
        let short = read != header.len() || usize::try_from(len).map_or(true, |len| len > SEALED_BYTES_MAX);
        match u32::try_from(crc) {
            Ok(crc) if !short => Ok((len, crc)),
            _ => Err(ReadError::damaged(&self.path, Damage::Malformed)),
        }
    }
}
