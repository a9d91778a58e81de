//! Room for calls: how many may be open, how many of them one root may have, and how many bytes of bodies are held.
//!
//! A place is taken before the body is read and given back when the answer has ended, so whoever stalls, stalls only
//! his own root's share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remit_core::id::RunId;
use remit_core::rejection::{Code, Rejection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::doors::Busy;

/// Most calls that one root has open at a time, standing streams among them; never more than a quarter of all.
pub const CALLS_PER_ROOT_MAX: usize = 128;
/// Most standing streams that one root has open at a time.
pub const STREAMS_PER_ROOT_MAX: usize = 16;
/// Most bytes of bodies that are held at a time.
pub const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Most bytes of bodies that are held for one root at a time.
pub const BODIES_BYTES_PER_ROOT_MAX: usize = 32 * 1024 * 1024;

/// What one root holds.
#[derive(Debug, Default)]
struct Held {
    calls: usize,
    streams: usize,
    bytes: usize,
}

type Roots = Arc<Mutex<HashMap<RunId, Held>>>;

/// All places.
#[derive(Debug)]
pub struct Places {
    calls: Arc<Semaphore>,
    calls_per_root: usize,
    /// Streams that stand may not leave too little room for what ends.
    streams: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    roots: Roots,
}

/// The place of one call.
#[derive(Debug)]
pub struct Place {
    root: RunId,
    roots: Roots,
    bytes: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    streams: Arc<Semaphore>,
    stands: Option<OwnedSemaphorePermit>,
    /// The connection is not idle while the call is open.
    _busy: Option<Busy>,
    _call: OwnedSemaphorePermit,
}

impl Places {
    /// Room for so many calls.
    pub fn new(calls_max: usize) -> Self {
        let room = |places| Arc::new(Semaphore::new(places));
        Self {
            calls: room(calls_max),
            calls_per_root: calls_max.div_ceil(4).min(CALLS_PER_ROOT_MAX),
            streams: room(calls_max.div_ceil(2)),
            bytes: room(BODIES_BYTES_MAX),
            roots: Roots::default(),
        }
    }

    /// A place for a call of this root.
    pub fn take(&self, root: &RunId, busy: Option<Busy>) -> Result<Place, Rejection> {
        let full = |message: &str, help: &str| Rejection::new(Code::Overloaded, message, help);
        let mut roots = lock(&self.roots);
        if roots.get(root).is_some_and(|held| held.calls >= self.calls_per_root) {
            let message = "this run, with all that it started, has too many calls open";
            return Err(full(message, "wait until one of them has ended"));
        }
        let call = Arc::clone(&self.calls).try_acquire_owned();
        let call = call.map_err(|_| full("too many calls are in flight", "try again in a second"))?;
        let held = roots.entry(root.clone()).or_default();
        held.calls = held.calls.saturating_add(1);
        let (root, roots) = (root.clone(), Arc::clone(&self.roots));
        let (bytes, streams) = (Arc::clone(&self.bytes), Arc::clone(&self.streams));
        Ok(Place { root, roots, bytes, held: None, streams, stands: None, _busy: busy, _call: call })
    }
}

impl Place {
    /// Room for more bytes of the body.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Rejection> {
        let full = || Rejection::new(Code::Overloaded, "too many bytes are on their way", "try again in a second");
        let more = u32::try_from(bytes).map_err(|_| full())?;
        let mut roots = lock(&self.roots);
        let held = roots.entry(self.root.clone()).or_default();
        let of_root = held.bytes.saturating_add(bytes);
        if of_root > BODIES_BYTES_PER_ROOT_MAX {
            return Err(full());
        }
        let more = Arc::clone(&self.bytes).try_acquire_many_owned(more).map_err(|_| full())?;
        held.bytes = of_root;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }

    /// The call is a stream without an end of its own.
    pub fn stand(&mut self) -> Result<(), Rejection> {
        let mut roots = lock(&self.roots);
        let held = roots.entry(self.root.clone()).or_default();
        if held.streams >= STREAMS_PER_ROOT_MAX {
            let message = "this run, with all that it started, has too many standing streams open";
            return Err(Rejection::new(Code::Overloaded, message, "close one of them first"));
        }
        let full = |_| Rejection::new(Code::Overloaded, "too many standing streams are open", "try again in a second");
        self.stands = Some(Arc::clone(&self.streams).try_acquire_owned().map_err(full)?);
        held.streams = held.streams.saturating_add(1);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut roots = lock(&self.roots);
        let Some(held) = roots.get_mut(&self.root) else { return };
        held.calls = held.calls.saturating_sub(1);
        held.streams = held.streams.saturating_sub(usize::from(self.stands.is_some()));
        held.bytes = held.bytes.saturating_sub(self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if held.calls == 0 {
            roots.remove(&self.root);
        }
    }
}

fn lock(roots: &Roots) -> MutexGuard<'_, HashMap<RunId, Held>> {
    roots.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_has_its_share_and_gives_it_back() {
        let places = Places::new(1_024);
        let (mine, other) = (RunId::new("r1").unwrap(), RunId::new("r2").unwrap());
        let mut held: Vec<_> = (0..CALLS_PER_ROOT_MAX).map(|_| places.take(&mine, None).unwrap()).collect();
        assert_eq!(places.take(&mine, None).unwrap_err().code, Code::Overloaded);
        assert!(places.take(&other, None).is_ok());
        assert_eq!(held.iter_mut().filter_map(|place| place.stand().ok()).count(), STREAMS_PER_ROOT_MAX);
        let mib = 1024 * 1024;
        assert_eq!(held.iter_mut().filter_map(|place| place.hold(mib).ok()).count(), BODIES_BYTES_PER_ROOT_MAX / mib);
        drop(held);
        assert!(lock(&places.roots).is_empty());
        assert_eq!((places.calls.available_permits(), places.bytes.available_permits()), (1_024, BODIES_BYTES_MAX));
    }

    /// Break: give one root whatever its share of a large gateway is.
    #[test]
    fn one_root_has_128_calls_open_however_many_there_are_places() {
        let (places, mine) = (Places::new(100_000), RunId::new("r1").unwrap());
        let held: Vec<_> = (0..1_000).map_while(|_| places.take(&mine, None).ok()).collect();
        assert_eq!(held.len(), 128);
        assert_eq!(lock(&places.roots).len(), 1);
    }

    #[test]
    fn there_is_an_end_for_all_together() {
        let places = Places::new(2);
        let root = |n: usize| RunId::new(format!("r{n}")).unwrap();
        let _held: Vec<_> = (0..2).map(|n| places.take(&root(n), None).unwrap()).collect();
        assert_eq!(places.take(&root(2), None).unwrap_err().code, Code::Overloaded);
    }
}
