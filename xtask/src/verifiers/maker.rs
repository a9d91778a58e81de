//! The verifiers: where each comes from, what it looks at, and how it is asked.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{debian, python};
use crate::interop::install::Failure;
use crate::interop::process::{self, Output};
use crate::say;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_mins(2);

/// What a verifier looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sees {
    /// All entries, against the root of the checkpoint.
    Entries,
    /// All tiles of hashes.
    Hashes,
    /// The signature of the checkpoint.
    Signature,
    /// Whether the tree begins with that of an earlier checkpoint.
    Growth,
    /// The proof of a single entry.
    Receipts,
}

/// One verifier that can be asked.
pub(crate) struct Maker {
    pub(crate) name: &'static str,
    pub(crate) sees: &'static [Sees],
    /// The program and what always stands before its arguments.
    command: Vec<PathBuf>,
    /// How what it says is to be read.
    words: Words,
}

/// One that cannot.
pub(crate) struct Missing {
    pub(crate) name: &'static str,
    pub(crate) why: String,
    pub(crate) sees: &'static [Sees],
    /// Its registry was reached, and it could not be installed all the same.
    pub(crate) broken: bool,
}

/// How a program words what it found.
#[derive(Debug, Clone, Copy)]
enum Words {
    /// Those in `xtask/verifiers`: a line that begins with `accepted:` or `refused:`.
    Ours,
    /// The program in docs/log.md, which ends with an exception where something does not fit.
    Page,
}

/// What is put before a verifier.
#[derive(Debug)]
pub(crate) enum Question {
    Log { dir: PathBuf, vkey: PathBuf, since: Option<PathBuf> },
    Receipt { proof: PathBuf, leaf: PathBuf, vkey: PathBuf },
}

/// What it says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    Refused,
    /// It could not be asked.
    Failed(String),
}

const SUMDB: (&str, &[Sees]) =
    ("x/mod/sumdb", &[Sees::Entries, Sees::Hashes, Sees::Signature, Sees::Growth, Sees::Receipts]);
const AICS: (&str, &[Sees]) = ("aics-tlog", SUMDB.1);
const SCITT: (&str, &[Sees]) = ("scitt-cose", &[Sees::Entries, Sees::Growth, Sees::Receipts]);
const PAGE: (&str, &[Sees]) = ("docs/log.md", &[Sees::Entries, Sees::Signature]);

/// Those that can be had here, and those that cannot.
pub(crate) fn all(root: &Path, kept: &Path) -> io::Result<(Vec<Maker>, Vec<Missing>)> {
    let ours = root.join("xtask/verifiers");
    let mut found = Found::default();
    let sumdb = debian::sumdb(&ours.join("sumdb/main.go"), kept)?;
    found.add(SUMDB, Words::Ours, sumdb.map(|(program, version)| (vec![program], version)));
    let mut python = python::Environment::new(kept);
    for ((name, sees), script) in [(AICS, "with_aics_tlog.py"), (SCITT, "with_scitt_cose.py")] {
        let installed = python.install(name);
        found.add(
            (name, sees),
            Words::Ours,
            installed.map(|(program, version)| (vec![program, ours.join(script)], version)),
        );
    }
    let page = python::page(root, kept)?;
    let installed = python.install("cryptography");
    found.add(
        PAGE,
        Words::Page,
        installed.map(|(program, version)| (vec![program, page], format!("cryptography {version}"))),
    );
    Ok((found.makers, found.missing))
}

#[derive(Default)]
struct Found {
    makers: Vec<Maker>,
    missing: Vec<Missing>,
}

impl Found {
    fn add(
        &mut self,
        (name, sees): (&'static str, &'static [Sees]),
        words: Words,
        installed: Result<(Vec<PathBuf>, String), Failure>,
    ) {
        match installed {
            Ok((command, version)) => {
                say(&format!("  {name} {version}"));
                self.makers.push(Maker { name, sees, command, words });
            }
            Err(failure) => {
                let (broken, why) = match failure {
                    Failure::NotHere(why) => (false, why),
                    Failure::Broken(why) => (true, why),
                };
                say(&format!("  {name} {}: {why}", if broken { "FAILED" } else { "skipped" }));
                self.missing.push(Missing { name, why, sees, broken });
            }
        }
    }
}

impl Maker {
    /// Puts something before it.
    pub(crate) fn ask(&self, question: &Question) -> Answer {
        let [program, before @ ..] = self.command.as_slice() else { return Answer::Failed("no program".into()) };
        let mut command = Command::new(program);
        command.args(before);
        match (question, self.words) {
            (Question::Log { dir, vkey, .. }, Words::Page) => command.arg(dir).arg(vkey),
            (Question::Log { dir, vkey, since }, Words::Ours) => command.arg("log").arg(dir).arg(vkey).args(since),
            (Question::Receipt { proof, leaf, vkey }, _) => command.arg("receipt").arg(proof).arg(leaf).arg(vkey),
        };
        match process::run(&mut command, "", ANSWER_MAX) {
            Ok(output) => self.words.read(&output),
            Err(error) => Answer::Failed(error.to_string()),
        }
    }
}

/// The exceptions by which the program in docs/log.md says no: a check of its own, and the library's.
const PAGE_REFUSES: &[&str] = &["AssertionError", "StopIteration", "cryptography.exceptions.InvalidSignature"];

impl Words {
    fn read(self, output: &Output) -> Answer {
        let last = output.err.trim_end().lines().next_back().unwrap_or_default();
        let refused = match self {
            Self::Ours => output.out.starts_with("refused: "),
            Self::Page => PAGE_REFUSES.iter().any(|exception| last.starts_with(exception)),
        };
        let accepted = match self {
            Self::Ours => output.out.starts_with("accepted: "),
            Self::Page => output.out.contains(" entries, root "),
        };
        match (output.good, accepted, refused) {
            (true, true, false) => Answer::Accepted,
            (false, false, true) => Answer::Refused,
            _ => Answer::Failed(output.last_line().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(words: Words, good: bool, out: &str, err: &str) -> Answer {
        words.read(&Output { good, out: out.into(), err: err.into() })
    }

    #[test]
    fn a_program_that_breaks_has_refused_nothing() {
        assert_eq!(says(Words::Ours, true, "accepted: 3 entries\n", ""), Answer::Accepted);
        assert_eq!(says(Words::Ours, false, "refused: why\n", ""), Answer::Refused);
        let trace = "Traceback (most recent call last):\n";
        for (good, out, err) in [
            (false, "", "panic: runtime error"),
            (false, "", &format!("{trace}AttributeError: no such thing")),
            (false, "accepted: 3 entries\n", ""),
            (true, "refused: why\n", ""),
            (true, "", ""),
        ] {
            assert!(matches!(says(Words::Ours, good, out, err), Answer::Failed(_)), "{out:?} {err:?}");
        }
        let page = |err: &str| says(Words::Page, false, "", &format!("{trace}{err}\n"));
        assert_eq!(page("AssertionError: the entries are not those that were signed"), Answer::Refused);
        assert_eq!(page("cryptography.exceptions.InvalidSignature"), Answer::Refused);
        assert!(matches!(page("FileNotFoundError: tile/entries/000"), Answer::Failed(_)));
        assert_eq!(says(Words::Page, true, "example.org/log/gw1/1: 3 entries, root x\n", ""), Answer::Accepted);
    }
}
