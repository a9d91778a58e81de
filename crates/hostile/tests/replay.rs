//! The kept corpus of `fuzz/`, through the same properties, on any compiler and without libFuzzer: what once broke one
//! is never broken again.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says of which file")]

use std::fs;
use std::path::{Path, PathBuf};

use remit_hostile::{ALL, Mistake, planted};

/// All of the corpus, in bytes.
const CORPUS_BYTES_MAX: u64 = 1_000_000;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name)
}

fn kept(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(corpus(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn replay(name: &str) {
    let (_, property) = ALL.iter().find(|(known, _)| *known == name).unwrap();
    let inputs = kept(name);
    assert!(!inputs.is_empty(), "nothing is kept for {name}");
    for (path, bytes) in inputs {
        // Whatever fails is known by its file.
        eprintln!("{}", path.display());
        property(&bytes);
    }
}

macro_rules! replayed {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_property_is_replayed() {
            assert_eq!(ALL.map(|(name, _)| name).as_slice(), [$(stringify!($name)),*]);
        }
    };
}

replayed! {
    bundle chain client envelope form grant headers issuer json leaf list manifest names note policy schema segment sse tile token wire
}

#[test]
fn the_corpus_is_small_and_each_part_has_its_target() {
    let mut bytes = 0;
    for entry in fs::read_dir(corpus("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(ALL.iter().any(|(known, _)| *known == name), "{name} is nobody's");
        let target = corpus("").join(format!("../src/bin/{name}.rs"));
        let text = fs::read_to_string(&target).unwrap();
        assert!(text.contains(&format!("target!(remit_hostile::{name})")), "{}", target.display());
        bytes += kept(&name).iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
    }
    assert!(bytes < CORPUS_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn the_planted_mistake_breaks_the_property() {
    let read = |bytes: &[u8]| std::panic::catch_unwind(|| planted(Mistake::Twice, bytes)).is_ok();
    assert!(read(br#"{"x":{"a":1,"b":2}}"#) && read(br#"{"x":{"a":1,"a":2}}"#));
    assert!(!read(br#"{"x":{"a":1,"\u0061":2}}"#));
}
