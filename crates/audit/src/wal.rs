//! The write-ahead log's bytes: segments of frames, frames in groups, a signed footer to each group.
//!
//! A segment begins with a header block: magic, epoch, number, first index, first group, length, salt, checksum.
//! A frame is `length u32 · crc32c u32 · group u64 · kind u8 · 7 zero bytes · payload · zeros to a multiple of 8`,
//! little-endian. The checksum also covers the segment's header and the frame's offset.
//!
//! **Invariant:** a frame left over from a segment's earlier life never checks out in its new one, because the header,
//! with its random salt, seeds every checksum; nor can a caller craft an entry whose bytes look like a frame.

use std::ops::Range;

/// Bytes of the header block; frames begin after it.
pub const HEADER_BYTES: usize = 4096;
/// Bytes of a frame before its payload.
pub const FRAME_HEADER_BYTES: usize = 24;

const MAGIC: [u8; 16] = *b"remit-wal v1\n\0\0\0";
const ENTRY: u8 = 1;
const FOOTER: u8 = 2;

/// The header of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Epoch of the log.
    pub epoch: u64,
    /// Number of the segment, which is also its file name.
    pub number: u64,
    /// Index of the first entry in it.
    pub first_index: u64,
    /// Number of the first group in it.
    pub first_group: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Random, fresh at each use of the file.
    pub salt: [u8; 16],
}

impl Header {
    /// The header block.
    pub fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(HEADER_BYTES);
        block.extend_from_slice(&MAGIC);
        for number in [self.epoch, self.number, self.first_index, self.first_group, self.bytes] {
            block.extend_from_slice(&number.to_le_bytes());
        }
        block.extend_from_slice(&self.salt);
        block.resize(HEADER_BYTES - 4, 0);
        let crc = crc32c::crc32c(&block);
        block.extend_from_slice(&crc.to_le_bytes());
        block
    }

    /// Reads a header block; nothing if any of its bytes is not what was written.
    pub fn decode(block: &[u8]) -> Option<Self> {
        let (magic, rest) = block.split_first_chunk::<16>()?;
        let (numbers, rest) = rest.split_at_checked(40)?;
        let (salt, _) = rest.split_first_chunk::<16>()?;
        let mut numbers = numbers.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let header = Self {
            epoch: numbers.next()?,
            number: numbers.next()?,
            first_index: numbers.next()?,
            first_group: numbers.next()?,
            bytes: numbers.next()?,
            salt: *salt,
        };
        (*magic == MAGIC && header.encode() == block).then_some(header)
    }

    /// Where the checksums of this segment's frames start from. Without the header's own checksum: over a block that
    /// ends in its checksum, a CRC is the same for every block.
    pub fn seed(&self) -> u32 {
        crc32c::crc32c(self.encode().get(..HEADER_BYTES - 4).unwrap_or_default())
    }
}

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// One entry: what goes into the tree, and what only lies beside it.
    Entry {
        /// The leaf.
        leaf: &'a [u8],
        /// The sealed bytes.
        sealed: &'a [u8],
    },
    /// The signed checkpoint after the group.
    Footer(&'a str),
}

/// One valid frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The group that it belongs to.
    pub group: u64,
    /// What it carries.
    pub payload: Payload<'a>,
    /// Its length with header and padding.
    pub bytes: usize,
}

/// Length of a frame with this many payload bytes.
pub fn frame_bytes(payload: usize) -> usize {
    (FRAME_HEADER_BYTES + payload).next_multiple_of(8)
}

/// Length of an entry's frame.
pub fn entry_bytes(leaf: usize, sealed: usize) -> usize {
    frame_bytes(4 + leaf + sealed)
}

