//! `cargo xtask fault`: the log under fault, on a simulated disk and as the real binary with everything around it.
//!
//! Each method first finds mistakes that are made on purpose, then looks for others. After each fault `fsck` must be
//! clean, a normal start must go on, nothing that was acknowledged may be lost, every effect must have its intent, and
//! no intent may stay open.
//!
//! **Invariant:** a method by which no fault took effect has shown nothing, and fails.

mod call;
mod controls;
mod entries;
mod full;
mod kill;
mod load;
mod oracle;
mod simulated;
mod syscalls;
mod tracer;
mod typed;
mod workers;
mod world;

use std::io;
use std::path::Path;
use std::time::Instant;

use crate::{programs, say};

pub(crate) const USAGE: &str =
    "usage: cargo xtask fault [--long] [--built] [--only NAME]…, of power, edits, syscalls, kill, full";

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In minutes, for every change.
    Short,
    /// In hours.
    Long,
}

/// What came of a method.
enum Done {
    /// All is well; what there is to say of it, above all how many faults took effect.
    Well(String),
    /// It cannot be run here.
    Skipped(String),
}

type Method = fn(&Path, Form) -> io::Result<Done>;

const METHODS: &[(&str, Method)] = &[
    ("power", |root, form| simulated::power(root, form).map(Done::Well)),
    ("edits", |root, form| simulated::edits(root, form).map(Done::Well)),
    ("syscalls", |root, form| syscalls::run(root, form)),
    ("kill", |root, form| kill::run(root, form).map(Done::Well)),
    ("full", full::run),
];

/// What was asked for.
pub(crate) struct Options {
    form: Form,
    only: Vec<&'static str>,
    /// The binary is taken as it is.
    built: bool,
    /// The method of the full disk calls itself, within a namespace where it may mount.
    mounted: bool,
}

impl Options {
    /// Reads the words behind `fault`.
    pub(crate) fn read(words: &[&str]) -> Option<Self> {
        let mut options = Self { form: Form::Short, only: Vec::new(), built: false, mounted: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--long" => options.form = Form::Long,
                "--built" => options.built = true,
                "--mounted" => options.mounted = true,
                "--only" => {
                    let asked = words.next()?;
                    options.only.push(METHODS.iter().find(|(name, _)| name == asked)?.0);
                }
                _ => return None,
            }
        }
        Some(options)
    }
}

/// Whether every method that was asked for found its controls and nothing else.
pub(crate) fn run(root: &Path, options: &Options) -> io::Result<bool> {
    if options.mounted {
        return full::mounted(root, options.form).map(|line| say(&format!("= {line}"))).map(|()| true);
    }
    if !options.built {
        programs::build(root)?;
    }
    let mut rows = Vec::new();
    let mut good = true;
    let asked = METHODS.iter().filter(|(name, _)| options.only.is_empty() || options.only.contains(name));
    for (name, method) in asked {
        say(&format!("== fault: {name}"));
        let began = Instant::now();
        let (result, detail) = match method(root, options.form) {
            Ok(Done::Well(counts)) => ("passed", counts),
            Ok(Done::Skipped(why)) => ("skipped", why),
            Err(error) => {
                good = false;
                ("FAILED", error.to_string())
            }
        };
        rows.push(format!("  {name:<9} {result:<8} {:>5} s  {detail}", began.elapsed().as_secs()));
        say(rows.last().map_or("", String::as_str));
    }
    say(&format!("\nfault {}\n{}", if good { "passed" } else { "FAILED" }, rows.join("\n")));
    Ok(good)
}

fn failed(why: impl Into<String>) -> io::Error {
    io::Error::other(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_read() {
        let options = Options::read(&["--long", "--only", "kill", "--only", "full"]).unwrap();
        assert_eq!((options.form, options.only.as_slice()), (Form::Long, ["kill", "full"].as_slice()));
        assert_eq!(Options::read(&[]).unwrap().form, Form::Short);
        for wrong in [&["--only"][..], &["--only", "luck"], &["kill"]] {
            assert!(Options::read(wrong).is_none(), "{wrong:?}");
        }
    }
}
