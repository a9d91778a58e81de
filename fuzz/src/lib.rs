//! What every target adds to its property: the limits on time and memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Longest time that any input may take.
pub const TIME_MAX: Duration = Duration::from_millis(100);
/// How much slower this build may be than a release: it counts edges, reports comparisons and checks assertions. Measured
/// on the JSON reader, built both ways on one machine: 2 to 6 times.
pub const SLOWER: u32 = 6;
/// Most memory that any input may take, in bytes.
pub const BYTES_MAX: usize = 64 << 20;
/// Of a slow run the machine may be guilty: the fastest of so many counts.
const RUNS: u32 = 3;

struct Counted;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it came; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(LIVE.fetch_add(layout.size(), Relaxed).wrapping_add(layout.size()), Relaxed);
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // The system moves what is large without holding it twice.
        let before = LIVE.fetch_add(bytes, Relaxed).wrapping_add(bytes);
        PEAK.fetch_max(before.wrapping_sub(layout.size()), Relaxed);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, bytes) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// How long this thread has worked: what other programs of a busy machine take is not the input's fault.
fn worked() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the system writes the one value that is handed to it, and nothing else.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "there is no clock");
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Time and memory of one reading: of the fastest of some.
pub fn measured(runs: u32, enough: Duration, mut read: impl FnMut()) -> (Duration, usize) {
    let (mut fastest, mut most) = (Duration::MAX, 0);
    for _ in 0..runs {
        let before = LIVE.load(Relaxed);
        PEAK.store(before, Relaxed);
        let began = worked();
        read();
        fastest = fastest.min(worked().saturating_sub(began));
        most = most.max(PEAK.load(Relaxed).saturating_sub(before));
        if fastest <= enough {
            break;
        }
    }
    (fastest, most)
}

/// Holds a property against an input, within the limits.
pub fn limited(property: impl Fn(&[u8]), bytes: &[u8]) {
    let (time, memory) = measured(RUNS, TIME_MAX * SLOWER, || property(bytes));
    assert!(time <= TIME_MAX * SLOWER, "{} bytes take {time:?}", bytes.len());
    assert!(memory <= BYTES_MAX, "{} bytes take {memory} bytes of memory", bytes.len());
}

/// A target of a property's name.
#[macro_export]
macro_rules! target {
    ($property:expr) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::limited($property, bytes));
    };
}
