//! From segments to tiles: what is durable becomes readable by anybody, then its segments may be recycled.
//!
//! Order, so that a crash at any step leaves the last published tree whole: sealed bytes, entry bundles and hash tiles,
//! their directories, and only then the checkpoint; partial tiles of the tree before go last.
//! **Invariant:** nothing in memory moves on before the checkpoint is durable, so a failed publication is simply done again.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    disk::{Disk, ensure_dir, remove_dir_if_empty, remove_if_there, replace},
    error::{ReadError, at},
    head::Outside,
    recover::Base,
    sealed,
    store::{Head, Known, Place, Store},
    tile::{Edge, TILE_WIDTH, Tile, levels, push_leaf, width_at},
};

/// Where a file is written before it gets its name; among the segments, which a clean end removes.
pub(crate) const UNFINISHED: &str = "unfinished";

const SEALED_CHUNK_BYTES: usize = 1 << 20;

/// Writes tiles. There is one; it may run beside the writer.
pub struct Publisher<D: Disk> {
    store: Arc<Store<D>>,
    edge: Edge,
    bundle: Vec<u8>,
    sealed_end: u64,
    known_dirs: BTreeSet<PathBuf>,
    unsynced_dirs: BTreeSet<PathBuf>,
    /// Sizes of trees whose partial tiles are not removed yet.
    unswept: Vec<u64>,
    outside: Option<Outside>,
}

impl<D: Disk> Publisher<D> {
    pub(crate) fn new(store: Arc<Store<D>>, base: Base, outside: Option<Outside>) -> Self {
        let Base { edge, bundle, sealed_end, .. } = base;
        Self {
            store,
            edge,
            bundle,
            sealed_end,
            outside,
            known_dirs: BTreeSet::new(),
            unsynced_dirs: BTreeSet::new(),
            unswept: Vec::new(),
        }
    }

    /// Publishes everything that is durable now.
    pub fn publish(&mut self) -> Result<(), ReadError> {
        let (head, places) = {
            let state = self.store.state();
            (state.head.clone(), state.tail.iter().cloned().collect::<Vec<Place<D>>>())
        };
        let before = self.edge.size();
        if head.size == before {
            self.sweep()?;
            return self.keep();
        }
        // The new size too: if this publication fails half-way, a later one of another size cleans up after it.
        self.unswept.extend([before, head.size]);
        self.unswept.dedup();
        let mut batch = Batch {
            store: &self.store,
            known_dirs: &mut self.known_dirs,
            edge: self.edge.clone(),
            bundle: self.bundle.clone(),
            sealed: Vec::new(),
            sealed_end: self.sealed_end,
            known: Known::default(),
            dirs: &mut self.unsynced_dirs,
        };
        batch.write(&places)?;
        batch.finish(&head)?;
        let Batch { edge, bundle, sealed_end, known, .. } = batch;
        (self.edge, self.bundle, self.sealed_end) = (edge, bundle, sealed_end);
        {
            let mut state = self.store.state();
            state.published = head.size;
            state.known.full.extend(known.full);
            state.known.edge = self.edge.partial(0).to_vec();
            state.tail.drain(..places.len());
        }
        self.sweep()?;
        self.keep()
    }

    /// The newest durable head, outside the log's directory: after the checkpoint in it, so that after a crash it is
    /// never ahead of what the directory holds.
    fn keep(&mut self) -> Result<(), ReadError> {
        let head = self.store.state().head.clone();
        self.outside.as_mut().map_or(Ok(()), |outside| outside.keep(&self.store.disk, &head.note))
    }

    fn sweep(&mut self) -> Result<(), ReadError> {
        for before in &self.unswept {
            remove_partials(&self.store, *before, self.edge.size())?;
        }
        self.unswept.clear();
        Ok(())
    }

    /// Where the last sealed record ends in its file.
    pub(crate) fn sealed_end(&self) -> u64 {
        self.sealed_end
    }

    /// Retires segments and refills the pool, and says whether the disk still has room.
    pub fn recycle(&mut self) -> Result<(), ReadError> {
        self.store.recycle()
    }
}

struct Batch<'a, D: Disk> {
    store: &'a Store<D>,
    known_dirs: &'a mut BTreeSet<PathBuf>,
    edge: Edge,
    bundle: Vec<u8>,
    sealed: Vec<u8>,
    sealed_end: u64,
    known: Known,
    dirs: &'a mut BTreeSet<PathBuf>,
}

