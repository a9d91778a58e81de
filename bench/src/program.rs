//! The program as a whole: how soon it is ready, what it holds in memory, and how long its commands take.

use std::io;
use std::time::{Duration, Instant};

use crate::home::Home;
use crate::machine;
use crate::report::{Goal, Table};
use crate::sample::{Sample, grouped, rate, shown};

const READY: Duration = Duration::from_millis(50);
const REQUEST: Duration = Duration::from_millis(50);
const MINT: Duration = Duration::from_millis(1);
const RESIDENT_MIB: u64 = 45;

/// What was seen of one program.
pub(crate) struct Program {
    table: Table,
    pub(crate) goals: Vec<Goal>,
}

impl Program {
    pub(crate) fn new() -> Self {
        let about = "`remit up`, which is authority and gateway in one process, of the release profile. *Ready* is from its start \
                     until `/healthz` of the gateway says that it can decide and record."
            .to_owned();
        let table = Table { title: "The program", about, head: vec!["what", "measured"], rows: Vec::new() };
        Self { table, goals: Vec::new() }
    }

    pub(crate) fn table(self) -> Table {
        self.table
    }

    fn goal(&mut self, what: &'static str, time: Duration, most: Duration) {
        let (asked, measured) = (format!("≤ {}", shown(most)), shown(time));
        self.goals.push(Goal { what, asked, measured, reached: time <= most });
    }

    /// Starts of a home that was made before, whose log is short.
    pub(crate) fn starts(&mut self, home: &mut Home, count: usize) -> io::Result<()> {
        let mut times = Vec::new();
        for _ in 0..count {
            home.stop()?;
            times.push(home.start()?);
        }
        let times = Sample::new(times);
        self.table.row(["ready, with a short log, p50".to_owned(), shown(times.p50())]);
        self.goal("ready after the start", times.p50(), READY);
        Ok(())
    }

    /// What is resident before, and then after all the calls.
    pub(crate) fn resident(&mut self, home: &Home, when: &str) -> u64 {
        let (now, most) = home.pid().map(machine::resident).unwrap_or_default();
        self.table.row([format!("resident {when}"), format!("{now} MiB, at most {most} MiB so far")]);
        now
    }

    pub(crate) fn after_load(&mut self, home: &Home) {
        let now = self.resident(home, "after the calls");
        self.goals.push(Goal {
            what: "resident after the calls, authority and gateway together",
            asked: format!("≤ {RESIDENT_MIB} MiB"),
            measured: format!("{now} MiB"),
            reached: now <= RESIDENT_MIB,
        });
    }

    /// `remit request` as somebody types it.
    pub(crate) fn request(&mut self, home: &Home, count: usize) -> io::Result<()> {
        let ask = ["request", "echo/echo", "--agent", "bench/caller", "--for", "15m", "--why", "the benchmark"];
        let mut failed = None;
        let times = Sample::of(count, |_| match home.remit(&ask) {
            Ok(_) => {}
            Err(error) => failed = Some(error),
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let both = format!("p50 {}, p99 {}", shown(times.p50()), shown(times.p99()));
        self.table.row([format!("`remit request` as a whole process, {count} times"), both]);
        self.goal("`remit request` as a whole process", times.p50(), REQUEST);
        Ok(())
    }

    /// Tokens minted one after the other.
    pub(crate) fn minted(&mut self, times: &Sample) {
        let what = format!("`POST /token` from its sending to its answer, {} times, one connection", times.count());
        self.table.row([what, format!("p50 {}, p99 {}", shown(times.p50()), shown(times.p99()))]);
        self.goal("token minted, with the way there and back", times.p50(), MINT);
    }

    /// The log that the calls have left: the next start reads it, and so does who verifies it.
    pub(crate) fn log(&mut self, home: &mut Home) -> io::Result<()> {
        home.stop()?;
        let ready = home.start()?;
        home.stop()?;
        let began = Instant::now();
        let said = home.remit(&["log", "verify"])?;
        let took = began.elapsed();
        let report = String::from_utf8_lossy(&said.stdout).into_owned();
        let entries = entries(&report);
        self.table.row([format!("ready, with {} entries in the gateway's log", grouped(entries)), shown(ready)]);
        let count = usize::try_from(entries).unwrap_or(usize::MAX);
        self.table.row([
            format!("`remit log verify` of these {} entries", grouped(entries)),
            format!("{}, {} entries/s", shown(took), grouped(rate(count, took))),
        ]);
        Ok(())
    }
}

/// The most entries that any log of the report has.
fn entries(report: &str) -> u64 {
    let found = report.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    found.map(|value| most(&value)).max().unwrap_or_default()
}

fn most(value: &serde_json::Value) -> u64 {
    match value {
        serde_json::Value::Object(members) => {
            let own = members.get("size").or_else(|| members.get("entries")).and_then(serde_json::Value::as_u64);
            own.into_iter().chain(members.values().map(most)).max().unwrap_or_default()
        }
        serde_json::Value::Array(all) => all.iter().map(most).max().unwrap_or_default(),
        _ => 0,
    }
}
