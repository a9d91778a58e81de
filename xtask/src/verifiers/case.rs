//! What is put before the verifiers: logs and receipts as they are, and with one thing changed.

use std::io;
use std::path::Path;

use super::change::{Served, flip_file, put, signer};
use super::logs::Subject;
use super::made::SEED;
use super::maker::{Answer, Question, Sees};

/// Another key than that of any log here.
const OTHER_SEED: [u8; 32] = [8; 32];

/// One thing to accept, or to refuse.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) accepted: bool,
    /// A verifier judges it if it looks at all of `of` …
    of: &'static [Sees],
    /// … and at any of these; none: each does.
    by: &'static [Sees],
    make: Make,
}

/// Nothing where this log has no such thing.
type Make = fn(&Subject, &Path) -> io::Result<Option<Question>>;

const ANY: &[Sees] = &[];
const GROWTH: &[Sees] = &[Sees::Growth];
const RECEIPTS: &[Sees] = &[Sees::Receipts];
const SIGNATURE: &[Sees] = &[Sees::Signature];

pub(crate) const CASES: &[Case] = &[
    accepted("the log as it is", ANY, |subject, place| changed(subject, place, |_| Ok(()))),
    refused("one bit of an entry", ANY, ANY, |subject, place| {
        changed(subject, place, |served| served.entries_of(served.head.size / 2, |leaves| flip(leaves)))
    }),
    refused("an entry, and its hash", ANY, ANY, |subject, place| {
        changed(subject, place, |served| {
            served.entries_of(served.head.size / 2, |leaves| flip(leaves))?;
            served.hash_again(served.head.size / 2)
        })
    }),
    refused("two entries exchanged, and their hashes", ANY, ANY, |subject, place| {
        changed(subject, place, |served| {
            served.entries_of(0, |leaves| leaves.swap(0, 1))?;
            served.hash_again(0)
        })
    }),
    refused("the last entry cut off, and its hash", ANY, ANY, |subject, place| {
        changed(subject, place, |served| {
            let last = served.head.size.saturating_sub(1);
            served.entries_of(last, |leaves| drop(leaves.pop()))?;
            served.hash_again(last)
        })
    }),
    refused("one bit of a tile of hashes", ANY, &[Sees::Hashes], |subject, place| {
        changed(subject, place, |served| flip_file(&served.path(Some(0), 0)))
    }),
    refused("one bit of a tile of the second level", ANY, &[Sees::Hashes], |subject, place| {
        if subject.size < 512 {
            return Ok(None);
        }
        changed(subject, place, |served| flip_file(&served.path(Some(1), 0)))
    }),
    refused("a tile of hashes that is not there", ANY, &[Sees::Hashes], |subject, place| {
        changed(subject, place, |served| std::fs::remove_file(served.path(Some(0), 0)))
    }),
    refused("the size in the checkpoint", ANY, ANY, |subject, place| {
        changed(subject, place, |served| {
            let size = served.head.size;
            served.note(|note| note.replacen(&format!("\n{size}\n"), &format!("\n{}\n", size.saturating_sub(1)), 1))
        })
    }),
    refused("the root in the checkpoint", ANY, ANY, |subject, place| {
        changed(subject, place, |served| served.note(|note| another_hash(note, 2)))
    }),
    refused("the signature", ANY, SIGNATURE, |subject, place| {
        changed(subject, place, |served| served.note(another_signature))
    }),
    refused("signed with another key of the same name", ANY, SIGNATURE, |subject, place| {
        changed(subject, place, |served| served.note(|_| served.head.sign(&signer(&served.head.origin, &OTHER_SEED))))
    }),
    refused("looked at with another key of the same name", ANY, SIGNATURE, |subject, place| {
        let Some(Question::Log { dir, since, .. }) = changed(subject, place, |_| Ok(()))? else { return Ok(None) };
        let vkey = place.join("other.vkey");
        let origin = Served::open(&subject.dir)?.head.origin;
        put(&vkey, signer(&origin, &OTHER_SEED).vkey().as_bytes())?;
        Ok(Some(Question::Log { dir, vkey, since }))
    }),
    accepted("and it begins with what was seen before", GROWTH, |subject, place| {
        let Some(earlier) = &subject.earlier else { return Ok(None) };
        Ok(since(changed(subject, place, |_| Ok(()))?, &earlier.dir))
    }),
    refused("it ends before what was seen before", GROWTH, ANY, |subject, place| {
        let Some(earlier) = &subject.earlier else { return Ok(None) };
        let copied = Served::copy(&earlier.dir, &place.join("log"))?;
        let question = Question::Log { dir: copied.dir, vkey: subject.vkey.clone(), since: None };
        Ok(since(Some(question), &subject.dir))
    }),
    // Nothing is wrong with it, for somebody who kept nothing: what tells it from the true one is the next case.
    accepted("another history, signed with the log's own key", ANY, another_history),
    refused("another history, and something was seen before", GROWTH, ANY, |subject, place| {
        let Some(earlier) = &subject.earlier else { return Ok(None) };
        Ok(since(another_history(subject, place)?, &earlier.dir))
    }),
    accepted("a receipt of the first entry", RECEIPTS, |subject, place| {
        receipt(subject, place, 0, str::to_owned, <[u8]>::to_vec)
    }),
    accepted("a receipt of the last entry", RECEIPTS, |subject, place| {
        receipt(subject, place, subject.size - 1, str::to_owned, <[u8]>::to_vec)
    }),
    accepted("a receipt", RECEIPTS, |subject, place| {
        receipt(subject, place, subject.size / 2, str::to_owned, <[u8]>::to_vec)
    }),
    refused("a receipt, with another entry", RECEIPTS, ANY, |subject, place| {
        receipt(subject, place, subject.size / 2, str::to_owned, |leaf| [leaf, b" "].concat())
    }),
    refused("a receipt, of the next place", RECEIPTS, ANY, |subject, place| {
        receipt(subject, place, subject.size / 2, another_place, <[u8]>::to_vec)
    }),
    refused("a receipt, by another path", RECEIPTS, ANY, |subject, place| {
        receipt(subject, place, subject.size / 2, |proof| another_hash(proof, 2), <[u8]>::to_vec)
    }),
    refused("a receipt, with another signature", RECEIPTS, SIGNATURE, |subject, place| {
        receipt(subject, place, subject.size / 2, another_signature, <[u8]>::to_vec)
    }),
];

