//! Changing a few slices of a text while every other byte stays what it was.

use std::ops::Range;

/// Where `part` lies in `whole`; `None` where it is not a slice of it.
pub fn range_in(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let range = start..start.checked_add(part.len())?;
    // The bytes are compared too: an address alone could be that of a neighbour allocation.
    (whole.get(range.clone())? == part).then_some(range)
}

/// The text with each range replaced; `None` where ranges overlap or lie outside.
pub fn splice(text: &str, mut edits: Vec<(Range<usize>, &str)>) -> Option<String> {
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (range, with) in edits {
        out.push_str(text.get(done..range.start)?);
        out.push_str(with);
        done = range.end;
    }
    out.push_str(text.get(done..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_only_what_is_named() {
        let text = "abcdef";
        let range = range_in(text, text.get(2..4).unwrap()).unwrap();
        assert_eq!(range, 2..4);
        assert_eq!(splice(text, vec![(4..5, "!"), (range, "")]).unwrap(), "ab!f");
        assert_eq!(splice(text, vec![(2..4, ""), (3..5, "")]), None);
        assert_eq!(splice(text, vec![(2..40, "")]), None);
        assert_eq!(range_in(text, "abcdef ghi"), None);
    }
}
