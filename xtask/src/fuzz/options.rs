//! What `cargo xtask fuzz` is told.

use std::fmt;

/// How it is used.
pub(crate) const USAGE: &str = "usage: cargo xtask fuzz [--seconds N | --runs N] [--keep] [TARGET…]";

/// How long each target is searched, unless somebody says otherwise.
const SECONDS: u64 = 60;

/// How far each target is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For so long, from all that was ever found here, and each time otherwise.
    Seconds(u64),
    /// So many inputs, from what the repository keeps, and each time the same ones: what it finds is a change's own fault.
    Runs(u64),
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effort::Seconds(seconds) => write!(f, "{seconds} s each"),
            Effort::Runs(runs) => write!(f, "{runs} inputs each"),
        }
    }
}

/// What was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// How far each target is searched.
    pub(crate) effort: Effort,
    /// Whether what was found worth keeping goes into `fuzz/corpus`.
    pub(crate) keep: bool,
    /// The targets, all where none is named.
    pub(crate) targets: Vec<String>,
}

impl Options {
    /// Reads the arguments; `None` where they make no sense.
    pub(crate) fn read(arguments: &[&str]) -> Option<Self> {
        let mut options = Self { effort: Effort::Seconds(SECONDS), keep: false, targets: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match *argument {
                "--seconds" => options.effort = Effort::Seconds(positive(rest.next()?)?),
                "--runs" => options.effort = Effort::Runs(positive(rest.next()?)?),
                "--keep" => options.keep = true,
                name if name.starts_with('-') => return None,
                name => options.targets.push(name.to_owned()),
            }
        }
        Some(options)
    }
}

fn positive(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_refused() {
        let options = Options::read(&["--seconds", "5", "json", "--keep", "sse"]).unwrap();
        let targets = vec!["json".into(), "sse".into()];
        assert_eq!((options.effort, options.keep, options.targets), (Effort::Seconds(5), true, targets));
        assert_eq!(Options::read(&[]).unwrap().effort, Effort::Seconds(SECONDS));
        assert_eq!(Options::read(&["--runs", "7"]).unwrap().effort, Effort::Runs(7));
        for bad in [&["--seconds"][..], &["--runs", "0"], &["--seconds", "0"], &["--seconds", "x"], &["--all"]] {
            assert_eq!(Options::read(bad), None);
        }
    }
}
