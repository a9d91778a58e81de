//! The bytes of every kind of event are fixed for ever: a changed byte would make old proofs unreadable.
//!
//! Where a new version of the event is meant, `REMIT_GOLDEN=write` writes the files again, next to the old ones.

use std::collections::BTreeSet;
use std::path::PathBuf;

use remit_core::event::canon::Node;
use remit_core::event::{Kind, LEAF_BYTES_MAX, read};

use crate::make::all;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.json"))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a golden file needs no durability, and its switch is not configuration")]
fn no_byte_of_any_kind_has_changed() {
    for (name, _, leaf) in all() {
        let (file, leaf) = (file(name), of_any_version(&leaf));
        if std::env::var("REMIT_GOLDEN").is_ok_and(|mode| mode == "write") && !file.exists() {
            std::fs::write(&file, &leaf).unwrap();
        }
        assert_eq!(leaf, std::fs::read_to_string(&file).unwrap(), "{name}");
    }
}

/// The leaf as every version of Remit writes it: each says its own.
fn of_any_version(leaf: &[u8]) -> String {
    let product = |version: &str| format!("\"vendor_name\":\"Remit\",\"version\":\"{version}\"");
    let text = std::str::from_utf8(leaf).unwrap();
    assert_eq!(text.matches(&product(env!("CARGO_PKG_VERSION"))).count(), 1);
    text.replace(&product(env!("CARGO_PKG_VERSION")), &product("0.0.0"))
}

#[test]
fn every_kind_has_a_golden_file_and_every_file_a_kind() {
    let made: BTreeSet<&str> = all().into_iter().map(|(_, kind, _)| kind.name()).collect();
    assert_eq!(made, Kind::ALL.into_iter().map(Kind::name).collect());
    let names: BTreeSet<PathBuf> = all().into_iter().map(|(name, ..)| file(name)).collect();
    let found = std::fs::read_dir(file("x").parent().unwrap()).unwrap();
    assert_eq!(names, found.map(|entry| entry.unwrap().path()).collect());
}

#[test]
fn a_leaf_reads_back_as_its_kind_and_in_no_other_form() {
    for (name, kind, leaf) in all() {
        assert!(leaf.len() <= LEAF_BYTES_MAX);
        let (found, node) = read(&leaf).unwrap();
        assert_eq!((found, node.write()), (kind, leaf.clone()), "{name}");
        let text = String::from_utf8(leaf).unwrap();
        for other in [
            format!("{text}\n"),
            text.replacen(':', ": ", 1),
            text.replacen("\"v\":1", "\"v\":2", 1),
            text.replacen("\"v\":1", "\"v\":1.0", 1),
            text.replacen(kind.name(), "other", 9),
        ] {
            assert_eq!(read(other.as_bytes()), None, "{name}");
        }
        // A second reader finds the same: no truth values, no nulls, no fractions.
        let second: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(canonical(&second), node, "{name}");
    }
}

fn canonical(value: &serde_json::Value) -> Node {
    match value {
        serde_json::Value::Number(n) => Node::Int(n.as_i64().unwrap()),
        serde_json::Value::String(text) => Node::Text(text.clone()),
        serde_json::Value::Array(items) => Node::List(items.iter().map(canonical).collect()),
        serde_json::Value::Object(members) => {
            Node::Map(members.iter().map(|(name, value)| (name.clone().into(), canonical(value))).collect())
        }
        other => panic!("{other} is neither integer, string, list nor map"),
    }
}
