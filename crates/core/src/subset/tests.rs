//! Narrower is shown, wider is refused, and what the narrower accepts the wider accepts.

use super::*;
use crate::feature::Feature;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn constraint(text: &str) -> Constraint {
    serde_json::from_str(text).unwrap()
}

#[track_caller]
fn check(child: &str, parent: &str, expected: bool) {
    let (child, parent) = (constraint(child), constraint(parent));
    assert_eq!(within(&child, &parent), expected, "{child:?} in {parent:?}");
}

const ANY: &str = r#"{"constraint_type":"wildcard"}"#;
const LOW: &str = r#"{"constraint_type":"range","min":1,"max":50}"#;
const HIGH: &str = r#"{"constraint_type":"range","max":100}"#;
const OPEN: &str = r#"{"constraint_type":"range","max":50,"max_inclusive":false}"#;
const A: &str = r#"{"constraint_type":"exact","value":"a"}"#;
const AB: &str = r#"{"constraint_type":"one_of","values":["a","b"]}"#;
const NOT_C: &str = r#"{"constraint_type":"not_one_of","values":["c"]}"#;

#[test]
fn narrower_is_shown_and_wider_is_refused() {
    check(LOW, HIGH, true);
    check(HIGH, LOW, false);
    check(LOW, OPEN, false);
    check(A, AB, true);
    check(AB, A, false);
    check(AB, NOT_C, true);
    check(LOW, NOT_C, true);
    check(NOT_C, AB, false);
    check(AB, ANY, true);
    check(ANY, AB, false);
    check(r#"{"constraint_type":"exact","value":7}"#, LOW, true);
    check(r#"{"constraint_type":"exact","value":"7"}"#, LOW, false);
    check(r#"{"constraint_type":"subset","values":["a"]}"#, r#"{"constraint_type":"subset","values":["b","a"]}"#, true);
    check(
        r#"{"constraint_type":"contains","values":["a","b"]}"#,
        r#"{"constraint_type":"contains","values":["b"]}"#,
        true,
    );
    check(
        r#"{"constraint_type":"contains","values":["b"]}"#,
        r#"{"constraint_type":"contains","values":["a","b"]}"#,
        false,
    );
    let both = r#"{"constraint_type":"all","constraints":[{"constraint_type":"range","min":1},{"constraint_type":"range","max":40}]}"#;
    check(both, LOW, true);
    let either = r#"{"constraint_type":"any","constraints":[{"constraint_type":"exact","value":"a"},{"constraint_type":"range","min":2,"max":3}]}"#;
    check(
        either,
        r#"{"constraint_type":"any","constraints":[{"constraint_type":"one_of","values":["a","b"]},{"constraint_type":"range","min":1,"max":50}]}"#,
        true,
    );
    check(either, AB, false);
    // A union refuses numbers that cannot be compared exactly, a wildcard takes them.
    check(
        ANY,
        r#"{"constraint_type":"any","constraints":[{"constraint_type":"wildcard"},{"constraint_type":"exact","value":1}]}"#,
        false,
    );
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        any::<bool>().prop_map(Scalar::Bool),
        (-3_i64..4).prop_map(Scalar::Int),
        prop::sample::select(vec!["a", "b", "2", "1.5", "-1"]).prop_map(|t| Scalar::Text(t.into())),
    ]
}

fn numeric() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        (-3_i64..4).prop_map(Scalar::Int),
        prop::sample::select(vec!["0.5", "1.5", "-1.5"]).prop_map(|t| Scalar::Text(t.into())),
    ]
}

