//! A file system that fails like a real one: it crashes at any step, tears and reorders what was not synced, loses names
//! whose directory was not synced, runs full, and reports errors for writes that it has or has not kept.
//!
//! **Invariant:** after a power cut only what was synced is certain; of everything else each 512-byte sector and each
//! directory entry survives or not by the seed, which reproduces the run.

use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use remit_audit::disk::{Disk, Name};

use crate::random::Random;

const SECTOR_BYTES: usize = 512;

/// How the disk deceives: each is a mistake that a log could make, and that a test must find.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lie {
    /// It is honest.
    #[default]
    None,
    /// Syncs of files do nothing: a log that never calls fdatasync.
    NoSync,
    /// Syncs of directories do nothing: a log that never syncs them.
    NoDirSync,
    /// The header of a recycled segment is never written: a log that reuses files as they are.
    StaleHeader,
}

/// What an error leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing of the step was kept.
    Lost,
    /// The step was done, and reported as failed.
    Kept,
}

/// Faults to come, counted in steps that change the disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan {
    /// The process ends at this step.
    pub crash_at: Option<u64>,
    /// This step fails.
    pub fail_at: Option<(u64, Failure)>,
    /// Bytes that the files may take together.
    pub capacity: Option<u64>,
}

/// A simulated disk; clones are the same one.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<World>>);

/// An open file of one boot.
pub struct SimFile {
    inode: usize,
    boot: u64,
}

struct World {
    random: Random,
    lie: Lie,
    plan: Plan,
    boot: u64,
    down: bool,
    steps: u64,
    effective: u64,
    used: u64,
    inodes: Vec<Inode>,
}

enum Inode {
    File { live: Vec<u8>, durable: Vec<u8>, dirty: Vec<(usize, Vec<u8>)> },
    Dir { live: BTreeMap<String, usize>, durable: BTreeMap<String, usize>, dirty: Vec<Change> },
}

