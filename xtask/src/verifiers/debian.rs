//! Go's own libraries for checksum databases, from Debian: the compiler is unpacked beside the build and goes again when
//! the verifier is built. Nothing is installed on the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::change::put;
use crate::interop::install::{Failure, must};
use crate::interop::process;
use crate::say;

const PACKAGES: &[&str] = &["golang-go", "golang-golang-x-mod-dev"];
/// The library, as its package is named.
const LIBRARY: &str = "golang-golang-x-mod-dev_";
const INSTALL_MAX: Duration = Duration::from_mins(5);
const ASK_MAX: Duration = Duration::from_secs(30);

/// The verifier's program, and the version of the library that is in it.
pub(crate) fn sumdb(source: &Path, kept: &Path) -> io::Result<Result<(PathBuf, String), Failure>> {
    let (program, built_from, version) = (kept.join("sumdb"), kept.join("sumdb.go"), kept.join("sumdb.version"));
    let fresh = program.exists() && fs::read(&built_from).ok() == fs::read(source).ok();
    if !fresh {
        say("  x/mod/sumdb: getting Go from Debian …");
        let place = kept.join("debian");
        let built = build(source, &place, &program);
        fs::remove_dir_all(&place)?;
        match built {
            Ok(found) => put(&version, found.as_bytes())?,
            Err(failure) => return Ok(Err(failure)),
        }
        put(&built_from, &fs::read(source)?)?;
    }
    Ok(Ok((program, fs::read_to_string(version)?)))
}

fn build(source: &Path, place: &Path, program: &Path) -> Result<String, Failure> {
    let end = Instant::now() + INSTALL_MAX;
    let broken = |error: io::Error| Failure::Broken(error.to_string());
    fs::create_dir_all(place).map_err(broken)?;
    let names = if let Some(names) = needed()? {
        names
    } else {
        // A fresh machine knows no package until it has asked.
        apt(Command::new("apt-get").args(["update", "-qq"]))?;
        needed()?.ok_or_else(|| Failure::NotHere("apt knows no golang-go here".into()))?
    };
    apt(Command::new("apt-get").current_dir(place).args(["download", "-qq"]).args(names))?;
    let packages = ending(place, "deb").map_err(broken)?;
    for package in &packages {
        must("dpkg-deb", Command::new("dpkg-deb").arg("-x").arg(package).arg(place), end)?;
    }
    let roots = ending(&place.join("usr/lib"), "").map_err(broken)?;
    let go = roots.iter().find(|path| path.join("bin/go").exists());
    let go = go.ok_or_else(|| Failure::Broken("no go in Debian's golang-go".into()))?;
    let mut compile = Command::new(go.join("bin/go"));
    compile.env("GOROOT", go).env("GOPATH", place.join("usr/share/gocode")).env("GO111MODULE", "off");
    compile.env("GOCACHE", place.join("cache")).env("GOFLAGS", "").env("GOPROXY", "off").env("CGO_ENABLED", "0");
    must("go", compile.args(["build", "-o"]).arg(program).arg(source), end)?;
    let library = packages.iter().find_map(|path| path.file_name()?.to_str()?.strip_prefix(LIBRARY));
    let version = library.and_then(|rest| rest.split('_').next()).unwrap_or("of unknown version");
    Ok(format!("{version} of Debian"))
}

/// Our packages, and those of Go that they need; nothing where apt does not know them.
fn needed() -> Result<Option<Vec<String>>, Failure> {
    let mut ask = Command::new("apt-cache");
    ask.args(["depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"]);
    ask.args(["--no-replaces", "--no-enhances"]).args(PACKAGES);
    let output = process::run(&mut ask, "", ASK_MAX).map_err(|_| Failure::NotHere("no apt here".into()))?;
    let names: Vec<String> = output.out.lines().filter(|line| line.starts_with("golang-")).map(str::to_owned).collect();
    Ok((output.good && !names.is_empty()).then_some(names))
}

fn apt(command: &mut Command) -> Result<(), Failure> {
    match process::run(command, "", INSTALL_MAX) {
        Ok(output) if output.good => Ok(()),
        Ok(output) => Err(failure(&output.err)),
        Err(error) => Err(Failure::NotHere(format!("apt-get: {error}"))),
    }
}

/// What apt says where it may not, or where no archive can be reached.
const UNREACHABLE: &[&str] = &["Permission denied", "Could not resolve", "Could not connect", "Failed to fetch"];

fn failure(said: &str) -> Failure {
    let error = said.lines().find_map(|line| line.strip_prefix("E: ")).unwrap_or("it said nothing").to_owned();
    let excused = UNREACHABLE.iter().any(|word| said.contains(word));
    if excused { Failure::NotHere(format!("apt-get: {error}")) } else { Failure::Broken(format!("apt-get: {error}")) }
}

/// The files of a folder with this extension.
fn ending(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?.into_iter().map(|entry| entry.path());
    let has = |path: &PathBuf| path.extension().unwrap_or_default() == extension;
    Ok(paths.filter(|path| extension.is_empty() || has(path)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_is_out_of_reach_is_excused() {
        for said in [
            "E: Failed to fetch http://deb.example/x.deb  Could not connect",
            "W: old\nE: Could not open lock file - open (13: Permission denied)",
        ] {
            assert!(matches!(failure(said), Failure::NotHere(why) if why.contains("Could not")), "{said}");
        }
        assert!(matches!(failure("E: Unable to locate package x"), Failure::Broken(why) if why.contains("locate")));
    }
}
