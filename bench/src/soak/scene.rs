//! Where a part plays: the real program with a fresh home, and the echo with its ledger behind it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::audit::{Audited, audited, unaudited};
use super::report::Report;
use crate::Echo;
use crate::home::Home;
use crate::ledger;
use crate::report::remark;
use crate::road::{Endpoint, Era};
use crate::sample::{grouped, shown};
use crate::upstream::LEDGER;
use crate::wire::Connection;

/// What every scene needs.
pub(crate) struct Stage<'a> {
    pub(crate) remit: &'a Path,
    /// This program, which is the echo too.
    pub(crate) program: &'a Path,
    pub(crate) dir: &'a Path,
}

/// One of them.
pub(crate) struct Scene {
    pub(crate) home: Home,
    echo: Echo,
    dir: PathBuf,
}

impl Stage<'_> {
    /// `remit up` in a home of its own, with these settings beside the usual ones.
    pub(crate) fn open(&self, settings: Vec<(&'static str, String)>) -> io::Result<Scene> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let dir = self.dir.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir(&dir)?;
        let echo = Echo::start(self.program, &[Echo::WITH_LEDGER])?;
        let home = Home::with(self.remit, &dir, settings)?;
        home.register(&echo.url, self.program)?;
        Ok(Scene { home, echo, dir })
    }
}

impl Scene {
    pub(crate) fn pid(&self) -> io::Result<u32> {
        self.home.pid().ok_or_else(|| io::Error::other("remit up does not run"))
    }

    /// What the echo says of itself at this path.
    pub(crate) async fn asked(&self, path: &str) -> io::Result<String> {
        let at = Endpoint::new(&self.echo.url, Era::Modern, None)?.at;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {at}\r\n\r\n");
        let mut connection = Connection::open(at).await?;
        let answer = connection.exchange_long(request.as_bytes()).await?;
        Ok(String::from_utf8_lossy(answer.body).into_owned())
    }

    /// Ends the program, and holds the echo's ledger against the gateway's log, which must verify.
    pub(crate) async fn settle_accounts(&mut self, report: &mut Report) -> io::Result<Audited> {
        remark("the ledger against the log");
        let ledger = ledger::read(&self.asked(LEDGER).await?);
        self.home.stop()?;
        let began = Instant::now();
        let verified = self.home.remit(&["log", "verify"]);
        let took = began.elapsed();
        let said = verified.as_ref().map_or_else(ToString::to_string, |_| "yes".to_owned());
        report.goal("the log verifies", "yes".to_owned(), said, verified.is_ok());
        let mut audited = audited(&self.home)?;
        let (done, permitted) = (ledger.len(), audited.permitted.len());
        let missing = unaudited(ledger, std::mem::take(&mut audited.permitted));
        if let Some(first) = missing.first() {
            remark(&format!("the first call without an intent has the number {first}"));
        }
        report.goal(
            "calls in the upstream's ledger without an intent",
            "0".to_owned(),
            format!(
                "{} of {}; {} intents, {} entries verified in {}",
                missing.len(),
                grouped(done as u64),
                grouped(permitted as u64),
                grouped(audited.entries),
                shown(took)
            ),
            missing.is_empty() && done > 0,
        );
        // The next part needs the room.
        std::fs::remove_dir_all(&self.dir)?;
        Ok(audited)
    }
}
