//! No exchange widens, on any axis, whatever the run holds and whatever it asks; and what only the authority's own keys could ask.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use remit_core::feature::Feature;
use remit_core::grant::Arguments;
use remit_core::id::{PrincipalId, ServerName, ToolName, TrustDomain};
use remit_core::json::Value;
use remit_core::registry::{Environment, Upstream};

use super::*;
use crate::authority::Authority;
use crate::config::{Clock, Config};
use crate::grant::Where;
use crate::signing::PrivateKey;
use crate::socket::wire::{AddServer, Request, Requested};

const NOW: i64 = 1_795_250_400;
const GATEWAY: &str = "https://gw.example";
const SERVERS: [&str; 2] = ["mail", "tickets"];
const TOOLS: [&str; 2] = ["read", "write"];
const PROMPTS: [&str; 1] = ["greet"];
const URIS: [&str; 2] = ["file:///a", "file:///b"];
const AGENT: &str = "spiffe://acme.example/agent/support/lead/1";

struct World {
    state: Arc<State>,
    clock: Clock,
    _dir: tempfile::TempDir,
}

/// An authority with two servers, and an agent that declares all that there is.
fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::stopped(NOW);
    let mut config = Config::new(TrustDomain::new("acme.example").unwrap(), "https://as.example", GATEWAY);
    config.clock = clock.clone();
    let state = Authority::open(dir.path(), config).unwrap().state;
    let by = state.principal(&mut state.core(), "ada").unwrap();
    for name in SERVERS {
        let tools = TOOLS.map(|tool| format!(r#"{{"name":"{tool}","inputSchema":{{"type":"object"}}}}"#));
        let add = AddServer {
            name: ServerName::new(name).unwrap(),
            environment: Environment::Staging,
            owner: None,
            upstream: Upstream::Http { url: "http://127.0.0.1:1/mcp".into() },
            list: format!(r#"{{"tools":[{}]}}"#, tools.join(",")),
            expose: TOOLS.map(|tool| ToolName::new(tool).unwrap()).into(),
            overrides: BTreeMap::new(),
            prompts: PROMPTS.map(|prompt| ToolName::new(prompt).unwrap()).into(),
            resources: true,
            features: Feature::ALL.into(),
            oauth: None,
        };
        state.add_server(&add, &[], None, &by).unwrap();
    }
    let needs: Vec<String> = every_target().iter().map(|target| need(target)).collect();
    let manifest = format!(
        "[agent]\nname = \"lead\"\nversion = \"1\"\nteam = \"support\"\npurpose = \"leads\"\nbearer = true\n\
         [harm]\nwrites = true\nreversible = true\nautonomous = true\n{}",
        needs.join("")
    );
    let (record, _) = state.review(&manifest).unwrap();
    state.register(record, &by).unwrap();
    World { state, clock, _dir: dir }
}

fn every_target() -> Vec<String> {
    let of = |server: &&str| {
        let tools = TOOLS.iter().chain(&["*"]).map(move |tool| format!("{server}/{tool}"));
        let prompts = PROMPTS.iter().map(move |prompt| format!("prompt:{server}/{prompt}"));
        let uris = URIS.iter().map(move |uri| format!("resource:{server}/{uri}"));
        let features = Feature::ALL.iter().map(move |feature| format!("client:{server}/{}", feature.name()));
        tools.chain(prompts).chain(uris).chain(features).collect::<Vec<_>>()
    };
    SERVERS.iter().flat_map(of).collect()
}

fn need(target: &str) -> String {
    let (key, value) = match target.split_once(':') {
        Some((key @ ("prompt" | "resource" | "client"), value)) => (key, value),
        _ => ("tool", target),
    };
    let wildcard = if target.ends_with("/*") { "wildcard = true\n" } else { "" };
    format!("[[need]]\n{key} = \"{value}\"\nreason = \"x\"\nlongest = \"1h\"\n{wildcard}")
}

fn constraint(text: &str) -> remit_core::constraint::Constraint {
    serde_json::from_str(text).unwrap()
}

/// Constraints of the argument `n`, each with those that it is within.
const LIMITS: [&str; 7] = [
    r#"{"constraint_type":"exact","value":1}"#,
    r#"{"constraint_type":"one_of","values":[1,2]}"#,
    r#"{"constraint_type":"range","min":1,"max":3}"#,
    r#"{"constraint_type":"range","max":5}"#,
    r#"{"constraint_type":"not_one_of","values":[4]}"#,
    r#"{"constraint_type":"any","constraints":[{"constraint_type":"exact","value":2},{"constraint_type":"range","min":3}]}"#,
    r#"{"constraint_type":"wildcard"}"#,
];

fn arguments() -> impl Strategy<Value = Arguments> {
    let limit = || prop::sample::select(LIMITS.to_vec()).prop_map(constraint);
    prop_oneof![
        2 => Just(Arguments::new()),
        4 => limit().prop_map(|n| Arguments::from([("n".into(), n)])),
        1 => (limit(), limit()).prop_map(|(n, m)| Arguments::from([("n".into(), n), ("m".into(), m)])),
    ]
}

fn detail() -> impl Strategy<Value = Detail> {
    let tools = prop::collection::btree_map(prop::sample::select(vec!["read", "write", "*"]), arguments(), 0..3);
    let prompts = prop::collection::btree_map(prop::sample::select(PROMPTS.to_vec()), arguments(), 0..2);
    let resource = |uri: &str| constraint(&format!(r#"{{"constraint_type":"exact","value":"{uri}"}}"#));
    let resources = prop::collection::vec(prop::sample::select(URIS.to_vec()).prop_map(resource), 0..2);
    let features = prop::collection::btree_set(prop::sample::select(Feature::ALL.to_vec()), 0..3);
    let locations = prop::sample::subsequence(SERVERS.to_vec(), 1..=2);
    (locations, tools, prompts, resources, features).prop_map(|(at, tools, prompts, resources, features)| Detail {
        kind: remit_core::grant::DETAIL_TYPE.into(),
        locations: at.into_iter().map(url).collect(),
        tools: named(tools),
        prompts: named(prompts),
        resources,
        features,
    })
}

fn named(of: BTreeMap<&str, Arguments>) -> BTreeMap<String, Arguments> {
    of.into_iter().map(|(name, arguments)| (name.to_owned(), arguments)).collect()
}

fn url(server: &str) -> String {
    format!("{GATEWAY}/mcp/{server}")
}

/// What a run is launched with: targets, and perhaps a limit of the one argument of all its tools.
fn held() -> impl Strategy<Value = (Vec<String>, Option<&'static str>)> {
    let count = every_target().len();
    (prop::sample::subsequence(every_target(), 4..=count), prop::option::of(prop::sample::select(LIMITS.to_vec())))
}

/// What is asked of what is held: most of it made of that, so that some is within, and some of it made up.
#[derive(Debug, Clone)]
struct Wish {
    /// Details that are made up.
    fresh: Vec<Detail>,
    /// Which of those that are held are taken; nothing where all is left to the authority.
    keep: Option<Vec<bool>>,
    /// Another limit for the tools among them.
    limit: Option<&'static str>,
    resources: Vec<&'static str>,
    later: i64,
    duration: Option<u32>,
    proof: bool,
}

fn wish() -> impl Strategy<Value = Wish> {
    let fresh = prop_oneof![3 => Just(vec![]), 2 => prop::collection::vec(detail(), 1..3)];
    let resources = prop_oneof![
        3 => Just(vec![]),
        2 => prop::sample::subsequence(vec!["mail", "tickets", "other"], 1..3),
    ];
    (
        fresh,
        prop::option::weighted(0.7, prop::collection::vec(any::<bool>(), 14)),
        prop::option::of(prop::sample::select(LIMITS.to_vec())),
        resources,
        0..620_i64,
        prop::option::of(0..70_u32),
        prop::bool::weighted(0.9),
    )
        .prop_map(|(fresh, keep, limit, resources, later, duration, proof)| Wish {
            fresh,
            keep,
            limit,
            resources,
            later,
            duration,
            proof,
        })
}

impl Wish {
    fn less(&self, held: &[Detail]) -> Less {
        let details = self.keep.as_ref().map(|keep| {
            let mut keep = keep.iter().copied().cycle();
            let mut kept: Vec<Detail> = held.to_vec();
            for detail in &mut kept {
                detail.tools.retain(|_, _| keep.next().unwrap());
                detail.prompts.retain(|_, _| keep.next().unwrap());
                detail.resources.retain(|_| keep.next().unwrap());
                detail.features.retain(|_| keep.next().unwrap());
                if let Some(limit) = self.limit {
                    detail.tools.values_mut().for_each(|of| *of = Arguments::from([("n".into(), constraint(limit))]));
                }
            }
            kept.into_iter().chain(self.fresh.clone()).collect()
        });
        Less { resources: self.resources.iter().map(|server| url(server)).collect(), details }
    }
}

fn launch(world: &World, targets: Vec<String>, limit: Option<&str>, key: Option<&Jwk>) -> Requested {
    let tool = |target: &&String| !target.contains(':');
    let constraints = match limit {
        Some(limit) if targets.iter().any(|target| tool(&target)) => {
            vec![Where { tool: None, argument: "n".into(), constraint: constraint(limit) }]
        }
        _ => vec![],
    };
    let asked = Asked { tools: targets, constraints, duration: "30m".into(), why: "x".into() };
    let request =
        Request { agent: "support/lead".into(), asked, principal: None, pid: None, key: key.cloned(), golden: false };
    world.state.launch(&request, "ada", None).unwrap()
}

fn key() -> Jwk {
    PrivateKey::generate().unwrap().0.public().clone()
}

fn heir(key: Jwk, duration: Option<u32>) -> Heir {
    let agent = AgentId::parse(AGENT).unwrap();
    Heir { agent, key, why: "y".into(), duration: duration.map(|minutes| format!("{minutes}m")) }
}

/// A token of all that a run holds.
fn all(world: &World, run: &RunId, bound: bool) -> Minted {
    let wanted = Wanted { bound, ..Wanted::default() };
    world.state.mint(run, &wanted).unwrap().unwrap_or_else(|(_, rejection)| panic!("{rejection}"))
}

/// Every call of a small world at one server.
fn calls() -> Vec<(&'static str, &'static str)> {
    let tools = ["read", "write", "other"];
    let texts = [
        "{}",
        r#"{"n":0}"#,
        r#"{"n":1}"#,
        r#"{"n":2}"#,
        r#"{"n":3}"#,
        r#"{"n":4}"#,
        r#"{"n":5}"#,
        r#"{"n":6}"#,
        r#"{"n":"a"}"#,
        r#"{"n":[1]}"#,
        r#"{"n":1,"m":1}"#,
        r#"{"n":2,"m":6}"#,
        r#"{"m":2}"#,
        r#"{"x":1}"#,
    ];
    tools.into_iter().flat_map(|tool| texts.into_iter().map(move |text| (tool, text))).collect()
}

/// On which axes the second says more than the first; nothing is asked of the rules that the authority itself judges by.
fn beyond(held: &Claims, got: &Claims) -> BTreeSet<&'static str> {
    let mut axes = BTreeSet::new();
    let mut within = |axis, holds: bool| {
        if !holds {
            axes.insert(axis);
        }
    };
    for server in ["mail", "tickets", "other"].map(url) {
        let here = |of: &Claims| -> Vec<Detail> {
            let at = |detail: &&Detail| of.aud.contains(&server) && detail.locations.contains(&server);
            of.authorization_details.iter().filter(at).cloned().collect()
        };
        let (wide, narrow) = (here(held), here(got));
        within("audience", !got.aud.contains(&server) || held.aud.contains(&server));
        for (name, text) in calls() {
            let arguments = Value::parse(text).unwrap();
            let may = |of: &[Detail]| of.iter().any(|detail| detail.covers_tool(name, &arguments).is_ok());
            within("tools", !may(&narrow) || may(&wide));
            let may = |of: &[Detail]| of.iter().any(|detail| detail.covers_prompt("greet", &arguments).is_ok());
            within("prompts", !may(&narrow) || may(&wide));
        }
        for uri in ["file:///a", "file:///b", "file:///c"] {
            let may = |of: &[Detail]| of.iter().any(|detail| detail.covers_resource(uri).is_ok());
            within("resources", !may(&narrow) || may(&wide));
        }
        for feature in Feature::ALL {
            let may = |of: &[Detail]| of.iter().any(|detail| detail.covers_feature(feature).is_ok());
            within("features", !may(&narrow) || may(&wide));
        }
    }
    within("end", got.exp <= held.exp);
    within("grant's end", got.grant.until <= held.grant.until && got.root_until <= held.root_until);
    within("depth", got.del_depth >= held.del_depth && got.del_max_depth <= held.del_max_depth);
    within("depth", got.del_depth <= got.del_max_depth);
    within("proof", held.cnf.is_none() || got.cnf.is_some());
    within("whom", got.sub == held.sub && got.root == held.root && got.root_at <= held.root_at);
    let (above, own): (Vec<_>, Vec<_>) = (held.lineage().collect(), got.lineage().collect());
    within("lineage", own.ends_with(&above));
    within("revocation", got.lin.contains(&held.jti) || got.via.contains(&held.jti));
    axes
}

/// Break: any check of an exchange. Take away the comparison of details, the end, the binding or the lineage, and this finds it.
#[test]
fn no_exchange_widens_on_any_axis() {
    let world = world();
    let given = [const { AtomicU32::new(0) }; 3];
    let tried = |what: usize| {
        given[what].fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let config = ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() };
    let found = TestRunner::new(config).run(&(held(), wish(), wish()), |((targets, limit), first, second)| {
        world.clock.set(NOW);
        let own = key();
        let run = launch(&world, targets, limit, Some(&own)).run.id;
        let start = all(&world, &run, first.proof || second.proof);
        world.clock.set(NOW + first.later);
        // Less, then less of that, then a child by it, then a child's child.
        let less = first.less(&start.claims.authorization_details);
        let Ok(narrower) = world.state.exchange(&run, &start.token, less, first.proof) else {
            return tried(0);
        };
        prop_assert_eq!(beyond(&start.claims, &narrower.claims), BTreeSet::new());
        // What is shown is the measure, and not what the run holds besides.
        let less = second.less(&start.claims.authorization_details);
        if let Ok(again) = world.state.exchange(&run, &narrower.token, less, second.proof) {
            prop_assert_eq!(beyond(&narrower.claims, &again.claims), BTreeSet::new());
        }
        let less = second.less(&start.claims.authorization_details);
        let Ok(child) = world.state.delegate_to(&run, &narrower.token, less, heir(key(), second.duration)) else {
            return tried(1);
        };
        prop_assert_eq!(beyond(&narrower.claims, &child.claims), BTreeSet::new());
        prop_assert_eq!(child.claims.del_depth, 1);
        // What the child asks for itself ends with its grant, and is else the same.
        let later = all(&world, &child.claims.run, true);
        let mut axes = beyond(&narrower.claims, &later.claims);
        axes.remove("end");
        prop_assert_eq!(axes, BTreeSet::new());
        prop_assert!(later.claims.exp <= narrower.claims.grant.until);
        let less = first.less(&narrower.claims.authorization_details);
        if let Ok(deeper) = world.state.delegate_to(&child.claims.run, &child.token, less, heir(key(), first.duration))
        {
            prop_assert_eq!(beyond(&child.claims, &deeper.claims), BTreeSet::new());
        }
        tried(2)
    });
    found.unwrap();
    let given = given.map(|count| count.load(Ordering::Relaxed));
    assert!(given.iter().all(|count| *count >= 8), "too much was refused, or too little: {given:?}");
}

/// A change of what a token says.
type Widen = fn(&mut Claims);

/// The oracle itself: one claim is widened at a time, and that axis is named.
#[test]
fn what_is_wider_is_seen_to_be() {
    let world = world();
    let limit = Some(r#"{"constraint_type":"exact","value":1}"#);
    let targets = ["tickets/read", "prompt:tickets/greet", "resource:tickets/file:///a", "client:tickets/roots"];
    let run = launch(&world, targets.map(ToOwned::to_owned).into(), limit, Some(&key())).run.id;
    let start = all(&world, &run, true);
    let honest =
        world.state.exchange(&run, &start.token, Less::default(), true).map_err(|_| ()).unwrap_or_else(|()| panic!());
    assert_eq!(beyond(&start.claims, &honest.claims), BTreeSet::new());
    let cases: [(&str, Widen); 14] = [
        ("tools", |got| drop(got.authorization_details[0].tools.insert("write".into(), Arguments::new()))),
        ("tools", |got| drop(got.authorization_details[0].tools.insert("read".into(), Arguments::new()))),
        ("prompts", |got| drop(got.authorization_details[0].prompts.insert("greet".into(), Arguments::new()))),
        ("resources", |got| got.authorization_details[0].resources.push(constraint(LIMITS[6]))),
        ("features", |got| got.authorization_details[0].features.extend([Feature::Sampling])),
        ("audience", |got| got.aud.push(url("mail"))),
        ("end", |got| got.exp += 1),
        ("grant's end", |got| got.grant.until += 1),
        ("depth", |got| got.del_max_depth += 1),
        ("depth", |got| got.del_depth = got.del_max_depth + 1),
        ("proof", |got| got.cnf = None),
        ("whom", |got| got.sub = PrincipalId::new("p-other").unwrap()),
        ("lineage", |got| got.act.sub.run = RunId::new("r-other").unwrap()),
        ("revocation", |got| got.via.clear()),
    ];
    for (axis, widen) in cases {
        let mut got = honest.claims.clone();
        widen(&mut got);
        assert_eq!(beyond(&start.claims, &got), BTreeSet::from([axis]));
    }
}

#[track_caller]
fn refused(result: Result<Minted, Failed>, expected: Refusal) {
    match result {
        Err(Failed::Refused(refusal, rejection)) => assert_eq!(refusal, expected, "{rejection}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// Break: let a run hand on what the authority keeps for it. Such a run cannot even authenticate at the endpoint, which is why this is asked
/// of the state itself.
#[tokio::test]
async fn a_run_whose_key_is_kept_here_hands_nothing_to_a_key_from_elsewhere() {
    let world = world();
    let targets = || vec!["tickets/read".to_owned()];
    let (held, own) = (launch(&world, targets(), None, None), launch(&world, targets(), None, Some(&key())));
    assert!(held.run.key_held && !own.run.key_held);
    let token = |run: &Requested| all(&world, &run.run.id, true).token;
    let hand =
        |run: &Requested, token: &str| world.state.delegate_to(&run.run.id, token, Less::default(), heir(key(), None));
    refused(hand(&held, &token(&held)), Refusal::Actor);
    assert!(hand(&own, &token(&own)).is_ok());
    refused(hand(&own, &token(&held)), Refusal::Request);
}

/// Break: begin a run by a grant within a ceiling: revoking that grant would end neither the run nor its tokens.
#[test]
fn what_is_handed_on_is_of_a_ceiling() {
    let world = world();
    let own = launch(&world, vec!["tickets/read".into(), "tickets/write".into()], None, Some(&key()));
    let asked =
        Asked { tools: vec!["tickets/read".into()], constraints: vec![], duration: "5m".into(), why: "x".into() };
    let narrowed = world.state.narrow(&own.run.id, &asked).unwrap();
    let wanted = Wanted { grant: Some(narrowed.grant.id), bound: true, ..Wanted::default() };
    let minted = world.state.mint(&own.run.id, &wanted).unwrap().unwrap_or_else(|(_, rejection)| panic!("{rejection}"));
    refused(world.state.delegate_to(&own.run.id, &minted.token, Less::default(), heir(key(), None)), Refusal::Request);
}
