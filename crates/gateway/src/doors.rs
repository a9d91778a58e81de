//! Who holds connections. Each source has a share; where it is used up, the connection that has shown nothing for
//! longest makes room, so that whoever waits at the door never keeps out who comes with a call.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Most connections at a time.
pub const CONNECTIONS_MAX: usize = 8_192;
/// Parts of all connections of which one source has one.
const SOURCE_SHARE: usize = 4;

/// What a connection without a call in flight has shown: who has shown nothing goes first, then who came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    Nothing,
    Token,
}

type Rank = (Shown, u64);

#[derive(Debug, Default)]
struct Source {
    open: usize,
    idle: BTreeMap<Rank, Arc<Notify>>,
}

#[derive(Debug, Default)]
struct All {
    /// Most at a time; a source has its share of them.
    max: usize,
    next: u64,
    open: usize,
    sources: HashMap<IpAddr, Source>,
}

/// All connections.
#[derive(Debug)]
pub struct Doors(Mutex<All>);

/// One connection; dropped, it is closed.
#[derive(Debug)]
pub struct Seat {
    doors: Arc<Doors>,
    /// Where it comes from.
    pub source: IpAddr,
    number: u64,
    leave: Arc<Notify>,
}

/// A connection with a call in flight; it is not asked to leave.
#[derive(Debug)]
pub struct Busy(Arc<Seat>);

impl Doors {
    /// Room for connections where so many files may be open: half of them are for upstreams and the log.
    pub fn new(files: usize) -> Self {
        Self(Mutex::new(All { max: CONNECTIONS_MAX.min(files / 2).max(SOURCE_SHARE), ..All::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for a connection; none where all that are taken have calls in flight.
    pub fn enter(self: &Arc<Self>, source: IpAddr) -> Option<Arc<Seat>> {
        let key = network(source);
        let mut all = self.lock();
        let full = |all: &All| all.sources.get(&key).is_some_and(|of| of.open >= all.max / SOURCE_SHARE);
        if full(&all) && !all.clear(key) {
            return None;
        }
        if all.open >= all.max {
            let oldest = all.sources.iter().filter_map(|(key, of)| Some((of.idle.keys().next()?, key))).min();
            let oldest = oldest.map(|(_, key)| *key)?;
            all.clear(oldest);
        }
        let number = all.next;
        let leave = Arc::new(Notify::new());
        all.next = all.next.saturating_add(1);
        all.open = all.open.saturating_add(1);
        let of = all.sources.entry(key).or_default();
        of.open = of.open.saturating_add(1);
        of.idle.insert((Shown::Nothing, number), Arc::clone(&leave));
        drop(all);
        Some(Arc::new(Seat { doors: Arc::clone(self), source, number, leave }))
    }
}

impl All {
    /// Asks the first idle connection of a source to leave.
    fn clear(&mut self, key: IpAddr) -> bool {
        let first = self.sources.get_mut(&key).and_then(|of| of.idle.pop_first());
        first.map(|(_, leave)| leave.notify_one()).is_some()
    }
}

impl Source {
    fn forget(&mut self, number: u64) {
        for shown in [Shown::Nothing, Shown::Token] {
            self.idle.remove(&(shown, number));
        }
    }
}

impl Seat {
    /// Waits until the connection has to make room.
    pub async fn cleared(&self) {
        self.leave.notified().await;
    }

    /// The connection carries a call of somebody with a token, until this is dropped.
    pub fn busy(self: &Arc<Self>) -> Busy {
        if let Some(of) = self.doors.lock().sources.get_mut(&network(self.source)) {
            of.forget(self.number);
        }
        Busy(Arc::clone(self))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Seat { doors, source, number, leave } = &*self.0;
        if let Some(of) = doors.lock().sources.get_mut(&network(*source)) {
            of.idle.insert((Shown::Token, *number), Arc::clone(leave));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let key = network(self.source);
        let mut all = self.doors.lock();
        all.open = all.open.saturating_sub(1);
        let Some(of) = all.sources.get_mut(&key) else { return };
        of.open = of.open.saturating_sub(1);
        of.forget(self.number);
        if of.open == 0 {
            all.sources.remove(&key);
        }
    }
}

/// One subscriber has a whole network of IPv6 addresses.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn cleared(seat: &Seat) -> bool {
        seat.cleared().now_or_never().is_some()
    }

    #[test]
    fn a_source_has_its_share_and_strangers_make_room() {
        let doors = Arc::new(Doors::new(64));
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let mut seats: Vec<_> = (0..8).map(|_| doors.enter(here).unwrap()).collect();
        let busy = seats[0].busy();
        drop(seats[1].busy());
        assert!(doors.enter(there).is_some());
        // The first has a call in flight and the second has shown a token: the third goes.
        let next = doors.enter(here).unwrap();
        assert_eq!([0, 1, 2, 3].map(|n| cleared(&seats[n])), [false, false, true, false]);
        let all_busy: Vec<_> = seats.iter().chain([&next]).map(Seat::busy).collect();
        assert!(doors.enter(here).is_none());
        assert!(doors.enter(there).is_some());
        drop((all_busy, busy, next));
        seats.clear();
        assert!(doors.lock().sources.is_empty() && doors.lock().open == 0);
    }

    #[test]
    fn all_sources_together_have_an_end() {
        let doors = Arc::new(Doors::new(64));
        let seats: Vec<_> = (0..32).map(|n| doors.enter(IpAddr::from([10, 0, 0, n / 6])).unwrap()).collect();
        let busy = seats[0].busy();
        let _next = doors.enter(IpAddr::from([10, 0, 1, 0])).unwrap();
        assert_eq!([0, 1, 2].map(|n| cleared(&seats[n])), [false, true, false]);
        assert_eq!(Doors::new(1 << 20).lock().max, CONNECTIONS_MAX);
        drop(busy);
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:127.0.0.1"), of("127.0.0.1"));
    }
}
