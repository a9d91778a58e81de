//! Governed calls beside direct ones: the same echo, the same client, in turns, in one run.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cost::Whole;
use crate::home::{Home, Run};
use crate::load::{Load, Road};
use crate::pipe::Pipe;
use crate::report::{Goal, Table, remark};
use crate::road::{Endpoint, Era};
use crate::sample::{Sample, difference, grouped, shown};

/// What a governed call may add, beside two syncs of this disk.
const ADDED: Duration = Duration::from_micros(100);
/// Calls a second that two processors shall carry.
const RATE: u64 = 6_000;

/// What is measured, and how long each.
pub(crate) struct Plan<'a> {
    pub(crate) callers: &'a [usize],
    pub(crate) time: Duration,
    /// This program, as the child process that echoes.
    pub(crate) program: &'a Path,
    /// The echo over HTTP.
    pub(crate) echo: &'a str,
    /// Another maker's endpoint.
    pub(crate) peer: Option<&'a str>,
}

/// What came out.
pub(crate) struct Calls {
    pub(crate) tables: Vec<Table>,
    pub(crate) goals: Vec<Goal>,
    /// Of a modern call over HTTP at one caller.
    pub(crate) whole: Option<Whole>,
}

struct Row {
    callers: usize,
    direct: Load,
    governed: Load,
    peer: Option<Load>,
}

pub(crate) async fn measure(plan: &Plan<'_>, home: &Home, run: &Run, sync: &Sample) -> io::Result<Calls> {
    let mut calls = Calls { tables: Vec::new(), goals: Vec::new(), whole: None };
    for era in [Era::Modern, Era::Legacy] {
        for server in ["echo", "pipe"] {
            let rows = rows(plan, home, run, (era, server)).await?;
            judge(&rows)?;
            if (era, server) == (Era::Modern, "echo") {
                calls.goals = goals(&rows, sync);
                calls.whole = rows
                    .iter()
                    .find(|row| row.callers == 1)
                    .map(|row| Whole { direct: row.direct.times.p50(), governed: row.governed.times.p50() });
            }
            calls.tables.push(table(&rows, title(era, server), sync));
        }
    }
    Ok(calls)
}

async fn rows(plan: &Plan<'_>, home: &Home, run: &Run, (era, server): (Era, &str)) -> io::Result<Vec<Row>> {
    let mut governed = Endpoint::new(&home.url(server), era, Some(home.credentials(run, server).await?))?;
    until_known(&mut governed).await?;
    let mut peer = match plan.peer.filter(|_| server == "echo") {
        Some(url) => Some(Endpoint::new(url, era, None)?),
        None => None,
    };
    if let Some(endpoint) = &mut peer
        && let Err(error) = endpoint.shake_hands().await
    {
        remark(&format!("the peer does not speak {}: {error}", era.revision()));
        peer = None;
    }
    let direct = Endpoint::new(plan.echo, era, None)?;
    let pipe = if server == "pipe" { Some(Arc::new(Pipe::start(plan.program, era)?)) } else { None };
    let mut rows = Vec::new();
    for callers in plan.callers {
        remark(&format!("{}, {callers} callers", title(era, server)));
        let road = pipe.as_ref().map_or(Road::Http(&direct), Road::Pipe);
        let direct = road.load(*callers, plan.time).await?;
        let governed = Road::Http(&governed).load(*callers, plan.time).await?;
        let peer = match &peer {
            Some(peer) => match Road::Http(peer).load(*callers, plan.time).await {
                Ok(load) => Some(load),
                Err(error) => {
                    remark(&format!("the peer fails: {error}"));
                    None
                }
            },
            None => None,
        };
        rows.push(Row { callers: *callers, direct, governed, peer });
    }
    Ok(rows)
}

