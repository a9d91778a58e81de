//! What the start needs of one entry: read in one pass, because a log has many.
//!
//! **Invariant:** each member is what the whole event has at that path; what is no event is none here either.

use std::borrow::Cow;

use remit_core::event::{Kind, Scalar, skim};
use remit_core::id::RunId;
use remit_core::label::{Label, Sensitivity, Trust};

/// A string of the leaf.
type Text<'a> = Option<Cow<'a, str>>;

/// Members of an event, as the leaf has them; `None` where it has none of that name and type.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Seen<'a> {
    pub(super) time: Option<i64>,
    pub(super) bundle: Option<i64>,
    pub(super) calls: Option<i64>,
    pub(super) epoch: Option<i64>,
    pub(super) intent: Option<i64>,
    pub(super) low_water: Option<i64>,
    pub(super) root_until: Option<i64>,
    pub(super) version: Option<i64>,
    pub(super) previous: Text<'a>,
    pub(super) root: Text<'a>,
    pub(super) run: Text<'a>,
    pub(super) sensitivity: Text<'a>,
    pub(super) trust: Text<'a>,
    pub(super) verdict: Text<'a>,
    pub(super) what: Text<'a>,
}

/// Reads a leaf; `None` where it is not an event.
pub(super) fn seen(leaf: &[u8]) -> Option<(Kind, Seen<'_>)> {
    let mut seen = Seen::default();
    let kind = skim(leaf, |path, scalar| match path {
        ["time"] => seen.time = scalar.int(),
        ["unmapped", "remit", path @ ..] => seen.note(path, scalar),
        _ => {}
    })?;
    Some((kind, seen))
}

impl<'a> Seen<'a> {
    fn note(&mut self, path: &[&str], scalar: Scalar<'a>) {
        match path {
            ["bundle"] => self.bundle = scalar.int(),
            ["counts", "calls"] => self.calls = scalar.int(),
            ["decision", "verdict"] => self.verdict = scalar.text(),
            ["epoch"] => self.epoch = scalar.int(),
            ["intent"] => self.intent = scalar.int(),
            ["labels_after", "sensitivity"] => self.sensitivity = scalar.text(),
            ["labels_after", "trust"] => self.trust = scalar.text(),
            ["low_water"] => self.low_water = scalar.int(),
            ["previous"] => self.previous = scalar.text(),
            ["root"] => self.root = scalar.text(),
            ["root_until"] => self.root_until = scalar.int(),
            ["run"] => self.run = scalar.text(),
            ["version"] => self.version = scalar.int(),
            ["what"] => self.what = scalar.text(),
            _ => {}
        }
    }

    /// The run and its root, where both are named.
    pub(super) fn run(&self) -> Option<(&str, &str)> {
        self.run.as_deref().zip(self.root.as_deref())
    }

    /// The root, where its run is named too.
    pub(super) fn root(&self) -> Option<RunId> {
        self.run().and_then(|(_, root)| RunId::new(root).ok())
    }

    /// Until when the root can call; for ever where that is not said.
    pub(super) fn until(&self) -> i64 {
        self.root_until.unwrap_or(i64::MAX)
    }

