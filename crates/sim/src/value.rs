//! How the naive model reads an argument: from its JSON text, with no parser shared with `remit_core`.

use crate::world::Is;

/// Ten thousandths: every number that policy can hold is a whole number of them.
pub const UNIT: i128 = 10_000;

/// A hundredth.
pub const CENT: i128 = UNIT / 100;

/// Whether the value is a number.
pub fn is_number(value: &str) -> bool {
    value.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// Whether the value is a number, a string or a truth value.
pub fn is_scalar(value: &str) -> bool {
    !value.starts_with(['{', '[']) && value != "null"
}

/// The string, where the value is one without escapes; worlds have no others.
pub fn text(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

/// A number in ten thousandths, where 64 bits hold it as a whole or as a decimal.
pub fn exact(value: &str) -> Option<i128> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let fraction = fraction.trim_end_matches('0');
    let scaled: i128 = format!("{whole}{fraction:0<4}").parse().ok()?;
    let long = scaled % UNIT == 0 && i64::try_from(scaled / UNIT).is_ok();
    (fraction.len() <= 4 && (long || i64::try_from(scaled).is_ok())).then_some(scaled)
}

/// Whether policy can hold the number as what it is declared to be; what is no number is always held.
pub fn held(is: Is, value: &str) -> bool {
    match is {
        Is::Integer => exact(value).is_some(),
        Is::Number => exact(value).is_some_and(|n| i64::try_from(n).is_ok()),
        Is::Text | Is::Texts | Is::Opaque => true,
    }
}

/// Whether the value is of the declared type. `null` stands for absence.
pub fn fits(is: Is, value: &str) -> bool {
    match is {
        _ if value == "null" => true,
        Is::Opaque => true,
        Is::Text => text(value).is_some(),
        Is::Texts => value.starts_with('[') && !value.contains(|c: char| c.is_ascii_digit()),
        Is::Number => is_number(value),
        Is::Integer => is_number(value) && exact(value).is_none_or(|n| n % UNIT == 0),
    }
}