/// Appends a frame to `out`; `start` is the segment offset of `out`'s first byte.
/// Fails only when the payload is longer than 32 bits can say.
pub fn push_frame(out: &mut Vec<u8>, seed: u32, start: u64, group: u64, payload: Payload<'_>) -> Option<()> {
    let at = out.len();
    let (kind, lens) = match payload {
        Payload::Entry { leaf, sealed } => (ENTRY, 4 + leaf.len() + sealed.len()),
        Payload::Footer(note) => (FOOTER, note.len()),
    };
    out.extend_from_slice(&u32::try_from(lens).ok()?.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&group.to_le_bytes());
    out.extend_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
    match payload {
        Payload::Entry { leaf, sealed } => {
            out.extend_from_slice(&u32::try_from(leaf.len()).ok()?.to_le_bytes());
            out.extend_from_slice(leaf);
            out.extend_from_slice(sealed);
        }
        Payload::Footer(note) => out.extend_from_slice(note.as_bytes()),
    }
    out.resize(at + frame_bytes(lens), 0);
    let frame = out.get_mut(at..)?;
    let crc = checksum(seed, start + at as u64, frame)?;
    frame.get_mut(4..8)?.copy_from_slice(&crc.to_le_bytes());
    Some(())
}

/// The frame at an offset of a segment, if a valid one of this segment stands there.
/// `bytes` begins at that offset and may be longer than the frame.
pub fn frame(bytes: &[u8], seed: u32, offset: u64) -> Option<Frame<'_>> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (group, rest) = rest.split_first_chunk::<8>()?;
    let (&kind, _) = rest.split_first()?;
    if !matches!(kind, ENTRY | FOOTER) {
        return None;
    }
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let total = frame_bytes(len);
    let whole = bytes.get(..total)?;
    if checksum(seed, offset, whole)? != u32::from_le_bytes(*crc) {
        return None;
    }
    let payload = whole.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + len)?;
    let payload = if kind == ENTRY {
        let (leaf_len, rest) = payload.split_first_chunk::<4>()?;
        let (leaf, sealed) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*leaf_len)).ok()?)?;
        Payload::Entry { leaf, sealed }
    } else {
        Payload::Footer(std::str::from_utf8(payload).ok()?)
    };
    Some(Frame { group: u64::from_le_bytes(*group), payload, bytes: total })
}

/// One whole group of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub number: u64,
    /// Offset and length of each entry's frame.
    pub entries: Vec<(u64, usize)>,
    /// Range of the footer's frame within the segment.
    pub footer: Range<usize>,
}

/// What a segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Every whole group, in order.
    pub groups: Vec<Group>,
    /// Where the last whole group ends.
    pub end: usize,
    /// Frames of a group that was never finished; it was acknowledged to nobody.
    pub torn_frames: usize,
}

/// A later group is whole behind one that is not: acknowledged entries are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Offset of the first byte that is not a valid group.
    pub offset: usize,
    /// Offset of the valid frame behind it.
    pub later: usize,
}

/// Reads a segment's groups. A torn group at the end is what a crash leaves of the last write, in which the disk may have
/// kept any of its sectors; a frame of any group after that one proves that it is damage instead.
pub fn scan(segment: &[u8], header: &Header) -> Result<Scan, Damage> {
    let seed = header.seed();
    let mut scan = Scan { groups: Vec::new(), end: HEADER_BYTES, torn_frames: 0 };
    let mut number = header.first_group;
    while let Some(group) = group(segment, seed, scan.end, number) {
        scan.end = group.footer.end;
        scan.groups.push(group);
        number += 1;
    }
    let mut at = scan.end;
    while let Some(rest) = segment.get(at..).filter(|rest| rest.len() >= FRAME_HEADER_BYTES) {
        let stranger = frame(rest, seed, at as u64).filter(|frame| frame.group >= number);
        match stranger {
            Some(frame) if frame.group > number => {
                return Err(Damage { offset: scan.end, later: at });
            }
            Some(frame) => {
                scan.torn_frames += 1;
                at += frame.bytes;
            }
            None => at += step(rest),
        }
    }
    Ok(scan)
}

/// How far no frame begins. Most of a segment is zeros that were never written, and every frame has a kind: they are
/// compared a block at a time, because a start waits for this.
fn step(rest: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    if rest.starts_with(&ZEROS) { ZEROS.len() - FRAME_HEADER_BYTES } else { 8 }
}

fn group(segment: &[u8], seed: u32, start: usize, number: u64) -> Option<Group> {
    let mut entries = Vec::new();
    let mut at = start;
    loop {
        let frame = frame(segment.get(at..)?, seed, at as u64)?;
        if frame.group != number {
            return None;
        }
        let end = at + frame.bytes;
        match frame.payload {
            Payload::Entry { .. } => entries.push((at as u64, frame.bytes)),
            Payload::Footer(_) => {
                return Some(Group { number, entries, footer: at..end });
            }
        }
        at = end;
    }
}

