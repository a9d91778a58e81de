//! What the upstream did, call by call, in its own words: what the log is held against.

use std::fmt::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Numbers of the calls that were done. Empty for ever, unless [`keep`] was called.
static DONE: OnceLock<Mutex<Vec<u64>>> = OnceLock::new();

/// From now on, what is done is noted.
pub(crate) fn keep() {
    DONE.get_or_init(Mutex::default);
}

/// Notes a call by the number that its text ends with.
pub(crate) fn note(text: &str) {
    let Some(done) = DONE.get() else { return };
    // A text that this program did not send has no number of its own, and must not pass for any.
    done.lock().unwrap_or_else(PoisonError::into_inner).push(number(text).unwrap_or(u64::MAX));
}

fn number(text: &str) -> Option<u64> {
    text.trim_matches('"').rsplit(' ').next()?.parse().ok()
}

/// All of it, a number in a line.
pub(crate) fn text() -> String {
    let Some(done) = DONE.get() else { return String::new() };
    let done = done.lock().unwrap_or_else(PoisonError::into_inner);
    done.iter().fold(String::with_capacity(done.len() * 8), |mut text, number| {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{number}");
        text
    })
}

/// What [`text`] says.
pub(crate) fn read(text: &str) -> Vec<u64> {
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_again_and_a_strange_text_is_nobodys_call() {
        keep();
        for text in ["\"hi 7\"", "\"stream 8\"", "\"something\""] {
            note(text);
        }
        let said = read(&text());
        for number in [7, 8, u64::MAX] {
            assert!(said.contains(&number), "{said:?}");
        }
    }
}