#[derive(Clone)]
enum Change {
    Link(String, usize),
    Unlink(String),
    Move(String, String, usize),
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64, lie: Lie) -> Self {
        let root = Inode::Dir { live: BTreeMap::new(), durable: BTreeMap::new(), dirty: Vec::new() };
        Self(Arc::new(Mutex::new(World {
            random: Random::new(seed),
            lie,
            plan: Plan::default(),
            boot: 0,
            down: false,
            steps: 0,
            effective: 0,
            used: 0,
            inodes: vec![root],
        })))
    }

    /// Sets the faults to come; steps count from here.
    pub fn plan(&self, plan: Plan) {
        let mut world = self.world();
        world.plan = plan;
        world.steps = 0;
    }

    /// Whether the process is dead.
    pub fn is_down(&self) -> bool {
        self.world().down
    }

    /// Faults that happened so far.
    pub fn effective(&self) -> u64 {
        self.world().effective
    }

    /// Starts again without faults: after a power cut what was not synced is torn, after a mere kill it is all there.
    pub fn reboot(&self, power_cut: bool) {
        let mut world = self.world();
        let World { random, inodes, .. } = &mut *world;
        if power_cut {
            for inode in inodes {
                inode.cut(random);
            }
        }
        world.boot += 1;
        world.down = false;
        world.plan = Plan::default();
        world.count_used();
    }

    /// Flips one bit of a file, as a failing medium does.
    pub fn flip(&self, path: &Path, byte: usize, bit: u32) -> io::Result<()> {
        let mut world = self.world();
        let inode = world.find(path)?;
        if let Some(Inode::File { live, durable, .. }) = world.inodes.get_mut(inode) {
            for content in [live, durable] {
                if let Some(byte) = content.get_mut(byte) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
        Ok(())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a step that changes the disk, with the fault that was planned for it.
    fn step(&self, change: impl Fn(&mut World) -> io::Result<()>, lost: impl Fn(&mut World)) -> io::Result<()> {
        let mut world = self.world();
        world.alive()?;
        world.steps += 1;
        let steps = world.steps;
        if world.plan.crash_at == Some(steps) {
            world.effective += 1;
            if world.random.once_in(2) {
                change(&mut world)?;
            }
            world.down = true;
            return Err(gone());
        }
        match world.plan.fail_at {
            Some((at, failure)) if at == steps => {
                world.effective += 1;
                match failure {
                    Failure::Kept => change(&mut world)?,
                    Failure::Lost => lost(&mut world),
                }
                Err(io::Error::other("simulated I/O error"))
            }
            _ => change(&mut world),
        }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        self.step(|world| world.create(path), |_| ())?;
        self.open(path, true)
    }

    fn open(&self, path: &Path, _write: bool) -> io::Result<SimFile> {
        let world = self.world();
        world.alive()?;
        let inode = world.find(path)?;
        world.file(inode)?;
        Ok(SimFile { inode, boot: world.boot })
    }

    fn len(&self, file: &SimFile) -> io::Result<u64> {
        let world = self.world();
        Ok(world.opened(file)?.len() as u64)
    }

    fn read_at(&self, file: &SimFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.world();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let content = world.opened(file)?.get(from..).unwrap_or_default();
        let read = content.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..read), content.get(..read)) {
            to.copy_from_slice(from);
        }
        Ok(read)
    }

    fn write_at(&self, file: &SimFile, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.world().opened(file)?;
        self.step(|world| world.write(file.inode, bytes, offset), |_| ())
    }

    fn reserve(&self, file: &SimFile, bytes: u64) -> io::Result<()> {
        let len = usize::try_from(bytes).map_err(io::Error::other)?;
        self.write_at(file, &vec![0; len], 0)
    }

    fn sync(&self, file: &SimFile) -> io::Result<()> {
        self.world().opened(file)?;
        let honest = self.world().lie != Lie::NoSync;
        // After a failed sync the pages count as clean: the next one succeeds and writes nothing.
        self.step(|world| world.settle(file.inode, honest), |world| world.forget(file.inode))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let world = self.world();
        world.alive()?;
        Ok(world.file(world.find(path)?)?.clone())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Name>> {
        let world = self.world();
        world.alive()?;
        let names = world.dir(world.find(path)?)?;
        Ok(names.iter().map(|(name, inode)| Name { name: name.clone(), dir: world.dir(*inode).is_ok() }).collect())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.step(|world| world.create_dir(path), |_| ())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|world| world.rename(from, to), |_| ())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(|world| world.unlink(path, false), |_| ())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.step(|world| world.unlink(path, true), |_| ())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let inode = self.world().find(path)?;
        let honest = self.world().lie != Lie::NoDirSync;
        self.step(|world| world.settle(inode, honest), |_| ())
    }

    fn identity(&self, path: &Path) -> io::Result<String> {
        Ok(format!("inode {}\n", self.world().find(path)?))
    }
}