    /// The label after the entry; what cannot be read is unknown.
    pub(super) fn label(&self) -> Label {
        let trust = match self.trust.as_deref() {
            Some("verified") => Trust::Verified,
            Some("internal") => Trust::Internal,
            _ => Trust::Untrusted,
        };
        let sensitivity = match self.sensitivity.as_deref() {
            Some("public") => Sensitivity::Public,
            Some("internal") => Sensitivity::Internal,
            Some("confidential") => Sensitivity::Confidential,
            _ => Sensitivity::Regulated,
        };
        Label { trust, sensitivity }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use remit_core::event::canon::{Map, Node};
    use remit_core::event::read;

    use super::*;

    /// The same by way of the whole event.
    fn full(leaf: &[u8]) -> Option<(Kind, Seen<'static>)> {
        let (kind, node) = read(leaf)?;
        let at = |path: &[&'static str]| [&["unmapped", "remit"], path].concat();
        let int = |path: &[&'static str]| node.int(&at(path));
        let text = |path: &[&'static str]| node.text(&at(path)).map(|text| text.to_owned().into());
        let seen = Seen {
            time: node.int(&["time"]),
            bundle: int(&["bundle"]),
            calls: int(&["counts", "calls"]),
            epoch: int(&["epoch"]),
            intent: int(&["intent"]),
            low_water: int(&["low_water"]),
            root_until: int(&["root_until"]),
            version: int(&["version"]),
            previous: text(&["previous"]),
            root: text(&["root"]),
            run: text(&["run"]),
            sensitivity: text(&["labels_after", "sensitivity"]),
            trust: text(&["labels_after", "trust"]),
            verdict: text(&["decision", "verdict"]),
            what: text(&["what"]),
        };
        Some((kind, seen))
    }

    /// Leaves of every kind.
    fn golden() -> Vec<(String, Vec<u8>)> {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/golden")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths.map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect()
    }

    /// Break: forget a member, take one from elsewhere, or read what the whole reader refuses.
    #[test]
    fn of_every_kind_the_same_is_seen_as_in_the_whole_event() {
        let golden = golden();
        for (name, leaf) in &golden {
            let found = seen(leaf);
            assert!(found.is_some(), "{name}");
            assert_eq!(found, full(leaf), "{name}");
            let text = String::from_utf8(leaf.clone()).unwrap();
            let kind = found.map_or("", |(kind, _)| kind.name());
            for (from, to) in
                [("\"v\":1", "\"v\":2"), ("\"v\":1", "\"v\":\"1\""), (kind, "other"), (":", ": "), ("}", "")]
            {
                let other = text.replace(from, to);
                assert_eq!((seen(other.as_bytes()), full(other.as_bytes())), (None, None), "{name}: {to}");
            }
        }
        // Each member is in some of them, or the comparison says nothing of it.
        let all: Vec<String> =
            golden.iter().filter_map(|(_, leaf)| seen(leaf)).map(|(_, seen)| format!("{seen:?}")).collect();
        let all = all.concat();
        for member in format!("{:?}", Seen::default()).split(", ").filter_map(|member| member.split_once(": None")) {
            let name = member.0.trim_start_matches("Seen { ");
            assert!(all.contains(&format!("{name}: Some(")), "{name}");
        }
    }

    /// A member, of the right type or of another, of a value that counts or of any.
    fn member() -> impl Strategy<Value = Option<Node>> {
        let word =
            prop::sample::select(vec!["permit", "forbid", "loaded", "verified", "untrusted", "public", "r-1", ""]);
        prop::option::of(prop_oneof![
            any::<i64>().prop_map(Node::from),
            (-2..3_i64).prop_map(Node::from),
            word.prop_map(Node::from),
            any::<String>().prop_map(Node::from),
            Just(Node::List(vec![Node::from("permit")])),
            Just(Node::Map(Map::from([("calls".into(), Node::from(7_i64))]))),
            Just(Node::Map(Map::from([("what".into(), Node::from("loaded"))]))),
        ])
    }

    prop_compose! {
        /// An event with every member that counts, at its place and at places beside it.
        fn any_event()(
            kind in prop::sample::select(Kind::ALL.to_vec()),
            version in prop_oneof![9 => Just(Some(Node::from(1_i64))), 1 => member()],
            named in prop_oneof![9 => Just(true), 1 => Just(false)],
            members in prop::collection::vec(member(), NAMES.len() * 3),
        ) -> Vec<u8> {
            let mut members = members.into_iter();
            let mut map = || -> Map { NAMES.iter().filter_map(|name| Some(((*name).into(), members.next()??))).collect() };
            let (mut event, mut remit, below) = (map(), map(), map());
            for name in ["counts", "decision", "labels_after"] {
                remit.entry(name.into()).or_insert_with(|| Node::Map(below.clone()));
            }
            remit.extend(version.map(|version| ("v".into(), version)));
            remit.extend(named.then(|| ("kind".into(), kind.name().into())));
            event.insert("unmapped".into(), Node::Map(Map::from([("remit".into(), Node::Map(remit))])));
            Node::Map(event).write()
        }
    }

    const NAMES: [&str; 18] = [
        "bundle",
        "calls",
        "counts",
        "decision",
        "epoch",
        "intent",
        "labels_after",
        "low_water",
        "previous",
        "root",
        "root_until",
        "run",
        "sensitivity",
        "time",
        "trust",
        "verdict",
        "version",
        "what",
    ];

    proptest! {
        /// Break: refuse a member of another type, or take it for its value.
        #[test]
        fn of_any_event_the_same_is_seen(leaf in any_event()) {
            prop_assert_eq!(seen(&leaf), full(&leaf), "{}", String::from_utf8_lossy(&leaf));
        }
    }
}
