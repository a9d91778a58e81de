//! Callers on connections that are open before the clock starts: as fast as they are answered, or so many calls a second
//! however long the answers take.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::ask::{Ask, Kind, Verdict};
use super::crowd::Crowd;
use crate::home::Home;
use crate::sample::{Sample, rate};
use crate::wire::Connection;

/// How long a connection may rest before it is opened anew: a gateway closes an idle one after ten seconds.
const REST_MAX: Duration = Duration::from_secs(5);
/// The code of a refusal before the call was looked at: its proof is not used up.
const OVERLOADED: &str = "overloaded";

/// How the callers call.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) connections: usize,
    /// The last part of the loopback addresses that they come from, in turns.
    pub(crate) sources: &'a [u8],
    /// Calls a second of all of them together; as fast as they are answered where it is not said.
    pub(crate) per_second: Option<u32>,
    pub(crate) time: Duration,
    pub(crate) kind: fn(u64) -> Kind,
}

/// What they saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// From when the call was due.
    pub(crate) good: Sample,
    /// From when it was sent.
    pub(crate) refused: Sample,
    /// How much later than it was due a call was sent: the caller's own delay.
    pub(crate) late: Sample,
    pub(crate) codes: BTreeMap<String, usize>,
    pub(crate) errors: usize,
    pub(crate) first_error: Option<String>,
    pub(crate) elapsed: Duration,
}

impl Seen {
    pub(crate) fn goodput(&self) -> u64 {
        rate(self.good.count(), self.elapsed)
    }

    pub(crate) fn offered(&self) -> u64 {
        rate(self.good.count() + self.refused.count() + self.errors, self.elapsed)
    }
}

/// Hands out when calls are due.
struct Clock {
    began: Instant,
    end: Instant,
    every: Option<Duration>,
    next: AtomicU32,
}

impl Clock {
    /// When the next call is due, once it is; nothing at the end.
    async fn next(&self) -> Option<Instant> {
        let due = match self.every {
            Some(every) => self.began + every * self.next.fetch_add(1, Ordering::Relaxed),
            None => Instant::now(),
        };
        if due >= self.end {
            return None;
        }
        tokio::time::sleep_until(due.into()).await;
        Some(due)
    }
}

/// Lets the crowd call as planned, with tokens that are renewed before they end.
pub(crate) async fn drive(home: &Home, crowd: &Arc<Crowd>, plan: Plan<'_>) -> io::Result<Seen> {
    tokio::select! {
        seen = calls(crowd, plan) => seen,
        broken = crowd.stay_fresh(home) => Err(broken.err().unwrap_or_else(|| io::Error::other("no more tokens"))),
    }
}

async fn calls(crowd: &Arc<Crowd>, plan: Plan<'_>) -> io::Result<Seen> {
    let mut callers = Vec::with_capacity(plan.connections);
    for number in 0..plan.connections {
        let source = loopback(plan.sources, number)?;
        let open = Open { connection: Connection::open_from(source, crowd.at).await?, used: Instant::now() };
        let (crowd, kind) = (Arc::clone(crowd), plan.kind);
        callers.push(Caller { crowd, number, source, kind, open: Some(open), tally: Tally::default() });
    }
    let began = Instant::now();
    let every = plan.per_second.map(|per_second| Duration::from_secs(1) / per_second);
    let clock = Arc::new(Clock { began, end: began + plan.time, every, next: AtomicU32::new(0) });
    let mut tasks = JoinSet::new();
    for caller in callers {
        tasks.spawn(caller.until_the_end(Arc::clone(&clock)));
    }
    let mut all = Tally::default();
    while let Some(tally) = tasks.join_next().await {
        all.add(tally.map_err(io::Error::other)?);
    }
    Ok(all.seen(began.elapsed()))
}

/// The source of the connection with that number.
pub(crate) fn loopback(sources: &[u8], number: usize) -> io::Result<IpAddr> {
    let last = number.checked_rem(sources.len()).and_then(|at| sources.get(at));
    last.map(|last| IpAddr::from([127, 0, 0, *last])).ok_or_else(|| io::Error::other("callers without a source"))
}

#[derive(Default)]
struct Tally {
    good: Vec<Duration>,
    refused: Vec<Duration>,
    late: Vec<Duration>,
    codes: BTreeMap<String, usize>,
    errors: usize,
    first_error: Option<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.good.extend(other.good);
        self.refused.extend(other.refused);
        self.late.extend(other.late);
        for (code, count) in other.codes {
            *self.codes.entry(code).or_default() += count;
        }
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    fn failed(&mut self, why: String) {
        self.errors += 1;
        self.first_error.get_or_insert(why);
    }

    fn seen(self, elapsed: Duration) -> Seen {
        let Self { codes, errors, first_error, .. } = self;
        let [good, refused, late] = [self.good, self.refused, self.late].map(Sample::new);
        Seen { good, refused, late, codes, errors, first_error, elapsed }
    }
}

struct Open {
    connection: Connection,
    used: Instant,
}

struct Caller {
    crowd: Arc<Crowd>,
    number: usize,
    source: IpAddr,
    kind: fn(u64) -> Kind,
    open: Option<Open>,
    tally: Tally,
}

impl Caller {
    async fn until_the_end(mut self, clock: Arc<Clock>) -> Tally {
        while let Some(due) = clock.next().await {
            if let Err(error) = self.call(due).await {
                // It answers nothing more; the next call has a connection of its own.
                self.open = None;
                self.tally.failed(error.to_string());
            }
        }
        self.tally
    }

    async fn call(&mut self, due: Instant) -> io::Result<()> {
        let Some(member) = self.crowd.member(self.number) else { return Ok(()) };
        let ask = Ask::next(self.kind);
        let (request, proof) = member.request(&ask);
        let mut open = match self.open.take().filter(|open| open.used.elapsed() < REST_MAX) {
            Some(open) => open,
            None => Open { connection: Connection::open_from(self.source, self.crowd.at).await?, used: due },
        };
        let began = Instant::now();
        let answer = open.connection.exchange(&request).await?;
        let took = began.elapsed();
        self.tally.late.push(began.saturating_duration_since(due));
        match ask.judge(&answer) {
            Verdict::Good => self.tally.good.push(due.elapsed()),
            Verdict::Refused(code) => {
                if code == OVERLOADED {
                    member.give_back(proof);
                }
                *self.tally.codes.entry(code).or_default() += 1;
                self.tally.refused.push(took);
            }
            Verdict::Wrong(why) => self.tally.failed(why),
        }
        open.used = Instant::now();
        self.open = Some(open);
        Ok(())
    }
}
