//! A second reader of JSON, apart from the strict one: `serde_json`'s own, and what it never says of a text.

use std::collections::HashSet;
use std::fmt;

use remit_core::json::{DEPTH_MAX, JsonError, MEMBERS_MAX, VALUES_MAX, Value};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

/// How a text is built: what the strict reader refuses of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shape {
    /// Levels below the outermost value.
    pub(crate) depth: usize,
    /// Members of the widest object.
    pub(crate) width: usize,
    /// Values below the outermost one.
    pub(crate) values: usize,
    /// Whether an object names a member twice.
    pub(crate) twice: bool,
}

impl Shape {
    /// The shape of a whole text; `None` where it is not JSON.
    pub(crate) fn of(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether the strict reader takes it.
    pub(crate) fn is_strict(self) -> bool {
        self.depth <= DEPTH_MAX && self.width <= MEMBERS_MAX && self.values < VALUES_MAX && !self.twice
    }

    fn around(self, inner: Self) -> Self {
        Self {
            depth: self.depth.max(inner.depth.saturating_add(1)),
            width: self.width.max(inner.width),
            values: self.values.saturating_add(inner.values).saturating_add(1),
            twice: self.twice || inner.twice,
        }
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(Measure)
    }
}

struct Measure;

impl<'de> Visitor<'de> for Measure {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::default())
    }
    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::default())
    }
    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::default())
    }
    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::default())
    }
    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::default())
    }
    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut shape = Shape::default();
        while let Some(inner) = seq.next_element()? {
            shape = shape.around(inner);
        }
        Ok(shape)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let (mut shape, mut seen) = (Shape::default(), HashSet::new());
        while let Some((name, inner)) = map.next_entry::<String, Shape>()? {
            shape = shape.around(inner);
            shape.twice |= !seen.insert(name);
            shape.width = shape.width.max(seen.len());
        }
        Ok(shape)
    }
}

/// Whether `serde_json` takes the text, and what it reads. It refuses numbers that it cannot hold, which is no fault of
/// the text's.
pub(crate) fn read(text: &str) -> Result<Json, bool> {
    serde_json::from_str(text).map_err(|error| error.to_string().contains("number out of range"))
}

/// Whether both readers see the same value.
pub(crate) fn same(ours: &Value<'_>, theirs: &Json) -> bool {
    match (ours, theirs) {
        (Value::Null, Json::Null) => true,
        (Value::Bool(one), Json::Bool(other)) => one == other,
        (Value::String(one), Json::String(other)) => one == other,
        (Value::Number(text), Json::Number(number)) => same_number(text, number),
        (Value::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(&**name).is_some_and(|theirs| same(value, theirs)))
        }
        _ => false,
    }
}

/// The other reader may round a fraction otherwise than the standard library does, by a few of the last bits.
fn same_number(text: &str, number: &serde_json::Number) -> bool {
    let close = |one: f64, other: f64| (one - other).abs() <= one.abs() * 1e-14;
    match (number.as_i64(), number.as_u64()) {
        (Some(n), _) => text.parse() == Ok(n),
        (None, Some(n)) => text.parse() == Ok(n),
        (None, None) => number.as_f64().zip(text.parse().ok()).is_some_and(|(one, other)| close(one, other)),
    }
}

/// What the strict reader must say of a text, by what this one says.
pub(crate) fn agrees(text: &str, ours: &Result<Value<'_>, JsonError>) {
    match (read(text), ours) {
        (Ok(theirs), Ok(ours)) => assert!(same(ours, &theirs), "two readings of one text"),
        (Ok(_), Err(error)) => {
            assert_ne!(*error, JsonError::Syntax, "refused as no JSON, and it is");
            assert!(!Shape::of(text).is_some_and(Shape::is_strict), "refused without a reason: {error}");
        }
        // What only these numbers keep from being read is JSON all the same.
        (Err(range), Ok(_)) => assert!(range || !is_json(text), "taken, and another reader refuses it"),
        (Err(_), Err(_)) => {}
    }
    if ours.is_ok() && read(text).is_ok() {
        assert!(Shape::of(text).is_some_and(Shape::is_strict), "taken, and not strict");
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}
