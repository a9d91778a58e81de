//! What upstreams say of their tools now, held against what was reviewed: a tool that changed is not usable until it
//! is pinned again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_core::id::{ServerName, ToolName};

use crate::mcp::list::{Entry, List};

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

/// The pages of one list, kept apart from what is known until the last of them is there.
#[derive(Debug, Default)]
pub struct Walk(HashMap<String, String>);

impl Walk {
    /// Takes a page; a name that stands there twice and differs is nobody's.
    pub fn page(&mut self, page: &List<'_>) {
        for entry in &page.entries {
            let pin = pin_of(entry);
            let known = self.0.entry(entry.name.clone().into_owned()).or_insert_with(|| pin.clone());
            if *known != pin {
                known.clear();
            }
        }
    }
}

/// A definition that cannot be pinned is one that nobody reviewed.
fn pin_of(entry: &Entry<'_>) -> String {
    entry.pin().unwrap_or_default()
}

/// What the upstreams listed.
#[derive(Debug, Default)]
pub struct Pins(Mutex<HashMap<ServerName, Listed>>);

impl Pins {
    fn lock(&self) -> MutexGuard<'_, HashMap<ServerName, Listed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the upstream's list is known and fresh, and has this tool. What is not in it may be there for another client:
    /// some servers list a tool only to one that has the features which it uses.
    pub fn has(&self, server: &ServerName, tool: &ToolName, now: i64) -> bool {
        self.known(server, now)
            && self.lock().get(server).is_some_and(|listed| listed.tools.contains_key(tool.as_str()))
    }

    /// Whether the upstream's list is known and fresh.
    fn known(&self, server: &ServerName, now: i64) -> bool {
        self.lock().get(server).is_some_and(|listed| now.saturating_sub(listed.at) <= PIN_AGE_MAX_S)
    }

    /// Takes over a whole list, in the place of what was known before. `at` is when it was begun to be asked for.
    pub fn replace(&self, server: &ServerName, walk: Walk, at: i64) {
        self.lock().insert(server.clone(), Listed { at, tools: walk.0 });
    }

    /// Forgets an upstream's list where its own words on the way to somebody say otherwise, so that it is asked again.
    ///
    /// What is missing from a page says nothing: who asks chooses the page.
    pub fn doubt(&self, server: &ServerName, page: &List<'_>) {
        let mut all = self.lock();
        let Some(known) = all.get(server) else { return };
        let differs = |entry: &Entry<'_>| known.tools.get(&*entry.name).is_some_and(|pin| *pin != pin_of(entry));
        if page.entries.iter().any(differs) {
            all.remove(server);
        }
    }

    /// Forgets what is too old to count: the upstream could not be asked again.
    pub fn forget_stale(&self, server: &ServerName, now: i64) {
        if !self.known(server, now) {
            self.forget(server);
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
