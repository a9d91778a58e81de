//! Three copies of the log that somebody changed: each is told apart from the true one, in its own words.

use std::path::{Path, PathBuf};

use super::Step;
use super::story::{short, step};
use super::world::{Printed, World, failed};
use crate::error::CliError;

/// The true log, and what was known of it earlier.
pub(super) struct True {
    /// Its directory, of one epoch.
    pub(super) dir: PathBuf,
    /// Its verifier key, as an auditor keeps it: a copy outside the directory.
    pub(super) vkey: PathBuf,
    /// A checkpoint that the log signed earlier.
    pub(super) earlier: String,
}

/// Verifies the true log and refuses the three copies.
pub(super) async fn steps(world: &World, log: &True) -> Result<Vec<Step>, CliError> {
    let mut steps = Vec::new();
    let good = verify(world, &log.dir, log, None).await?;
    steps.push(told("verify the log, with the key that an auditor keeps", &good, 0));
    let checkpoint = log.dir.join("checkpoint");
    let alone = world.remit(&["log", "verify", &text(&log.dir)]).await?;
    steps.push(told("verify it with no key at hand", &alone, 0));

    let changed = copy(world, log, "changed")?;
    flip(&partial(&changed.join("tile/entries/000.p"))?)?;
    steps.push(told("a copy with one byte of one entry changed", &verify(world, &changed, log, None).await?, 1));

    let short = copy(world, log, "truncated")?;
    truncate(&short, &log.earlier)?;
    steps.push(told("a copy that ends earlier", &verify(world, &short, log, Some(&checkpoint)).await?, 1));

    let forged = copy(world, log, "re-signed")?;
    resign(&forged)?;
    steps.push(told("a copy re-signed with another key", &verify(world, &forged, log, None).await?, 1));
    Ok(steps)
}

async fn verify(world: &World, dir: &Path, log: &True, since: Option<&Path>) -> Result<Printed, CliError> {
    let (dir, vkey) = (text(dir), text(&log.vkey));
    let mut args = vec!["log", "verify", &dir, "--vkey", &vkey];
    let since = since.map(text);
    if let Some(since) = &since {
        args.extend(["--since", since]);
    }
    world.remit(&args).await
}

fn told(what: &str, printed: &Printed, code: i32) -> Step {
    let says = printed.json.get("says").and_then(serde_json::Value::as_str).unwrap_or(&printed.err);
    step(what, short(says), printed.code == code, printed.ms)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn copy(world: &World, log: &True, name: &str) -> Result<PathBuf, CliError> {
    let to = world.home.join("copies").join(name);
    copy_dir(&log.dir, &to).map_err(|error| failed(format!("{}: {error}", to.display())))?;
    Ok(to)
}

fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Writes without any care for durability: these copies are thrown away.
#[expect(clippy::disallowed_methods, reason = "a copy that is thrown away")]
fn put(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    std::fs::write(path, bytes).map_err(|error| failed(format!("{}: {error}", path.display())))
}

fn get(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| failed(format!("{}: {error}", path.display())))
}

/// The one partial file of a directory such as `tile/0/000.p`.
fn partial(dir: &Path) -> Result<PathBuf, CliError> {
    let found = std::fs::read_dir(dir).ok().and_then(|mut entries| entries.next()).and_then(Result::ok);
    found.map(|entry| entry.path()).ok_or_else(|| failed(format!("{} holds no partial tile", dir.display())))
}

fn flip(path: &Path) -> Result<(), CliError> {
    let mut bytes = get(path)?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    put(path, &bytes)
}

/// What somebody does who would like the last entries never to have been: an earlier state, with the checkpoint that
/// the log itself signed then. It verifies by itself; only who knows a later checkpoint sees it.
fn truncate(dir: &Path, earlier: &str) -> Result<(), CliError> {
    let size: usize = earlier.lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or_default();
    let hashes = dir.join("tile/0/000.p");
    cut(&hashes, size, |bytes| bytes.get(..size.checked_mul(32)?))?;
    cut(&dir.join("tile/entries/000.p"), size, |bytes| records(bytes, size, 2, 0))?;
    let sealed = dir.join("sealed/000");
    let bytes = get(&sealed)?;
    put(&sealed, records(&bytes, size, 4, 4).ok_or_else(|| failed("the log is shorter than it was".into()))?)?;
    put(&dir.join("checkpoint"), earlier.as_bytes())
}

fn cut(dir: &Path, size: usize, keep: impl for<'b> Fn(&'b [u8]) -> Option<&'b [u8]>) -> Result<(), CliError> {
    let old = partial(dir)?;
    let bytes = get(&old)?;
    let kept = keep(&bytes).ok_or_else(|| failed("the log is shorter than it was".into()))?;
    put(&dir.join(size.to_string()), kept)?;
    std::fs::remove_file(&old).map_err(|error| failed(error.to_string()))
}

/// The first records of a file, each a big-endian length, some more header, and its bytes.
fn records(bytes: &[u8], count: usize, length: usize, more: usize) -> Option<&[u8]> {
    let mut end = 0_usize;
    for _ in 0..count {
        let header = bytes.get(end..end.checked_add(length)?)?;
        let size = header.iter().fold(0_usize, |size, byte| (size << 8) | usize::from(*byte));
        end = end.checked_add(length)?.checked_add(more)?.checked_add(size)?;
    }
    bytes.get(..end)
}

/// What somebody does who has the files and not the key: the same tree, signed with a key of his own.
fn resign(dir: &Path) -> Result<(), CliError> {
    let path = dir.join("checkpoint");
    let note = String::from_utf8_lossy(&get(&path)?).into_owned();
    let (text, _) = note.split_once("\n\n").ok_or_else(|| failed("the checkpoint is not a note".into()))?;
    let origin = text.lines().next().unwrap_or_default();
    let forger = remit_audit::note::Signer::from_seed(origin, &[7; 32]).map_err(|error| failed(error.to_string()))?;
    put(&dir.join("vkey"), format!("{}\n", forger.vkey()).as_bytes())?;
    put(&path, remit_audit::note::sign(&format!("{text}\n"), &forger).as_bytes())
}
