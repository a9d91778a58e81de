//! Good calls beside a flood of requests that show nobody: without a token, with a forged one, and with a stolen one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::ask::{Ask, Kind};
use super::audit::Audited;
use super::crowd::{Crowd, Member};
use super::drive::{Plan, Seen, drive, loopback};
use super::report::Report;
use super::scene::Stage;
use crate::key::Key;
use crate::report::{Table, remark};
use crate::road::Endpoint;
use crate::sample::{Sample, grouped, rate, shown};
use crate::wire::Connection;

const ROOTS: usize = 8;
const PACE: u32 = 1_000;
const CALLERS: usize = 64;
const SOURCES: [u8; 1] = [1];
/// Where the flood comes from; nobody good does.
const STRANGERS: [u8; 6] = [11, 12, 13, 14, 15, 16];
/// Connections of each kind of stranger.
const CONNECTIONS: usize = 8;
/// How often a proof under a wrong key is made anew: an old one would be refused for its age.
const PROOF_EVERY: Duration = Duration::from_secs(20);

/// How a stranger comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stranger {
    NoToken,
    ForgedToken,
    StolenToken,
}

/// What one kind of stranger got.
#[derive(Debug, Default)]
struct Flooded {
    refused: Vec<Duration>,
    others: usize,
    first_other: Option<String>,
}

type Floods = Vec<(Stranger, Flooded)>;

pub(crate) async fn measure(stage: &Stage<'_>, time: Duration, report: &mut Report) -> io::Result<()> {
    let mut scene = stage.open(Vec::new())?;
    let crowd = Crowd::gather(&scene.home, ROOTS).await?;
    let victim = Crowd::gather(&scene.home, 1).await?;
    let plan =
        Plan { connections: CALLERS, sources: &SOURCES, per_second: Some(PACE), time: time / 2, kind: |_| Kind::Call };
    remark("flood: a thousand calls a second alone");
    let quiet = drive(&scene.home, &crowd, plan).await?;
    let member = victim.member(0).ok_or_else(|| io::Error::other("nobody to steal from"))?;
    let stop = Arc::new(AtomicBool::new(false));
    let flood = start(crowd.at, member, &stop)?;
    remark("flood: the same beside the flood");
    let loud = drive(&scene.home, &crowd, plan).await;
    stop.store(true, Ordering::Relaxed);
    let flooded = flood.join().map_err(|_| io::Error::other("the flood broke off"))??;
    seen(report, &quiet, &loud?, flooded, time / 2);
    let audited = scene.settle_accounts(report).await?;
    bounded(report, time, &audited);
    Ok(())
}

/// The flood has a thread of its own, so that the good callers' clock is not held up by it.
fn start(to: SocketAddr, victim: &Member, stop: &Arc<AtomicBool>) -> io::Result<JoinHandle<io::Result<Floods>>> {
    let key = Arc::new(Key::generate()?);
    let stolen = victim.stolen(&key);
    let mut forged = stolen.clone();
    if let Some(with) = &mut forged.credentials {
        with.token = forge(&with.token).into();
    }
    let mut none = stolen.clone();
    none.credentials = None;
    let stop = Arc::clone(stop);
    std::thread::Builder::new().name("flood".to_owned()).spawn(move || {
        let kinds = [(Stranger::NoToken, none), (Stranger::ForgedToken, forged), (Stranger::StolenToken, stolen)];
        crate::single_thread()?.block_on(flood(to, kinds, stop))
    })
}

/// The same token with another signature, which has to be verified to be told from a good one.
fn forge(token: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(ToOwned::to_owned).collect();
    if let Some(signature) = parts.last_mut() {
        let other = if signature.starts_with('A') { 'B' } else { 'A' };
        *signature = signature.chars().enumerate().map(|(at, c)| if at == 0 { other } else { c }).collect();
    }
    parts.join(".")
}

async fn flood(to: SocketAddr, kinds: [(Stranger, Endpoint); 3], stop: Arc<AtomicBool>) -> io::Result<Floods> {
    let mut tasks = JoinSet::new();
    for (place, (kind, endpoint)) in kinds.into_iter().enumerate() {
        for number in 0..CONNECTIONS {
            let source = loopback(&STRANGERS, place * 2 + number % 2)?;
            let (endpoint, stop) = (endpoint.clone(), Arc::clone(&stop));
            tasks.spawn(async move { (kind, one((source, to), &endpoint, &stop).await) });
        }
    }
    let mut all = Floods::new();
    while let Some(done) = tasks.join_next().await {
        let (kind, flooded) = done.map_err(io::Error::other)?;
        match all.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => {
                sum.refused.extend(flooded.refused);
                sum.others += flooded.others;
                sum.first_other = sum.first_other.take().or(flooded.first_other);
            }
            None => all.push((kind, flooded)),
        }
    }
    all.sort_by_key(|(kind, _)| *kind as usize);
    Ok(all)
}

