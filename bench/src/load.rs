//! Callers, each with one call at a time, all in one thread: as fast as they are answered, or at a pace.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::pipe::Pipe;
use crate::road::{Endpoint, echoed, text};
use crate::sample::{Sample, rate};
use crate::wire::Connection;

/// Proofs that are made for each second of a load, by one caller and by many. Where they do not last, it ends earlier.
const PROOFS_PER_SECOND: (usize, usize) = (6_000, 14_000);

/// Numbers of calls: no two are equal in one run of this program.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Where the callers go.
pub(crate) enum Road<'a> {
    Http(&'a Endpoint),
    Pipe(&'a Arc<Pipe>),
}

/// What the callers saw.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) times: Sample,
    pub(crate) elapsed: Duration,
    /// Calls that were answered before the clock started.
    warm: usize,
    /// Calls that were not answered, or not with what was said.
    pub(crate) errors: usize,
    pub(crate) first_error: Option<String>,
    /// How many more the upstream counted than were answered; none where it could not be asked.
    pub(crate) surplus: Option<i64>,
}

impl Load {
    pub(crate) fn rate(&self) -> u64 {
        rate(self.times.count(), self.elapsed)
    }
}

impl Road<'_> {
    async fn count(&self) -> io::Result<u64> {
        match self {
            Road::Http(endpoint) => endpoint.count().await,
            Road::Pipe(pipe) => pipe.count().await,
        }
    }

    /// So many callers for so long, as fast as they are answered.
    pub(crate) async fn load(&self, callers: usize, time: Duration) -> io::Result<Load> {
        self.counted(callers, time, None).await
    }

    /// So many callers for so long, which make so many calls a second together, however long the answers take.
    pub(crate) async fn paced(&self, callers: usize, time: Duration, per_second: u32) -> io::Result<Load> {
        self.counted(callers, time, Some(per_second)).await
    }

    async fn counted(&self, callers: usize, time: Duration, per_second: Option<u32>) -> io::Result<Load> {
        // Another one's endpoint may have no such tool.
        let before = self.count().await.ok();
        let mut load = self.run(callers, time, per_second).await?;
        let after = self.count().await.ok();
        let answered = i64::try_from(load.times.count() + load.warm).unwrap_or(i64::MAX);
        load.surplus = before.zip(after).map(|(before, after)| after.cast_signed() - before.cast_signed() - answered);
        Ok(load)
    }

    async fn run(&self, callers: usize, time: Duration, pace: Option<u32>) -> io::Result<Load> {
        let most = if callers == 1 { PROOFS_PER_SECOND.0 } else { PROOFS_PER_SECOND.1 };
        let per_second = pace.and_then(|pace| usize::try_from(pace).ok()).map_or(most, |pace| pace + callers);
        let proofs = usize::try_from(time.as_millis()).unwrap_or(usize::MAX).saturating_mul(per_second) / 1_000;
        let proofs = match self {
            Road::Http(endpoint) => endpoint.proofs(proofs + callers),
            Road::Pipe(_) => None,
        };
        let proofs = proofs.map(|proofs| Arc::new(Mutex::new(proofs)));
        let mut ready = Vec::new();
        for _ in 0..callers {
            let line = match self {
                Road::Http(endpoint) => Line::Http {
                    connection: Connection::open(endpoint.at).await?,
                    endpoint: (*endpoint).clone(),
                    proofs: proofs.clone(),
                },
                Road::Pipe(pipe) => Line::Pipe(Arc::clone(pipe)),
            };
            let mut caller = Caller { line, late: None, warm: 0, times: Vec::new(), errors: 0, first_error: None };
            // Before the clock starts, each has been answered once.
            caller.warm_up().await;
            ready.push(caller);
        }
        Ok(together(ready, time, pace).await)
    }
}

async fn together(callers: Vec<Caller>, time: Duration, per_second: Option<u32>) -> Load {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    let count = u32::try_from(callers.len()).unwrap_or(u32::MAX);
    for (number, caller) in (0..).zip(callers) {
        let every = per_second.map(|per_second| Duration::from_secs(1) / per_second);
        let pace = every.map(|every| Pace { due: began + every * number, every: every * count });
        tasks.spawn(caller.until(began + time, pace));
    }
    let (mut load, mut times) = (Load::default(), Vec::new());
    while let Some(Ok(caller)) = tasks.join_next().await {
        times.extend(caller.times);
        load.warm += caller.warm;
        load.errors += caller.errors;
        load.first_error = load.first_error.or(caller.first_error);
    }
    load.elapsed = began.elapsed();
    load.times = Sample::new(times);
    load
}

/// When a caller's next call is due, and how long after it the one after that.
struct Pace {
    due: Instant,
    every: Duration,
}

struct Caller {
    line: Line,
    /// When the next call should have begun, where it begins later: the wait is its callers', and is counted.
    late: Option<Instant>,
    warm: usize,
    times: Vec<Duration>,
    errors: usize,
    first_error: Option<String>,
}

/// What one caller holds.
enum Line {
    Http { connection: Connection, endpoint: Endpoint, proofs: Option<Arc<Mutex<Vec<String>>>> },
    Pipe(Arc<Pipe>),
}

impl Caller {
    async fn until(mut self, end: Instant, mut pace: Option<Pace>) -> Self {
        while Instant::now() < end {
            if let Some(Pace { due, every }) = &mut pace {
                self.late = (*due < Instant::now()).then_some(*due);
                tokio::time::sleep_until((*due).into()).await;
                *due += *every;
            }
            match self.call().await {
                Ok(Some(time)) => self.times.push(time),
                Ok(None) => break,
                Err(error) => {
                    self.failed(&error);
                    // A connection that broke answers nothing more.
                    if error.kind() != io::ErrorKind::Other {
                        break;
                    }
                }
            }
        }
        self
    }

    async fn warm_up(&mut self) {
        match self.call().await {
            Ok(_) => self.warm += 1,
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &io::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    /// One call: how long it took, or nothing where there is no proof left for it.
    async fn call(&mut self) -> io::Result<Option<Duration>> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let late = self.late.take();
        let text = text(number);
        let arguments = format!(r#"{{"text":"{text}"}}"#);
        match &mut self.line {
            Line::Pipe(pipe) => {
                let began = late.unwrap_or_else(Instant::now);
                let answer = pipe.ask(number, "echo", &arguments).await?;
                judged(began, &text, 200, answer.as_bytes())
            }
            Line::Http { connection, endpoint, proofs } => {
                let proof = match proofs {
                    Some(proofs) => match proofs.lock().unwrap_or_else(PoisonError::into_inner).pop() {
                        None => return Ok(None),
                        proof => proof,
                    },
                    None => None,
                };
                let body = endpoint.era.call(number, "echo", &arguments);
                let request = endpoint.request("tools/call", Some("echo"), proof.as_deref(), &body);
                let began = late.unwrap_or_else(Instant::now);
                let answer = connection.exchange(&request).await?;
                judged(began, &text, answer.status, answer.body)
            }
        }
    }
}

fn judged(began: Instant, text: &str, status: u16, body: &[u8]) -> io::Result<Option<Duration>> {
    let time = began.elapsed();
    if status == 200 && echoed(text, body) {
        return Ok(Some(time));
    }
    Err(io::Error::other(format!("status {status}: {}", String::from_utf8_lossy(body))))
}
