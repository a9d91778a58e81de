//! One access token as it is kept in memory, and what is to be done when somebody wants it.
//!
//! **Invariant:** a token is asked for once by one at a time, never again at once after a failure, and never again at once
//! after its server has refused one that was new.

use super::endpoint::Tokens;
use super::error::BrokerError;
use super::record::fingerprint;

/// A token that is younger than this is new, in seconds.
pub(crate) const NEW_SECONDS: i64 = 30;
/// The longest that a token is renewed ahead of its end, in seconds; of a short life, a fifth of it.
pub(crate) const AHEAD_SECONDS_MAX: i64 = 60;
/// How long before its end a token is not sent any more, in seconds.
const SPARE_SECONDS: i64 = 2;
/// The longest pause after failures, in seconds.
const PAUSE_SECONDS_MAX: i64 = 60;

/// What is kept of one token.
#[derive(Default)]
pub(crate) struct Kept {
    /// Of which version of the client it is, and of which connection.
    pub(crate) of: (u64, u64),
    /// The tokens.
    pub(crate) tokens: Option<Tokens>,
    /// Whether they were issued and could not be recorded yet.
    pub(crate) unsaved: bool,
    /// What was said of their scope when they were issued.
    pub(crate) scope: Option<String>,
    /// How often in a row it failed, and until when nothing is asked.
    pub(crate) failed: Option<(u32, i64)>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is good.
    Use,
    /// Another one is to be asked for; `true` where this one can be used all the same.
    Fetch(bool),
    /// Nothing.
    Refuse(BrokerError),
}

impl Tokens {
    /// From when on the next one is asked for, in seconds since 1970.
    pub(crate) fn renew(&self) -> Option<i64> {
        let until = self.until?;
        let life = until.saturating_sub(self.got);
        Some(until.saturating_sub((life / 5).min(AHEAD_SECONDS_MAX)))
    }

    /// Until when it may be sent, in seconds since 1970.
    pub(crate) fn end(&self) -> Option<i64> {
        self.until.map(|until| until.saturating_sub(SPARE_SECONDS))
    }

    fn is_good(&self, now: i64) -> bool {
        self.end().is_none_or(|end| now < end)
    }
}

impl Kept {
    /// Whether the token may still be sent.
    pub(crate) fn is_good(&self, now: i64) -> bool {
        self.tokens.as_ref().is_some_and(|tokens| tokens.is_good(now))
    }

    /// What is to be done for somebody who wants the token now, where the server may just have refused one.
    pub(crate) fn next(&self, refused: Option<&str>, now: i64) -> Next {
        let paused = self.failed.map(|(_, until)| until.saturating_sub(now)).filter(|left| *left > 0);
        let stale = |tokens: &&Tokens| refused == Some(fingerprint(tokens.access.expose()).as_str());
        let good = self.tokens.as_ref().filter(|tokens| tokens.is_good(now));
        match (good, paused) {
            (Some(tokens), _) if stale(&tokens) && now.saturating_sub(tokens.got) < NEW_SECONDS => {
                Next::Refuse(BrokerError::Unwanted)
            }
            (Some(tokens), None) if stale(&tokens) => Next::Fetch(false),
            (Some(tokens), Some(left)) if stale(&tokens) => Next::Refuse(BrokerError::Paused(left)),
            (Some(tokens), None) if tokens.renew().is_some_and(|renew| now >= renew) => Next::Fetch(true),
            (Some(_), _) => Next::Use,
            (None, Some(left)) => Next::Refuse(BrokerError::Paused(left)),
            (None, None) => Next::Fetch(false),
        }
    }

    /// Notes a failure: 1, 2, 4 … seconds until the next attempt.
    pub(crate) fn fail(&mut self, now: i64) {
        let times = self.failed.map_or(0, |(times, _)| times).saturating_add(1);
        let pause = PAUSE_SECONDS_MAX.min(1 << times.saturating_sub(1).min(16));
        self.failed = Some((times, now.saturating_add(pause)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_core::secret::Value;

    fn kept(until: Option<i64>) -> Kept {
        let tokens = Tokens { access: Value::new("at-1".into()), refresh: None, until, got: 1_000 };
        Kept { tokens: Some(tokens), ..Kept::default() }
    }

    /// Break: use it to its last second, ask again for every caller after a failure, or for each refusal of a server.
    #[test]
    fn a_token_is_renewed_ahead_and_nobody_is_asked_in_a_loop() {
        let stale = fingerprint("at-1");
        let mut one = kept(Some(1_300));
        assert_eq!(one.next(None, 1_239), Next::Use);
        assert_eq!(one.next(None, 1_240), Next::Fetch(true));
        assert_eq!(one.next(None, 1_298), Next::Fetch(false));
        // Refused by its server: not while it is new, once later, and another one than this is nothing new.
        assert_eq!(one.next(Some(&stale), 1_029), Next::Refuse(BrokerError::Unwanted));
        assert_eq!(one.next(Some(&stale), 1_030), Next::Fetch(false));
        assert_eq!(one.next(Some("another"), 1_030), Next::Use);
        one.fail(1_240);
        assert_eq!(one.next(None, 1_240), Next::Use, "while it is good");
        assert_eq!(one.next(Some(&stale), 1_240), Next::Refuse(BrokerError::Paused(1)));
        assert_eq!(one.next(None, 1_241), Next::Fetch(true));
        one.failed = Some((1, 1_400));
        assert_eq!(one.next(None, 1_298), Next::Refuse(BrokerError::Paused(102)));
        // A short life, and one without an end.
        assert_eq!(kept(Some(1_010)).next(None, 1_007), Next::Use);
        assert_eq!(kept(Some(1_010)).next(None, 1_008), Next::Fetch(false));
        assert_eq!(kept(None).next(None, i64::MAX), Next::Use);
        assert_eq!(Kept::default().next(None, 0), Next::Fetch(false));
    }

    #[test]
    fn pauses_double_and_have_an_end() {
        let mut kept = Kept::default();
        let pauses: Vec<i64> = (0..40)
            .map(|_| {
                kept.fail(0);
                kept.failed.unwrap().1
            })
            .collect();
        assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(pauses.iter().all(|pause| *pause <= 60));
    }
}
