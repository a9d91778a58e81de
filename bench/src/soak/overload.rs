//! Three times the calls that the gateway can carry: what it carries then, how soon it refuses the rest, and whether it
//! holds more the longer it lasts.

use std::io;
use std::time::Duration;

use super::ask::Kind;
use super::crowd::Crowd;
use super::drive::{Plan, Seen, apart, drive};
use super::report::{Report, saw_errors};
use super::scene::Stage;
use super::watch::{QUANTITIES, Reading, Trend, watch};
use crate::machine;
use crate::report::{Table, remark};
use crate::sample::{grouped, rate, shown};

/// One root has at most 128 calls open, and the gateway 1,024 with its usual settings.
const ROOTS: usize = 16;
/// Callers whose calls find the peak.
const PEAK_CALLERS: usize = 64;
const PEAK_TIME: Duration = Duration::from_secs(10);
/// So many times the peak is offered.
const TIMES: u64 = 3;
/// All that may be in flight, and as many again for refusals half as long.
const CONNECTIONS: usize = 1_536;
const SOURCES: [u8; 4] = [1, 2, 3, 4];
/// A few further callers in a thread of their own, by whom refusals are timed: the time of the many is mostly their own.
const FEW: u32 = 50;
const FEW_CONNECTIONS: usize = 64;
const FEW_SOURCES: [u8; 1] = [5];
/// How far the crowd stands back for the gateway on the processors that they share: all the way.
const CROWD_NICE: i32 = 19;
const GOODPUT_PERCENT: u64 = 90;
const REFUSED_WITHIN: Duration = Duration::from_millis(10);
/// How much more may be held in the last quarter than in the one that it is compared with.
const FLAT_PERCENT: u64 = 10;
/// A gateway remembers proofs for two windows of 121 s: before that it must grow, and nothing is asked.
const WARM: Duration = Duration::from_secs(242);

/// A load with the processor time that it cost the gateway.
struct Loaded {
    seen: Seen,
    used: Duration,
}

pub(crate) async fn measure(stage: &Stage<'_>, time: Duration, report: &mut Report) -> io::Result<()> {
    let mut scene = stage.open(Vec::new())?;
    let crowd = Crowd::gather(&scene.home, ROOTS).await?;
    let (pid, mut readings) = (scene.pid()?, Vec::new());
    let plan =
        |connections, per_second, time| Plan { connections, sources: &SOURCES, per_second, time, kind: |_| Kind::Call };
    remark("overload: the peak");
    drive(&scene.home, &crowd, plan(PEAK_CALLERS, None, PEAK_TIME / 5)).await?;
    let peak = loaded(pid, drive(&scene.home, &crowd, plan(PEAK_CALLERS, None, PEAK_TIME))).await?;
    let offered = u32::try_from(peak.seen.goodput() * TIMES).unwrap_or(u32::MAX).max(1);
    remark(&format!("overload: the peak is {} calls/s; {} are offered", peak.seen.goodput(), offered));
    let few = Plan { connections: FEW_CONNECTIONS, sources: &FEW_SOURCES, ..plan(0, Some(FEW), time) };
    let few = apart(&crowd, few)?;
    // From here on this thread has what the gateway leaves, as a crowd on machines of its own would not take from it.
    rustix::process::setpriority_process(None, CROWD_NICE)?;
    let load = loaded(pid, drive(&scene.home, &crowd, plan(CONNECTIONS, Some(offered), time)));
    let over = tokio::select! {
        over = load => over?,
        () = watch(pid, &mut readings) => return Ok(()),
    };
    let few = few.join().map_err(|_| io::Error::other("the few callers broke off"))??;
    loads(report, &peak, &over, &few);
    goals(report, &peak, &over, &few);
    held(report, &readings);
    scene.settle_accounts(report).await.map(drop)
}

async fn loaded(pid: u32, load: impl Future<Output = io::Result<Seen>>) -> io::Result<Loaded> {
    let before = machine::used(pid);
    let seen = load.await?;
    Ok(Loaded { seen, used: machine::used(pid).saturating_sub(before) })
}

