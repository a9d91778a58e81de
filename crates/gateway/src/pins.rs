//! What upstreams say of their tools now, held against what was reviewed: a tool that changed is not usable until it
//! is pinned again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_core::id::{ServerName, ToolName};

use crate::mcp::list::List;

/// How long an upstream's list counts as known, in seconds.
pub const PIN_AGE_MAX_S: i64 = 60;
/// Most pages of one list.
pub const LIST_PAGES_MAX: usize = 16;

/// What one upstream listed, and when.
#[derive(Debug, Default)]
struct Listed {
    at: i64,
    tools: HashMap<String, String>,
}

/// What the upstreams listed.
#[derive(Debug, Default)]
pub struct Pins(Mutex<HashMap<ServerName, Listed>>);

impl Pins {
    fn lock(&self) -> MutexGuard<'_, HashMap<ServerName, Listed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the upstream's list is known and fresh.
    pub fn known(&self, server: &ServerName, now: i64) -> bool {
        self.lock().get(server).is_some_and(|listed| now.saturating_sub(listed.at) <= PIN_AGE_MAX_S)
    }

    /// Takes over a page of a list; the first page forgets what was known before.
    pub fn observe(&self, server: &ServerName, list: &List<'_>, first: bool, now: i64) {
        let mut all = self.lock();
        let listed = all.entry(server.clone()).or_default();
        if first {
            listed.tools.clear();
        }
        listed.at = now;
        for entry in &list.entries {
            // A definition that cannot be pinned is one that nobody reviewed.
            let pin = entry.pin().unwrap_or_default();
            listed.tools.insert(entry.name.clone().into_owned(), pin);
        }
    }

    /// Forgets an upstream's list: it said that it changed.
    pub fn forget(&self, server: &ServerName) {
        self.lock().remove(server);
    }

    /// Whether the upstream describes the tool otherwise than it was pinned, or does not offer it, or is not known.
    pub fn drifted(&self, server: &ServerName, tool: &ToolName, pin: &str) -> bool {
        self.lock().get(server).and_then(|listed| listed.tools.get(tool.as_str())).is_none_or(|found| found != pin)
    }
}
