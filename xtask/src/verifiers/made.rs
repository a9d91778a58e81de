//! A large log, made by the log itself: three levels of tiles, with partial ones, and an earlier state of it.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use remit_audit::{Config, Entry, Log, LogKey};

use super::change::Served;

/// So many entries that the tree has a third level of tiles.
const SIZE: u64 = 66_000;
/// And so many when it was looked at for the first time; neither fills its last tile.
const EARLIER: u64 = 40_001;
const WRITERS: u64 = 64;
/// The disk of a busy machine may be slow; nobody waits for these entries.
const COMMIT_MAX: Duration = Duration::from_secs(30);

/// The key of this log, which is nobody's: so that another history can be signed with it.
pub(crate) const SEED: [u8; 32] = [7; 32];

pub(crate) struct Made {
    pub(crate) dir: PathBuf,
    /// What a server would have served when it had `EARLIER` entries.
    pub(crate) earlier: Served,
}

/// Writes it, with a look at it on the way.
pub(crate) fn write(home: &Path) -> io::Result<Made> {
    let dir = grow(&home.join("log"), EARLIER)?;
    let earlier = Served::copy(&dir, &home.join("earlier"))?;
    Ok(Made { dir: grow(&home.join("log"), SIZE)?, earlier })
}

fn grow(home: &Path, until: u64) -> io::Result<PathBuf> {
    let usual = Config::new(home, "example.org", "large");
    let config = Config { reserve_bytes: 0, commit_deadline: COMMIT_MAX, ..usual };
    let (log, opened) = Log::open(config, LogKey::from_seed(SEED)).map_err(io::Error::other)?;
    let write = |writer: u64| {
        for number in (opened.size + writer..until).step_by(usize::try_from(WRITERS).unwrap_or(1)) {
            // Of many lengths, and some without anything in them.
            let leaf = format!("{number};").repeat(usize::try_from(number % 7).unwrap_or(0));
            let entry = Entry { leaf: leaf.into_bytes(), sealed: Vec::new() };
            log.commit_wait(entry).map_err(io::Error::other)?;
        }
        Ok::<(), io::Error>(())
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| io::Error::other("a writer failed"))?)
    })?;
    let dir = log.dir().to_owned();
    log.close().map_err(io::Error::other)?;
    Ok(dir)
}
