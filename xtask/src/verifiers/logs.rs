//! The logs that are checked: those that a demo left, and a large one.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::change::{Served, put};
use super::made::{self, Made};
use crate::interop::process::{self, Output};
use crate::programs;

const DEMO_MAX: Duration = Duration::from_mins(5);
const PROVE_MAX: Duration = Duration::from_mins(1);

/// One log, at rest.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) dir: PathBuf,
    pub(crate) size: u64,
    /// The key, in a file beside it.
    pub(crate) vkey: PathBuf,
    /// How it was before, where that was kept.
    pub(crate) earlier: Option<Served>,
    /// Asks for the proof of an entry: the command of the user, or what it calls.
    prove: Prove,
}

enum Prove {
    Typed { remit: PathBuf, home: PathBuf, log: &'static str },
    Called,
}

pub(crate) fn all(root: &Path, scratch: &Path) -> io::Result<Vec<Subject>> {
    programs::build(root)?;
    let remit = root.join("target/debug/remit");
    let home = scratch.join("demo");
    let mut demo = Command::new(&remit);
    must(&process::run(demo.arg("--home").arg(&home).arg("demo"), "", DEMO_MAX)?, "remit demo")?;
    let of_demo = |name, log: &'static str, dir: &str| {
        let prove = Prove::Typed { remit: remit.clone(), home: home.clone(), log };
        Subject::new(name, epoch(&home.join(dir))?, scratch, None, prove)
    };
    let Made { dir, earlier } = made::write(&scratch.join("made"))?;
    Ok(vec![
        of_demo("the demo's gateway", "gateway", "gateway/log")?,
        of_demo("the demo's authority", "authority", "authority/log/authority")?,
        Subject::new("a large log", dir, scratch, Some(earlier), Prove::Called)?,
    ])
}

/// The only epoch of a log.
fn epoch(log: &Path) -> io::Result<PathBuf> {
    let found: Vec<PathBuf> =
        std::fs::read_dir(log)?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    match found.as_slice() {
        [epoch] => Ok(epoch.clone()),
        _ => Err(io::Error::other(format!("{} epochs in {}", found.len(), log.display()))),
    }
}

fn must(output: &Output, what: &str) -> io::Result<()> {
    if output.good { Ok(()) } else { Err(io::Error::other(format!("{what}: {}", output.last_line()))) }
}

impl Subject {
    fn new(
        name: &'static str,
        dir: PathBuf,
        scratch: &Path,
        earlier: Option<Served>,
        prove: Prove,
    ) -> io::Result<Self> {
        // As an auditor keeps it: not in the directory of the log.
        let vkey = scratch.join(format!("{name}.vkey"));
        put(&vkey, &std::fs::read(dir.join("vkey"))?)?;
        let size = Served::open(&dir)?.head.size;
        Ok(Self { name, dir, size, vkey, earlier, prove })
    }

    /// The `.tlog-proof` of an entry.
    pub(crate) fn prove(&self, index: u64) -> io::Result<String> {
        match &self.prove {
            Prove::Called => Ok(remit_audit::prove_dir(&self.dir, index).map_err(io::Error::other)?.text()),
            Prove::Typed { remit, home, log } => {
                let mut command = Command::new(remit);
                command.arg("--home").arg(home).args(["log", "prove", &index.to_string(), "--log", log]);
                let output = process::run(&mut command, "", PROVE_MAX)?;
                must(&output, "remit log prove")?;
                Ok(output.out)
            }
        }
    }
}