/// One connection, as fast as it is refused.
async fn one((source, to): (IpAddr, SocketAddr), endpoint: &Endpoint, stop: &AtomicBool) -> Flooded {
    let mut flooded = Flooded::default();
    let (mut connection, mut request, mut made) = (None, Vec::new(), Instant::now());
    while !stop.load(Ordering::Relaxed) {
        if request.is_empty() || made.elapsed() > PROOF_EVERY {
            let (ask, proof) = (Ask::next(|_| Kind::Call), endpoint.proofs(1).and_then(|mut proofs| proofs.pop()));
            request = endpoint.request("tools/call", Some("echo"), proof.as_deref(), &ask.body());
            made = Instant::now();
        }
        let began = Instant::now();
        match exchange(&mut connection, (source, to), &request).await {
            Ok(401) => flooded.refused.push(began.elapsed()),
            other => {
                flooded.others += 1;
                flooded.first_other.get_or_insert_with(|| format!("{other:?}"));
            }
        }
    }
    flooded
}

async fn exchange(
    connection: &mut Option<Connection>,
    (source, to): (IpAddr, SocketAddr),
    request: &[u8],
) -> io::Result<u16> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open_from(source, to).await?,
    };
    let status = open.exchange(request).await?.status;
    *connection = Some(open);
    Ok(status)
}

fn seen(report: &mut Report, quiet: &Seen, loud: &Seen, flooded: Floods, time: Duration) {
    let mut table = Table {
        title: "A thousand good calls a second beside a flood",
        about: format!(
            "{CALLERS} good callers of {ROOTS} roots, each call timed from when it is due, {} s without and {} s with the flood: \
             {CONNECTIONS} connections of each kind of stranger from other addresses, as fast as they are refused. A forged token has \
             another signature, a stolen one a proof under another key: both cost the gateway a verification.",
            time.as_secs(),
            time.as_secs()
        ),
        head: vec!["who", "a second", "p50", "p99", "errors"],
        rows: Vec::new(),
    };
    for (name, seen) in [("good calls alone", quiet), ("good calls beside the flood", loud)] {
        let errors = seen.errors + seen.refused.count();
        table.row([
            name.to_owned(),
            grouped(seen.goodput()),
            shown(seen.good.p50()),
            shown(seen.good.p99()),
            errors.to_string(),
        ]);
        report.saw_errors("flood", seen);
    }
    let (mut refused, mut others) = (0, 0);
    for (kind, flooded) in flooded {
        let name = match kind {
            Stranger::NoToken => "strangers without a token",
            Stranger::ForgedToken => "strangers with a forged token",
            Stranger::StolenToken => "strangers with a stolen token",
        };
        if let Some(other) = &flooded.first_other {
            remark(&format!("flood, {name}: {other}"));
        }
        refused += flooded.refused.len();
        others += flooded.others;
        let times = Sample::new(flooded.refused);
        table.row([
            name.to_owned(),
            grouped(rate(times.count(), time)),
            shown(times.p50()),
            shown(times.p99()),
            flooded.others.to_string(),
        ]);
    }
    report.tables.push(table);
    let failed = quiet.errors + quiet.refused.count() + loud.errors + loud.refused.count();
    let p99 = format!("{failed}; p99 {} → {}", shown(quiet.good.p99()), shown(loud.good.p99()));
    report.goal("good calls that fail beside the flood", "0".to_owned(), p99, failed == 0);
    let every = format!("{}, {others} others", grouped(refused as u64));
    report.goal("strangers that are answered 401", "all".to_owned(), every, refused > 0 && others == 0);
}

/// What a flood may leave in the log, however long and fast it is.
fn bounded(report: &mut Report, time: Duration, found: &Audited) {
    /// Entries of their own that all addresses get in a minute, beside those that sum up.
    const OWN_ENTRIES_PER_MINUTE: u64 = 100;
    // The minutes of the gateway are not those of this program: one may have begun before and one end after.
    let minutes = time.as_secs().div_ceil(60) + 2;
    report.goal(
        "entries of the log for the flood",
        format!("≤ {OWN_ENTRIES_PER_MINUTE} a minute, and sums"),
        format!("{}, and {} sums", grouped(found.strangers), grouped(found.summed_up)),
        found.strangers <= OWN_ENTRIES_PER_MINUTE * minutes,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_token_differs_in_its_signature_alone() {
        for token in ["a.b.Cd-_", "a.b.Ad-_"] {
            let forged = forge(token);
            assert_ne!(forged, token);
            assert_eq!((forged.len(), forged.rsplit_once('.').unwrap().0), (token.len(), "a.b"));
        }
    }
}
