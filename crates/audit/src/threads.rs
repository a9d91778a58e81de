//! The three threads of an open log: the committer writes groups, the publisher makes tiles, the watch keeps deadlines.
//!
//! **Invariant:** the queue's lock is held across no I/O, so neither taking an entry nor refusing one waits for the disk.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    commit::Slot,
    disk::Disk,
    entry::{Hashed, Receipt},
    error::ReadError,
    log::{CloseError, Config, Unavailable},
    open::{Parts, retire},
    publish::Publisher,
    store::Store,
    writer::{WriteError, Writer},
};

/// Entries that wait at most; more are refused at once.
pub const QUEUE_ENTRIES_MAX: usize = 16_384;
/// Bytes of entries that wait at most.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Bytes of entries in one group at most, beyond its first.
pub const GROUP_BYTES_MAX: usize = 1 << 20;
/// Entries in one group at most.
pub const GROUP_ENTRIES_MAX: usize = 1024;

struct Pending {
    hashed: Hashed,
    slot: Arc<Slot>,
    since: Instant,
    reserved: bool,
}

impl Pending {
    fn bytes(&self) -> usize {
        self.hashed.entry.leaf.len() + self.hashed.entry.sealed.len()
    }
}

#[derive(Default)]
struct Queue {
    pending: VecDeque<Pending>,
    bytes: usize,
    /// Slots of the group that is being written, and the oldest one's time.
    taken: Vec<Arc<Slot>>,
    taken_since: Option<Instant>,
    closing: bool,
    stopped: bool,
    watch_sleeps: bool,
}

struct Shared<D: Disk> {
    store: Arc<Store<D>>,
    queue: Mutex<Queue>,
    work: Condvar,
    watch: Condvar,
    tick: Condvar,
    publisher: Mutex<Publisher<D>>,
    origin: Arc<str>,
    deadline: Duration,
    publish_every: Duration,
}

/// The threads, and what they share with the handles.
pub(crate) struct Threads<D: Disk> {
    shared: Arc<Shared<D>>,
    running: Mutex<Option<(Vec<JoinHandle<()>>, File)>>,
}

impl<D: Disk> Threads<D> {
    pub(crate) fn start(parts: Parts<D>, config: &Config, origin: Arc<str>, lock: File) -> io::Result<Self> {
        let Parts { mut writer, publisher, store, .. } = parts;
        let shared = Arc::new(Shared {
            store,
            queue: Mutex::default(),
            work: Condvar::new(),
            watch: Condvar::new(),
            tick: Condvar::new(),
            publisher: Mutex::new(publisher),
            origin,
            deadline: config.commit_deadline,
            publish_every: config.publish_every,
        });
        let [commit, publish, watch] = [(); 3].map(|()| Arc::clone(&shared));
        let handles = vec![
            spawn("log-commit", move || commit.commit_loop(&mut writer))?,
            spawn("log-publish", move || publish.publish_loop())?,
            spawn("log-watch", move || watch.watch_loop())?,
        ];
        Ok(Self { shared, running: Mutex::new(Some((handles, lock))) })
    }

    pub(crate) fn store(&self) -> &Arc<Store<D>> {
        &self.shared.store
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.shared.deadline
    }

    pub(crate) fn enqueue(&self, hashed: Hashed, slot: Arc<Slot>, reserved: bool) {
        self.shared.enqueue(Pending { hashed, slot, since: Instant::now(), reserved });
    }

    pub(crate) fn publish(&self) -> Result<(), ReadError> {
        lock(&self.shared.publisher).publish()
    }

    pub(crate) fn close(&self) -> Result<(), CloseError> {
        let _lock = self.stop().ok_or(CloseError::Closed)?;
        if lock(&self.shared.queue).stopped {
            return Err(CloseError::Stopped);
        }
        lock(&self.shared.queue).stopped = true;
        self.publish()?;
        retire(&self.shared.store)?;
        Ok(())
    }

    /// Ends the threads after what is queued, and gives the lock file to whoever is first.
    fn stop(&self) -> Option<File> {
        let (handles, file) = lock(&self.running).take()?;
        lock(&self.shared.queue).closing = true;
        for condition in [&self.shared.work, &self.shared.watch, &self.shared.tick] {
            condition.notify_all();
        }
        for handle in handles {
            // A thread that panicked has nothing to say; its entries were never acknowledged.
            handle.join().ok();
        }
        Some(file)
    }
}

impl<D: Disk> Drop for Threads<D> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<D: Disk> Shared<D> {
    fn enqueue(&self, pending: Pending) {
        let full = !pending.reserved && self.store.state().full;
        let mut queue = lock(&self.queue);
        let refusal = if queue.closing || queue.stopped {
            Some(Unavailable::Stopped)
        } else if full {
            Some(Unavailable::Full)
        } else if queue.pending.len() >= QUEUE_ENTRIES_MAX || queue.bytes + pending.bytes() > QUEUE_BYTES_MAX {
            Some(Unavailable::Busy)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            drop(queue);
            return pending.slot.answer(Err(refusal));
        }
        queue.bytes += pending.bytes();
        queue.pending.push_back(pending);
        let watch = std::mem::take(&mut queue.watch_sleeps);
        drop(queue);
        self.work.notify_one();
        if watch {
            self.watch.notify_one();
        }
    }