const fn accepted(name: &'static str, of: &'static [Sees], make: Make) -> Case {
    Case { name, accepted: true, of, by: ANY, make }
}

const fn refused(name: &'static str, of: &'static [Sees], by: &'static [Sees], make: Make) -> Case {
    Case { name, accepted: false, of, by, make }
}

/// The cases for a verifier that looks at this.
pub(crate) fn for_eyes(sees: &[Sees]) -> impl Iterator<Item = &'static Case> {
    CASES.iter().filter(move |case| case.is_for(sees))
}

impl Case {
    /// Whether a verifier that looks at this has something to say.
    pub(crate) fn is_for(&self, sees: &[Sees]) -> bool {
        self.of.iter().all(|one| sees.contains(one))
            && (self.by.is_empty() || self.by.iter().any(|one| sees.contains(one)))
    }

    /// The files of it.
    pub(crate) fn make(&self, subject: &Subject, place: &Path) -> io::Result<Option<Question>> {
        (self.make)(subject, place)
    }

    /// What is wrong with this answer.
    pub(crate) fn fault(&self, answer: &Answer) -> Option<String> {
        match (answer, self.accepted) {
            (Answer::Accepted, true) | (Answer::Refused, false) => None,
            (Answer::Accepted, false) => Some("accepted what was changed".into()),
            (Answer::Refused, true) => Some("refused what is true".into()),
            (Answer::Failed(why), _) => Some(format!("could not be asked: {why}")),
        }
    }
}

/// A copy of the log with something done to it.
fn changed(
    subject: &Subject,
    place: &Path,
    change: impl FnOnce(&Served) -> io::Result<()>,
) -> io::Result<Option<Question>> {
    let served = Served::copy(&subject.dir, &place.join("log"))?;
    change(&served)?;
    Ok(Some(Question::Log { dir: served.dir, vkey: subject.vkey.clone(), since: None }))
}

/// The same question, of somebody who kept the checkpoint in this directory.
fn since(question: Option<Question>, kept: &Path) -> Option<Question> {
    match question {
        Some(Question::Log { dir, vkey, .. }) => {
            Some(Question::Log { dir, vkey, since: Some(kept.join("checkpoint")) })
        }
        other => other,
    }
}

