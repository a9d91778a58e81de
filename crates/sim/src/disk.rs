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

mod inode;

use inode::{Change, Inode};

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
    /// A sync takes effect at the next one: whoever writes what something needs after that thing.
    Late,
}

/// What an error leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing of the step was kept.
    Lost,
    /// The step was done, and reported as failed.
    Kept,
    /// A write was done up to some byte; any other step not at all.
    Torn,
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

/// How much of a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    All,
    Part,
    None,
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
    /// What the last sync was asked for, where syncs come late.
    late: Option<usize>,
    inodes: Vec<Inode>,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64, lie: Lie) -> Self {
        Self(Arc::new(Mutex::new(World {
            random: Random::new(seed),
            lie,
            plan: Plan::default(),
            boot: 0,
            down: false,
            steps: 0,
            effective: 0,
            used: 0,
            late: None,
            inodes: vec![Inode::dir()],
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
        world.late = None;
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

    /// Gives a file another content, or none and no name, behind the back of whoever uses the disk.
    pub fn put(&self, path: &Path, content: Option<&[u8]>) -> io::Result<()> {
        let above = path.ancestors().skip(1);
        let mut world = self.world();
        match content {
            Some(content) => {
                for dir in above.collect::<Vec<_>>().into_iter().rev() {
                    if world.find(dir).is_err() {
                        world.add(dir, Inode::dir())?;
                    }
                }
                if world.find(path).is_err() {
                    world.add(path, Inode::file())?;
                }
                world.fill(path, content)
            }
            None if world.find(path).is_err() => Ok(()),
            None => {
                world.fill(path, &[])?;
                world.unlink(path, false)?;
                // A directory that leads to nothing goes with it.
                drop(above.map(|dir| world.unlink(dir, true)).find(Result::is_err));
                Ok(())
            }
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a step that changes the disk, with the fault that was planned for it.
    fn step(&self, change: impl Fn(&mut World, Extent) -> io::Result<()>) -> io::Result<()> {
        let mut world = self.world();
        world.alive()?;
        world.steps += 1;
        let steps = world.steps;
        if world.plan.crash_at == Some(steps) {
            world.effective += 1;
            // A process dies between two steps, or while the kernel is busy with one.
            let extent = world.random.pick(&[Extent::All, Extent::All, Extent::Part, Extent::None, Extent::None]);
            change(&mut world, extent)?;
            world.down = true;
            return Err(gone());
        }
        match world.plan.fail_at {
            Some((at, failure)) if at == steps => {
                world.effective += 1;
                let extent = match failure {
                    Failure::Kept => Extent::All,
                    Failure::Torn => Extent::Part,
                    Failure::Lost => Extent::None,
                };
                change(&mut world, extent)?;
                Err(io::Error::other("simulated I/O error"))
            }
            _ => change(&mut world, Extent::All),
        }
    }

    /// A step that is done or not.
    fn whole(&self, change: impl Fn(&mut World) -> io::Result<()>) -> io::Result<()> {
        self.step(|world, extent| if extent == Extent::All { change(world) } else { Ok(()) })
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        self.whole(|world| world.add(path, Inode::file()))?;
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
        self.step(|world, extent| world.write(file.inode, bytes, offset, extent))
    }

    fn reserve(&self, file: &SimFile, bytes: u64) -> io::Result<()> {
        let len = usize::try_from(bytes).map_err(io::Error::other)?;
        self.write_at(file, &vec![0; len], 0)
    }

    fn sync(&self, file: &SimFile) -> io::Result<()> {
        self.world().opened(file)?;
        // After a failed sync the pages count as clean: the next one succeeds and writes nothing.
        self.step(|world, extent| match extent {
            Extent::All => world.sync(file.inode, Lie::NoSync),
            Extent::Part | Extent::None => {
                world.forget(file.inode);
                Ok(())
            }
        })
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
        self.whole(|world| world.add(path, Inode::dir()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.whole(|world| world.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.whole(|world| world.unlink(path, false))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.whole(|world| world.unlink(path, true))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let inode = self.world().find(path)?;
        self.whole(|world| world.sync(inode, Lie::NoDirSync))
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

    fn write(&mut self, inode: usize, bytes: &[u8], offset: u64, extent: Extent) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let len = self.file(inode)?.len();
        let stale = self.lie == Lie::StaleHeader && offset == 0 && bytes.starts_with(b"remit-wal");
        if stale && self.file(inode)?.starts_with(b"remit-wal") {
            return Ok(());
        }
        let grows = (offset + bytes.len()).saturating_sub(len) as u64;
        let free = self.plan.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used));
        let full = grows > free;
        let most = match extent {
            Extent::None => 0,
            Extent::Part => self.random.below(bytes.len().max(1)),
            Extent::All => bytes.len(),
        };
        // What fits is written, as on any file system.
        let fits =
            bytes.len() - usize::try_from(grows.saturating_sub(free)).map_err(io::Error::other)?.min(bytes.len());
        let written = bytes.get(..most.min(fits)).unwrap_or_default();
        if !written.is_empty() {
            self.used += (offset + written.len()).saturating_sub(len) as u64;
            self.inodes.get_mut(inode).ok_or_else(gone)?.write(offset, written);
        }
        if full && extent == Extent::All {
            self.effective += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn fill(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        let inode = self.find(path)?;
        self.inodes.get_mut(inode).ok_or_else(gone)?.fill(content);
        self.count_used();
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

    /// A sync, unless this disk leaves out such ones.
    fn sync(&mut self, inode: usize, left_out: Lie) -> io::Result<()> {
        let now = match self.lie {
            Lie::Late => self.late.replace(inode),
            lie => (lie != left_out).then_some(inode),
        };
        if let Some(inode) = now {
            self.inodes.get_mut(inode).ok_or_else(gone)?.settle(&mut |()| true);
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

fn gone() -> io::Error {
    io::Error::other("simulated crash")
}
