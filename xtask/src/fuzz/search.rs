//! One search: libFuzzer on one target, for so long.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::PLANTED;
use super::options::Effort;

/// Longest input that is tried, in bytes: what is longer is no other to a parser, and slower.
const INPUT_BYTES_MAX: usize = 4096;
/// Longest input that is kept, in bytes.
const KEPT_BYTES_MAX: usize = 1024;
/// All that is kept for one target, in bytes and in inputs.
const CORPUS_BYTES_MAX: u64 = 55_000;
const CORPUS_INPUTS_MAX: usize = 250;
/// Where the choices of a search begin that is to be the same each time.
const SEED: u32 = 1;
/// Longest search by number of inputs, in seconds.
const RUNS_SECONDS_MAX: u64 = 60;
/// An input that does not end at all; what is merely slow the target itself finds.
const TIMEOUT_S: u64 = 10;
/// The whole process, in MiB: what one input may take is counted by the target itself.
const PROCESS_MIB_MAX: u64 = 2048;

/// What is to be searched.
pub(crate) struct Search {
    name: String,
    mistake: Option<&'static str>,
    program: PathBuf,
    effort: Effort,
    /// What is kept in the repository, read only.
    kept: PathBuf,
    /// What this machine has found so far.
    found: PathBuf,
    /// Where inputs are put that break the property.
    broken: PathBuf,
}

/// What came of it.
pub(crate) struct Searched {
    pub(crate) name: String,
    pub(crate) planted: bool,
    pub(crate) executions: u64,
    pub(crate) edges: u64,
    pub(crate) edges_new: u64,
    pub(crate) inputs: u64,
    /// The command that repeats what was found, and what the target said.
    pub(crate) finding: Option<(String, String)>,
}

impl Effort {
    /// What it is to libFuzzer.
    fn arguments(self) -> Vec<String> {
        match self {
            Effort::Seconds(seconds) => vec![format!("-max_total_time={seconds}")],
            Effort::Runs(runs) => {
                vec![format!("-runs={runs}"), format!("-seed={SEED}"), format!("-max_total_time={RUNS_SECONDS_MAX}")]
            }
        }
    }
}

impl Search {
    pub(crate) fn of(root: &Path, programs: &Path, name: &str, effort: Effort) -> Self {
        Self {
            name: name.to_owned(),
            mistake: None,
            program: programs.join(name),
            effort,
            kept: root.join("fuzz/corpus").join(name),
            found: root.join("target/fuzz/corpus").join(name),
            broken: root.join("target/fuzz/broken").join(name),
        }
    }

    /// A search for a planted mistake, from what is kept for the strict reader and nothing more.
    pub(crate) fn control(root: &Path, programs: &Path, mistake: &&'static str, seconds: u64) -> Self {
        let name = format!("{PLANTED}-{mistake}");
        let kept = root.join("fuzz/corpus/json");
        Self {
            mistake: Some(mistake),
            program: programs.join(PLANTED),
            kept,
            ..Self::of(root, programs, &name, Effort::Seconds(seconds))
        }
    }

    pub(crate) fn run(self) -> io::Result<Searched> {
        let again = self.mistake.is_some() || matches!(self.effort, Effort::Runs(_));
        if again && self.found.exists() {
            fs::remove_dir_all(&self.found)?;
        }
        if self.broken.exists() {
            fs::remove_dir_all(&self.broken)?;
        }
        fs::create_dir_all(&self.found)?;
        fs::create_dir_all(&self.broken)?;
        let output = self
            .program()
            .arg(&self.found)
            .arg(&self.kept)
            .args(self.effort.arguments())
            .arg(format!("-max_len={INPUT_BYTES_MAX}"))
            .arg(format!("-timeout={TIMEOUT_S}"))
            .arg(format!("-rss_limit_mb={PROCESS_MIB_MAX}"))
            .arg(format!("-artifact_prefix={}/", self.broken.display()))
            .arg("-print_final_stats=1")
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let finding = if output.status.success() { None } else { Some(self.finding(&said)?) };
        Ok(Searched { finding, ..self.read(&said) })
    }

    /// Puts into the repository what reaches edges that nothing there does, the shortest first, as far as there is room.
    pub(crate) fn keep(&self) -> io::Result<()> {
        let least = self.found.with_extension("least");
        if least.exists() {
            fs::remove_dir_all(&least)?;
        }
        fs::create_dir_all(&least)?;
        fs::create_dir_all(&self.found)?;
        let merge = ["-set_cover_merge=1".to_owned(), format!("-max_len={KEPT_BYTES_MAX}")];
        let output = self.program().args(merge).args([&least, &self.kept, &self.found]).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let kept = sized(&self.kept)?;
        let mut bytes: u64 = kept.iter().map(|(bytes, _)| bytes).sum();
        let mut room = CORPUS_INPUTS_MAX.saturating_sub(kept.len());
        let kept = kept.iter().map(|(_, path)| fs::read(path)).collect::<io::Result<BTreeSet<_>>>()?;
        for (more, path) in sized(&least)? {
            if kept.contains(&fs::read(&path)?) {
                continue;
            }
            let to = self.kept.join(path.file_name().unwrap_or_default());
            bytes += more;
            if bytes > CORPUS_BYTES_MAX || room == 0 {
                break;
            }
            room -= 1;
            fs::copy(path, to)?;
        }
        Ok(())
    }

