//! A small log, every bit of it flipped and everything else done to it that somebody with its directory can do: bytes
//! overwritten, moved, cut out and put in, files cut short, removed, exchanged, and older ones put back.
//!
//! **Invariant:** at rest every change must be refused. In a log that a crash has left, a change must be refused, or
//! nothing may be lost by it: bytes behind the last group were never anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use remit_audit::disk::Disk;
use remit_audit::open::{Sizes, open};
use remit_audit::verify::verify_on;
use remit_audit::wal::{self, Header};
use remit_audit::{Entry, Hashed, MARKER};

use crate::disk::{Lie, SimDisk};
use crate::random::Random;

/// Entries, of so many bytes that the directory has 64 KiB: a full bundle and a partial one.
const ENTRIES: usize = 300;
const LEAF_BYTES: usize = 88;
const SEALED_BYTES: usize = 74;
/// Entries that are there when the old files are kept for later.
const OLD_ENTRIES: usize = 170;
/// Entries of a group.
const GROUP: usize = 7;
/// Longest stretch that an edit changes.
const STRETCH_BYTES_MAX: usize = 400;

/// In which state the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Closed: every byte counts.
    AtRest,
    /// As a kill leaves it, with its newest entries in a segment only.
    Crashed,
}

/// Who says whether a log is whole: verification, or something weaker that the method must see through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// `verify`, with the key and the newest checkpoint that were kept elsewhere.
    Verify,
    /// `verify` with the key alone, which a whole older directory satisfies, and one that lacks its last group.
    NoCheckpoint,
    /// Somebody who looks at the checkpoint's signature and at nothing else.
    CheckpointOnly,
}

/// What a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The judge refused the log.
    Refused,
    /// Every entry is there all the same.
    Harmless,
}

/// Files of the log's directory, by their path.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The log, and what its owner keeps elsewhere.
pub struct Bench {
    disk: SimDisk,
    dir: PathBuf,
    state: State,
    vkey: String,
    checkpoint: String,
    files: Files,
    old: Files,
    /// The segment in use, and where its last group ends.
    segment: Option<(PathBuf, usize)>,
    random: Random,
}

impl Bench {
    /// Writes a log.
    pub fn new(seed: u64, state: State) -> Result<Self, String> {
        let disk = SimDisk::new(seed, Lie::None);
        append(&disk, 0..OLD_ENTRIES, State::AtRest)?;
        let (dir, _) = append(&disk, OLD_ENTRIES..OLD_ENTRIES, State::AtRest)?;
        let old = files(&disk, &dir)?;
        let (dir, checkpoint) = append(&disk, OLD_ENTRIES..ENTRIES, state)?;
        disk.reboot(false);
        let files = files(&disk, &dir)?;
        let vkey = files.get(&dir.join("vkey")).map(|key| String::from_utf8_lossy(key).into_owned());
        let segment = files.iter().find_map(|(path, bytes)| Some((path.clone(), used(path, bytes)?)));
        let vkey = vkey.ok_or("it has no key")?;
        let bench = Self { disk, dir, state, vkey, checkpoint, files, old, segment, random: Random::new(seed) };
        if segment_is_missing(&bench) || bench.judge(Judge::Verify).is_err() {
            return Err("it was not written as it should be".into());
        }
        Ok(bench)
    }

    /// Bits that can be flipped.
    pub fn bits(&self) -> usize {
        self.files.iter().map(|(path, bytes)| self.counting(path, bytes) * 8).sum()
    }

    /// Flips one of them, and back.
    pub fn flip(&self, bit: usize, judge: Judge) -> Result<Found, String> {
        let mut left = bit;
        for (path, bytes) in &self.files {
            let bits = self.counting(path, bytes) * 8;
            if left >= bits {
                left -= bits;
                continue;
            }
            let flip = || self.disk.flip(path, left / 8, u32::try_from(left % 8).unwrap_or(0)).map_err(text);
            flip()?;
            let found = self.found(judge);
            flip()?;
            return found.map_err(|why| format!("{} byte {} bit {}: {why}", path.display(), left / 8, left % 8));
        }
        Err("there are not so many bits".into())
    }