/// The gateway hears of what was registered within a second or two.
async fn until_known(endpoint: &mut Endpoint) -> io::Result<()> {
    for _ in 0..50 {
        let known = async {
            endpoint.shake_hands().await?;
            endpoint.count().await
        };
        if known.await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    endpoint.shake_hands().await?;
    endpoint.count().await.map(drop)
}

/// Nothing is said of a run in which a call failed, or in which the upstream saw another number of calls.
fn judge(rows: &[Row]) -> io::Result<()> {
    for row in rows {
        for (name, load) in [("direct", &row.direct), ("governed", &row.governed)] {
            if load.errors > 0 || load.surplus != Some(0) {
                let why = format!(
                    "{name}, {} callers: {} errors, the upstream counted {:?} more than were answered: {}",
                    row.callers,
                    load.errors,
                    load.surplus,
                    load.first_error.as_deref().unwrap_or("no error")
                );
                return Err(io::Error::other(why));
            }
        }
    }
    Ok(())
}

fn title(era: Era, server: &str) -> &'static str {
    match (era, server) {
        (Era::Modern, "echo") => "A governed call over HTTP, 2026-07-28",
        (Era::Modern, _) => "A governed call of a child process, 2026-07-28",
        (Era::Legacy, "echo") => "A governed call over HTTP, 2025-11-25",
        (Era::Legacy, _) => "A governed call of a child process, 2025-11-25",
    }
}

fn table(rows: &[Row], title: &'static str, sync: &Sample) -> Table {
    let with_peer = rows.iter().any(|row| row.peer.is_some());
    let mut head = vec![
        "callers",
        "direct p50",
        "direct p99",
        "direct calls/s",
        "governed p50",
        "governed p99",
        "governed calls/s",
        "added p50",
        "beyond 2 syncs",
    ];
    if with_peer {
        head.extend(["peer p50", "peer p99", "peer calls/s", "peer errors", "peer added p50"]);
    }
    let made: usize = rows.iter().map(|row| row.governed.times.count()).sum();
    let about = format!(
        "`tools/call echo` with a DPoP proof of its own, decided, intent and outcome durable. {} governed calls, no error, every \
         answer what was said, and the upstream counted as many. A sync of this disk: p50 {}.",
        grouped(made as u64),
        shown(sync.p50())
    );
    let mut table = Table { title, about, head, rows: Vec::new() };
    for row in rows {
        let one = |load: &Load| [shown(load.times.p50()), shown(load.times.p99()), grouped(load.rate())];
        let (direct, governed) = (row.direct.times.p50(), row.governed.times.p50());
        let mut cells = vec![row.callers.to_string()];
        cells.extend(one(&row.direct));
        cells.extend(one(&row.governed));
        cells.extend([difference(governed, direct), difference(governed, direct + sync.p50() * 2)]);
        match &row.peer {
            Some(peer) => {
                cells.extend(one(peer));
                cells.extend([peer.errors.to_string(), difference(peer.times.p50(), direct)]);
            }
            None if with_peer => cells.extend(vec![String::from("–"); 5]),
            None => {}
        }
        table.row(cells);
    }
    table
}

fn goals(rows: &[Row], sync: &Sample) -> Vec<Goal> {
    let at = |callers: usize| rows.iter().find(|row| row.callers == callers);
    let one = at(1).map(|row| {
        let (allowed, governed) = (ADDED + sync.p50() * 2, row.governed.times.p50());
        let added = governed.saturating_sub(row.direct.times.p50());
        Goal {
            what: "added p50 at one caller, HTTP, 2026-07-28",
            asked: format!("≤ {} + 2 × fdatasync = {}", shown(ADDED), shown(allowed)),
            measured: format!("{} ({:.1} ×)", shown(added), added.as_secs_f64() / allowed.as_secs_f64()),
            reached: added <= allowed,
        }
    });
    let many = at(64).map(|row| Goal {
        what: "calls a second at 64 callers, HTTP, 2026-07-28",
        asked: format!("≥ {}", grouped(RATE)),
        measured: grouped(row.governed.rate()),
        reached: row.governed.rate() >= RATE,
    });
    one.into_iter().chain(many).collect()
}
