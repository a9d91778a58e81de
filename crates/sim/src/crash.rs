//! The life of a log on a disk that fails: random commits, publications, crashes and restarts from one seed, with an
//! oracle that remembers every acknowledged entry and every checkpoint that was given out.
//!
//! **Invariant:** the oracle knows nothing of the log's own state; it compares only what was acknowledged with what is read.

use std::path::{Path, PathBuf};

use remit_audit::{
    Entry, Hashed, WriteError,
    fsck::fsck_on,
    head,
    open::{Parts, Sizes, open},
    verify::verify_on,
};

use crate::disk::{Failure, Lie, Plan, SimDisk};
use crate::random::Random;

/// A mistake that the method must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// None: the log as it is.
    None,
    /// The disk deceives.
    Disk(Lie),
    /// Entries are acknowledged before they are written.
    AckFirst,
    /// A bit of the last acknowledged group flips while the log is down.
    Flip,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Entries that were acknowledged.
    pub acknowledged: u64,
    /// Starts of the log.
    pub starts: u64,
    /// Faults that happened.
    pub faults: u64,
}

struct Oracle {
    random: Random,
    disk: SimDisk,
    control: Control,
    /// Acknowledged entries, then those that were on their way when the last fault came.
    entries: Vec<Entry>,
    acknowledged: usize,
    checkpoint: Option<String>,
    counts: Counts,
}

/// Lives one seed through; an error says what was lost.
pub fn run(seed: u64, control: Control) -> Result<Counts, String> {
    let lie = if let Control::Disk(lie) = control { lie } else { Lie::None };
    let mut oracle = Oracle {
        random: Random::new(seed ^ 0x5eed),
        disk: SimDisk::new(seed, lie),
        control,
        entries: Vec::new(),
        acknowledged: 0,
        checkpoint: None,
        counts: Counts::default(),
    };
    for _ in 0..2 + oracle.random.up_to(5) {
        oracle.life()?;
    }
    oracle.last_life()?;
    oracle.counts.faults = oracle.disk.effective();
    oracle.counts.acknowledged = oracle.acknowledged as u64;
    Ok(oracle.counts)
}

impl Oracle {
    fn start(&mut self) -> Result<Parts<SimDisk>, String> {
        self.counts.starts += 1;
        let sizes = Sizes { segment_bytes: 16 << 10, reserve_bytes: 16 << 10 };
        // A crash must never leave it ahead of the log: that would end the epoch.
        let outside = head::Config { path: "/log.head".into(), behind: head::Behind::Begin };
        open(self.disk.clone(), Path::new("/"), "example.org/log/sim", &[1; 32], sizes, 1, Some(&outside))
            .map_err(|error| error.to_string())
    }

    fn life(&mut self) -> Result<(), String> {
        let faults = self.faults();
        self.disk.plan(faults);
        if let Ok(mut parts) = self.start() {
            self.check(&parts)?;
            self.work(&mut parts)?;
            let close = !self.disk.is_down() && self.random.once_in(4);
            if close && parts.close().is_ok() {
                self.check_directory()?;
            }
        }
        let power_cut = !self.random.once_in(4);
        if self.control == Control::Flip {
            self.flip();
        }
        self.disk.reboot(power_cut);
        self.check_directory()
    }

    /// Without faults: the log opens, holds everything, and is clean at rest.
    fn last_life(&mut self) -> Result<(), String> {
        let parts = self.start()?;
        self.check(&parts)?;
        let dir = parts.dir().to_owned();
        parts.close().map_err(|error| format!("close: {error}"))?;
        let entries = self.entries.clone();
        let mut check = checker(&entries);
        let report = verify_on(&self.disk, &dir, None, self.checkpoint.as_deref(), &mut check);
        let report = report.map_err(|error| format!("at rest: {error}"))?;
        if report.live || report.size != self.entries.len() as u64 {
            return Err(format!("at rest: {} entries, expected {}", report.size, self.entries.len()));
        }
        Ok(())
    }

    fn faults(&mut self) -> Plan {
        let random = &mut self.random;
        let failure = random.pick(&[Failure::Lost, Failure::Kept, Failure::Torn]);
        Plan {
            crash_at: (!random.once_in(3)).then(|| 1 + random.up_to(150)),
            fail_at: random.once_in(3).then(|| (1 + random.up_to(120), failure)),
            capacity: random.once_in(4).then(|| (48 << 10) + random.up_to(64 << 10)),
        }
    }

    /// Random work until a fault ends it.
    fn work(&mut self, parts: &mut Parts<SimDisk>) -> Result<(), String> {
        for _ in 0..self.random.up_to(60) {
            let done = match self.random.up_to(9) {
                0 => parts.publisher.publish().is_ok() || self.random.once_in(2),
                1 => {
                    let done = parts.publisher.publish().and_then(|()| parts.publisher.recycle());
                    done.is_ok() || self.random.once_in(2)
                }
                // Also between two publications, when the newest entries are in segments only.
                2 => parts.publisher.recycle().is_ok() || self.random.once_in(2),
                _ => self.commit(parts)?,
            };
            // A full disk ends nothing; a failed commit ends the process, and the next life begins.
            if self.disk.is_down() || !done {
                break;
            }
        }
        Ok(())
    }

