//! Governed calls beside direct ones: the same echo, the same client, in turns, in one run.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cost::Whole;
use crate::disk;
use crate::home::{Home, Run};
use crate::load::{Load, Road};
use crate::machine;
use crate::pipe::Pipe;
use crate::report::{Goal, Table, remark};
use crate::road::{Endpoint, Era};
use crate::sample::{Sample, difference, grouped, shown};

/// What a governed call may add, beside two syncs of this disk.
const ADDED: Duration = Duration::from_micros(100);
/// A load that leaves room, and how long the slowest hundredth of its calls may take.
const PACE: u32 = 1_000;
const PACED: Duration = Duration::from_millis(5);
const PACED_CALLERS: usize = 64;
/// How long the disk is measured before each load.
const SYNC: Duration = Duration::from_millis(500);
/// Calls a second that two processors shall carry.
const RATE: u64 = 6_000;

/// What is measured, and how long each.
pub(crate) struct Plan<'a> {
    pub(crate) callers: &'a [usize],
    pub(crate) time: Duration,
    /// Where the home is: its disk is measured again before each load.
    pub(crate) dir: &'a Path,
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
    /// Whether every call was answered with what was said, and the upstream counted as many.
    pub(crate) sound: bool,
}

struct Row {
    callers: usize,
    /// What the disk itself needs, just before.
    sync: Sample,
    direct: Load,
    governed: Load,
    /// Processor time of authority and gateway for one governed call.
    used: Duration,
    peer: Option<Load>,
}

pub(crate) async fn measure(plan: &Plan<'_>, home: &Home, run: &Run) -> io::Result<Calls> {
    let mut calls = Calls { tables: Vec::new(), goals: Vec::new(), whole: None, sound: true };
    for era in [Era::Modern, Era::Legacy] {
        for server in ["echo", "pipe"] {
            let rows = rows(plan, home, run, (era, server)).await?;
            calls.sound &= is_sound(&rows, title(era, server));
            calls.tables.push(table(&rows, title(era, server)));
            if (era, server) == (Era::Modern, "echo") {
                calls.goals = goals(&rows);
                calls.whole = rows
                    .iter()
                    .find(|row| row.callers == 1)
                    .map(|row| Whole { direct: row.direct.times.p50(), governed: row.governed.times.p50() });
            }
        }
    }
    if plan.callers.len() > 1 {
        let (table, goal) = paced(plan, home, run, &mut calls.sound).await?;
        calls.tables.push(table);
        calls.goals.push(goal);
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
        let sync = disk::sync(plan.dir, SYNC)?;
        let road = pipe.as_ref().map_or(Road::Http(&direct), Road::Pipe);
        let direct = road.load(*callers, plan.time).await?;
        let used = || home.pid().map(machine::used).unwrap_or_default();
        let before = used();
        let governed = Road::Http(&governed).load(*callers, plan.time).await?;
        let calls = u32::try_from(governed.times.count()).unwrap_or(u32::MAX).max(1);
        let used = used().saturating_sub(before) / calls;
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
        rows.push(Row { callers: *callers, sync, direct, governed, used, peer });
    }
    Ok(rows)
}

