//! What goes to the terminal: facts to standard output, what accompanies them to standard error.
//!
//! **Invariant:** with `--json` standard output holds JSON and nothing else; colours only ever reach a terminal; a line
//! is one line, and no text that others word can steer a terminal or look like another line.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, IsTerminal as _, Write as _};
use std::rc::Rc;

use serde::Serialize;
use serde_json::Value;

use crate::config::Env;

/// The terminal, or what stands in its place.
#[derive(Clone)]
pub(crate) struct Out {
    json: bool,
    colour: bool,
    /// Begins a style. Nobody who words a text can guess it, so that no text brings a style of its own.
    mark: String,
    open: Rc<Cell<bool>>,
    /// Why what was printed did not get where it should.
    fault: Rc<RefCell<Option<String>>>,
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
            mark: format!("\u{1b}{:016x}[", RandomState::new().hash_one(0)),
            open: Rc::new(Cell::new(true)),
            fault: Rc::default(),
            heard: RefCell::default(),
        }
    }

    /// Whether anybody still reads.
    pub(crate) fn is_open(&self) -> bool {
        self.open.get()
    }

    /// Why what was printed is lost, where it is and nobody wanted it so.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.borrow().clone()
    }

    /// Whether it speaks to a program.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// One line for people: what would steer the terminal is shown, not sent.
    pub(crate) fn line(&self, text: impl Display) {
        self.put(&self.drawn(&text.to_string()));
    }

    /// Text of several lines.
    pub(crate) fn lines(&self, text: &str) {
        text.lines().for_each(|line| self.line(line));
    }

    /// What this program wrote for another program, to the byte.
    pub(crate) fn raw(&self, text: &str) {
        self.put(text);
    }

    fn put(&self, text: &str) {
        if let Some(heard) = self.heard.borrow_mut().as_mut() {
            heard.push(text.to_string());
            return;
        }
        let mut stdout = io::stdout().lock();
        // Whoever closed the pipe has seen enough: that is no error.
        let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
        if let Err(error) = written {
            self.open.set(false);
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.fault.replace(Some(error.to_string()));
            }
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
        self.put(&json_line(&object.to_string()));
    }

    /// The same, where every member has its own meaning.
    pub(crate) fn object(&self, facts: &impl Serialize, people: impl FnOnce(&Self)) {
        if self.json {
            self.put(&json_line(&serde_json::to_string(facts).unwrap_or_default()));
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
            drop(writeln!(io::stderr(), "{}", visible(&text.to_string())));
        }
    }

    /// A word that stands out on a terminal.
    pub(crate) fn style(&self, style: Style, text: impl Display) -> String {
        let text = text.to_string();
        if !self.colour {
            return text;
        }
        let code = match style {
            Style::Good => "32",
            Style::Bad => "31;1",
            Style::Quiet => "2",
            Style::Strong => "1",
        };
        format!("{mark}{code}m{text}{mark}0m", mark = self.mark)
    }

    /// A line with its own styles, and with nothing else that a terminal obeys.
    fn drawn(&self, line: &str) -> String {
        let mut parts = line.split(self.mark.as_str());
        let mut drawn = visible(parts.next().unwrap_or_default()).into_owned();
        for part in parts {
            let (code, text) = part.split_once('m').unwrap_or_default();
            drawn.extend(["\u{1b}[", code, "m", &visible(text)]);
        }
        drawn
    }
}

/// A text in which everything stands that is in it: characters that steer a terminal, break the line, turn its order
/// around or take no place are written as `\u{…}`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let show = |c: char| if is_hidden(c) { c.escape_unicode().to_string() } else { c.into() };
    Cow::Owned(text.chars().map(show).collect())
}

/// A text in quotes that it cannot end by itself.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", visible(&text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A name as it is where it can be nothing but one word, and in quotes otherwise.
pub(crate) fn named(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "@._+-/:".contains(c);
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { quoted(name) }
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The same JSON. Only within its texts can such characters stand, and there they can be written like this.
fn json_line(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                line.extend(["\\u", &format!("{unit:04x}")]);
            }
        } else {
            line.push(c);
        }
    }
    Cow::Owned(line)
}

/// Whether errors may be drawn in colour.
pub(crate) fn colours_on_stderr(env: &Env) -> bool {
    env.get("NO_COLOR").is_none_or(str::is_empty) && io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coloured() -> Out {
        Out { colour: true, ..Out::new(false, &Env::default()) }
    }

    #[test]
    fn what_steers_a_terminal_is_shown_and_the_rest_is_left() {
        for (text, shown) in [
            ("plain, ünïcode, 日本, 🎉, \\u{1b}", "plain, ünïcode, 日本, 🎉, \\u{1b}"),
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("a\nPROVED\r\tb", "a\\u{a}PROVED\\u{d}\\u{9}b"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("\u{202e}\u{2066}\u{200f}", "\\u{202e}\\u{2066}\\u{200f}"),
            ("\u{200b}\u{feff}\u{e0041}\u{2028}", "\\u{200b}\\u{feff}\\u{e0041}\\u{2028}"),
        ] {
            assert_eq!(visible(text), shown);
            let json = json_line(&serde_json::to_string(text).unwrap()).into_owned();
            assert!(!json.chars().any(is_hidden), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn a_line_has_the_styles_of_this_program_and_no_others() {
        let out = coloured();
        let line = format!("{} {}", out.style(Style::Good, "a\u{1b}[31mb"), "\u{1b}[32mPROVED\u{1b}[0m");
        assert_eq!(out.drawn(&line), "\u{1b}[32ma\\u{1b}[31mb\u{1b}[0m \\u{1b}[32mPROVED\\u{1b}[0m");
        let other = coloured().style(Style::Good, "PROVED");
        assert!(out.drawn(&other).starts_with("\\u{1b}"), "another process's mark is none");
    }

    #[test]
    fn a_quoted_text_does_not_end_its_quotes() {
        assert_eq!(quoted("a\", until \\ \n"), r#""a\", until \\ \u{a}""#);
        assert_eq!(
            (named("ann@acme.example").as_str(), named("ann, as").as_str()),
            ("ann@acme.example", "\"ann, as\"")
        );
    }
}