impl World {
    fn alive(&self) -> io::Result<()> {
        if self.down { Err(gone()) } else { Ok(()) }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut here = 0;
        for part in path.components() {
            if let Component::Normal(name) = part {
                let name = name.to_string_lossy();
                here = *self.dir(here)?.get(name.as_ref()).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(here)
    }

    fn parent(&self, path: &Path) -> io::Result<(usize, String)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
        Ok((self.find(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?, name))
    }

    fn dir(&self, inode: usize) -> io::Result<&BTreeMap<String, usize>> {
        match self.inodes.get(inode) {
            Some(Inode::Dir { live, .. }) => Ok(live),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&self, inode: usize) -> io::Result<&Vec<u8>> {
        match self.inodes.get(inode) {
            Some(Inode::File { live, .. }) => Ok(live),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn opened(&self, file: &SimFile) -> io::Result<&Vec<u8>> {
        self.alive()?;
        if file.boot == self.boot { self.file(file.inode) } else { Err(gone()) }
    }

    fn change(&mut self, dir: usize, change: Change) -> io::Result<()> {
        let Some(Inode::Dir { live, dirty, .. }) = self.inodes.get_mut(dir) else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        change.apply(live);
        dirty.push(change);
        Ok(())
    }

    fn add(&mut self, path: &Path, inode: Inode) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        if self.dir(dir)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.inodes.push(inode);
        self.change(dir, Change::Link(name, self.inodes.len() - 1))
    }

    fn create(&mut self, path: &Path) -> io::Result<()> {
        self.add(path, Inode::File { live: Vec::new(), durable: Vec::new(), dirty: Vec::new() })
    }

    fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        self.add(path, Inode::Dir { live: BTreeMap::new(), durable: BTreeMap::new(), dirty: Vec::new() })
    }

    fn write(&mut self, inode: usize, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let grows = (offset + bytes.len()).saturating_sub(self.file(inode)?.len()) as u64;
        if self.plan.capacity.is_some_and(|capacity| grows > 0 && self.used + grows > capacity) {
            self.effective += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.used += grows;
        let stale = self.lie == Lie::StaleHeader && offset == 0 && bytes.starts_with(b"remit-wal");
        let Some(Inode::File { live, dirty, .. }) = self.inodes.get_mut(inode) else {
            return Err(gone());
        };
        if stale && live.starts_with(b"remit-wal") {
            return Ok(());
        }
        put(live, offset, bytes);
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let sector = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
            let piece = rest.get(..sector).unwrap_or(rest);
            dirty.push((offset + at, piece.to_vec()));
            at += piece.len();
        }
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let ((from_dir, from), (to_dir, to)) = (self.parent(from)?, self.parent(to)?);
        let inode = *self.dir(from_dir)?.get(&from).ok_or(io::ErrorKind::NotFound)?;
        if let Some(replaced) = self.dir(to_dir)?.get(&to) {
            self.used -= self.file(*replaced)?.len() as u64;
        }
        if from_dir == to_dir {
            return self.change(from_dir, Change::Move(from, to, inode));
        }
        self.change(to_dir, Change::Link(to, inode))?;
        self.change(from_dir, Change::Unlink(from))
    }

    fn unlink(&mut self, path: &Path, directory: bool) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        let inode = self.find(path)?;
        if directory && !self.dir(inode)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if !directory {
            self.used -= self.file(inode)?.len() as u64;
        }
        self.change(dir, Change::Unlink(name))
    }

    fn settle(&mut self, inode: usize, honest: bool) -> io::Result<()> {
        let inode = self.inodes.get_mut(inode).ok_or_else(gone)?;
        if honest {
            inode.settle(&mut |()| true);
        }
        Ok(())
    }

    fn forget(&mut self, inode: usize) {
        if let Some(Inode::File { dirty, .. }) = self.inodes.get_mut(inode) {
            dirty.clear();
        }
    }

    /// What the files that have a name take.
    fn count_used(&mut self) {
        let linked = self.inodes.iter().filter_map(|inode| match inode {
            Inode::Dir { live, .. } => Some(live.values()),
            Inode::File { .. } => None,
        });
        self.used = linked.flatten().filter_map(|inode| self.file(*inode).ok()).map(|file| file.len() as u64).sum();
    }
}

impl Inode {
    /// Makes each pending piece durable if `keep` says so.
    fn settle(&mut self, keep: &mut dyn FnMut(()) -> bool) {
        match self {
            Self::File { durable, dirty, .. } => {
                for (offset, bytes) in dirty.drain(..) {
                    if keep(()) {
                        put(durable, offset, &bytes);
                    }
                }
            }
            Self::Dir { durable, dirty, .. } => {
                for change in dirty.drain(..) {
                    if keep(()) {
                        change.apply(durable);
                    }
                }
            }
        }
    }

    /// A power cut: pending pieces survive by chance, often all or none of them, and memory is what the disk says.
    fn cut(&mut self, random: &mut Random) {
        let odds = [0, 1, 2, 4, 7, 8].get(usize::try_from(random.up_to(6)).unwrap_or(0)).copied().unwrap_or(4);
        self.settle(&mut |()| random.up_to(8) < odds);
        match self {
            Self::File { live, durable, .. } => live.clone_from(durable),
            Self::Dir { live, durable, .. } => live.clone_from(durable),
        }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
            Self::Move(from, to, inode) => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

fn gone() -> io::Error {
    io::Error::other("simulated crash")
}
