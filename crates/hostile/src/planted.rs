//! A reader with mistakes, for the method itself: a run that does not find them proves nothing.

use std::collections::HashSet;

use remit_core::json::{Value, members};
use serde_json::value::RawValue;

use crate::second::Shape;

/// Which mistake is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// Names of inner objects are compared as they are written, so an escape hides that one stands there twice.
    Twice,
    /// Some texts take longer than any may.
    Slow,
    /// Some texts take more memory than any may.
    Large,
}

impl Mistake {
    /// The mistake of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "twice" => Some(Self::Twice),
            "slow" => Some(Self::Slow),
            "large" => Some(Self::Large),
            _ => None,
        }
    }
}

/// Steps that take longer than any text may take: about a second.
const STEPS: u64 = 2_000_000_000;
/// More than any text may take, in bytes.
const LARGE: usize = 100 << 20;

/// The strict reader's property, of a reader that makes this mistake.
pub fn planted(mistake: Mistake, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if Value::parse(text).is_err() && mistake != Mistake::Twice {
        return;
    }
    match mistake {
        Mistake::Twice => assert!(!careless(text) || Shape::of(text).is_some_and(|shape| !shape.twice), "read twice"),
        Mistake::Slow if text.contains("e7") => slowly(),
        Mistake::Large if text.contains("\\uf") => drop(std::hint::black_box(vec![1_u8; LARGE])),
        Mistake::Slow | Mistake::Large => {}
    }
}

/// Whether the reader takes the text: an object of objects, in which no inner name is written twice.
fn careless(text: &str) -> bool {
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else { return false };
    let names = |value: &RawValue| {
        let mut seen = HashSet::new();
        value.get().starts_with('{')
            && value.get().split('"').skip(1).step_by(2).all(|name| seen.insert(name.to_owned()))
    };
    members(raw).is_ok_and(|members| members.iter().any(|(_, value)| names(value)))
}

fn slowly() {
    for step in 0..STEPS {
        std::hint::black_box(step);
    }
}
