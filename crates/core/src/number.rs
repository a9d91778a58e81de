//! Exact numbers: what policy and constraints compare is never a rounded value.

use std::cmp::Ordering;

/// A JSON number that Cedar can hold exactly, scaled by 10⁴: a Cedar `decimal`, or a Long where it is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exact(i128);

/// Fraction digits that a Cedar `decimal` holds.
const FRACTION_DIGITS: usize = 4;
/// Longest number text that is considered, in bytes.
const NUMBER_BYTES_MAX: usize = 32;
const SCALE: i128 = 10_000;

impl Exact {
    /// Reads a JSON number without an exponent; `None` where Cedar cannot hold it exactly.
    ///
    /// Exponents are refused, not expanded: no honest client writes an amount as `1e3`, and readers differ on it.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > NUMBER_BYTES_MAX {
            return None;
        }
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > FRACTION_DIGITS {
            return None;
        }
        let padded = format!("{fraction:0<FRACTION_DIGITS$}");
        let magnitude = whole.parse::<i128>().ok()?.checked_mul(SCALE)?.checked_add(padded.parse().ok()?)?;
        let exact = Self(if negative { magnitude.checked_neg()? } else { magnitude });
        (exact.whole().is_some() || exact.decimal().is_some()).then_some(exact)
    }

    /// The Cedar `Long`, where there is no fraction and 64 bits hold it.
    pub fn whole(self) -> Option<i64> {
        if self.0.checked_rem(SCALE)? != 0 {
            return None;
        }
        i64::try_from(self.0.checked_div(SCALE)?).ok()
    }

    /// The text of the Cedar `decimal`, where its 64 bits hold it.
    pub fn decimal(self) -> Option<String> {
        i64::try_from(self.0).ok()?;
        let sign = if self.0 < 0 { "-" } else { "" };
        let whole = self.0.unsigned_abs().checked_div(SCALE.unsigned_abs())?;
        let fraction = self.0.unsigned_abs().checked_rem(SCALE.unsigned_abs())?;
        Some(format!("{sign}{whole}.{fraction:04}"))
    }
}

/// Compares two JSON numbers exactly; `None` where either cannot be held exactly.
pub fn compare(left: &str, right: &str) -> Option<Ordering> {
    Some(Exact::parse(left)?.cmp(&Exact::parse(right)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_or_nothing() {
        for (text, decimal) in [
            ("0", "0.0000"),
            ("-0.5", "-0.5000"),
            ("12.50", "12.5000"),
            ("3.14150", "3.1415"),
            ("922337203685477", "922337203685477.0000"),
        ] {
            assert_eq!(Exact::parse(text).and_then(Exact::decimal).as_deref(), Some(decimal), "{text}");
        }
        for text in ["1e3", "1.23456", "9223372036854775808", "9223372036854775807.5", "", "-", ".5", "0x1", "+1"] {
            assert_eq!(Exact::parse(text), None, "{text}");
        }
        assert_eq!(Exact::parse("9223372036854775807").and_then(Exact::whole), Some(i64::MAX));
        assert_eq!(Exact::parse("-9223372036854775808").and_then(Exact::whole), Some(i64::MIN));
        assert_eq!(Exact::parse("41.5").and_then(Exact::whole), None);
        assert_eq!(compare("10", "9.9999"), Some(Ordering::Greater));
        assert_eq!(compare("1e1", "2"), None);
    }
}