/// A thousand calls a second, whose times begin when they are due: who waits for a caller's turn waits as well.
async fn paced(plan: &Plan<'_>, home: &Home, run: &Run, sound: &mut bool) -> io::Result<(Table, Goal)> {
    remark("a thousand calls a second");
    let endpoint = Endpoint::new(&home.url("echo"), Era::Modern, Some(home.credentials(run, "echo").await?))?;
    let sync = disk::sync(plan.dir, SYNC)?;
    let load = Road::Http(&endpoint).paced(PACED_CALLERS, plan.time, PACE).await?;
    *sound &= load.errors == 0 && load.surplus == Some(0);
    let (p50, p99) = (load.times.p50(), load.times.p99());
    let mut table = Table {
        title: "A thousand governed calls a second over HTTP, 2026-07-28",
        about: format!(
            "{PACED_CALLERS} callers; the time of a call begins when it is due, not when a caller is free for it."
        ),
        head: vec!["fdatasync", "p50", "p99", "calls/s", "errors"],
        rows: Vec::new(),
    };
    table.row([shown(sync.p50()), shown(p50), shown(p99), grouped(load.rate()), load.errors.to_string()]);
    let goal = Goal {
        what: "p99 at 1,000 calls a second, HTTP, 2026-07-28",
        asked: format!("≤ {}", shown(PACED)),
        measured: shown(p99),
        reached: p99 <= PACED,
    };
    Ok((table, goal))
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

/// Whether no call failed, and the upstream saw as many as were answered. What went wrong is said.
fn is_sound(rows: &[Row], title: &str) -> bool {
    let mut sound = true;
    for row in rows {
        for (name, load) in [("direct", &row.direct), ("governed", &row.governed)] {
            if load.errors > 0 || load.surplus != Some(0) {
                sound = false;
                remark(&format!(
                    "{title}, {name}, {} callers: {} errors, the upstream counted {:?} more than were answered: {}",
                    row.callers,
                    load.errors,
                    load.surplus,
                    load.first_error.as_deref().unwrap_or("no error")
                ));
            }
        }
    }
    sound
}

fn title(era: Era, server: &str) -> &'static str {
    match (era, server) {
        (Era::Modern, "echo") => "A governed call over HTTP, 2026-07-28",
        (Era::Modern, _) => "A governed call of a child process, 2026-07-28",
        (Era::Legacy, "echo") => "A governed call over HTTP, 2025-11-25",
        (Era::Legacy, _) => "A governed call of a child process, 2025-11-25",
    }
}

fn table(rows: &[Row], title: &'static str) -> Table {
    let with_peer = rows.iter().any(|row| row.peer.is_some());
    let mut head = vec![
        "callers",
        "fdatasync",
        "direct p50",
        "p99",
        "calls/s",
        "governed p50",
        "p99",
        "calls/s",
        "CPU/call",
        "errors",
        "added p50",
        "beyond 2 syncs",
    ];
    if with_peer {
        head.extend(["peer p50", "p99", "calls/s", "errors", "added p50"]);
    }
    let made: usize = rows.iter().map(|row| row.governed.times.count()).sum();
    let surplus: i64 = rows.iter().filter_map(|row| row.governed.surplus).sum();
    let about = format!(
        "`tools/call echo` with a DPoP proof of its own, decided, intent and outcome durable: {} governed calls, each answer what \
         was said. The upstream counted {surplus} calls more than were answered.",
        grouped(made as u64)
    );
    let mut table = Table { title, about, head, rows: Vec::new() };
    for row in rows {
        table.row(cells(row, with_peer));
    }
    table
}

fn cells(row: &Row, with_peer: bool) -> Vec<String> {
    let one = |load: &Load| [shown(load.times.p50()), shown(load.times.p99()), grouped(load.rate())];
    let (direct, governed, sync) = (row.direct.times.p50(), row.governed.times.p50(), row.sync.p50());
    let mut cells = vec![row.callers.to_string(), shown(sync)];
    cells.extend(one(&row.direct));
    cells.extend(one(&row.governed));
    cells.push(shown(row.used));
    cells.push((row.direct.errors + row.governed.errors).to_string());
    cells.extend([difference(governed, direct), difference(governed, direct + sync * 2)]);
    match &row.peer {
        Some(peer) => {
            cells.extend(one(peer));
            cells.extend([peer.errors.to_string(), difference(peer.times.p50(), direct)]);
        }
        None if with_peer => cells.extend(vec![String::from("–"); 5]),
        None => {}
    }
    cells
}

fn goals(rows: &[Row]) -> Vec<Goal> {
    let at = |callers: usize| rows.iter().find(|row| row.callers == callers);
    let one = at(1).map(|row| {
        let (allowed, governed) = (ADDED + row.sync.p50() * 2, row.governed.times.p50());
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
