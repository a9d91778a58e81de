//! What is asked of one run.

use std::path::PathBuf;
use std::time::Duration;

/// What can be measured alone.
pub(crate) const NAMES: &[&str] =
    &["calls", "plan", "tokens", "log", "verify", "cost", "program", "revocation", "runs"];
pub(crate) const USAGE: &str =
    "usage: cargo xtask bench [--only NAME] [--peer URL] [--seconds N] [--quick] [--write [--force]] [--dir DIR]

  --only NAME   one of: calls plan tokens log verify cost program revocation runs
  --peer URL    another MCP endpoint in the same run, beside the direct and the governed calls
  --seconds N   how long each load lasts, 5 unless told
  --quick       everything shorter, to see that it works: its figures say little
  --write       keep the tables in docs/performance.md; refused while others use the machine
  --force       write all the same, and say so there
  --dir DIR     where to measure: a directory on a disk";

/// How much is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The binary of the release.
    pub(crate) remit: PathBuf,
    /// The repository.
    pub(crate) root: PathBuf,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) only: Option<String>,
    pub(crate) peer: Option<String>,
    pub(crate) time: Duration,
    pub(crate) quick: bool,
    pub(crate) write: bool,
    pub(crate) force: bool,
}

impl Arguments {
    /// Reads them; `None` where they are not to be understood.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut read = Self {
            remit: PathBuf::new(),
            root: PathBuf::new(),
            dir: None,
            only: None,
            peer: None,
            time: Duration::from_secs(5),
            quick: false,
            write: false,
            force: false,
        };
        let mut seconds = None;
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => read.quick = true,
                "--write" => read.write = true,
                "--force" => read.force = true,
                "--remit" => read.remit = words.next()?.into(),
                "--root" => read.root = words.next()?.into(),
                "--dir" => read.dir = Some(words.next()?.into()),
                "--only" => read.only = Some(words.next().filter(|name| NAMES.contains(&name.as_str()))?),
                "--peer" => read.peer = Some(words.next().filter(|url| url.starts_with("http://"))?),
                "--seconds" => seconds = Some(words.next()?.parse().ok().filter(|seconds| (1..=50).contains(seconds))?),
                _ => return None,
            }
        }
        // Proofs hold for a minute, and are made before.
        let usual = if read.quick { 1 } else { 5 };
        read.time = Duration::from_secs(seconds.unwrap_or(usual));
        // A page of which a part is missing, or was measured in haste, is nobody's to write by mistake.
        let part = (read.only.is_some() || read.quick) && !read.force;
        let wrong = read.remit.as_os_str().is_empty() || (read.write && part);
        (!wrong).then_some(read)
    }

    /// Whether this is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == name)
    }

    /// A number for a whole run, or a smaller one where it must be quick.
    pub(crate) fn runs(&self, whole: usize, quick: usize) -> usize {
        if self.quick { quick } else { whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Arguments> {
        Arguments::read(["--remit", "r"].into_iter().chain(line.split_whitespace()).map(ToOwned::to_owned))
    }

    #[test]
    fn what_is_not_understood_is_not_guessed() {
        for line in [
            "--only all",
            "--seconds 0",
            "--seconds 600",
            "--peer ftp://x",
            "--only",
            "x",
            "--quick --write",
            "--only plan --write",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
        let asked = read("--only plan --seconds 2 --peer http://127.0.0.1:1/mcp").unwrap();
        assert!(asked.wants("plan") && !asked.wants("calls") && asked.time == Duration::from_secs(2));
        assert_eq!(read("--quick").unwrap().runs(10, 1), 1);
        assert!(read("--quick --write --force").is_some());
    }
}