    fn program(&self) -> Command {
        let mut program = Command::new(&self.program);
        program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        program.envs(self.mistake.map(|mistake| ("REMIT_PLANTED", mistake)));
        program
    }

    fn finding(&self, said: &str) -> io::Result<(String, String)> {
        let input = fs::read_dir(&self.broken)?.next().transpose()?.map(|entry| entry.path());
        let input = input.map_or_else(|| "(no input was kept)".into(), |path| path.display().to_string());
        let planted = self.mistake.map_or_else(String::new, |mistake| format!("REMIT_PLANTED={mistake} "));
        let noise = |line: &&str| {
            !line.starts_with(['#', '\t', ' ']) && !line.starts_with("INFO:") && !line.starts_with("WARNING:")
        };
        let words: Vec<&str> = said.lines().filter(noise).take(12).collect();
        Ok((format!("{planted}{} {input}", self.program.display()), words.join("\n    ")))
    }

    fn read(&self, said: &str) -> Searched {
        let stat = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
        };
        let field = |line: &str, name: &str| -> Option<u64> {
            let mut words = line.split([' ', '/']).skip_while(|word| *word != name);
            words.nth(1)?.parse().ok()
        };
        let steps = || said.lines().filter(|line| line.starts_with('#') && line.contains(" cov: "));
        let edges = |line: Option<&str>| line.and_then(|line| field(line, "cov:")).unwrap_or(0);
        let (first, last) = (edges(steps().find(|line| line.contains("INITED"))), edges(steps().next_back()));
        Searched {
            name: self.name.clone(),
            planted: self.mistake.is_some(),
            executions: stat("number_of_executed_units"),
            edges: last,
            edges_new: last.saturating_sub(first),
            inputs: steps().next_back().and_then(|line| field(line, "corp:")).unwrap_or(0),
            finding: None,
        }
    }
}

impl Searched {
    /// One line while others still search.
    pub(crate) fn line(&self) -> String {
        let found = if self.finding.is_some() { "found something" } else { "found nothing" };
        format!("  {}: {found} in {} executions", self.name, self.executions)
    }

    /// What is wrong: a property is broken, or a planted mistake was not found.
    pub(crate) fn fault(&self) -> Option<String> {
        match (&self.finding, self.planted) {
            (None, true) => {
                Some(format!("\n{}: the planted mistake was NOT found: this run proves nothing", self.name))
            }
            (Some((command, said)), false) => {
                Some(format!("\n{}: BROKEN; repeat it with\n\n    {command}\n\n    {said}\n", self.name))
            }
            (Some(_), true) | (None, false) if self.planted || self.executions > 0 => None,
            _ => Some(format!("\n{}: nothing was executed", self.name)),
        }
    }
}

/// The files of a folder, the shortest first.
fn sized(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let one = |entry: io::Result<fs::DirEntry>| entry.and_then(|entry| Ok((entry.metadata()?.len(), entry.path())));
    let mut files = fs::read_dir(folder)?.map(one).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "INFO: Seed: 1\n#15\tINITED cov: 120 ft: 300 corp: 14/1Kb exec/s: 0 rss: 40Mb\n\
        #900\tNEW    cov: 131 ft: 330 corp: 20/3Kb lim: 8 exec/s: 0 rss: 41Mb L: 3/4 MS: 1 EraseBytes-\n\
        #2000\tDONE   cov: 131 ft: 330 corp: 20/3Kb lim: 8 exec/s: 1000 rss: 41Mb\n\
        ###### Recommended dictionary. ######\n\"a\" # Uses: 3\n###### End of recommended dictionary. ######\n\
        stat::number_of_executed_units: 2000\nstat::peak_rss_mb: 41\n";

    fn search(planted: bool) -> Searched {
        let (root, programs) = (Path::new("r"), Path::new("p"));
        let search = if planted {
            Search::control(root, programs, &"slow", 1)
        } else {
            Search::of(root, programs, "x", Effort::Seconds(1))
        };
        search.read(&SAID.replace('\t', " "))
    }

    #[test]
    fn what_libfuzzer_says_is_read() {
        let read = search(false);
        assert_eq!((read.executions, read.edges, read.edges_new, read.inputs), (2000, 131, 11, 20));
    }

    #[test]
    fn no_finding_is_right_and_no_planted_one_is_wrong() {
        let finding = || Some(("p/x r/y".to_owned(), "said".to_owned()));
        assert_eq!(search(false).fault(), None);
        assert!(search(true).fault().unwrap().contains("NOT found"));
        assert!(Searched { finding: finding(), ..search(false) }.fault().unwrap().contains("p/x r/y"));
        assert_eq!(Searched { finding: finding(), ..search(true) }.fault(), None);
        assert!(Searched { executions: 0, ..search(false) }.fault().unwrap().contains("nothing was executed"));
    }
}