    /// One edit at random, and back; nothing where it came to no change.
    pub fn edit(&mut self, judge: Judge) -> Result<Option<Found>, String> {
        let (what, edited) = self.edited();
        if self.same(&edited) {
            return Ok(None);
        }
        let paths = || self.files.keys().chain(edited.keys());
        for path in paths() {
            self.disk.put(path, edited.get(path).map(Vec::as_slice)).map_err(text)?;
        }
        let found = self.found(judge);
        for path in paths() {
            self.disk.put(path, self.files.get(path).map(Vec::as_slice)).map_err(text)?;
        }
        found.map(Some).map_err(|why| format!("{what}: {why}"))
    }

    fn found(&self, judge: Judge) -> Result<Found, String> {
        match (self.judge(judge), self.state) {
            (Err(_), _) => Ok(Found::Refused),
            (Ok(entries), State::Crashed) if entries == ENTRIES => Ok(Found::Harmless),
            (Ok(entries), _) => Err(format!("accepted, with {entries} of {ENTRIES} entries")),
        }
    }

    /// Number of entries of an accepted log.
    fn judge(&self, judge: Judge) -> Result<usize, String> {
        if judge == Judge::CheckpointOnly {
            let note = self.disk.read(&self.dir.join("checkpoint")).map_err(text)?;
            let key = remit_audit::note::Verifier::parse(self.vkey.trim_end()).map_err(text)?;
            let opened = remit_audit::checkpoint::Checkpoint::open(&String::from_utf8_lossy(&note), &key);
            return opened.map_err(text).and_then(|checkpoint| usize::try_from(checkpoint.size).map_err(text));
        }
        let since = (judge == Judge::Verify).then_some(self.checkpoint.as_str());
        let mut check = |index: u64, leaf: &[u8], sealed: &[u8]| {
            let own = usize::try_from(index).map(entry);
            let same = own.is_ok_and(|own| own.leaf == leaf && own.sealed == sealed);
            if same { Ok(()) } else { Err("not what was written".to_owned()) }
        };
        let report = verify_on(&self.disk, &self.dir, Some(self.vkey.trim_end()), since, &mut check).map_err(text)?;
        usize::try_from(report.size).map_err(text)
    }

    /// Whether nothing that counts is another.
    fn same(&self, edited: &Files) -> bool {
        self.files.len() == edited.len()
            && self.files.iter().all(|(path, bytes)| {
                let now = edited.get(path).filter(|now| now.len() == bytes.len());
                let counting = self.counting(path, bytes);
                now.is_some_and(|now| now.get(..counting) == bytes.get(..counting))
            })
    }

    /// How many of a file's bytes count: behind the last group of a segment there never was anything.
    fn counting(&self, path: &Path, bytes: &[u8]) -> usize {
        self.segment.as_ref().filter(|(segment, _)| segment == path).map_or(bytes.len(), |(_, used)| *used)
    }

    fn edited(&mut self) -> (String, Files) {
        let mut files = self.files.clone();
        let names: Vec<PathBuf> = files.keys().cloned().collect();
        let (path, other) = (self.random.pick(&names), self.random.pick(&names));
        let name = path.display().to_string();
        let random = &mut self.random;
        let what = match random.below(9) {
            0 => {
                // What is added to a log in use may be what its next publication would have left half done.
                put_back(&mut files, &self.old, random, self.state == State::AtRest);
                "old files are put back".to_owned()
            }
            1 => {
                files.remove(&path);
                format!("{name} is removed")
            }
            2 => {
                let (one, two) = (files.get(&path).cloned(), files.get(&other).cloned());
                files.extend(one.map(|one| (other.clone(), one)));
                files.extend(two.map(|two| (path.clone(), two)));
                format!("{name} and {} are exchanged", other.display())
            }
            kind => {
                let Some(bytes) = files.get_mut(&path) else { return (name, files) };
                format!("{name}: {}", change(bytes, kind, random))
            }
        };
        (what, files)
    }
}

fn segment_is_missing(bench: &Bench) -> bool {
    bench.segment.is_none() == (bench.state == State::Crashed)
}

