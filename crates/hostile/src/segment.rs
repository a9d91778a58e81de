//! Segments of the write-ahead log: whatever stands in them, recovery gives back what was written, or says what is damaged.

use std::path::Path;

use remit_audit::disk::Disk as _;
use remit_audit::open::{Parts, Sizes, open};
use remit_audit::wal::{HEADER_BYTES, Header, Payload, frame, push_frame, scan};
use remit_audit::{Entry, Hashed};
use remit_sim::disk::{Lie, SimDisk};

use crate::parts::choice;

const HEADER: Header = Header { epoch: 7, number: 1, first_index: 0, first_group: 3, bytes: 1 << 16, salt: [3; 16] };
/// Entries of each group of the log that is edited.
const GROUPS: [u8; 3] = [2, 3, 2];

/// The first byte chooses: a segment's bytes, frames with sound checksums, edits of a real log's segment.
pub fn segment(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    match first % 3 {
        0 => raw(rest),
        1 => frames(rest),
        _ => edited(rest),
    }
}

fn raw(bytes: &[u8]) {
    if let Some(header) = Header::decode(bytes) {
        assert_eq!(header.encode(), bytes);
    }
    let segment = [HEADER.encode().as_slice(), bytes].concat();
    let Ok(found) = scan(&segment, &HEADER) else { return };
    let mut end = HEADER_BYTES;
    for group in &found.groups {
        let offsets = group.entries.iter().map(|(at, len)| (usize::try_from(*at).unwrap_or(0), *len));
        for (at, len) in offsets.chain([(group.footer.start, group.footer.len())]) {
            assert_eq!(at, end, "a gap between frames");
            end = at + len;
        }
    }
    assert_eq!((end, end <= segment.len()), (found.end, true));
}

/// Frames as anybody could write them who knows the header: group, kind, length, payload.
fn frames(mut bytes: &[u8]) {
    let (mut segment, mut written) = (HEADER.encode(), Vec::new());
    while let [group, kind, len, rest @ ..] = bytes {
        let (payload, after) = rest.split_at(usize::from(*len).min(rest.len()));
        let is_footer = kind % 2 == 1;
        let note = String::from_utf8_lossy(payload);
        let (leaf, sealed) = payload.split_at(payload.len() / 2);
        let payload = if is_footer { Payload::Footer(&note) } else { Payload::Entry { leaf, sealed } };
        let (at, group) = (segment.len(), u64::from(group % 8));
        let pushed = push_frame(&mut segment, HEADER.seed(), 0, group, payload);
        assert_eq!(pushed, Some(()));
        let back = segment.get(at..).and_then(|bytes| frame(bytes, HEADER.seed(), at as u64));
        assert_eq!(back.map(|frame| (frame.group, frame.payload)), Some((group, payload)));
        written.push((group, is_footer));
        bytes = after;
    }
    let found = scan(&segment, &HEADER).map(|scan| (scan.groups.len(), scan.torn_frames)).ok();
    assert_eq!(found, expected(&written), "{written:?}");
}

/// Whole groups and torn frames, or damage: a frame of a later group behind one that is not whole.
fn expected(written: &[(u64, bool)]) -> Option<(usize, usize)> {
    let (mut number, mut whole, mut groups) = (HEADER.first_group, 0, 0);
    for (at, (group, is_footer)) in written.iter().enumerate() {
        if *group != number {
            break;
        }
        if *is_footer {
            (number, whole, groups) = (number + 1, at + 1, groups + 1);
        }
    }
    let rest = || written.iter().skip(whole).map(|(group, _)| *group);
    (!rest().any(|group| group > number)).then(|| (groups, rest().filter(|group| *group == number).count()))
}

/// A real log, its newest segment edited: places and what is changed in the byte there.
fn edited(edits: &[u8]) {
    let disk = SimDisk::new(1, Lie::None);
    let (Some(entries), last) = (written(&disk), usize::from(GROUPS.last().copied().unwrap_or(0))) else { return };
    let wal = Path::new("/1/wal");
    let names = disk.list(wal).unwrap_or_default();
    let name = names.iter().map(|name| name.name.as_str()).filter(|name| name.starts_with('0')).max();
    let path = wal.join(name.unwrap_or_default());
    let (mut bytes, before) = (disk.read(&path).unwrap_or_default(), disk.read(&path).unwrap_or_default());
    assert!(!bytes.is_empty(), "there is no segment to edit");
    for edit in edits.chunks_exact(3) {
        if let [low, high, with] = edit {
            let at = usize::from(u16::from_le_bytes([*low, *high])) % bytes.len();
            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= with);
        }
    }
    disk.reboot(false);
    let put = disk.open(&path, true).and_then(|file| disk.write_at(&file, &bytes, 0));
    assert!(put.is_ok());
    let opened = start(&disk);
    assert!(bytes != before || opened.is_some(), "an untouched log does not open");
    let Some(parts) = opened else { return };
    let size = usize::try_from(parts.size()).unwrap_or(usize::MAX);
    assert!(size <= entries.len() && size >= entries.len() - last, "{size} of {}", entries.len());
    assert!(bytes != before || size == entries.len(), "an untouched log is shorter");
    for (index, entry) in entries.iter().take(size).enumerate() {
        assert_eq!(parts.read(index as u64).ok().as_ref(), Some(entry), "entry {index} is another");
    }
}

fn start(disk: &SimDisk) -> Option<Parts<SimDisk>> {
    let sizes = Sizes { segment_bytes: 16 << 10, reserve_bytes: 16 << 10 };
    open(disk.clone(), Path::new("/"), "example.org/log/sim", &[1; 32], sizes, 1, None).ok()
}

/// A log of some groups that was not closed, and its entries.
fn written(disk: &SimDisk) -> Option<Vec<Entry>> {
    let mut parts = start(disk)?;
    let mut entries = Vec::new();
    for (number, count) in (0_u8..).zip(GROUPS) {
        let group: Vec<Entry> = (0..count)
            .map(|at| Entry { leaf: vec![number ^ at; 40 + usize::from(at)], sealed: vec![at; usize::from(number)] })
            .collect();
        let hashed: Vec<Hashed> = group.iter().cloned().filter_map(Hashed::new).collect();
        parts.writer.append_group(&hashed, false).ok()?;
        entries.extend(group);
    }
    Some(entries)
}
