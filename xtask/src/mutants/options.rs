//! What `cargo xtask mutants` is told.

/// How it is used.
pub(crate) const USAGE: &str = "usage: cargo xtask mutants [--sample N | --all | FILE…]";

/// Which mutants are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Options {
    /// Each of the strict set.
    Strict,
    /// So many of the strict set, spread evenly, and each time the same ones.
    Sample(usize),
    /// Each of the strict set, and of all other files of its crates.
    All,
    /// Each of these files.
    Files(Vec<String>),
}

impl Options {
    /// Reads the arguments; `None` where they make no sense.
    pub(crate) fn read(arguments: &[&str]) -> Option<Self> {
        match arguments {
            [] => Some(Self::Strict),
            ["--all"] => Some(Self::All),
            ["--sample", count] => count.parse().ok().filter(|count| *count > 0).map(Self::Sample),
            files if files.iter().any(|file| file.starts_with('-')) => None,
            files => Some(Self::Files(files.iter().map(ToString::to_string).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_refused() {
        let check = |arguments: &[&str], expected: Option<Options>| assert_eq!(Options::read(arguments), expected);
        check(&[], Some(Options::Strict));
        check(&["--all"], Some(Options::All));
        check(&["--sample", "8"], Some(Options::Sample(8)));
        check(&["a.rs", "b.rs"], Some(Options::Files(vec!["a.rs".into(), "b.rs".into()])));
        for bad in
            [&["--sample"][..], &["--sample", "0"], &["--sample", "x"], &["--all", "a.rs"], &["--sample", "8", "--all"]]
        {
            check(bad, None);
        }
    }
}
