//! The deeper check of a log's directory: all that `verify` does, and every segment, signature and stray file.
//!
//! Meant for a directory that nobody has open. **Invariant:** it changes nothing; starting the log is what repairs.

use std::path::Path;

use crate::{
    checkpoint::{Checkpoint, decimal},
    disk::{Disk, Posix, list_if_there},
    epoch::MARKER,
    error::{Damage, ReadError, at},
    pool::{segment_name, segment_number},
    publish::UNFINISHED,
    recover::{read_vkey, segment_numbers},
    verify::{self, Check, VerifyError, verify_on},
    wal::{self, HEADER_BYTES, Header, Payload},
};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What `verify` says.
    pub log: verify::Report,
    /// Whole groups in segments, published or not.
    pub groups: u64,
    /// Segments in use.
    pub segments: u64,
    /// Spare segments.
    pub spares: u64,
    /// Files that a crash left unfinished; the next start removes them.
    pub unfinished: u64,
}

/// Checks the directory of one epoch.
pub fn fsck_dir(dir: &Path, trusted: Option<&str>, check: &mut Check<'_>) -> Result<Report, VerifyError> {
    fsck_on(&Posix, dir, trusted, check)
}

/// The same on any disk.
pub fn fsck_on<D: Disk>(
    disk: &D,
    dir: &Path,
    trusted: Option<&str>,
    check: &mut Check<'_>,
) -> Result<Report, VerifyError> {
    let log = verify_on(disk, dir, trusted, None, check)?;
    let mut report = Report { log, groups: 0, segments: 0, spares: 0, unfinished: 0 };
    top_level(disk, dir)?;
    let wal = dir.join("wal");
    for number in segment_numbers(disk, &wal)? {
        report.groups += segment(disk, dir, number)?;
        report.segments += 1;
    }
    for name in list_if_there(disk, &wal).map_err(at(&wal))? {
        if name.name == UNFINISHED {
            report.unfinished += 1;
        } else if segment_number(&name.name).is_none() {
            let spare = !name.dir && name.name.strip_prefix("spare-").and_then(decimal).is_some();
            expect(spare, &wal.join(&name.name))?;
            report.spares += 1;
        }
    }
    Ok(report)
}

/// Every group of a segment, with the signature of every footer; `verify` needs the last one's only.
fn segment<D: Disk>(disk: &D, dir: &Path, number: u64) -> Result<u64, ReadError> {
    let key = read_vkey(disk, dir)?;
    let path = dir.join("wal").join(segment_name(number));
    let bytes = disk.read(&path).map_err(at(&path))?;
    let header = bytes.get(..HEADER_BYTES).and_then(Header::decode);
    let header = header.ok_or_else(|| ReadError::damaged(&path, Damage::Header))?;
    let scan = wal::scan(&bytes, &header)
        .map_err(|wal::Damage { offset, later }| ReadError::damaged(&path, Damage::Group { offset, later }))?;
    let mut size = header.first_index;
    for group in &scan.groups {
        size += group.entries.len() as u64;
        let frame = bytes.get(group.footer.clone());
        let frame = frame.and_then(|frame| wal::frame(frame, header.seed(), group.footer.start as u64));
        let Some(Payload::Footer(note)) = frame.map(|frame| frame.payload) else {
            return Err(ReadError::damaged(&path, Damage::Malformed));
        };
        let signed = Checkpoint::open(note, &key).map_err(|error| ReadError::damaged(&path, error))?;
        if signed.size != size {
            return Err(ReadError::damaged(&path, Damage::Footer { found: size, signed: signed.size }));
        }
    }
    Ok(scan.groups.len() as u64)
}

fn top_level<D: Disk>(disk: &D, dir: &Path) -> Result<(), ReadError> {
    for name in disk.list(dir).map_err(at(dir))? {
        let names: &[&str] = if name.dir { &["tile", "sealed", "wal"] } else { &["checkpoint", "vkey", MARKER] };
        let known = names.contains(&name.name.as_str());
        expect(known, &dir.join(&name.name))?;
    }
    Ok(())
}

fn expect(known: bool, path: &Path) -> Result<(), ReadError> {
    if known { Ok(()) } else { Err(ReadError::damaged(path, Damage::Unexpected)) }
}
