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

const RECORD_HEADER_BYTES: usize = 8;
/// So much is read at once, at least: most records are small, and a call to the system for each costs more than they do.
const READ_BYTES_MIN: usize = 16 << 10;

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
    /// Bytes of the file from `read_from` on.
    read: Vec<u8>,
    read_from: u64,
}

impl<'a, D: Disk> Reader<'a, D> {
    /// Begins at the first entry of the file that covers `index`.
    pub(crate) fn open(disk: &'a D, dir: &Path, index: u64) -> Result<Self, ReadError> {
        let path = path(dir, index);
        let file = disk.open(&path, false).map_err(at(&path))?;
        Ok(Self { disk, file, path, next: index - index % TILE_WIDTH, offset: 0, read: Vec::new(), read_from: 0 })
    }

    /// Goes on to an entry without reading what lies before it.
    pub(crate) fn skip_to(&mut self, index: u64) -> Result<(), ReadError> {
        while self.next < index {
            let (len, _) = self.header()?;
            self.go_on(len);
        }
        Ok(())
    }

    /// The next entry's bytes.
    pub(crate) fn next(&mut self) -> Result<&[u8], ReadError> {
        let (len, crc) = self.header()?;
        let record = self.bytes(RECORD_HEADER_BYTES + len)?;
        let whole = record.get(RECORD_HEADER_BYTES..).is_some_and(|sealed| crc32c::crc32c(sealed) == crc);
        if !whole {
            return Err(ReadError::damaged(&self.path, Damage::Sealed(self.next)));
        }
        let start = self.start() + RECORD_HEADER_BYTES;
        self.go_on(len);
        Ok(self.read.get(start..start + len).unwrap_or_default())
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

    fn header(&mut self) -> Result<(usize, u32), ReadError> {
        let header = self.bytes(RECORD_HEADER_BYTES)?;
        let parts = header.split_first_chunk::<4>().and_then(|(len, crc)| Some((len, crc.first_chunk::<4>()?)));
        let parts = parts.map(|(len, crc)| (u32::from_be_bytes(*len), u32::from_be_bytes(*crc)));
        let parts = parts.and_then(|(len, crc)| Some((usize::try_from(len).ok()?, crc)));
        let parts = parts.filter(|(len, _)| *len <= SEALED_BYTES_MAX);
        parts.ok_or_else(|| ReadError::damaged(&self.path, Damage::Malformed))
    }

    fn go_on(&mut self, len: usize) {
        self.offset += (RECORD_HEADER_BYTES + len) as u64;
        self.next += 1;
    }

    /// So many bytes from `offset` on.
    fn bytes(&mut self, len: usize) -> Result<&[u8], ReadError> {
        if self.read.len() < self.start().saturating_add(len) {
            self.read.resize(len.max(READ_BYTES_MIN), 0);
            let read = self.disk.read_at(&self.file, &mut self.read, self.offset).map_err(at(&self.path))?;
            self.read.truncate(read);
            self.read_from = self.offset;
        }
        let start = self.start();
        self.read.get(start..start + len).ok_or_else(|| ReadError::damaged(&self.path, Damage::Malformed))
    }

    /// Where in `read` the offset is.
    fn start(&self) -> usize {
        usize::try_from(self.offset - self.read_from).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Posix;

    const SIZES: [usize; 12] = [0, 1, 300, 16_376, 16_368, 16_384, 0, 16_385, 70_000, 5, 8_000, 9_000];

    fn record(index: usize) -> Vec<u8> {
        (0..SIZES[index]).map(|byte| (byte * 31 + index).to_le_bytes()[0]).collect()
    }

    fn written(dir: &Path) -> PathBuf {
        let mut bytes = Vec::new();
        (0..SIZES.len()).for_each(|index| push(&mut bytes, &record(index)));
        let path = path(dir, 0);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        crate::durable::write(&path, &bytes, 0o600).unwrap();
        path
    }

    /// Break: go on within what was read before, beside what is asked for.
    #[test]
    fn records_of_any_size_are_read_from_any_of_them_on() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        for from in 0..=SIZES.len() {
            let mut reader = Reader::open(&Posix, dir.path(), 0).unwrap();
            reader.skip_to(from as u64).unwrap();
            for index in from..SIZES.len() {
                assert_eq!(reader.next().unwrap(), record(index), "{index} from {from}");
            }
            reader.expect_end().unwrap();
            assert!(reader.next().is_err());
        }
    }

    /// Break: take a record that is cut off, or one that is not what was written.
    #[test]
    fn a_record_that_is_not_whole_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let good = std::fs::read(&path).unwrap();
        let read = |bytes: &[u8]| {
            crate::durable::write(&path, bytes, 0o600).unwrap();
            let mut reader = Reader::open(&Posix, dir.path(), 0).unwrap();
            (0..SIZES.len()).filter(|_| reader.next().is_ok()).count()
        };
        let mut end = 0;
        for (index, size) in SIZES.iter().enumerate() {
            end += RECORD_HEADER_BYTES + size;
            assert_eq!(read(&good[..end]), index + 1);
            assert_eq!(read(&good[..end - 1]), index);
            let mut bad = good.clone();
            bad[end - 1] ^= 1;
            assert_eq!(read(&bad), index, "{size} bytes");
        }
    }

    /// Break: believe that a file that grows ends where it ended.
    #[test]
    fn what_was_appended_meanwhile_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let good = std::fs::read(&path).unwrap();
        crate::durable::write(&path, &good[..20], 0o600).unwrap();
        let mut reader = Reader::open(&Posix, dir.path(), 0).unwrap();
        assert_eq!(reader.next().unwrap(), record(0));
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, &good[20..]).unwrap();
        for index in 1..SIZES.len() {
            assert_eq!(reader.next().unwrap(), record(index));
        }
    }
}
