//! `cargo xtask verifiers`: our logs under verifiers of other makers.
//!
//! Each must accept a log as it is and refuse it once anything was changed that the verifier looks at. The logs are those
//! of the demo, which a real gateway and a real authority wrote, and a large one.
//!
//! **Invariant:** refused is what a verifier itself refuses. One that fails to run has refused nothing.

mod case;
mod change;
mod debian;
mod logs;
mod made;
mod maker;
mod python;
mod table;

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::interop::Tally;
use crate::say;
use case::{CASES, Case};
use logs::Subject;
use maker::{Maker, Missing};
use table::Cell;

/// Runs everything that can be run here.
pub(crate) fn run(root: &Path) -> io::Result<Tally> {
    let began = Instant::now();
    let kept = root.join("target/verifiers");
    std::fs::create_dir_all(&kept)?;
    let (makers, missing) = maker::all(root, &kept)?;
    let scratch = std::env::temp_dir().join(format!("remit-verifiers-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let mut cells = Vec::new();
    if !makers.is_empty() {
        cells = ask(root, &scratch, &makers)?;
        table::print(&makers, &cells);
    }
    let tally = tally(&cells, &missing);
    say(&format!("verifiers: {} in {} s", tally.line(), began.elapsed().as_secs()));
    std::fs::remove_dir_all(&scratch)?;
    Ok(tally)
}

fn tally(cells: &[Cell], missing: &[Missing]) -> Tally {
    let failed = cells.iter().filter(|cell| cell.fault.is_some()).count();
    let broken = missing.iter().filter(|missing| missing.broken).count();
    let not_run = missing.iter().map(|missing| case::for_eyes(missing.sees).count()).sum();
    let why = missing.iter().map(|missing| format!("{}: {}", missing.name, missing.why)).collect();
    Tally { good: cells.len() - failed, failed: failed + broken, not_run, why }
}

/// Every case of every log, each put before all verifiers that can judge it.
fn ask(root: &Path, scratch: &Path, makers: &[Maker]) -> io::Result<Vec<Cell>> {
    let subjects = logs::all(root, scratch)?;
    let mut cells = Vec::new();
    for subject in &subjects {
        say(&format!("{}: {} entries", subject.name, subject.size));
        for case in CASES {
            cells.extend(judge(case, subject, scratch, makers)?);
        }
    }
    Ok(cells)
}

fn judge(case: &'static Case, subject: &Subject, scratch: &Path, makers: &[Maker]) -> io::Result<Vec<Cell>> {
    let place = scratch.join("case");
    let Some(question) = case.make(subject, &place)? else { return Ok(Vec::new()) };
    let judges: Vec<&Maker> = makers.iter().filter(|maker| case.is_for(maker.sees)).collect();
    let cells = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for maker in judges {
            let (cells, question) = (&cells, &question);
            scope.spawn(move || {
                let fault = case.fault(&maker.ask(question));
                let cell = Cell { case: case.name, subject: subject.name, maker: maker.name, fault };
                if let Ok(mut cells) = cells.lock() {
                    cells.push(cell);
                }
            });
        }
    });
    std::fs::remove_dir_all(&place)?;
    cells.into_inner().map_err(|_| io::Error::other("a verifier's thread failed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use maker::Sees;

    #[test]
    fn a_verifier_that_is_missing_is_counted_and_one_that_is_broken_fails() {
        let cell = |fault: Option<&str>| Cell { case: "c", subject: "s", maker: "m", fault: fault.map(Into::into) };
        let missing = |broken| Missing { name: "m", why: "no go here".into(), sees: &[Sees::Entries], broken };
        let only = tally(&[], &[missing(false)]);
        assert!(only.not_run > 0 && only.failed == 0);
        assert!(only.passed().is_err());
        assert_eq!(tally(&[cell(None), cell(Some("why"))], &[]).failed, 1);
        assert_eq!(tally(&[cell(None)], &[missing(true)]).failed, 1);
        assert!(tally(&[cell(None)], &[missing(false)]).passed().unwrap());
    }
}
