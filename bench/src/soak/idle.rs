//! Ten thousand streams in which nothing happens: how many stand, what each costs, how the rest is refused, and whether
//! calls go on.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::ask::Kind;
use super::crowd::Crowd;
use super::drive::{Plan, Seen, drive, loopback};
use super::report::Report;
use super::scene::{Scene, Stage};
use crate::machine;
use crate::report::{Table, remark};
use crate::sample::{Sample, grouped, shown};
use crate::upstream::STREAMS;
use crate::wire::Connection;

const WANTED: usize = 10_000;
/// One root has at most so many standing streams.
const STREAMS_PER_ROOT: usize = 16;
/// Most calls in flight, of which half may be standing streams: the usual setting, and one with which nearly all
/// connections of a gateway can be streams.
const CALLS_MAX: [usize; 2] = [1_024, 16_000];
/// No source has more than a quarter of the 8,192 connections.
const SOURCES: [u8; 8] = [21, 22, 23, 24, 25, 26, 27, 28];
const GOOD_SOURCES: [u8; 1] = [1];
const GOOD_ROOTS: usize = 4;
const GOOD_CALLERS: usize = 16;
const PACE: u32 = 200;
/// Streams that are opened at a time.
const TOGETHER: usize = 32;
const SETTLE: Duration = Duration::from_secs(3);
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// What became of those that were asked for.
#[derive(Default)]
struct Asked {
    open: Vec<Connection>,
    refused: Vec<Duration>,
    others: usize,
    first_other: Option<String>,
}

/// What the gateway held, in KiB and files.
#[derive(Clone, Copy)]
struct Holds {
    kib: u64,
    files: u64,
}

impl Holds {
    fn of(pid: u32) -> Self {
        Self { kib: machine::resident_kib(pid), files: machine::files(pid) }
    }
}

pub(crate) async fn measure(stage: &Stage<'_>, time: Duration, report: &mut Report) -> io::Result<()> {
    let mut streams = Table {
        title: "Idle streams",
        about: format!(
            "{WANTED} standing streams are asked for (`GET`, 2025-11-25), of {} addresses and {} roots. *Half* of `gateway.calls_max` \
             may stand; the rest must be answered 503 with Retry-After.",
            SOURCES.len(),
            WANTED.div_ceil(STREAMS_PER_ROOT)
        ),
        head: vec![
            "calls_max",
            "stand",
            "refused",
            "refusal p50",
            "p99",
            "other answers",
            "resident before",
            "with them",
            "KiB for each",
            "after",
            "files before",
            "with them",
            "after",
            "closed in",
        ],
        rows: Vec::new(),
    };
    let mut calls = Table {
        title: "Calls beside idle streams",
        about: format!("{PACE} calls a second of {GOOD_CALLERS} callers; a call's time begins when it is due."),
        head: vec!["calls_max", "when", "a second", "p50", "p99", "errors"],
        rows: Vec::new(),
    };
    for calls_max in CALLS_MAX {
        let mut scene = stage.open(vec![("REMIT__GATEWAY__CALLS_MAX", calls_max.to_string())])?;
        one(&mut scene, calls_max, time, report, (&mut streams, &mut calls)).await?;
        scene.settle_accounts(report).await?;
    }
    report.tables.extend([streams, calls]);
    Ok(())
}

async fn one(
    scene: &mut Scene,
    calls_max: usize,
    time: Duration,
    report: &mut Report,
    (streams, calls): (&mut Table, &mut Table),
) -> io::Result<()> {
    remark(&format!("idle: calls_max {calls_max}, the runs"));
    let good = Crowd::gather(&scene.home, GOOD_ROOTS).await?;
    let plan = Plan {
        connections: GOOD_CALLERS,
        sources: &GOOD_SOURCES,
        per_second: Some(PACE),
        time: time / 3,
        kind: |_| Kind::Call,
    };
    let idle = Crowd::gather(&scene.home, WANTED.div_ceil(STREAMS_PER_ROOT)).await?;
    let pid = scene.pid()?;
    let alone = drive(&scene.home, &good, plan).await?;
    let before = Holds::of(pid);
    remark("idle: the streams");
    let (during, asked) = tokio::join!(drive(&scene.home, &good, plan), ask(&idle));
    let mut asked = asked?;
    tokio::time::sleep(SETTLE).await;
    let with = Holds::of(pid);
    let standing = drive(&scene.home, &good, plan).await?;
    let still = scene.asked(STREAMS).await?.trim().parse::<usize>().unwrap_or_default();
    let opened = asked.open.len();
    asked.open.clear();
    let (closed, after) = closed(scene, pid, before).await?;
    tokio::time::sleep(SETTLE).await;
    let after = Holds { files: after.files, ..Holds::of(pid) };
    let refused = Sample::new(std::mem::take(&mut asked.refused));
    let each = with.kib.saturating_sub(before.kib).checked_div(opened as u64).unwrap_or_default();
    let mut row = vec![grouped(calls_max as u64), grouped(opened as u64), grouped(refused.count() as u64)];
    row.extend([shown(refused.p50()), shown(refused.p99()), grouped(asked.others as u64)]);
    row.extend([before.kib, with.kib, each, after.kib, before.files, with.files, after.files].map(grouped));
    row.push(closed.map_or_else(|| "not".to_owned(), shown));
    streams.row(row);
    let seen = [("alone", alone), ("while the streams come", during?), ("beside them", standing)];
    goals(report, calls_max, (opened, still, &refused, &asked), closed.is_some(), &seen);
    for (when, seen) in &seen {
        report.saw_errors("idle", seen);
        let errors = seen.errors + seen.refused.count();
        let mut row = vec![grouped(calls_max as u64), (*when).to_owned(), grouped(seen.goodput())];
        row.extend([shown(seen.good.p50()), shown(seen.good.p99()), errors.to_string()]);
        calls.row(row);
    }
    Ok(())
}

