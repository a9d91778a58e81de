//! What the disk itself needs to make one kilobyte durable: the unit by which everything that is durable is measured.

use std::fs::OpenOptions;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::sample::Sample;

/// Length of the file, which is written and synced before, so that no sync has more to do than the data.
const FILE_BYTES: usize = 4 << 20;
const RECORD_BYTES: usize = 1024;

/// Times of one append of 1 KiB with its `fdatasync`, for so long.
pub(crate) fn sync(dir: &Path, time: Duration) -> io::Result<Sample> {
    let path = dir.join("fdatasync");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    file.write_all(&vec![0; FILE_BYTES])?;
    file.sync_all()?;
    let record = [7; RECORD_BYTES];
    let (mut times, end, mut at) = (Vec::new(), Instant::now() + time, FILE_BYTES);
    while Instant::now() < end {
        if at + RECORD_BYTES > FILE_BYTES {
            file.seek(SeekFrom::Start(0))?;
            at = 0;
        }
        let began = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        times.push(began.elapsed());
        at += RECORD_BYTES;
    }
    std::fs::remove_file(&path)?;
    Ok(Sample::new(times))
}