    fn commit(&mut self, parts: &mut Parts<SimDisk>) -> Result<bool, String> {
        let group: Vec<Entry> = (0..=self.random.up_to(4)).map(|_| self.entry()).collect();
        let hashed: Vec<Hashed> = group.iter().cloned().filter_map(Hashed::new).collect();
        self.entries.truncate(self.acknowledged);
        self.entries.extend(group);
        if self.control == Control::AckFirst {
            self.acknowledged = self.entries.len();
        }
        let reserved = self.random.once_in(4);
        Ok(match parts.writer.append_group(&hashed, reserved) {
            Ok(_) => {
                self.acknowledged = self.entries.len();
                self.checkpoint = Some(parts.checkpoint());
                true
            }
            Err(WriteError::Full) => {
                self.entries.truncate(self.acknowledged);
                true
            }
            // Nobody knows what the disk holds: it must be read before anything is written again.
            Err(WriteError::Stopped(_)) => match parts.writer.append_group(&hashed, reserved) {
                Err(WriteError::Ended) => false,
                _ => return Err("it goes on after a failed write".to_owned()),
            },
            Err(WriteError::Ended) => false,
        })
    }

    fn entry(&mut self) -> Entry {
        let id = self.random.number();
        let len = usize::try_from(self.random.up_to(900)).unwrap_or(0);
        let leaf = id.to_le_bytes().repeat(1 + len / 16);
        let sealed = if self.random.once_in(3) { Vec::new() } else { id.to_be_bytes().repeat(len / 8) };
        Entry { leaf, sealed }
    }

    /// Every acknowledged entry is there; what follows is what was on its way, from its beginning.
    fn check(&mut self, parts: &Parts<SimDisk>) -> Result<(), String> {
        let size = usize::try_from(parts.size()).map_err(|error| error.to_string())?;
        self.expect_size(size)?;
        for (index, entry) in (0_u64..).zip(self.entries.iter().take(size)) {
            match parts.read(index) {
                Ok(read) if read == *entry => {}
                Ok(_) => return Err(format!("entry {index} is another")),
                // A planned fault may come while the oracle reads.
                Err(_) if self.disk.is_down() => return Ok(()),
                Err(error) => return Err(format!("entry {index}: {error}")),
            }
        }
        self.entries.truncate(size);
        self.acknowledged = size;
        self.checkpoint = Some(parts.checkpoint());
        Ok(())
    }

    fn expect_size(&self, size: usize) -> Result<(), String> {
        if size < self.acknowledged || size > self.entries.len() {
            return Err(format!("{size} entries, of which {} were acknowledged", self.acknowledged));
        }
        Ok(())
    }

    /// The directory as the fault left it, read by `fsck` and compared with the last checkpoint that was given out.
    fn check_directory(&self) -> Result<(), String> {
        let Some(dir) = self.epoch()? else {
            return Ok(());
        };
        let entries = self.entries.clone();
        let mut check = checker(&entries);
        fsck_on(&self.disk, &dir, None, &mut check).map_err(|error| format!("fsck: {error}"))?;
        let report = verify_on(&self.disk, &dir, None, self.checkpoint.as_deref(), &mut check);
        let report = report.map_err(|error| format!("verify: {error}"))?;
        self.expect_size(usize::try_from(report.size).map_err(|error| error.to_string())?)
    }

    fn epoch(&self) -> Result<Option<PathBuf>, String> {
        let epochs = remit_audit::epochs(&self.disk, Path::new("/")).map_err(|error| error.to_string())?;
        match epochs.as_slice() {
            [] if self.acknowledged > 0 => Err("the epoch is gone".to_owned()),
            [] => Ok(None),
            [(_, dir)] => Ok(Some(dir.clone())),
            _ => Err("a second epoch began".to_owned()),
        }
    }

    fn flip(&mut self) {
        use remit_audit::disk::Disk;
        self.disk.reboot(false);
        let segments = self.disk.list(Path::new("/1/wal")).unwrap_or_default();
        let Some(last) = segments.iter().rfind(|name| name.name.starts_with('0')) else {
            return;
        };
        let path = Path::new("/1/wal").join(&last.name);
        let content = self.disk.read(&path).unwrap_or_default();
        let Some(end) = content.iter().rposition(|byte| *byte != 0) else {
            return;
        };
        self.disk.flip(&path, end - usize::try_from(self.random.up_to(100)).unwrap_or(0), 3).unwrap_or_default();
    }
}

fn checker(entries: &[Entry]) -> impl FnMut(u64, &[u8], &[u8]) -> Result<(), String> {
    move |index, leaf, sealed| {
        let entry = usize::try_from(index).ok().and_then(|index| entries.get(index));
        match entry {
            Some(entry) if entry.leaf == leaf && entry.sealed == sealed => Ok(()),
            _ => Err("not the entry that was written".to_owned()),
        }
    }
}
