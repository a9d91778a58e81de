//! How a gateway says how far it follows the feed: a JWS of its own key, beside each request for the page that comes next.
//!
//! It may be heard twice: how far a gateway once was it stays, because after a start it decides nothing before it has the
//! whole feed again.

use serde::{Deserialize, Serialize};

use crate::lease::ASK_SKEW_S;

/// `typ` of it: no other text of the same key passes for one.
pub const CONFIRM_TYP: &str = "remit-feed+jwt";
/// Its longest life, in seconds.
pub const CONFIRM_SECONDS_MAX: i64 = 60;

/// What a gateway says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// The authority's name.
    pub aud: String,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// Its end, in seconds since 1970.
    pub exp: i64,
    /// Number of the last entry of the feed by which it decides.
    pub seq: u64,
}

impl Confirm {
    /// What a gateway that decides by entry `seq` says at `now`.
    pub fn new(aud: &str, seq: u64, now: i64) -> Self {
        Self { aud: aud.to_owned(), iat: now, exp: now.saturating_add(CONFIRM_SECONDS_MAX), seq }
    }

    /// Whether it is meant for this authority, and of now.
    pub fn is_for(&self, issuer: &str, now: i64) -> bool {
        let begun = self.iat <= now.saturating_add(ASK_SKEW_S);
        let short = self.exp <= self.iat.saturating_add(CONFIRM_SECONDS_MAX);
        self.aud == issuer && begun && short && self.exp > now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_for_one_authority_and_one_minute() {
        let here = "https://as.example";
        let confirm = Confirm::new(here, 7, 1_000);
        assert!(confirm.is_for(here, 1_000) && confirm.is_for(here, 1_059) && confirm.is_for(here, 970));
        assert!(!confirm.is_for(here, 1_060) && !confirm.is_for(here, 969));
        assert!(!confirm.is_for("https://other.example", 1_000));
        assert!(!Confirm { exp: 1_061, ..confirm }.is_for(here, 1_000));
    }
}
