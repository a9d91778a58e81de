//! What `cargo xtask fuzz` is told.

/// How it is used.
pub(crate) const USAGE: &str = "usage: cargo xtask fuzz [--seconds N] [--keep] [TARGET…]";

/// How long each target is searched, unless somebody says otherwise.
const SECONDS: u64 = 60;

/// What was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// How long each target is searched.
    pub(crate) seconds: u64,
    /// Whether what was found worth keeping goes into `fuzz/corpus`.
    pub(crate) keep: bool,
    /// The targets, all where none is named.
    pub(crate) targets: Vec<String>,
}

impl Options {
    /// Reads the arguments; `None` where they make no sense.
    pub(crate) fn read(arguments: &[&str]) -> Option<Self> {
        let mut options = Self { seconds: SECONDS, keep: false, targets: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match *argument {
                "--seconds" => options.seconds = rest.next()?.parse().ok().filter(|seconds| *seconds > 0)?,
                "--keep" => options.keep = true,
                name if name.starts_with('-') => return None,
                name => options.targets.push(name.to_owned()),
            }
        }
        Some(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_refused() {
        let options = Options::read(&["--seconds", "5", "json", "--keep", "sse"]).unwrap();
        assert_eq!((options.seconds, options.keep, options.targets), (5, true, vec!["json".into(), "sse".into()]));
        assert_eq!(Options::read(&[]).unwrap().seconds, SECONDS);
        for bad in [&["--seconds"][..], &["--seconds", "0"], &["--seconds", "x"], &["--all"]] {
            assert_eq!(Options::read(bad), None);
        }
    }
}
