//! Signed notes, checkpoints and proofs: nothing opens that was not signed, and what is read prints back.

use std::sync::LazyLock;

use remit_audit::checkpoint::Checkpoint;
use remit_audit::note::{NOTE_BYTES_MAX, NoteError, Signer, Verifier, open, sign};
use remit_audit::receipt::TlogProof;

use crate::parts::choice;

const NAME: &str = "example.org/log/gw1/1";

/// A key that signs here, and one that never does.
static KEYS: LazyLock<Option<(Signer, Verifier, Verifier)>> = LazyLock::new(|| {
    let signer = |seed| Signer::from_seed(NAME, &[seed; 32]).ok();
    let (signs, never) = (signer(1)?, signer(9)?);
    let (own, other) = (Verifier::parse(signs.vkey()).ok()?, Verifier::parse(never.vkey()).ok()?);
    Some((signs, own, other))
});

/// The first byte chooses: a note, a text to sign, a verifier key.
pub fn note(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    let (Ok(text), Some(keys)) = (std::str::from_utf8(rest), KEYS.as_ref()) else { return };
    match first % 3 {
        0 => foreign(text, keys),
        1 => own(text, keys),
        _ => key(text),
    }
}

/// What nobody signed does not open, and proves nothing; as a text it prints back.
fn foreign(text: &str, (_, own, never): &(Signer, Verifier, Verifier)) {
    assert!(open(text, std::slice::from_ref(never)).is_err(), "opened without a signature");
    if let Ok(opened) = open(text, &[never.clone(), own.clone()]) {
        assert!(text.starts_with(&opened.text) && opened.by == [NAME], "other words than those that were signed");
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        let printed = checkpoint.text();
        assert!(text.starts_with(printed.trim_end_matches('\n')));
        assert_eq!(Checkpoint::parse(&printed).as_ref(), Ok(&checkpoint));
    }
    if let Ok(proof) = TlogProof::parse(text) {
        assert_eq!(TlogProof::parse(&proof.text()).as_ref(), Ok(&proof));
        assert!(proof.verify(text.as_bytes(), never).is_err(), "proved without a signature");
    }
}

/// What is signed opens to itself under its key, and to nothing with one bit changed.
fn own(text: &str, (signs, own, never): &(Signer, Verifier, Verifier)) {
    let note = sign(text, signs);
    let opened = open(&note, std::slice::from_ref(own));
    let plain = text.bytes().all(|byte| byte >= 0x20 || byte == b'\n') && note.len() <= NOTE_BYTES_MAX;
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    let expected = if plain { Ok(format!("{text}{newline}")) } else { Err(NoteError::Malformed) };
    assert_eq!(opened.map(|opened| opened.text), expected);
    assert!(open(&note, std::slice::from_ref(never)).is_err());
    for at in (0..note.len()).step_by(note.len().div_ceil(8).max(1)) {
        let mut changed = note.clone().into_bytes();
        changed.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
        let changed = String::from_utf8(changed).unwrap_or_default();
        assert!(open(&changed, std::slice::from_ref(own)).is_err(), "byte {at} does not count");
    }
    if let Ok(checkpoint) = Checkpoint::open(&note, own) {
        assert_eq!(checkpoint.origin, NAME);
    }
}

fn key(text: &str) {
    if let Ok(key) = Verifier::parse(text) {
        assert_eq!(key.vkey(), text);
        assert!(!key.name().contains(char::is_whitespace) && !key.name().is_empty());
    }
}
