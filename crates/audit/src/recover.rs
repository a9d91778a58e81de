//! From disk to memory: the published tree, then the groups in segments beyond it. This is the only way a log starts,
//! after a clean end as after a crash, and `verify` and `fsck` read by the same functions.
//!
//! **Invariant:** what cannot be explained by one crash is refused: a tree below its published checkpoint, a root that
//! differs from a signed one, a gap, or damage with an intact group behind it.

use std::{collections::VecDeque, path::Path, sync::Arc};

use crate::{
    checkpoint::Checkpoint,
    disk::{Disk, list_if_there},
    error::{Damage, ReadError, at},
    note::Verifier,
    pool::segment_number,
    publish::partials,
    sealed,
    store::{Head, Place, Segment, read_tile},
    tile::{Edge, TILE_WIDTH, Tile, leaves, levels},
    tree::{Frontier, Hash, leaf_hash},
    wal::{self, HEADER_BYTES, Header, Payload},
};

/// The published tree.
pub(crate) struct Base {
    pub(crate) head: Head,
    pub(crate) edge: Edge,
    pub(crate) bundle: Vec<u8>,
    pub(crate) sealed_end: u64,
}

/// What is durable beyond it.
pub(crate) struct Tail<D: Disk> {
    pub(crate) head: Head,
    pub(crate) frontier: Frontier,
    pub(crate) places: VecDeque<Place<D>>,
    pub(crate) segments: VecDeque<Arc<Segment<D>>>,
    pub(crate) segment_last: u64,
    pub(crate) groups: u64,
    pub(crate) torn_frames: usize,
}

/// Reads the verifier key that a log's directory names.
pub(crate) fn read_vkey<D: Disk>(disk: &D, dir: &Path) -> Result<Verifier, ReadError> {
    let path = dir.join("vkey");
    let bytes = disk.read(&path).map_err(at(&path))?;
    let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let malformed = || ReadError::damaged(&path, crate::note::NoteError::VerifierKey);
    Verifier::parse(text.ok_or_else(malformed)?).map_err(|error| ReadError::damaged(&path, error))
}

/// Reads the published checkpoint.
pub(crate) fn read_checkpoint<D: Disk>(
    disk: &D,
    dir: &Path,
    key: &Verifier,
) -> Result<(Checkpoint, String), ReadError> {
    let path = dir.join("checkpoint");
    let bytes = disk.read(&path).map_err(at(&path))?;
    let note = String::from_utf8(bytes).map_err(|_| ReadError::damaged(&path, crate::note::NoteError::Malformed))?;
    let checkpoint = Checkpoint::open(&note, key).map_err(|error| ReadError::damaged(&path, error))?;
    Ok((checkpoint, note))
}

/// Reads the right edge of the published tree and compares its root with the signed one.
pub(crate) fn read_base<D: Disk>(disk: &D, dir: &Path, key: &Verifier) -> Result<Base, ReadError> {
    let (checkpoint, note) = read_checkpoint(disk, dir, key)?;
    let size = checkpoint.size;
    let checkpoint_path = dir.join("checkpoint");
    let mut tiles = vec![Vec::new(); levels(size).count()];
    let mut bundle = Vec::new();
    for tile in partials(size) {
        let bytes = read_tile(disk, dir, tile)?;
        match tile.level.and_then(|level| tiles.get_mut(usize::from(level))) {
            Some(level) => *level = bytes,
            None => bundle = bytes,
        }
    }
    let edge = Edge::from_partials(size, tiles).ok_or_else(|| ReadError::damaged(&checkpoint_path, Damage::Hashes))?;
    let root = edge.frontier().root();
    if root != checkpoint.root {
        let damage = Damage::Root { size, found: root, signed: checkpoint.root };
        return Err(ReadError::damaged(&checkpoint_path, damage));
    }
    check_bundle(dir, &edge, &bundle)?;
    let sealed_end = if size.is_multiple_of(TILE_WIDTH) {
        0
    } else {
        let mut reader = sealed::Reader::open(disk, dir, size - 1)?;
        reader.skip_to(size)?;
        reader.offset()
    };
    Ok(Base { head: Head { size, note: note.into() }, edge, bundle, sealed_end })
}

/// The partial bundle goes into the next one, so it must be what the tree says.
fn check_bundle(dir: &Path, edge: &Edge, bundle: &[u8]) -> Result<(), ReadError> {
    let index = edge.size() / TILE_WIDTH;
    let path = dir.join(Tile { level: None, index, width: edge.size() % TILE_WIDTH }.path());
    let leaves = leaves(bundle).ok_or_else(|| ReadError::damaged(&path, Damage::Malformed))?;
    let mut hashes = crate::tile::hashes(edge.partial(0));
    for (leaf, index) in leaves.iter().zip(index * TILE_WIDTH..) {
        if hashes.next() != Some(leaf_hash(leaf)) {
            return Err(ReadError::damaged(&path, Damage::Entry(index)));
        }
    }
    if hashes.next().is_some() { Err(ReadError::damaged(&path, Damage::Malformed)) } else { Ok(()) }
}

