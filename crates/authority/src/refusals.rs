//! Refusals of what strangers show, in the log: some of them one by one, and beyond a rate as a sum, so that nobody fills the
//! log or keeps the disk busy.

use std::sync::{Mutex, PoisonError};

use crate::authority::State;
use crate::change::{Change, RefusedRecord};
use crate::error::AuthorityError;

/// Refusals that get an entry each within [`WINDOW_S`]; the others are summed up.
pub(crate) const EACH_MAX: u32 = 20;
/// How long they are counted before the sum is recorded, in seconds.
pub(crate) const WINDOW_S: i64 = 60;

/// What was refused in this window.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Window>);

#[derive(Default)]
struct Window {
    began: i64,
    each: u32,
    more: u64,
}

impl State {
    /// Records that something was refused.
    pub(crate) fn refuse(
        &self,
        what: &str,
        why: &str,
        message: &str,
        issuer: Option<&str>,
    ) -> Result<(), AuthorityError> {
        let at = self.config.clock.now();
        self.sum_up_refusals(at)?;
        {
            let mut window = self.refusals.0.lock().unwrap_or_else(PoisonError::into_inner);
            if window.each >= EACH_MAX {
                window.more = window.more.saturating_add(1);
                return Ok(());
            }
            window.each = window.each.saturating_add(1);
        }
        let (what, why, message) = (what.to_owned(), why.to_owned(), message.to_owned());
        let issuer = issuer.map(str::to_owned);
        let record = RefusedRecord { what, why, message, issuer, count: 1, at };
        self.core().journal.record(&Change::Refused(record)).map(drop)
    }

    /// Records how many more there were, where a window is over.
    pub(crate) fn sum_up_refusals(&self, now: i64) -> Result<(), AuthorityError> {
        let more = {
            let mut window = self.refusals.0.lock().unwrap_or_else(PoisonError::into_inner);
            if now.saturating_sub(window.began) < WINDOW_S {
                return Ok(());
            }
            std::mem::replace(&mut *window, Window { began: now, ..Window::default() }).more
        };
        if more == 0 {
            return Ok(());
        }
        let message = format!("{more} more were refused within {WINDOW_S} s");
        let record =
            RefusedRecord { what: "more".into(), why: format!("{more}"), message, issuer: None, count: more, at: now };
        self.core().journal.record(&Change::Refused(record)).map(drop)
    }
}
