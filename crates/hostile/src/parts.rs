//! One input, several texts: they are separated by a byte that stands in no UTF-8.

use serde_json::Value as Json;

/// Stands between two parts.
pub(crate) const BETWEEN: u8 = 0xff;

/// The first parts of the input, the last with all that follows; what is missing is empty.
pub(crate) fn parts<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    let mut rest = bytes.splitn(N, |byte| *byte == BETWEEN);
    std::array::from_fn(|_| rest.next().unwrap_or_default())
}

/// The same as texts; `None` where one is not UTF-8.
pub(crate) fn texts<const N: usize>(bytes: &[u8]) -> Option<[&str; N]> {
    let mut texts = [""; N];
    for (to, from) in texts.iter_mut().zip(parts::<N>(bytes)) {
        *to = std::str::from_utf8(from).ok()?;
    }
    Some(texts)
}

/// The first byte chooses; the rest is the input.
pub(crate) fn choice(bytes: &[u8]) -> (u8, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest))
}

/// What another reader sees in an object that ours took: `None` where it holds a number too large for that reader, which
/// ours keeps as text.
pub(crate) fn other_reader(bytes: &[u8]) -> Option<serde_json::Map<String, Json>> {
    match serde_json::from_slice::<Json>(bytes) {
        Ok(said) => {
            assert!(said.is_object(), "{said}");
            said.as_object().cloned()
        }
        Err(error) => {
            assert!(error.to_string().contains("number out of range"), "{error}");
            None
        }
    }
}
