//! What was found, as one table.

use std::io;

use super::cell::Row;
use super::clients::Client;
use super::login::Login;
use super::questions::Questions;
use super::record::Figures;
use crate::say;

/// How many combinations came out how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) good: usize,
    pub(crate) failed: usize,
    pub(crate) not_run: usize,
    /// Why some were not run, each reason once.
    pub(crate) why: Vec<String>,
}

impl Tally {
    /// A log that is not good is a failure of its own, and so is a package that a registry has and cannot be installed.
    pub(crate) fn new(
        rows: &[Row],
        logins: &[Login],
        figures: Option<&Figures>,
        broken: usize,
        (not_run, why): (usize, Vec<String>),
    ) -> Self {
        let good = rows.iter().filter(|row| row.faults.is_empty()).count();
        let let_in = logins.iter().filter(|login| login.fault.is_none()).count();
        let log = usize::from(figures.is_some_and(|figures| !figures.faults.is_empty()));
        let failed = rows.len() - good + logins.len() - let_in + log + broken;
        Self { good: good + let_in, failed, not_run, why }
    }

    /// Whether all passed that was run; an error where nothing was.
    pub(crate) fn passed(&self) -> io::Result<bool> {
        match self {
            Self { good: 0, failed: 0, .. } => Err(io::Error::other(format!("nothing was run: {}", self.reasons()))),
            Self { failed, .. } => Ok(*failed == 0),
        }
    }

    /// Why not everything was run.
    pub(crate) fn reasons(&self) -> String {
        self.why.join("; ")
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        let failed = if self.failed > 0 { format!(", {} FAILED", self.failed) } else { String::new() };
        let not_run =
            if self.not_run > 0 { format!(", {} not run ({})", self.not_run, self.reasons()) } else { String::new() };
        format!("{} cells{failed}{not_run}", self.good)
    }
}

/// Prints everything that was found.
pub(crate) fn print(rows: &[Row], logins: &[Login], figures: Option<&Figures>, not_run: &[String]) {
    if !rows.is_empty() {
        say(&format!("\n{:<14} {:<36} {:<7} {:<7} spoke", "client", "server", "era", "result"));
    }
    for row in rows {
        let result = if row.faults.is_empty() { "passed" } else { "FAILED" };
        let spoke = if row.steps.is_empty() && row.questions.is_none() {
            "none: the server has no such revision"
        } else {
            &row.revision
        };
        let server = match &row.questions {
            None => row.server.to_owned(),
            Some(Questions { granted: true, .. }) => format!("{} (granted)", row.server),
            Some(Questions { granted: false, .. }) => format!("{} (not granted)", row.server),
        };
        say(&format!("{:<14} {server:<36} {:<7} {result:<7} {spoke}", row.client.name(), row.era.name()));
        for fault in &row.faults {
            say(&format!("    {fault}"));
        }
    }
    for login in logins {
        let result = if login.fault.is_none() { "passed" } else { "FAILED" };
        say(&format!("{:<14} {:<36} {:<7} {result}", login.client, login.how, "auto"));
        login.fault.iter().for_each(|fault| say(&format!("    {fault}")));
    }
    for client in Client::ALL {
        refusals(*client, rows);
    }
    say("");
    if let Some(Figures { entries, intents, outcomes, faults }) = figures {
        say(&format!("log: {entries} entries, {intents} messages of clients, {outcomes} outcomes"));
        let verified = ["verified with the key that was kept from the start".to_owned()];
        for line in if faults.is_empty() { verified.as_slice() } else { faults } {
            say(&format!("    {line}"));
        }
    }
    for why in not_run {
        say(&format!("not run: {why}"));
    }
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

    fn tally(good: usize, failed: usize, not_run: usize) -> Tally {
        Tally { good, failed, not_run, why: vec!["no npm here".into()] }
    }

    #[test]
    fn nothing_run_is_no_success() {
        assert!(tally(0, 0, 9).passed().is_err());
        assert!(!tally(3, 1, 0).passed().unwrap());
        assert!(!tally(0, 1, 0).passed().unwrap());
        assert!(tally(3, 0, 6).passed().unwrap());
        assert_eq!(tally(3, 0, 0).line(), "3 cells");
        assert_eq!(tally(3, 1, 6).line(), "3 cells, 1 FAILED, 6 not run (no npm here)");
    }

    #[test]
    fn a_log_that_is_not_good_and_a_broken_package_are_failures() {
        let figures = |faults| Figures { entries: 1, intents: 1, outcomes: 1, faults };
        assert_eq!(Tally::new(&[], &[], Some(&figures(vec!["why".into()])), 0, (0, vec![])).failed, 1);
        assert_eq!(Tally::new(&[], &[], Some(&figures(vec![])), 2, (0, vec![])).failed, 2);
        assert_eq!(Tally::new(&[], &[], None, 0, (4, vec![])), Tally { not_run: 4, ..Tally::default() });
    }
}
