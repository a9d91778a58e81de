//! What was found, as one table.

use std::io;

use super::cell::Row;
use super::clients::Client;
use super::record::Figures;
use crate::say;

/// How many combinations came out how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) good: usize,
    pub(crate) failed: usize,
    pub(crate) not_run: usize,
}

impl Tally {
    /// Whether all passed that was run; an error where nothing was.
    pub(crate) fn passed(self) -> io::Result<bool> {
        match self {
            Self { good: 0, failed: 0, .. } => Err(io::Error::other("interop: nothing could be run here")),
            Self { failed, .. } => Ok(failed == 0),
        }
    }
}

/// Prints everything, and counts it.
pub(crate) fn print(rows: &[Row], figures: Option<&Figures>, not_run: &[String], missed: usize) -> Tally {
    say(&format!("\n{:<14} {:<17} {:<7} {:<7} checked", "client", "server", "era", "result"));
    for row in rows {
        let result = if row.faults.is_empty() { "passed" } else { "FAILED" };
        say(&format!("{:<14} {:<17} {:<7} {result:<7} {}", row.client.name(), row.server, row.era.name(), row.checked));
        for fault in &row.faults {
            say(&format!("    {fault}"));
        }
    }
    for client in Client::ALL {
        refusals(*client, rows);
    }
    say("");
    let log_fails = figures.is_some_and(|figures| !figures.verified);
    if let Some(Figures { intents, outcomes, verified, said }) = figures {
        let result = if *verified { "verified" } else { said };
        say(&format!("log: {intents} intents of calls, {outcomes} outcomes, {result}"));
    }
    for why in not_run {
        say(&format!("not run: {why}"));
    }
    let tally = count(rows, log_fails, missed);
    say(&format!("interop: {} passed, {} failed, {} not run", tally.good, tally.failed, tally.not_run));
    tally
}

/// A log that does not verify is a failure of its own.
fn count(rows: &[Row], log_fails: bool, missed: usize) -> Tally {
    let good = rows.iter().filter(|row| row.faults.is_empty()).count();
    Tally { good, failed: rows.len() - good + usize::from(log_fails), not_run: missed }
}

/// How a client shows what was refused: the first of each kind.
fn refusals(client: Client, rows: &[Row]) {
    let mut titles: Vec<&str> = Vec::new();
    for (title, text) in rows.iter().filter(|row| row.client == client).flat_map(|row| &row.shown) {
        if titles.is_empty() {
            say(&format!("\nhow {} shows it", client.name()));
        }
        if !titles.contains(title) {
            titles.push(title);
            say(&format!("  {title}: {text}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_run_is_no_success() {
        let tally = |good, failed, not_run| Tally { good, failed, not_run };
        assert!(tally(0, 0, 9).passed().is_err());
        assert!(!tally(3, 1, 0).passed().unwrap());
        assert!(!tally(0, 1, 0).passed().unwrap());
        assert!(tally(3, 0, 6).passed().unwrap());
        assert_eq!(count(&[], true, 2), tally(0, 1, 2));
    }
}