fn loads(report: &mut Report, peak: &Loaded, over: &Loaded, few: &Seen) {
    let mut table = Table {
        title: "Three times the peak",
        about: format!(
            "The peak is that of {PEAK_CALLERS} callers, each with one call at a time, for {} s. Then three times as many calls a \
             second are offered over {CONNECTIONS} connections of {} addresses and {ROOTS} roots for {} s, however long the answers \
             take. A good call's time begins when it is due, a refusal's when the request is sent; *late* is how much later than due \
             the callers sent it, for they share the processors. *The few* make {FEW} calls a second beside them in a thread of their own, \
             by whose clock the goal for refusals is judged. CPU is that of `remit up` for each good call, refusals with it.",
            PEAK_TIME.as_secs(),
            SOURCES.len(),
            over.seen.elapsed.as_secs()
        ),
        head: vec![
            "load",
            "offered/s",
            "good/s",
            "p50",
            "p99",
            "refused/s",
            "p50",
            "p99",
            "late p99",
            "errors",
            "CPU/good call",
        ],
        rows: Vec::new(),
    };
    for (name, seen, used) in [
        ("peak", &peak.seen, Some(peak.used)),
        ("three times the peak", &over.seen, Some(over.used)),
        ("the few beside it", few, None),
    ] {
        let good = u32::try_from(seen.good.count()).unwrap_or(u32::MAX).max(1);
        table.row([
            name.to_owned(),
            grouped(seen.offered()),
            grouped(seen.goodput()),
            shown(seen.good.p50()),
            shown(seen.good.p99()),
            grouped(rate(seen.refused.count(), seen.elapsed)),
            shown(seen.refused.p50()),
            shown(seen.refused.p99()),
            shown(seen.late.p99()),
            grouped(seen.errors as u64),
            used.map_or_else(String::new, |used| shown(used / good)),
        ]);
    }
    report.tables.push(table);
    saw_errors("overload", &peak.seen);
    saw_errors("overload", &over.seen);
    saw_errors("overload", few);
}

fn goals(report: &mut Report, peak: &Loaded, over: &Loaded, few: &Seen) {
    let (before, with) = (peak.seen.goodput().max(1), over.seen.goodput());
    report.goal(
        "goodput at three times the peak",
        format!("≥ {GOODPUT_PERCENT} % of the peak"),
        format!("{} %", with * 100 / before),
        with * 100 >= before * GOODPUT_PERCENT,
    );
    // What the callers' own work takes of the processors is not the gateway's.
    let each = |loaded: &Loaded| loaded.seen.good.count() as u128 * 1_000_000_000 / loaded.used.as_micros().max(1);
    let percent = each(over) * 100 / each(peak).max(1);
    report.goal(
        "good calls for a second of the gateway's processors",
        format!("≥ {GOODPUT_PERCENT} % of those at the peak"),
        format!("{percent} %"),
        percent >= u128::from(GOODPUT_PERCENT),
    );
    let refused = &few.refused;
    report.goal(
        "a refusal, p99",
        format!("≤ {}", shown(REFUSED_WITHIN)),
        format!("{}, p50 {}", shown(refused.p99()), shown(refused.p50())),
        refused.count() > 0 && refused.p99() <= REFUSED_WITHIN,
    );
    let codes: Vec<String> =
        over.seen.codes.iter().map(|(code, count)| format!("{code} {}", grouped(*count as u64))).collect();
    let errors = peak.seen.errors + over.seen.errors + few.errors;
    report.goal(
        "the excess is answered 503 with Retry-After",
        "all of it".to_owned(),
        format!("{}; {errors} other answers", codes.join(", ")),
        errors == 0,
    );
}

/// Memory and files, once what is remembered for a time is full.
fn held(report: &mut Report, readings: &[Reading]) {
    let last = readings.last().map_or(Duration::ZERO, |last| last.at);
    let long = last > WARM * 2;
    let settled: Vec<Reading> = readings.iter().filter(|reading| !long || reading.at >= WARM).copied().collect();
    for (what, quantity, unit) in QUANTITIES {
        let Some(trend) = Trend::of(&settled, 1, quantity) else { continue };
        let since = if long { format!(" after {} s", WARM.as_secs()) } else { String::new() };
        let asked = if long {
            format!("last quarter ≤ first{since} + {FLAT_PERCENT} %")
        } else {
            format!("not asked of less than {} s", (WARM * 2).as_secs())
        };
        let measured = format!("{} → {} {unit}", grouped(trend.early), grouped(trend.late));
        report.goal(what, asked, measured, !long || trend.is_flat(FLAT_PERCENT));
    }
}