/// Changes the content of one file.
fn change(bytes: &mut Vec<u8>, kind: usize, random: &mut Random) -> String {
    let len = bytes.len();
    let (from, to) = (random.below(len), random.below(len));
    let stretch = 1 + random.below(STRETCH_BYTES_MAX.min(len - from.max(to)));
    let piece = |at: usize, bytes: &[u8]| bytes.get(at..at + stretch).unwrap_or_default().to_vec();
    match kind {
        3 => {
            let noise: Vec<u8> = (0..stretch).map(|_| u8::try_from(random.below(256)).unwrap_or(0)).collect();
            bytes.splice(from..from + stretch, noise);
            format!("{stretch} bytes from {from} are overwritten")
        }
        4 => {
            let (one, two) = (piece(from, bytes), piece(to, bytes));
            bytes.splice(from..from + stretch, two);
            bytes.splice(to..to + stretch, one);
            format!("{stretch} bytes from {from} and from {to} are exchanged")
        }
        5 => {
            bytes.truncate(from);
            format!("it ends at {from}")
        }
        6 => {
            bytes.drain(from..from + stretch);
            format!("{stretch} bytes from {from} are cut out")
        }
        7 => {
            let copy = piece(from, bytes);
            bytes.splice(to..to, copy);
            format!("{stretch} bytes from {from} are put in at {to}")
        }
        _ => {
            bytes.resize(len + stretch, if random.once_in(2) { 0 } else { 0xa5 });
            format!("{stretch} bytes are added")
        }
    }
}

/// Some of the old files, or all of them; new names only where they are wanted.
fn put_back(files: &mut Files, old: &Files, random: &mut Random, new_names: bool) {
    if new_names && random.once_in(3) {
        old.clone_into(files);
        return;
    }
    let odds = 1 + random.up_to(4);
    for (path, bytes) in old {
        if random.once_in(odds) && (new_names || files.contains_key(path)) {
            files.insert(path.clone(), bytes.clone());
        }
    }
}

/// Appends entries, and ends as it is asked; gives the directory and the newest checkpoint.
fn append(disk: &SimDisk, indices: std::ops::Range<usize>, state: State) -> Result<(PathBuf, String), String> {
    let sizes = Sizes { segment_bytes: 64 << 10, reserve_bytes: 0 };
    let opened = open(disk.clone(), Path::new("/"), "example.org/log/edit", &[1; 32], sizes, 1, None);
    let mut parts = opened.map_err(text)?;
    let half = indices.start + indices.len() / 2;
    for index in indices.clone().step_by(GROUP) {
        let group = (index..indices.end.min(index + GROUP)).filter_map(|index| Hashed::new(entry(index)));
        parts.writer.append_group(&group.collect::<Vec<_>>(), false).map_err(text)?;
        if (index..index + GROUP).contains(&half) {
            parts.publisher.publish().map_err(text)?;
        }
    }
    let end = (parts.dir().to_owned(), parts.checkpoint());
    if state == State::AtRest {
        parts.close().map_err(text)?;
    }
    Ok(end)
}

fn entry(index: usize) -> Entry {
    let byte = u8::try_from(index % 251).unwrap_or(0);
    let mut leaf = index.to_le_bytes().to_vec();
    leaf.resize(LEAF_BYTES, byte);
    Entry { leaf, sealed: vec![byte ^ 0x5a; SEALED_BYTES] }
}

/// Every file but the marker, which says nothing of entries.
fn files(disk: &SimDisk, dir: &Path) -> Result<Files, String> {
    let mut files = Files::new();
    let mut open = vec![dir.to_owned()];
    while let Some(here) = open.pop() {
        for name in disk.list(&here).map_err(text)? {
            let path = here.join(&name.name);
            if name.dir {
                open.push(path);
            } else if name.name != MARKER {
                let bytes = disk.read(&path).map_err(text)?;
                files.insert(path, bytes);
            }
        }
    }
    Ok(files)
}

/// Where the last group of a segment ends; nothing for any other file.
fn used(path: &Path, bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..wal::HEADER_BYTES).and_then(Header::decode)?;
    path.parent()?.ends_with("wal").then_some(())?;
    Some(wal::scan(bytes, &header).ok()?.end)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