    fn commit_loop(&self, writer: &mut Writer<D>) {
        let mut group: Vec<Pending> = Vec::new();
        while self.next_group(&mut group) {
            let all_reserved = group.iter().all(|pending| pending.reserved);
            self.write_group(writer, &mut group, all_reserved);
            let mut queue = lock(&self.queue);
            queue.taken.clear();
            queue.taken_since = None;
        }
    }

    /// Waits for work and takes all that is pending, up to a group's size; false at the end.
    fn next_group(&self, group: &mut Vec<Pending>) -> bool {
        let mut queue = lock(&self.queue);
        while queue.pending.is_empty() {
            if queue.closing {
                return false;
            }
            queue = wait(&self.work, queue);
        }
        let mut bytes = 0;
        while let Some(pending) = queue.pending.pop_front() {
            queue.bytes -= pending.bytes();
            if !pending.slot.take() {
                continue;
            }
            bytes += pending.bytes();
            queue.taken_since = queue.taken_since.or(Some(pending.since));
            queue.taken.push(Arc::clone(&pending.slot));
            group.push(pending);
            if bytes >= GROUP_BYTES_MAX || group.len() >= GROUP_ENTRIES_MAX {
                break;
            }
        }
        true
    }

    fn write_group(&self, writer: &mut Writer<D>, group: &mut Vec<Pending>, reserved: bool) {
        if group.is_empty() {
            return;
        }
        if lock(&self.queue).stopped {
            return refuse(group.drain(..), Unavailable::Stopped);
        }
        let (entries, slots): (Vec<Hashed>, Vec<(Arc<Slot>, bool)>) =
            group.drain(..).map(|pending| (pending.hashed, (pending.slot, pending.reserved))).unzip();
        match writer.append_group(&entries, reserved) {
            Ok(first) => {
                for (index, (entry, (slot, _))) in (first..).zip(entries.iter().zip(slots)) {
                    slot.answer(Ok(Receipt { index, leaf_hash: entry.hash(), origin: Arc::clone(&self.origin) }));
                }
            }
            Err(WriteError::Full) => self.write_reserved(writer, entries, slots, reserved),
            Err(WriteError::Stopped(_) | WriteError::Ended) => {
                self.stop_for_good();
                for (slot, _) in slots {
                    slot.answer(Err(Unavailable::Stopped));
                }
            }
        }
    }

    /// The disk is full: the outcomes among the group go on with what is held back, the others are refused.
    fn write_reserved(&self, writer: &mut Writer<D>, entries: Vec<Hashed>, slots: Vec<(Arc<Slot>, bool)>, tried: bool) {
        self.store.state().full = true;
        self.tick.notify_one();
        let mut rest = Vec::new();
        for (hashed, (slot, reserved)) in entries.into_iter().zip(slots) {
            if reserved && !tried {
                rest.push(Pending { hashed, slot, since: Instant::now(), reserved });
            } else {
                slot.answer(Err(Unavailable::Full));
            }
        }
        self.write_group(writer, &mut rest, true);
    }

    fn publish_loop(&self) {
        loop {
            let mut queue = lock(&self.queue);
            if !queue.closing {
                queue = self.tick.wait_timeout(queue, self.publish_every).unwrap_or_else(PoisonError::into_inner).0;
            }
            if queue.closing || queue.stopped {
                return;
            }
            drop(queue);
            let mut publisher = lock(&self.publisher);
            let done = publisher.publish().and_then(|()| publisher.recycle());
            drop(publisher);
            match done {
                Ok(()) => self.store.state().full = false,
                Err(error) if error.is_full() => self.store.state().full = true,
                Err(_) => self.stop_for_good(),
            }
        }
    }

    /// Answers whatever is past its deadline, also when the disk does not answer.
    fn watch_loop(&self) {
        let mut queue = lock(&self.queue);
        while !queue.closing {
            if queue.pending.is_empty() && queue.taken.is_empty() {
                queue.watch_sleeps = true;
                queue = wait(&self.watch, queue);
                continue;
            }
            let step = self.deadline / 8;
            queue = self.watch.wait_timeout(queue, step).unwrap_or_else(PoisonError::into_inner).0;
            let late = |since: Instant| since.elapsed() + step >= self.deadline;
            if queue.taken_since.is_some_and(late) {
                queue.taken.iter().for_each(|slot| slot.answer(Err(Unavailable::Deadline)));
            }
            let pending = queue.pending.iter().take_while(|pending| late(pending.since));
            pending.for_each(|pending| pending.slot.answer(Err(Unavailable::Deadline)));
        }
    }

    fn stop_for_good(&self) {
        let mut queue = lock(&self.queue);
        queue.stopped = true;
        queue.bytes = 0;
        let pending: Vec<Pending> = queue.pending.drain(..).collect();
        drop(queue);
        refuse(pending, Unavailable::Stopped);
    }
}

fn refuse(pending: impl IntoIterator<Item = Pending>, why: Unavailable) {
    pending.into_iter().for_each(|pending| pending.slot.answer(Err(why)));
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(body)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
