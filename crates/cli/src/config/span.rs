//! A span of time as it is configured: `90s`, `15m`, `2h`.

use std::time::Duration;

use serde::Deserialize;

/// A span of whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(u32);

impl Span {
    pub(crate) fn seconds(self) -> i64 {
        self.0.into()
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let seconds = remit_core::manifest::seconds(&text).and_then(|s| u32::try_from(s).ok());
        seconds.map(Self).ok_or_else(|| format!("`{text}` is not a time such as `90s`, `15m` or `2h`"))
    }
}
