//! Opening a log on any disk: choose the epoch, read it, publish what only its segments hold, begin a fresh segment.
//!
//! Recovered entries are written anew, into tiles, before anything is appended: what is read back after a failed sync
//! may exist in the page cache alone. **Invariants:** a new run never appends to a segment of an earlier one; and no log
//! opens of which any leaf or any hash differs from what was signed. For the second, all of it is read once and hashed
//! again at each start. That takes time in proportion to the log: 110,000 entries of 3 kB a second in an unoptimized build
//! from the page cache (the test `opening_reads_all` measures it). It is kept all the same: what its user rebuilds from it
//! decides what is permitted.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use crate::{
    disk::{Disk, ensure_dir, list_if_there},
    epoch,
    error::{Damage, ReadError, at},
    head::{self, Outside},
    log::OpenError,
    note::Verifier,
    publish::Publisher,
    recover::{Base, Tail, read_base, read_tail},
    store::{Known, State, Store},
    sweep::sweep,
    tile::{TILE_WIDTH, Tile},
    verify::{VerifyError, Walk},
    writer::{WriteError, Writer},
};

/// A log in its parts: for the threads that drive it, and for a simulation that drives it by itself.
pub struct Parts<D: Disk> {
    /// Appends.
    pub writer: Writer<D>,
    /// Publishes and recycles.
    pub publisher: Publisher<D>,
    /// What was found.
    pub opened: Opened,
    pub(crate) store: Arc<Store<D>>,
    pub(crate) vkey: String,
}

/// What opening a log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// `<trust domain>/log/<instance>/<epoch>`.
    pub origin: String,
    /// The epoch.
    pub epoch: u64,
    /// Entries in it. When there are none, the caller's first entry says what came before.
    pub size: u64,
    /// Final signed checkpoint of the epoch before, if there is one.
    pub previous: Option<String>,
    /// Whether this opening began the epoch.
    pub new_epoch: bool,
    /// Entries that were found in segments only, that is after anything but a clean end.
    pub recovered: u64,
}

/// Sizes that opening needs.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Length of a segment.
    pub segment_bytes: u64,
    /// Space held back for outcomes.
    pub reserve_bytes: u64,
}

/// Opens the log under `dir` on this disk. `prefix` is the origin without its epoch, `now` seconds since 1970, `outside`
/// where the newest checkpoint is kept once more.
pub fn open<D: Disk>(
    disk: D,
    dir: &Path,
    prefix: &str,
    seed: &[u8; 32],
    sizes: Sizes,
    now: u64,
    outside: Option<&head::Config>,
) -> Result<Parts<D>, OpenError> {
    let chosen = epoch::choose(&disk, dir, prefix, seed, now, outside)?;
    let key = Verifier::parse(chosen.signer.vkey()).map_err(OpenError::Origin)?;
    let wal = chosen.dir.join("wal");
    // A clean end removes it, as its last step.
    let crashed = !ensure_dir(&disk, &wal).map_err(at(&wal))?;
    disk.sync_dir(&chosen.dir).map_err(at(&chosen.dir))?;
    let base = read_base(&disk, &chosen.dir, &key)?;
    let tail = read_tail(&disk, &chosen.dir, chosen.epoch, &base, &key)?;
    if !crashed {
        check_nothing_beyond(&disk, &chosen.dir, base.head.size)?;
    }
    let known = check_all(&disk, &chosen, (&base, &tail, crashed), outside)?;
    let opened = Opened {
        origin: key.name().to_owned(),
        epoch: chosen.epoch,
        size: tail.head.size,
        previous: chosen.previous.clone(),
        new_epoch: chosen.new,
        recovered: tail.places.len() as u64,
    };
    let (frontier, next_segment) = (tail.frontier.clone(), tail.segment_last + 1);
    let store = Arc::new(store(disk, &chosen, (base.head.size, known), tail, sizes));
    let kept = chosen.kept.map(|kept| kept.note);
    let outside = outside.map(|outside| Outside::new(outside.path.clone(), kept));
    let mut publisher = Publisher::new(Arc::clone(&store), base, outside);
    publish_tail(&store, &mut publisher, crashed)?;
    let vkey = chosen.signer.vkey().to_owned();
    let mut writer = Writer::new(Arc::clone(&store), chosen.signer, frontier, next_segment);
    make_ready(&store, &mut writer)?;
    Ok(Parts { writer, publisher, opened, store, vkey })
}

