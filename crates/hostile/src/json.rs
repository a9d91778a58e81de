//! The strict JSON reader and exact numbers against `serde_json`.

use remit_core::json::{Value, elements, members};
use remit_core::number::Exact;
use serde_json::value::RawValue;

use crate::second;

/// What is accepted is read alike by another reader; what is refused has a reason; numbers are exact or nothing.
pub fn json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ours = Value::parse(text);
    second::agrees(text, &ours);
    if let Ok(value) = &ours {
        numbers(value);
        surface(text, value);
    }
}

/// The members and elements of the outermost value are those of the whole reading, and lie in the text.
fn surface(text: &str, value: &Value<'_>) {
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else { return };
    match value {
        Value::Object(all) => {
            let split = members(raw).unwrap_or_default();
            assert_eq!(split.len(), all.len());
            for ((name, raw), (wanted, value)) in split.iter().zip(all) {
                assert_eq!((name, Value::parse(raw.get()).as_ref()), (wanted, Ok(value)));
                assert!(within(text, raw.get()), "a member from elsewhere");
            }
        }
        Value::Array(all) => {
            let split = elements(raw).unwrap_or_default();
            assert_eq!(split.len(), all.len());
            assert!(split.iter().all(|raw| within(text, raw.get())), "an element from elsewhere");
        }
        _ => assert!(members(raw).is_err() && elements(raw).is_err()),
    }
}

/// Whether the part is a slice of the whole, and not a copy.
pub(crate) fn within(whole: &str, part: &str) -> bool {
    let (whole, part) = (whole.as_bytes().as_ptr_range(), part.as_bytes().as_ptr_range());
    whole.start <= part.start && part.end <= whole.end
}

#[expect(clippy::float_cmp, reason = "two texts of one number are rounded to the same bits")]
fn numbers(value: &Value<'_>) {
    match value {
        Value::Number(text) => {
            let Some(exact) = Exact::parse(text) else { return };
            let float = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
            let whole = exact.whole().map(|n| n.to_string());
            for said in [whole, exact.decimal()].into_iter().flatten() {
                assert_eq!(float(&said), float(text), "{text} became {said}");
                assert_eq!(Exact::parse(&said), Some(exact), "{said} does not read back");
            }
        }
        Value::Array(items) => items.iter().for_each(numbers),
        Value::Object(members) => members.iter().for_each(|(_, value)| numbers(value)),
        _ => {}
    }
}
