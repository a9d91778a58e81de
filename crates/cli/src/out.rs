//! What goes to the terminal: facts to standard output, what accompanies them to standard error.
//!
//! **Invariant:** with `--json` standard output holds JSON and nothing else; colours only ever reach a terminal.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::Value;

use crate::config::Env;

/// The terminal, or what stands in its place.
#[derive(Clone)]
pub(crate) struct Out {
    json: bool,
    colour: bool,
    open: Cell<bool>,
    /// What would have been said to people, while it is only listened to.
    heard: RefCell<Option<Vec<String>>>,
}

/// How a word stands out.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    Good,
    Bad,
    Quiet,
    Strong,
}

impl Out {
    pub(crate) fn new(json: bool, env: &Env) -> Self {
        // https://no-color.org: present and not empty.
        let wanted = env.get("NO_COLOR").is_none_or(str::is_empty);
        Self {
            json,
            colour: wanted && !json && io::stdout().is_terminal(),
            open: Cell::new(true),
            heard: RefCell::default(),
        }
    }

    /// Whether anybody still reads.
    pub(crate) fn is_open(&self) -> bool {
        self.open.get()
    }

    /// One line.
    pub(crate) fn line(&self, text: impl Display) {
        if let Some(heard) = self.heard.borrow_mut().as_mut() {
            heard.push(text.to_string());
            return;
        }
        let mut stdout = io::stdout().lock();
        // Whoever closed the pipe has seen enough: that is no error.
        let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
        if written.is_err() {
            self.open.set(false);
        }
    }

    /// Facts: lines for people, or one JSON object, with the first of these lines as `says`.
    pub(crate) fn facts(&self, facts: &impl Serialize, people: impl FnOnce(&Self)) {
        let mut object = serde_json::to_value(facts).unwrap_or_default();
        if !self.json {
            return people(self);
        }
        if let Value::Object(members) = &mut object {
            members.entry("says").or_insert_with(|| self.first_line(people).into());
        }
        self.line(object);
    }

    /// The same, where every member has its own meaning.
    pub(crate) fn object(&self, facts: &impl Serialize, people: impl FnOnce(&Self)) {
        if self.json {
            self.line(serde_json::to_string(facts).unwrap_or_default());
        } else {
            people(self);
        }
    }

    fn first_line(&self, people: impl FnOnce(&Self)) -> String {
        self.heard.replace(Some(Vec::new()));
        people(self);
        let heard = self.heard.take().unwrap_or_default();
        heard.into_iter().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A remark that is no fact.
    pub(crate) fn remark(&self, text: impl Display) {
        if !self.json {
            drop(writeln!(io::stderr(), "{text}"));
        }
    }

    /// A word that stands out on a terminal.
    pub(crate) fn style(&self, style: Style, text: impl Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match style {
            Style::Good => "32",
            Style::Bad => "31;1",
            Style::Quiet => "2",
            Style::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Whether errors may be drawn in colour.
pub(crate) fn colours_on_stderr(env: &Env) -> bool {
    env.get("NO_COLOR").is_none_or(str::is_empty) && io::stderr().is_terminal()
}