impl<D: Disk> Batch<'_, D> {
    fn write(&mut self, places: &[Place<D>]) -> Result<(), ReadError> {
        let mut buffer = Vec::new();
        for place in places {
            let (leaf, sealed) = place.read(&self.store.disk, &mut buffer)?;
            push_leaf(&mut self.bundle, leaf);
            sealed::push(&mut self.sealed, sealed);
            let mut completed = Vec::new();
            self.edge.push(place.hash, |tile, bytes| {
                completed.push((tile, bytes.to_vec()));
                Ok::<(), ReadError>(())
            })?;
            for (tile, bytes) in completed {
                self.known.completed(tile, &bytes);
                self.put(&tile.path(), &bytes)?;
            }
            let size = self.edge.size();
            if size.is_multiple_of(TILE_WIDTH) {
                let tile = Tile { level: None, index: size / TILE_WIDTH - 1, width: TILE_WIDTH };
                let bundle = std::mem::take(&mut self.bundle);
                self.put(&tile.path(), &bundle)?;
                self.write_sealed(size - 1)?;
                self.sealed_end = 0;
            } else if self.sealed.len() >= SEALED_CHUNK_BYTES {
                self.write_sealed(size - 1)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, head: &Head) -> Result<(), ReadError> {
        let size = self.edge.size();
        self.write_sealed(size - 1)?;
        for tile in partials(size) {
            let bytes = match tile.level {
                Some(level) => self.edge.partial(level).to_vec(),
                None => self.bundle.clone(),
            };
            self.put(&tile.path(), &bytes)?;
        }
        for dir in self.dirs.iter() {
            self.store.disk.sync_dir(dir).map_err(at(dir))?;
        }
        self.dirs.clear();
        self.put(Path::new("checkpoint"), head.note.as_bytes())?;
        self.store.disk.sync_dir(&self.store.dir).map_err(at(&self.store.dir))
    }

    /// Writes one file under the log's directory; its directory is synced later.
    fn put(&mut self, path: &Path, bytes: &[u8]) -> Result<(), ReadError> {
        let path = self.store.dir.join(path);
        self.parents(&path)?;
        let temporary = self.store.wal().join(UNFINISHED);
        replace(&self.store.disk, &path, &temporary, bytes).map_err(at(&path))
    }

    fn write_sealed(&mut self, last: u64) -> Result<(), ReadError> {
        if self.sealed.is_empty() {
            return Ok(());
        }
        let path = sealed::path(&self.store.dir, last);
        self.parents(&path)?;
        let disk = &self.store.disk;
        let file = match disk.open(&path, true) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => disk.create(&path),
            result => result,
        };
        let file = file.map_err(at(&path))?;
        disk.write_at(&file, &self.sealed, self.sealed_end).map_err(at(&path))?;
        disk.sync(&file).map_err(at(&path))?;
        self.sealed_end += self.sealed.len() as u64;
        self.sealed.clear();
        Ok(())
    }

    /// Makes the directories above a file and remembers which need a sync.
    fn parents(&mut self, path: &Path) -> Result<(), ReadError> {
        let above = path.ancestors().skip(1).take_while(|dir| *dir != self.store.dir).collect::<Vec<_>>();
        for dir in above.iter().rev() {
            if self.known_dirs.contains(*dir) {
                continue;
            }
            ensure_dir(&self.store.disk, dir).map_err(at(dir))?;
            self.dirs.extend(dir.parent().map(Path::to_owned));
            self.known_dirs.insert((*dir).to_owned());
        }
        self.dirs.extend(path.parent().map(Path::to_owned));
        Ok(())
    }
}

/// The partial tiles and the partial bundle of a tree of this size.
pub(crate) fn partials(size: u64) -> Vec<Tile> {
    let hashes = levels(size).map(Some);
    let partial = |level: Option<u8>| {
        let count = crate::tile::hashes_at(level.unwrap_or(0), size);
        let index = count / TILE_WIDTH;
        Tile { level, index, width: width_at(level.unwrap_or(0), index, size) }
    };
    hashes.chain([None]).map(partial).filter(|tile| tile.width > 0).collect()
}

/// Removes the partial tiles of the tree before that the new one does not have, so that at rest the files of the
/// directory are exactly those of its checkpoint's size.
fn remove_partials<D: Disk>(store: &Store<D>, before: u64, now: u64) -> Result<(), ReadError> {
    let kept = partials(now);
    for tile in partials(before) {
        if kept.contains(&tile) {
            continue;
        }
        let path = store.dir.join(tile.path());
        remove_if_there(&store.disk, &path).map_err(at(&path))?;
        let Some(dir) = path.parent() else { continue };
        if kept.iter().any(|other| store.dir.join(other.path()).parent() == Some(dir)) {
            store.disk.sync_dir(dir).map_err(at(dir))?;
        } else {
            remove_dir_if_empty(&store.disk, dir).map_err(at(dir))?;
            let above = dir.parent().unwrap_or(dir);
            store.disk.sync_dir(above).map_err(at(above))?;
        }
    }
    Ok(())
}