/// Every entry and every tile must be what was signed, and what the checkpoint outside covers must be in it.
fn check_all<D: Disk>(
    disk: &D,
    chosen: &epoch::Chosen,
    (base, tail, crashed): (&Base, &Tail<D>, bool),
    outside: Option<&head::Config>,
) -> Result<Known, OpenError> {
    let since = chosen.kept.as_ref().filter(|kept| kept.epoch == chosen.epoch).map(|kept| kept.checkpoint.clone());
    let mut any = |_: u64, _: &[u8], _: &[u8]| Ok(());
    let mut walk = Walk::new(disk, &chosen.dir, base.head.size, since, &mut any);
    let walked = walk.published(&|| !crashed).and_then(|_files| {
        let (found, signed) = (walk.root(), base.edge.frontier().root());
        if found != signed {
            let damage = Damage::Root { size: base.head.size, found, signed };
            return Err(ReadError::damaged(&chosen.dir.join("checkpoint"), damage).into());
        }
        tail.places.iter().try_for_each(|place| walk.unpublished(place.hash))
    });
    match walked {
        Ok(()) => Ok(walk.known()),
        Err(VerifyError::Read(error)) => Err(error.into()),
        Err(VerifyError::Forked { since: size, found, signed }) => {
            let path = outside.map_or(chosen.dir.as_path(), |outside| outside.path.as_path());
            Err(ReadError::damaged(path, Damage::Root { size, found, signed }).into())
        }
        Err(_) => Err(ReadError::damaged(&chosen.dir, Damage::Hashes).into()),
    }
}

fn store<D: Disk>(
    disk: D,
    chosen: &epoch::Chosen,
    (published, known): (u64, Known),
    tail: Tail<D>,
    sizes: Sizes,
) -> Store<D> {
    let reserve = sizes.reserve_bytes.div_ceil(sizes.segment_bytes);
    Store {
        disk,
        dir: chosen.dir.clone(),
        epoch: chosen.epoch,
        segment_bytes: sizes.segment_bytes,
        reserve_segments: usize::try_from(reserve).unwrap_or(usize::MAX),
        state: Mutex::new(State {
            head: tail.head,
            published,
            known,
            tail: tail.places,
            segments: tail.segments,
            spares: Vec::new(),
            spares_made: 0,
            full: false,
        }),
    }
}

/// Publishes what only segments hold, then lets go of them.
fn publish_tail<D: Disk>(store: &Store<D>, publisher: &mut Publisher<D>, crashed: bool) -> Result<(), ReadError> {
    let size = store.state().head.size;
    // First, because publishing may need the space that was held back.
    store.drop_old_spares()?;
    publisher.publish()?;
    if crashed {
        sweep(store, size, publisher.sealed_end())?;
    }
    store.drop_segments()
}

/// Takes the reserve and the first segment. A full disk does not keep a log from being read.
fn make_ready<D: Disk>(store: &Store<D>, writer: &mut Writer<D>) -> Result<(), ReadError> {
    let ready = match store.fill_reserve() {
        Ok(()) => writer.prepare(),
        Err(error) if error.is_full() => Err(WriteError::Full),
        Err(error) => return Err(error),
    };
    match ready {
        Ok(()) => Ok(()),
        Err(WriteError::Stopped(error)) => Err(error),
        Err(WriteError::Full | WriteError::Ended) => {
            store.state().full = true;
            Ok(())
        }
    }
}

impl<D: Disk> Parts<D> {
    /// Entries that are durable.
    pub fn size(&self) -> u64 {
        self.store.state().head.size
    }

    /// The newest signed checkpoint.
    pub fn checkpoint(&self) -> String {
        self.store.state().head.note.to_string()
    }

    /// The epoch's directory.
    pub fn dir(&self) -> &Path {
        &self.store.dir
    }

    /// One entry.
    pub fn read(&self, index: u64) -> Result<crate::entry::Entry, ReadError> {
        self.store.read(index)
    }

    /// Clean end: everything in tiles, no segments left, so that every byte that is left counts.
    pub fn close(mut self) -> Result<(), ReadError> {
        self.publisher.publish()?;
        retire(&self.store)
    }
}

/// Removes what a log needs only while it is open.
pub(crate) fn retire<D: Disk>(store: &Store<D>) -> Result<(), ReadError> {
    store.drop_segments()?;
    let wal = store.wal();
    store.disk.remove_dir(&wal).map_err(at(&wal))?;
    store.disk.sync_dir(&store.dir).map_err(at(&store.dir))
}

/// After a clean end the right edge is exactly that of the checkpoint. Where a tile there is wider, an older checkpoint was
/// put back beside newer tiles: whatever is larger than this tree has, at its right edge, a full tile or another partial one.
fn check_nothing_beyond<D: Disk>(disk: &D, dir: &Path, size: u64) -> Result<(), ReadError> {
    let edge = Tile { level: None, index: size / TILE_WIDTH, width: size % TILE_WIDTH };
    for level in [None, Some(0)] {
        let full = dir.join(Tile { level, width: TILE_WIDTH, ..edge }.path());
        match disk.open(&full, false) {
            Ok(_) => return Err(ReadError::damaged(&full, Damage::Beyond { size })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(&full)(error)),
        }
        let partial = dir.join(Tile { level, width: 1, ..edge }.path());
        let dir = partial.parent().unwrap_or(&partial);
        for name in list_if_there(disk, dir).map_err(at(dir))? {
            if edge.width == 0 || name.name != edge.width.to_string() {
                return Err(ReadError::damaged(&dir.join(name.name), Damage::Beyond { size }));
            }
        }
    }
    Ok(())
}
