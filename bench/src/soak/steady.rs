//! A load that leaves room, for an hour: everything that a client does, tokens renewed as they end, and nothing that grows.

use std::io;
use std::time::Duration;

use super::ask::mixed;
use super::crowd::Crowd;
use super::drive::{Plan, Seen, drive};
use super::report::Report;
use super::scene::Stage;
use super::watch::{QUANTITIES, Reading, Trend, watch};
use crate::report::Table;
use crate::sample::{grouped, shown};

const ROOTS: usize = 8;
const CALLERS: usize = 32;
const PACE: u32 = 200;
const SOURCES: [u8; 2] = [1, 2];
/// How much more may be held in the last quarter than in the second.
const FLAT_PERCENT: u64 = 5;
/// A gateway remembers proofs for two windows of 121 s: the first quarter must be longer.
const LONG: Duration = Duration::from_secs(4 * 242);
/// Most rows of the table.
const ROWS: usize = 12;

pub(crate) async fn measure(stage: &Stage<'_>, time: Duration, report: &mut Report) -> io::Result<()> {
    let mut scene = stage.open(Vec::new())?;
    let crowd = Crowd::gather(&scene.home, ROOTS).await?;
    let plan = Plan { connections: CALLERS, sources: &SOURCES, per_second: Some(PACE), time, kind: mixed };
    let (pid, mut readings) = (scene.pid()?, Vec::new());
    let seen = tokio::select! {
        seen = drive(&scene.home, &crowd, plan) => seen?,
        () = watch(pid, &mut readings) => return Ok(()),
    };
    calls(report, &seen);
    held(report, &readings);
    flat(report, &readings, time >= LONG);
    scene.settle_accounts(report).await.map(drop)
}

fn calls(report: &mut Report, seen: &Seen) {
    report.saw_errors("soak", seen);
    let mut table = Table {
        title: "A steady load",
        about: format!(
            "{PACE} requests a second of {CALLERS} callers and {ROOTS} roots: of ten requests seven calls, a call that is answered in a \
             stream of events, a list, and a call of a tool that was not granted, which must be refused. Tokens are renewed every four \
             minutes. A request's time begins when it is due."
        ),
        head: vec!["seconds", "answered as they had to be", "a second", "p50", "p99", "errors"],
        rows: Vec::new(),
    };
    let errors = seen.errors + seen.refused.count();
    table.row([
        grouped(seen.elapsed.as_secs()),
        grouped(seen.good.count() as u64),
        grouped(seen.goodput()),
        shown(seen.good.p50()),
        shown(seen.good.p99()),
        errors.to_string(),
    ]);
    report.tables.push(table);
    report.goal("requests that fail", "0".to_owned(), errors.to_string(), errors == 0 && seen.good.count() > 0);
}

fn held(report: &mut Report, readings: &[Reading]) {
    let mut table = Table {
        title: "What `remit up` holds",
        about: "Authority and gateway together, from the start of the load.".to_owned(),
        head: vec!["minute", "resident KiB", "open files"],
        rows: Vec::new(),
    };
    let every = readings.len().div_ceil(ROWS).max(1);
    for reading in readings.iter().step_by(every).chain(readings.last()) {
        let minute = format!("{}:{:02}", reading.at.as_secs() / 60, reading.at.as_secs() % 60);
        table.row([minute, grouped(reading.kib), grouped(reading.files)]);
    }
    report.tables.push(table);
}

fn flat(report: &mut Report, readings: &[Reading], long: bool) {
    for (what, quantity, unit) in QUANTITIES {
        let Some(trend) = Trend::of(readings, 2, quantity) else { continue };
        let asked = if long {
            format!("last quarter ≤ second + {FLAT_PERCENT} %")
        } else {
            format!("not asked of less than {} min", LONG.as_secs().div_ceil(60))
        };
        let measured = format!(
            "{} → {} {unit}; from the second quarter on {:+} an hour",
            grouped(trend.early),
            grouped(trend.late),
            trend.per_hour
        );
        report.goal(what, asked, measured, !long || trend.is_flat(FLAT_PERCENT));
    }
}