/// Every tile and the checkpoint made anew over other entries by whoever holds the key.
fn another_history(subject: &Subject, place: &Path) -> io::Result<Option<Question>> {
    if subject.earlier.is_none() {
        // Nobody here holds the key of the others.
        return Ok(None);
    }
    changed(subject, place, |served| {
        let mut entries = served.entries()?;
        flip(&mut entries);
        served.rewrite(&entries, &SEED)
    })
}

/// One bit of the first entry that has any.
fn flip(leaves: &mut [Vec<u8>]) {
    if let Some(byte) = leaves.iter_mut().find_map(|leaf| leaf.last_mut()) {
        *byte ^= 1;
    }
}

/// A receipt and the entry that it is of, with something done to either.
fn receipt(
    subject: &Subject,
    place: &Path,
    index: u64,
    proof: impl FnOnce(&str) -> String,
    leaf: impl FnOnce(&[u8]) -> Vec<u8>,
) -> io::Result<Option<Question>> {
    let entry = Served::open(&subject.dir)?.entry(index)?;
    let (proof_path, leaf_path) = (place.join("receipt.tlog-proof"), place.join("leaf"));
    put(&proof_path, proof(&subject.prove(index)?).as_bytes())?;
    put(&leaf_path, &leaf(&entry))?;
    Ok(Some(Question::Receipt { proof: proof_path, leaf: leaf_path, vkey: subject.vkey.clone() }))
}

fn another_place(proof: &str) -> String {
    by_line(proof, 1, |line| {
        let index = line.strip_prefix("index ").and_then(|index| index.parse::<u64>().ok()).unwrap_or_default();
        format!("index {}", index + 1)
    })
}

/// Another hash in this line of a text.
fn another_hash(text: &str, number: usize) -> String {
    by_line(text, number, another_letter)
}

/// The signature is the end of a note, and a note the end of a receipt.
fn another_signature(text: &str) -> String {
    let last = text.lines().count().saturating_sub(1);
    by_line(text, last, |line| {
        let (name, signature) = line.rsplit_once(' ').unwrap_or((line, ""));
        let (id, rest) = signature.split_at_checked(signature.len() / 2).unwrap_or((signature, ""));
        format!("{name} {id}{}", another_letter(rest))
    })
}

/// Another letter of base64 in front.
fn another_letter(text: &str) -> String {
    let mut letters = text.chars();
    let other = if letters.next() == Some('A') { 'B' } else { 'A' };
    std::iter::once(other).chain(letters).collect()
}

fn by_line(text: &str, number: usize, change: impl FnOnce(&str) -> String) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some(line) = lines.get_mut(number) {
        *line = change(line);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifiers::maker::Answer;

    const ALL: &[Sees] = &[Sees::Entries, Sees::Hashes, Sees::Signature, Sees::Growth, Sees::Receipts];

    #[test]
    fn each_verifier_judges_what_it_looks_at() {
        assert_eq!(for_eyes(ALL).count(), CASES.len());
        let names = |sees| for_eyes(sees).map(|case| case.name).collect::<Vec<_>>();
        let entries = names(&[Sees::Entries]);
        assert!(entries.contains(&"one bit of an entry") && entries.contains(&"the root in the checkpoint"));
        assert!(!entries.iter().any(|name| name.contains("signature") || name.contains("receipt")), "{entries:?}");
        assert!(!names(&[Sees::Entries, Sees::Receipts]).contains(&"a receipt, with another signature"));
    }

    #[test]
    fn only_the_right_answer_is_no_fault() {
        let [true_log, changed] = ["the log as it is", "one bit of an entry"]
            .map(|name| CASES.iter().find(|case| case.name == name).unwrap());
        assert_eq!((true_log.fault(&Answer::Accepted), changed.fault(&Answer::Refused)), (None, None));
        for (case, answer) in [
            (true_log, Answer::Refused),
            (changed, Answer::Accepted),
            (true_log, Answer::Failed("why".into())),
            (changed, Answer::Failed("why".into())),
        ] {
            assert!(case.fault(&answer).is_some(), "{}: {answer:?}", case.name);
        }
    }

    #[test]
    fn a_changed_text_is_another_one_of_the_same_form() {
        let text = "c2sp.org/tlog-proof@v1\nindex 7\nAAAA\n\no\n9\nBBBB\n\n— o AAAABBBB\n";
        assert_eq!(another_place(text), text.replace("index 7", "index 8"));
        assert_eq!(another_hash(text, 2), text.replacen("AAAA", "BAAA", 1));
        assert_eq!(another_signature(text), text.replace("AAAABBBB", "AAAAABBB"));
    }
}