fn checksum(seed: u32, offset: u64, frame: &[u8]) -> Option<u32> {
    let crc = crc32c::crc32c_append(seed, &offset.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, frame.get(..4)?);
    Some(crc32c::crc32c_append(crc, frame.get(8..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(number: u64, first_group: u64) -> Header {
        Header { epoch: 7, number, first_index: 0, first_group, bytes: 1 << 16, salt: [3; 16] }
    }

    /// A segment of groups, each of two entries, and the end of each.
    fn segment(header: &Header, groups: u64) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = header.encode();
        let mut ends = Vec::new();
        for group in header.first_group..header.first_group + groups {
            for leaf in [b"first".as_slice(), b"second, longer"] {
                push_frame(&mut bytes, header.seed(), 0, group, Payload::Entry { leaf, sealed: b"sealed" }).unwrap();
            }
            push_frame(&mut bytes, header.seed(), 0, group, Payload::Footer("note")).unwrap();
            ends.push(bytes.len());
        }
        bytes.resize(1 << 14, 0);
        (bytes, ends)
    }

    #[test]
    fn groups_are_read_back() {
        let header = header(1, 5);
        assert_eq!(Header::decode(&header.encode()), Some(header.clone()));
        let (bytes, ends) = segment(&header, 3);
        let scan = scan(&bytes, &header).unwrap();
        assert_eq!(scan.groups.iter().map(|group| group.number).collect::<Vec<_>>(), [5, 6, 7]);
        assert_eq!((Some(&scan.end), scan.torn_frames), (ends.last(), 0));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_seen() {
        let block = header(1, 1).encode();
        for at in 0..block.len() {
            for bit in 0..8 {
                let mut changed = block.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(Header::decode(&changed), None);
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_a_torn_tail_in_the_last_group_and_damage_before_it() {
        let header = header(1, 1);
        let (bytes, ends) = segment(&header, 3);
        for at in HEADER_BYTES..ends[2] {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                match scan(&changed, &header) {
                    Ok(scan) => assert!(at >= ends[1] && scan.groups.len() == 2, "byte {at}"),
                    Err(damage) => assert!(at < ends[1] && damage.later > at, "byte {at}"),
                }
            }
        }
    }

    /// Nor does a group that was moved or repeated within its segment.
    #[test]
    fn a_frame_is_valid_at_its_own_offset_alone() {
        let header = header(1, 1);
        let (bytes, ends) = segment(&header, 2);
        let (at, seed) = (ends[0], header.seed());
        assert!(frame(&bytes[at..], seed, at as u64).is_some());
        for other in [HEADER_BYTES, at - 8, at + 8, ends[1]] {
            assert_eq!(frame(&bytes[at..], seed, other as u64), None, "{other}");
        }
    }

    /// Wherever it stands between zeros.
    #[test]
    fn no_frame_is_stepped_over() {
        let header = header(1, 1);
        for at in (HEADER_BYTES..HEADER_BYTES + (3 << 12)).step_by(8) {
            let mut bytes = header.encode();
            bytes.resize(at, 0);
            push_frame(&mut bytes, header.seed(), 0, 2, Payload::Footer("note")).unwrap();
            bytes.resize(1 << 15, 0);
            assert_eq!(scan(&bytes, &header), Err(Damage { offset: HEADER_BYTES, later: at }));
        }
    }

    #[test]
    fn frames_of_an_earlier_life_are_never_read() {
        let (old, _) = segment(&header(1, 1), 3);
        let again = Header { number: 2, first_group: 1, ..header(1, 1) };
        let mut recycled = again.encode();
        recycled.extend_from_slice(&old[HEADER_BYTES..]);
        let read = scan(&recycled, &again).unwrap();
        assert_eq!((read.groups.len(), read.torn_frames), (0, 0));
        let salted = Header { salt: [4; 16], ..header(1, 1) };
        assert_eq!(scan(&old, &salted).unwrap().groups.len(), 0);
    }
}