fn goals(
    report: &mut Report,
    calls_max: usize,
    (opened, still, refused, asked): (usize, usize, &Sample, &Asked),
    closed: bool,
    seen: &[(&str, Seen)],
) {
    if let Some(other) = &asked.first_other {
        remark(&format!("idle: {} other answers, the first: {other}", asked.others));
    }
    let (half, of) = (WANTED.min(calls_max.div_ceil(2)), grouped(calls_max as u64));
    report.goal(
        "streams that stand, of all that may",
        format!("{} with calls_max {of}", grouped(half as u64)),
        format!("{}, {} at the end", grouped(opened as u64), grouped(still as u64)),
        opened == half && still == opened,
    );
    report.goal(
        "the other streams are answered 503 with Retry-After",
        grouped((WANTED - half) as u64),
        format!("{}; {} other answers", grouped(refused.count() as u64), asked.others),
        refused.count() == WANTED - half && asked.others == 0,
    );
    let failed: usize = seen.iter().map(|(_, seen)| seen.errors + seen.refused.count()).sum();
    report.goal("calls that fail beside the streams", "0".to_owned(), failed.to_string(), failed == 0);
    let measured = if closed { "all, at both ends" } else { "not all" }.to_owned();
    report.goal(
        "streams whose client has gone are closed",
        format!("within {} s", CLOSED_WITHIN.as_secs()),
        measured,
        closed,
    );
}

/// Asks for all streams, some at a time.
async fn ask(idle: &Arc<Crowd>) -> io::Result<Asked> {
    let mut tasks = JoinSet::new();
    for first in 0..TOGETHER {
        let idle = Arc::clone(idle);
        tasks.spawn(async move {
            let mut asked = Asked::default();
            for number in (first..WANTED).step_by(TOGETHER) {
                if let Err(error) = listen(&idle, number, &mut asked).await {
                    asked.others += 1;
                    asked.first_other.get_or_insert_with(|| error.to_string());
                }
            }
            asked
        });
    }
    let mut all = Asked::default();
    while let Some(asked) = tasks.join_next().await {
        let asked = asked.map_err(io::Error::other)?;
        all.open.extend(asked.open);
        all.refused.extend(asked.refused);
        all.others += asked.others;
        all.first_other = all.first_other.or(asked.first_other);
    }
    Ok(all)
}

async fn listen(idle: &Crowd, number: usize, asked: &mut Asked) -> io::Result<()> {
    let Some(member) = idle.member(number) else { return Ok(()) };
    let request = member.listen();
    let mut connection = Connection::open_from(loopback(&SOURCES, number)?, idle.at).await?;
    let began = Instant::now();
    let answer = connection.begin(&request).await?;
    match (answer.status, answer.header("retry-after")) {
        (200, _) => asked.open.push(connection),
        (503, Some(_)) => asked.refused.push(began.elapsed()),
        (status, _) => return Err(io::Error::other(format!("status {status}"))),
    }
    Ok(())
}

/// Waits until neither the echo nor the gateway has any of them left.
async fn closed(scene: &Scene, pid: u32, before: Holds) -> io::Result<(Option<Duration>, Holds)> {
    let began = Instant::now();
    loop {
        let (holds, left) = (Holds::of(pid), scene.asked(STREAMS).await?);
        // The connections of the good callers are closed as well by now, and those to the echo rest in a pool.
        if left.trim() == "0" && holds.files <= before.files + 64 {
            return Ok((Some(began.elapsed()), holds));
        }
        if began.elapsed() > CLOSED_WITHIN {
            remark(&format!("idle: {} streams and {} files are left", left.trim(), holds.files));
            return Ok((None, holds));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
