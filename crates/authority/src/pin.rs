//! PINs, of the administrators and of people that are known by name: what proves a person where peer credentials prove only the operating-system user.
//!
//! A PIN can be guessed, so guesses are counted before they are looked at, durably, and each wrong one makes the next
//! wait longer. **Invariant:** without a PIN that was set, nothing that needs one is done.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use remit_audit::durable;
use remit_core::hash::{b64, unb64};
use remit_core::rejection::{Code, Rejection};
use serde::{Deserialize, Serialize};

use crate::config::Home;
use crate::error::AuthorityError;
use crate::random;

/// Shortest PIN, in bytes.
pub(crate) const PIN_BYTES_MIN: usize = 6;
/// Longest PIN, in bytes.
pub(crate) const PIN_BYTES_MAX: usize = 128;
/// Wrong guesses that cost nothing but the guess.
pub(crate) const PIN_FREE_GUESSES: u32 = 3;
/// Longest wait between guesses, in seconds.
pub(crate) const PIN_WAIT_S_MAX: i64 = 3_600;
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    iterations: NonZeroU32,
    salt: String,
    hash: String,
    /// Guesses since the last right one.
    guesses: u32,
    /// No guess is looked at before then, in seconds since 1970.
    not_before: i64,
}

/// Guesses are counted one after the other, whoever's PIN they are of.
static GUESSING: Mutex<()> = Mutex::new(());

/// A PIN's file.
pub(crate) struct Pin {
    path: PathBuf,
    whose: &'static str,
}

impl Pin {
    pub(crate) fn new(home: &Home) -> Self {
        Self { path: home.keys().join("pin"), whose: "the administrators'" }
    }

    /// One person's own, in its file.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, whose: "the person's own" }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.path.exists()
    }

    /// Sets the first PIN, or another in the place of one that was given.
    pub(crate) fn set(&self, old: Option<&str>, new: &str, now: i64) -> Result<(), AuthorityError> {
        fits(new)?;
        if self.is_set() {
            self.check(old, now)?;
        }
        self.replace(new)
    }

    /// Sets a PIN in the place of whatever was there: for whoever may do so without knowing it.
    pub(crate) fn replace(&self, new: &str) -> Result<(), AuthorityError> {
        fits(new)?;
        let salt = random::bytes::<16>()?;
        let mut hash = [0; 32];
        pbkdf2::derive(PBKDF2_HMAC_SHA256, ITERATIONS, &salt, new.as_bytes(), &mut hash);
        self.write(&Stored { iterations: ITERATIONS, salt: b64(&salt), hash: b64(&hash), guesses: 0, not_before: 0 })
    }

    /// Checks a PIN; the guess is counted first, so that ending the process does not undo it.
    pub(crate) fn check(&self, given: Option<&str>, now: i64) -> Result<(), AuthorityError> {
        let _one_at_a_time = GUESSING.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_set() {
            let message = "this needs the administrators' PIN, and none is set";
            return Err(refused(message, "set one: remit admin pin"));
        }
        let given =
            given.ok_or_else(|| refused(format!("this needs {} PIN", self.whose), "give it when asked for it"))?;
        let text = std::fs::read(&self.path).map_err(AuthorityError::at(&self.path))?;
        let mut stored: Stored = serde_json::from_slice(&text)?;
        if now < stored.not_before {
            let wait = stored.not_before.saturating_sub(now);
            let message = format!("too many wrong PINs, the next is looked at in {wait}s");
            return Err(refused(message, "wait"));
        }
        stored.guesses = stored.guesses.saturating_add(1);
        stored.not_before = now.saturating_add(wait_s(stored.guesses));
        self.write(&stored)?;
        let (Some(salt), Some(hash)) = (unb64(&stored.salt), unb64(&stored.hash)) else {
            return Err(AuthorityError::Crypto);
        };
        let right = pbkdf2::verify(PBKDF2_HMAC_SHA256, stored.iterations, &salt, given.as_bytes(), &hash);
        if right.is_err() {
            return Err(refused("the PIN is wrong", "try again"));
        }
        stored.guesses = 0;
        stored.not_before = 0;
        self.write(&stored)
    }

    fn write(&self, stored: &Stored) -> Result<(), AuthorityError> {
        let text = serde_json::to_vec(stored)?;
        durable::write(&self.path, &text, 0o600).map_err(AuthorityError::at(&self.path))
    }
}

fn fits(new: &str) -> Result<(), AuthorityError> {
    if (PIN_BYTES_MIN..=PIN_BYTES_MAX).contains(&new.len()) {
        return Ok(());
    }
    let message = format!("a PIN has between {PIN_BYTES_MIN} and {PIN_BYTES_MAX} bytes");
    Err(refused(message, "choose another"))
}

fn wait_s(guesses: u32) -> i64 {
    let beyond = guesses.saturating_sub(PIN_FREE_GUESSES);
    if beyond == 0 {
        return 0;
    }
    // 30 s, then twice as long each time.
    30_i64.checked_shl(beyond.saturating_sub(1).min(16)).unwrap_or(PIN_WAIT_S_MAX).min(PIN_WAIT_S_MAX)
}

fn refused(message: impl Into<String>, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(Code::AdminRequired, message, help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_counted_across_restarts_and_wait_longer_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        durable::create_dir(&home.keys()).unwrap();
        let pin = Pin::new(&home);
        let says = |pin: &Pin, given, now| pin.check(given, now).map_err(|e| e.to_string());
        assert!(says(&pin, Some("123456"), 0).unwrap_err().contains("none is set"));
        assert!(pin.set(None, "12345", 0).is_err());
        pin.set(None, "123456", 0).unwrap();
        assert!(pin.set(None, "abcdef", 0).is_err());
        assert!(says(&pin, None, 0).unwrap_err().contains("needs"));
        says(&pin, Some("123456"), 0).unwrap();
        for _ in 0..=PIN_FREE_GUESSES {
            assert!(says(&pin, Some("wrong!"), 0).unwrap_err().contains("wrong"));
        }
        let again = Pin::new(&home);
        assert!(says(&again, Some("123456"), 29).unwrap_err().contains("in 1s"));
        says(&again, Some("123456"), 30).unwrap();
        assert_eq!([4, 5, 6, 60].map(wait_s), [30, 60, 120, PIN_WAIT_S_MAX]);
        again.set(Some("123456"), "abcdef", 31).unwrap();
        says(&again, Some("abcdef"), 31).unwrap();
    }
}
