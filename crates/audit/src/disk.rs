//! The seam to the file system: what the log needs of it, and the POSIX implementation.
//!
//! It is a trait because the log is also run on a simulated disk that crashes, tears, reorders and lies.
//! **Invariant:** the log touches files through this trait alone, so what the simulation proves holds of the real thing.

use std::{
    fmt::Write as _,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::{AtFlags, FallocateFlags, StatxFlags};

/// Mode of every directory that the log makes.
pub const DIR_MODE: u32 = 0o700;
/// Mode of every file that the log makes.
pub const FILE_MODE: u32 = 0o600;

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The file name.
    pub name: String,
    /// Whether it is a directory.
    pub dir: bool,
}

/// What the log asks of a file system. Nothing is durable before a `sync` of the file *and* of its directory.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: Send + Sync + 'static;

    /// Creates a file that must not exist, for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Opens an existing file, for writing too if asked.
    fn open(&self, path: &Path, write: bool) -> io::Result<Self::File>;
    /// Length of an open file in bytes.
    fn len(&self, file: &Self::File) -> io::Result<u64>;
    /// Reads up to the whole buffer; less only at the end of the file.
    fn read_at(&self, file: &Self::File, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes the whole buffer.
    fn write_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Takes space for the file up to this length, without writing it.
    fn reserve(&self, file: &Self::File, bytes: u64) -> io::Result<()>;
    /// Makes the file's content and length durable, its name not.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Reads a whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Names in a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<Name>>;
    /// Creates a directory; its parent must exist.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames a file or directory, replacing a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory's names durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// What tells this file from a copy of it: device, inode, time of birth.
    fn identity(&self, path: &Path) -> io::Result<String>;
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Posix;

impl Disk for Posix {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<File> {
        OpenOptions::new().read(true).write(write).open(path)
    }

    fn len(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::OPNOTSUPP) => return write_zeros(self, file, bytes),
                result => return Ok(result?),
            }
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        // An interrupted fdatasync has reported no lost page: asking again is safe, unlike after any other error.
        loop {
            match rustix::fs::fdatasync(file) {
                Err(rustix::io::Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            names.push(Name { name, dir: entry.file_type()?.is_dir() });
        }
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(DIR_MODE).create(path)
    }

    #[expect(clippy::disallowed_methods, reason = "this is what the durable functions are made of")]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn identity(&self, path: &Path) -> io::Result<String> {
        let flags = StatxFlags::INO | StatxFlags::BTIME;
        let stat = rustix::fs::statx(rustix::fs::CWD, path, AtFlags::empty(), flags)?;
        let mut text = format!("device {}:{}\ninode {}\n", stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
        if StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME) {
            // Writing to a String cannot fail.
            writeln!(text, "born {}.{:09}", stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec).map_err(io::Error::other)?;
        }
        Ok(text)
    }
}

/// Fills a file with zeros, so that later writes change no metadata and cannot run out of space.
pub(crate) fn write_zeros<D: Disk>(disk: &D, file: &D::File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < bytes {
        let chunk = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(zeros.len());
        disk.write_at(file, zeros.get(..chunk).unwrap_or_default(), offset)?;
        offset += chunk as u64;
    }
    Ok(())
}

/// Whether an error says that there is no space, or no quota, left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Lists a directory that may be absent.
pub(crate) fn list_if_there<D: Disk>(disk: &D, path: &Path) -> io::Result<Vec<Name>> {
    Ok(absent(disk.list(path))?.unwrap_or_default())
}

/// Removes a file that may be absent.
pub(crate) fn remove_if_there<D: Disk>(disk: &D, path: &Path) -> io::Result<()> {
    absent(disk.remove(path)).map(|_| ())
}

/// Removes a directory unless it is gone already or something is in it.
pub(crate) fn remove_dir_if_empty<D: Disk>(disk: &D, path: &Path) -> io::Result<()> {
    match disk.remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        result => absent(result).map(|_| ()),
    }
}

/// Creates a directory unless it is there.
pub(crate) fn ensure_dir<D: Disk>(disk: &D, path: &Path) -> io::Result<bool> {
    match disk.create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes a whole file in such a way that its name shows the old content or the new, never a mixture.
/// The caller syncs the directory.
pub(crate) fn replace<D: Disk>(disk: &D, path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    remove_if_there(disk, temporary)?;
    let written = disk.create(temporary).and_then(|file| {
        disk.write_at(&file, bytes, 0)?;
        disk.sync(&file)
    });
    if let Err(error) = written {
        // The space is wanted back at once when the disk is full; a second failure says nothing new.
        disk.remove(temporary).ok();
        return Err(error);
    }
    disk.rename(temporary, path)
}

fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
