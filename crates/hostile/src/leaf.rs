//! Entries of a log that somebody hands over: one value has one form, and nothing is proved that was not committed to.

use remit_core::event::canon::Node;
use remit_core::event::commitment::Disclosure;
use remit_core::event::{LEAF_BYTES_MAX, Opened, OpenedOutcome, OutcomeStatement, Statement, check_entry, read};
use remit_core::hash::{sha256, sha256_text};

use crate::parts::parts;
use crate::second::{self, Shape};

/// A leaf, its sealed frame, and the frame as it was opened.
pub fn leaf(bytes: &[u8]) {
    let [leaf, sealed, opened] = parts(bytes);
    if let Some(node) = Node::read(leaf) {
        canonical(leaf, &node);
    }
    let known = read(leaf);
    if let Some((kind, node)) = &known {
        assert_eq!(node.text(&["unmapped", "remit", "kind"]), Some(kind.name()));
        let named = node.text(&["unmapped", "remit", "sealed", "digest"]).map(ToOwned::to_owned);
        let lies_there = (!sealed.is_empty()).then(|| sha256_text(&sha256(&[sealed])));
        let fits = named == lies_there || named == Some(sha256_text(&sha256(&[sealed])));
        assert_eq!(check_entry(leaf, sealed).is_ok(), fits, "another frame");
    } else {
        assert!(check_entry(leaf, sealed).is_err() && Statement::read(leaf, None).is_err());
    }
    proved(leaf, opened);
}

fn canonical(leaf: &[u8], node: &Node) {
    assert_eq!(node.write(), leaf);
    let text = std::str::from_utf8(leaf).unwrap_or_default();
    assert!(Shape::of(text).is_some_and(Shape::is_strict));
    // No number in it is one that another reader rounds.
    let theirs = second::read(text);
    assert!(theirs.as_ref().is_ok_and(|theirs| theirs.as_f64().is_none_or(|n| n.abs() <= 9_007_199_254_740_991.0)));
    let spaced = [leaf, b" "].concat();
    assert_eq!(Node::read(&spaced), None, "one value in two forms");
}

fn proved(leaf: &[u8], opened: &[u8]) {
    if let Ok(statement) = Statement::read(leaf, None) {
        assert!(leaf.len() <= LEAF_BYTES_MAX || statement.arguments.is_none());
        assert_eq!((&statement.arguments, &statement.because, &statement.user_name), (&None, &None, &None));
        assert!(statement.disclosed.is_empty());
    }
    if let Ok(frame) = serde_json::from_slice::<Opened>(opened) {
        let full = Statement::read(leaf, Some(&frame));
        // All of it holds or nothing is said.
        assert_eq!(full.is_ok(), frame.check(leaf).is_ok() && Statement::read(leaf, None).is_ok() && full.is_ok());
        assert!(full.is_err() || full.is_ok_and(|full| full.arguments.is_some()));
    }
    if let Ok(frame) = serde_json::from_slice::<OpenedOutcome>(opened) {
        let result = OutcomeStatement::with_result(leaf, &frame, leaf);
        assert!(result.is_err(), "a leaf that commits to itself");
    }
    if let Ok(text) = std::str::from_utf8(opened) {
        let field = Disclosure::from_text(text.to_owned());
        let _open = field.open();
        if let Ok(told) = Statement::with_fields(leaf, std::slice::from_ref(&field)) {
            let digest = field.digest();
            assert!(String::from_utf8_lossy(leaf).contains(&digest), "{told:?} was not committed to");
        }
    }
}
