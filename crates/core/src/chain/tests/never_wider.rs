//! No chain widens, on any axis, whatever its links say.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::constraint::{Constraint, Scalar};
use crate::grant::{Arguments, Detail};
use crate::json;
use crate::subset::tests::any_detail;

const HERE: &str = "https://gw.example/mcp/x";
const THERE: &str = "https://gw.example/mcp/y";
const TOOLS: [&str; 3] = ["x", "y", "other"];
const ARGUMENTS: [&str; 6] =
    ["{}", r#"{"x":1}"#, r#"{"x":"a","y":2}"#, r#"{"y":"b"}"#, r#"{"x":true}"#, r#"{"*":"2"}"#];
const URIS: [&str; 2] = ["file:///a", "file:///b"];

/// A detail with prompts and resources too, here or there or at both.
fn detail() -> impl Strategy<Value = Detail> {
    let places = prop::sample::select(vec![vec![HERE], vec![THERE], vec![HERE, THERE]]);
    let uri = |uri: &str| Constraint::Exact { value: Scalar::Text(uri.into()) };
    let resources = prop::collection::vec(prop_oneof![Just(Constraint::Wildcard {}), Just(uri(URIS[0]))], 0..2);
    (any_detail(), any_detail(), places, resources).prop_map(|(detail, prompts, places, resources)| Detail {
        locations: places.into_iter().map(String::from).collect(),
        prompts: prompts.tools,
        resources,
        ..detail
    })
}

/// What is stated of a link: less of what is above it, or anything.
#[derive(Debug, Clone)]
struct Said {
    details: Vec<Detail>,
    /// Which tool is left out of each of the details above; all is said anew where none is.
    less: Option<usize>,
    exp: i64,
    depth: i64,
    most: i64,
}

fn said() -> impl Strategy<Value = Said> {
    let details = prop::collection::vec(detail(), 1..3);
    let (depth, most) = (prop::sample::select(vec![0, 0, 0, 0, -1, 1]), prop::sample::select(vec![0, 0, 0, -1, 1]));
    (details, prop::option::weighted(0.7, 0..3_usize), -200_i64..20, depth, most)
        .prop_map(|(details, less, exp, depth, most)| Said { details, less, exp, depth, most })
}

impl Said {
    fn details(&self, above: &[Detail]) -> Vec<Detail> {
        let Some(less) = self.less else { return self.details.clone() };
        let without = |all: &BTreeMap<String, Arguments>| -> BTreeMap<String, Arguments> {
            all.iter().enumerate().filter(|(n, _)| *n != less).map(|(_, (k, v))| (k.clone(), v.clone())).collect()
        };
        above.iter().map(|d| Detail { tools: without(&d.tools), ..d.clone() }).collect()
    }
}

/// Everything that some details let a run do, of a small world.
fn covered(details: &[Detail]) -> Vec<String> {
    let mut all = Vec::new();
    for place in [HERE, THERE] {
        let here = || details.iter().filter(|detail| detail.locations.iter().any(|location| location == place));
        for (tool, arguments) in TOOLS.iter().flat_map(|tool| ARGUMENTS.map(|arguments| (tool, arguments))) {
            let value = json::Value::parse(arguments).unwrap();
            if here().any(|detail| detail.covers_tool(tool, &value).is_ok()) {
                all.push(format!("{place} tool {tool} {arguments}"));
            }
            if here().any(|detail| detail.covers_prompt(tool, &value).is_ok()) {
                all.push(format!("{place} prompt {tool} {arguments}"));
            }
        }
        all.extend(
            URIS.iter()
                .filter(|uri| here().any(|d| d.covers_resource(uri).is_ok()))
                .map(|uri| format!("{place} {uri}")),
        );
        let features = crate::feature::Feature::ALL.into_iter();
        all.extend(features.filter(|f| here().any(|d| d.covers_feature(*f).is_ok())).map(|f| format!("{place} {f:?}")));
    }
    all
}

fn more(child: &[Detail], parent: &[Detail]) -> bool {
    let parent = covered(parent);
    covered(child).iter().any(|one| !parent.contains(one))
}

/// A link of what is said, by the key of whoever is above.
fn link(before: &str, above: &Claims, n: u8, said: &Said) -> String {
    let (header, mut payload) = lawful(before, 0, PARENT + n, PARENT + n + 1, WRITER);
    // Less than nothing is no number of links, and is refused as such.
    let number = |of: u32, by: i64| i64::from(of) + by;
    payload["exp"] = (above.exp + said.exp).into();
    payload["del_depth"] = number(above.del_depth, 1 + said.depth).into();
    payload["del_max_depth"] = number(above.del_max_depth, said.most).into();
    payload["authorization_details"] = serde_json::to_value(said.details(&above.authorization_details)).unwrap();
    jws(&header, &payload, PARENT + n)
}

/// What came of all that was tried.
#[derive(Debug, Default)]
struct Tried {
    accepted: u32,
    narrower: u32,
    /// Refused, and it would have done more than what it came of.
    wider: u32,
    later: u32,
    deeper: u32,
}

/// Break: leave the comparison with the parent out of any one axis.
#[test]
fn no_chain_is_wider_than_its_token() {
    let bundle = open();
    let tried = std::cell::RefCell::new(Tried::default());
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 1_000, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let all = (prop::collection::vec(detail(), 1..3), prop::collection::vec(said(), 1..4));
    let done = runner.run(&all, |(held, links)| {
        let mut claims = parent();
        claims["aud"] = json!([HERE, THERE]);
        claims["authorization_details"] = serde_json::to_value(&held).unwrap();
        let mut text = token(&claims);
        let mut before = text.clone();
        let root = Arc::clone(verify(&bundle, &text).unwrap().claims());
        let mut above = Arc::clone(&root);
        for (n, said) in (0_u8..).zip(&links) {
            let next = link(&before, &above, n, said);
            text = format!("{text}~{next}");
            before = next;
            let mut tried = tried.borrow_mut();
            let Some(child) = verify(&bundle, &text) else {
                let details = said.details(&above.authorization_details);
                tried.wider += u32::from(more(&details, &above.authorization_details));
                tried.later += u32::from(said.exp > 0);
                tried.deeper += u32::from(said.most > 0 || above.del_depth >= above.del_max_depth);
                return Ok(());
            };
            let child = Arc::clone(child.claims());
            tried.accepted += 1;
            tried.narrower += u32::from(more(&above.authorization_details, &child.authorization_details));
            drop(tried);
            within(&child, &above)?;
            within(&child, &root)?;
            above = child;
        }
        Ok(())
    });
    done.unwrap();
    // What would be accepted without the comparison was among what was tried, on each axis.
    let tried = tried.into_inner();
    let enough =
        [tried.accepted, tried.narrower, tried.wider, tried.later, tried.deeper].iter().all(|count| *count > 20);
    assert!(enough, "{tried:?}");
}

fn within(child: &Claims, parent: &Claims) -> Result<(), TestCaseError> {
    prop_assert!(!more(&child.authorization_details, &parent.authorization_details));
    prop_assert!(child.aud.iter().all(|here| parent.aud.contains(here)));
    prop_assert!(child.exp <= parent.exp && child.grant.until <= parent.grant.until && child.iat >= parent.iat);
    prop_assert!(child.del_depth > parent.del_depth && child.del_depth <= child.del_max_depth);
    prop_assert!(child.del_max_depth <= parent.del_max_depth);
    prop_assert_eq!((&child.root, &child.sub, &child.gid), (&parent.root, &parent.sub, &parent.gid));
    prop_assert_eq!((child.root_at, child.root_until), (parent.root_at, parent.root_until));
    prop_assert!(child.run != parent.run && child.jti != parent.jti && child.cnf != parent.cnf);
    // Whatever takes the parent back takes the child back.
    prop_assert!(child.lin.contains(&parent.jti) && parent.lin.iter().all(|jti| child.lin.contains(jti)));
    prop_assert!(parent.via.iter().all(|jti| child.via.contains(jti)));
    prop_assert!(parent.lineage().all(|link| child.lineage().any(|other| other == link)));
    prop_assert!(child.lin_jkt.contains(&parent.cnf.as_ref().unwrap().jkt));
    prop_assert!(parent.lin_jkt.iter().all(|jkt| child.lin_jkt.contains(jkt)));
    prop_assert!(child.coherent());
    Ok(())
}
