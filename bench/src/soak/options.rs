//! What is asked of one run.

use std::path::PathBuf;
use std::time::Duration;

/// The parts, and how many minutes each takes unless told.
pub(crate) const PARTS: &[(&str, u32)] = &[("overload", 10), ("flood", 4), ("idle", 3), ("soak", 60)];
pub(crate) const USAGE: &str = "usage: cargo xtask soak [--only PART] [--minutes N] [--write [--force]] [--dir DIR]

  --only PART   one of: overload flood idle soak
  --minutes N   how long each part lasts: 10, 4, 3 and 60 unless told
  --write       keep the tables in docs/overload.md; refused while others use the machine
  --force       write all the same, or what a shorter run has seen, and say so there
  --dir DIR     where to measure: a directory on a disk, with some gigabytes";

/// Longest part, in minutes: the runs are granted for a day.
const MINUTES_MAX: u32 = 20 * 60;

/// How much is measured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The binary of the release.
    pub(crate) remit: PathBuf,
    /// The repository.
    pub(crate) root: PathBuf,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) only: Option<String>,
    pub(crate) minutes: Option<u32>,
    pub(crate) write: bool,
    pub(crate) force: bool,
}

impl Options {
    /// Reads them; `None` where they are not to be understood.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut read = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--write" => read.write = true,
                "--force" => read.force = true,
                "--remit" => read.remit = words.next()?.into(),
                "--root" => read.root = words.next()?.into(),
                "--dir" => read.dir = Some(words.next()?.into()),
                "--only" => read.only = Some(words.next().filter(|name| PARTS.iter().any(|(part, _)| part == name))?),
                "--minutes" => {
                    let minutes = words.next()?.parse().ok().filter(|minutes| (1..=MINUTES_MAX).contains(minutes));
                    read.minutes = Some(minutes?);
                }
                _ => return None,
            }
        }
        // A run in haste is nobody's to keep by mistake.
        let wrong = read.remit.as_os_str().is_empty() || (read.write && read.minutes.is_some() && !read.force);
        (!wrong).then_some(read)
    }

    /// The parts that are wanted, in their order, and how long each lasts.
    pub(crate) fn parts(&self) -> Vec<(&'static str, Duration)> {
        let wanted = PARTS.iter().filter(|(part, _)| self.only.as_deref().is_none_or(|only| only == *part));
        wanted.map(|(part, usual)| (*part, Duration::from_secs(60) * self.minutes.unwrap_or(*usual))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Options> {
        Options::read(["--remit", "r"].into_iter().chain(line.split_whitespace()).map(ToOwned::to_owned))
    }

    #[test]
    fn what_is_not_understood_is_not_guessed() {
        for line in ["--only all", "--minutes 0", "--minutes 9999", "--only", "x", "--minutes 1 --write"] {
            assert_eq!(read(line), None, "{line}");
        }
        let asked = read("--only flood --minutes 2 --write --force").unwrap();
        assert_eq!(asked.parts(), [("flood", Duration::from_mins(2))]);
        assert_eq!(read("").unwrap().parts().len(), PARTS.len());
    }
}