/// Numbers of the segments that are there, in order.
pub(crate) fn segment_numbers<D: Disk>(disk: &D, wal: &Path) -> Result<Vec<u64>, ReadError> {
    let names = list_if_there(disk, wal).map_err(at(wal))?;
    Ok(names.iter().filter_map(|name| segment_number(&name.name)).collect())
}

/// Reads every group beyond the published tree.
pub(crate) fn read_tail<D: Disk>(
    disk: &D,
    dir: &Path,
    epoch: u64,
    base: &Base,
    key: &Verifier,
) -> Result<Tail<D>, ReadError> {
    let mut tail = Tail {
        head: base.head.clone(),
        frontier: base.edge.frontier(),
        places: VecDeque::new(),
        segments: VecDeque::new(),
        segment_last: 0,
        groups: 0,
        torn_frames: 0,
    };
    let wal = dir.join("wal");
    for number in segment_numbers(disk, &wal)? {
        tail.segment_last = number;
        tail.read_segment(disk, &wal.join(crate::pool::segment_name(number)), (epoch, number), key)?;
    }
    if let Some(segment) = tail.segments.back().filter(|_| tail.head.size > base.head.size) {
        // Each root was compared; one signature over the last of them vouches for all before it.
        Checkpoint::open(&tail.head.note, key).map_err(|error| ReadError::damaged(&segment.path, error))?;
    }
    Ok(tail)
}

impl<D: Disk> Tail<D> {
    fn read_segment(&mut self, disk: &D, path: &Path, id: (u64, u64), key: &Verifier) -> Result<(), ReadError> {
        let bytes = disk.read(path).map_err(at(path))?;
        let header = bytes.get(..HEADER_BYTES).and_then(Header::decode);
        let header = header
            .filter(|header| (header.epoch, header.number) == id && header.bytes == bytes.len() as u64)
            .ok_or_else(|| ReadError::damaged(path, Damage::Header))?;
        let have = self.frontier.size();
        if header.first_index > have {
            return Err(ReadError::damaged(path, Damage::Gap { have, first: header.first_index }));
        }
        let scan = wal::scan(&bytes, &header)
            .map_err(|wal::Damage { offset, later }| ReadError::damaged(path, Damage::Group { offset, later }))?;
        let file = disk.open(path, false).map_err(at(path))?;
        let segment = Arc::new(Segment {
            file,
            path: path.to_owned(),
            seed: header.seed(),
            first_index: header.first_index,
            bytes: header.bytes,
        });
        let mut index = header.first_index;
        for group in &scan.groups {
            let last = index + group.entries.len() as u64;
            if last > self.frontier.size() {
                self.take_group(&segment, &bytes, group, index, key.name())?;
            }
            index = last;
        }
        self.torn_frames += scan.torn_frames;
        self.segments.push_back(segment);
        Ok(())
    }

    fn take_group(
        &mut self,
        segment: &Arc<Segment<D>>,
        bytes: &[u8],
        group: &wal::Group,
        first: u64,
        origin: &str,
    ) -> Result<(), ReadError> {
        let wrong = |damage| ReadError::damaged(&segment.path, damage);
        if first != self.frontier.size() {
            return Err(wrong(Damage::Gap { have: self.frontier.size(), first }));
        }
        for &(offset, length) in &group.entries {
            let frame = usize::try_from(offset).ok().and_then(|at| bytes.get(at..));
            let payload = frame.and_then(|frame| wal::frame(frame, segment.seed, offset)).map(|frame| frame.payload);
            let Some(Payload::Entry { leaf, .. }) = payload else {
                return Err(wrong(Damage::Malformed));
            };
            let hash = leaf_hash(leaf);
            self.frontier.push(hash);
            self.places.push_back(Place { hash, segment: Arc::clone(segment), offset, bytes: length });
        }
        let footer = bytes.get(group.footer.clone());
        let footer = footer.and_then(|bytes| wal::frame(bytes, segment.seed, group.footer.start as u64));
        let Some(Payload::Footer(note)) = footer.map(|frame| frame.payload) else {
            return Err(wrong(Damage::Malformed));
        };
        let size = self.frontier.size();
        check_footer(note, origin, size, self.frontier.root()).map_err(wrong)?;
        self.head = Head { size, note: note.into() };
        self.groups += 1;
        Ok(())
    }
}

/// A footer must speak of this log, at this size, with this root.
fn check_footer(note: &str, origin: &str, size: u64, root: Hash) -> Result<(), Damage> {
    let text = note.rsplit_once("\n\n").map(|(text, _)| format!("{text}\n")).unwrap_or_default();
    let signed = Checkpoint::parse(&text)?;
    if signed.origin != origin {
        return Err(Damage::Origin { found: signed.origin, expected: origin.to_owned() });
    }
    if signed.size != size {
        return Err(Damage::Footer { found: size, signed: signed.size });
    }
    if signed.root != root {
        return Err(Damage::Root { size, found: root, signed: signed.root });
    }
    Ok(())
}
