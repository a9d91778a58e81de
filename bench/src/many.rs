//! Many live runs, and as many grants: what they take in memory, and whether the next one costs more.

use std::io;

use crate::home::{CALLER, Home};
use crate::machine;
use crate::mint::Minter;
use crate::report::{Goal, Table};
use crate::road::{Endpoint, Era, echoed, text};
use crate::sample::{Sample, grouped, shown};

/// Runs that also call, so that the gateway knows them.
const CALLING_MAX: usize = 10_000;
const RESIDENT_MIB: u64 = 256;
/// Of so many operations each time is the median.
const TIMES: usize = 200;

pub(crate) async fn measure(home: &Home, most: usize) -> io::Result<(Table, Vec<Goal>)> {
    let about = "Root runs of one agent, each with a grant that holds; the first ten thousand have called once, so that the gateway \
                 remembers their labels and budgets. Times are medians of 200, with so many live: beginning one more, and a token \
                 for one."
        .to_owned();
    let head = vec!["live runs", "that called", "resident", "begin one", "token"];
    let (mut table, mut goals) = (Table { title: "Many runs", about, head, rows: Vec::new() }, Vec::new());
    let (mut live, mut called) = (0, 0);
    for step in [most / 1_000, most / 100, most / 10, most] {
        while live < step.saturating_sub(TIMES) {
            let run = home.run_as(CALLER, &["echo/echo"], "24h")?;
            live += 1;
            if called < CALLING_MAX.min(most) {
                call(home, &run, live as u64).await?;
                called += 1;
            }
        }
        let mut runs = Vec::new();
        let begin = Sample::of(TIMES, |_| runs.push(home.run_as(CALLER, &["echo/echo"], "24h")));
        live += TIMES;
        let mut tokens = Vec::new();
        for run in runs {
            tokens.push(Minter::new(home, &run?, &home.url("echo")).await?.mint().await?.1);
        }
        let (resident, _) = home.pid().map(machine::resident).unwrap_or_default();
        let count = |count: usize| grouped(count as u64);
        let times = [shown(begin.p50()), shown(Sample::new(tokens).p50())];
        table.row([count(live), count(called), format!("{resident} MiB")].into_iter().chain(times));
        if called >= CALLING_MAX && goals.is_empty() {
            goals.push(Goal {
                what: "resident with 10,000 live runs that have called",
                asked: format!("≤ {RESIDENT_MIB} MiB"),
                measured: format!("{resident} MiB"),
                reached: resident <= RESIDENT_MIB,
            });
        }
    }
    Ok((table, goals))
}

async fn call(home: &Home, run: &crate::home::Run, number: u64) -> io::Result<()> {
    let with = home.credentials(run, "echo").await?;
    let endpoint = Endpoint::new(&home.url("echo"), Era::Modern, Some(with))?;
    let said = text(number);
    let body = Era::Modern.call(number, "echo", &format!(r#"{{"text":"{said}"}}"#));
    let good = endpoint.ask(("tools/call", Some("echo")), &body, |answer| Ok(echoed(&said, answer.body))).await?;
    if good { Ok(()) } else { Err(io::Error::other("a call fails")) }
}