fn any_constraint() -> impl Strategy<Value = Constraint> {
    let values = || prop::collection::vec(scalar(), 1..4);
    let leaf = prop_oneof![
        scalar().prop_map(|value| Constraint::Exact { value }),
        values().prop_map(|values| Constraint::OneOf { values }),
        values().prop_map(|values| Constraint::NotOneOf { values }),
        values().prop_map(|values| Constraint::Contains { values }),
        values().prop_map(|values| Constraint::Subset { values }),
        Just(Constraint::Wildcard {}),
        (prop::option::of(numeric()), numeric(), any::<(bool, bool, bool)>()).prop_map(
            |(one, other, (flip, min_inclusive, max_inclusive))| {
                let (min, max) = if flip { (one, Some(other)) } else { (Some(other), one) };
                Constraint::Range { min, max, min_inclusive, max_inclusive }
            }
        ),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let many = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            many().prop_map(|constraints| Constraint::All { constraints }),
            many().prop_map(|constraints| Constraint::Any { constraints }),
        ]
    })
}

const SCALARS: &[&str] = &[
    "true", "false", "-3", "-2", "-1.5", "-1", "0", "0.5", "1", "1.5", "2", "2.0", "3", "4", "1e1", "0.00001",
    r#""a""#, r#""b""#, r#""c""#, r#""2""#, r#""1.5""#, r#""-1""#, "null", "{}",
];

/// Every scalar of the small world, and every array of up to two of them.
fn world() -> Vec<String> {
    let mut all: Vec<String> = SCALARS.iter().map(ToString::to_string).collect();
    all.push("[]".into());
    for one in SCALARS {
        all.push(format!("[{one}]"));
        all.extend(SCALARS.iter().map(|other| format!("[{one},{other}]")));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_the_child_accepts_the_parent_accepts(child in any_constraint(), parent in any_constraint()) {
        if within(&child, &parent) {
            for text in world() {
                let value = Value::parse(&text).unwrap();
                prop_assert!(child.check(&value).is_err() || parent.check(&value).is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn a_constraint_is_within_itself_and_what_contains_it(c in any_constraint(), d in any_constraint()) {
        prop_assert!(within(&c, &c));
        let both = Constraint::All { constraints: vec![d.clone(), c.clone()] };
        prop_assert!(within(&both, &c));
        if exact_only(&c) {
            let either = Constraint::Any { constraints: vec![d, c.clone()] };
            prop_assert!(within(&c, &either));
        }
    }

    #[test]
    fn what_a_narrower_detail_covers_the_wider_covers(
        child in any_detail(), parent in any_detail(), tool in name(), arguments in prop::collection::btree_map(name(), prop::sample::select(SCALARS), 0..3)
    ) {
        if detail_within(&child, &parent) {
            let members: Vec<String> = arguments.iter().map(|(n, v)| format!("{n:?}:{v}")).collect();
            let text = format!("{{{}}}", members.join(","));
            let value = Value::parse(&text).unwrap();
            prop_assert!(child.covers_tool(&tool, &value).is_err() || parent.covers_tool(&tool, &value).is_ok());
            for feature in Feature::ALL {
                prop_assert!(child.covers_feature(feature).is_err() || parent.covers_feature(feature).is_ok());
            }
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["x", "y", "*"]).prop_map(String::from)
}

pub(crate) fn any_detail() -> impl Strategy<Value = Detail> {
    let small = prop_oneof![
        Just(Constraint::Wildcard {}),
        scalar().prop_map(|value| Constraint::Exact { value }),
        prop::collection::vec(scalar(), 1..3).prop_map(|values| Constraint::OneOf { values }),
        Just(Constraint::All { constraints: vec![Constraint::Wildcard {}] }),
    ];
    let arguments = prop::collection::btree_map(name(), small, 0..3);
    let tools = prop::collection::btree_map(name(), arguments, 0..3);
    let features = prop::collection::btree_set(prop::sample::select(Feature::ALL.to_vec()), 0..3);
    (tools, features).prop_map(|(tools, features)| Detail {
        kind: DETAIL_TYPE.into(),
        locations: vec!["https://gw.example/mcp/x".into()],
        tools,
        prompts: BTreeMap::new(),
        resources: vec![],
        features,
    })
}
