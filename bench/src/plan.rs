//! What a decision costs as policies grow in number: looked up by the index, and asked of Cedar with all of them at once.

use std::fmt::Write as _;
use std::io;
use std::str::FromStr as _;
use std::time::Duration;

use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request};
use remit_core::decide::{Verdict, replay};
use remit_core::gate::Evidence;
use remit_core::plan::plan;
use serde_json::{Value, json};

use crate::report::{Goal, Table};
use crate::sample::{Sample, grouped, shown};
use crate::world::{FLOOR, QUIET, Whose, World, body, call, input};

/// The most that a plan shall take.
const GOAL: Duration = Duration::from_micros(20);
/// Policies in all; of them, those that name the crowded server, those that name the crowded team, and those of the
/// floor that name nobody.
const SIZES: &[(usize, usize, usize, usize)] = &[(10, 1, 1, 2), (1_000, 100, 100, 50), (10_000, 1_000, 1_000, 50)];
/// No column takes longer than this.
const EACH: Duration = Duration::from_secs(2);
/// Whom the rest of the policies names.
const OTHERS: (usize, usize) = (60, 150);

pub(crate) fn measure(runs: usize) -> io::Result<(Table, Goal)> {
    let mut table = Table {
        title: "The plan, by the number of policies",
        about: "`plan` is who is calling, what the grant says, and Cedar with those policies that the index finds. \
                *Quiet* is a call of a server and a team that no policy names, so that the index finds only those that name \
                nobody; *crowded* is one of the server and the team that many name. *All* is Cedar asked with every policy, \
                for the same quiet call and nothing around it. At 10,000 policies 1,000 name the crowded server, 1,000 the \
                crowded team, 50 of the floor name nobody, and the rest names others. Medians."
            .to_owned(),
        head: vec!["policies", "name nobody", "quiet", "crowded server", "crowded server and team", "all", "load a bundle"],
        rows: Vec::new(),
    };
    let mut slowest = Duration::ZERO;
    for size in SIZES {
        let policies = policies(*size);
        let began = std::time::Instant::now();
        let world = World::new(&policies)?;
        let compiled = began.elapsed();
        let crowded = Whose { server: "crowded", ..QUIET };
        let quiet = one(&world, QUIET, runs)?;
        slowest = slowest.max(quiet.p50());
        let all = every_policy(&world, &policies, runs)?;
        table.row([
            grouped(size.0 as u64),
            (size.3 + 1).to_string(),
            shown(quiet.p50()),
            shown(one(&world, crowded, runs)?.p50()),
            shown(one(&world, Whose { team: "crowded", ..crowded }, runs)?.p50()),
            shown(all.p50()),
            shown(compiled),
        ]);
    }
    let goal = Goal {
        what: "`plan` at 10, 1,000 and 10,000 policies alike, quiet",
        asked: format!("p50 ≤ {}", shown(GOAL)),
        measured: shown(slowest),
        reached: slowest <= GOAL,
    };
    Ok((table, goal))
}

/// Times of the plan of such a call.
fn one(world: &World, whose: Whose, runs: usize) -> io::Result<Sample> {
    let body = body(1);
    let input = input(world.presented(whose)?, &call(whose, &body)?);
    let (verdict, _) = replay(&world.bundle, &input, &Evidence::default());
    if verdict != Verdict::Permit {
        return Err(io::Error::other(format!("the plan is {verdict:?}")));
    }
    Ok(Sample::within((runs, EACH), || input.clone(), |input| plan(&world.bundle, input)))
}

/// Policies beside the floor of every home. All of them are evaluated where they apply, and none forbids.
fn policies((all, server, team, floor): (usize, usize, usize, usize)) -> String {
    let base = FLOOR.matches("@id(").count();
    let rest = all.saturating_sub(base + server + team + floor);
    let mut text = String::new();
    let mut add = |count: usize, scope: &dyn Fn(usize) -> (String, String)| {
        for number in 0..count {
            let (principal, resource) = scope(number);
            // Writing to a String cannot fail.
            let _infallible = writeln!(
                text,
                "forbid ({principal}, action in Action::\"CallTool\", {resource})\n\
                 when {{ context.session.calls > {} }};",
                1_000_000 + number
            );
        }
    };
    let (anybody, anything) = (|| "principal".to_owned(), || "resource".to_owned());
    add(floor, &|_| (anybody(), anything()));
    add(server, &|_| (anybody(), "resource in Server::\"crowded\"".to_owned()));
    add(team, &|_| ("principal in Team::\"crowded\"".to_owned(), anything()));
    add(rest, &|number| {
        let (team, server) = (number % OTHERS.0, number % OTHERS.1);
        (format!("principal in Team::\"t{team}\""), format!("resource in Server::\"s{server}\""))
    });
    text
}

/// Times of Cedar with every policy. Its answer must be that of the plan.
fn every_policy(world: &World, policies: &str, runs: usize) -> io::Result<Sample> {
    let set = PolicySet::from_str(&[FLOOR, policies].concat()).map_err(io::Error::other)?;
    let entities = Entities::from_json_value(entities(), None).map_err(io::Error::other)?;
    let uid = |text: &str| EntityUid::from_str(text).map_err(io::Error::other);
    let (principal, action) = (uid("Agent::\"quiet/caller@1\"")?, uid("Action::\"quiet/echo\"")?);
    let resource = uid("Tool::\"quiet/echo\"")?;
    let ask = || {
        let context = Context::from_json_value(context(), None).map_err(io::Error::other)?;
        let request = Request::new(principal.clone(), action.clone(), resource.clone(), context, None);
        let request = request.map_err(io::Error::other)?;
        Ok::<_, io::Error>(Authorizer::new().is_authorized(&request, &set, &entities))
    };
    let response = ask()?;
    let presented = world.presented(QUIET)?;
    let (verdict, found) = replay(&world.bundle, &input(presented, &call(QUIET, &body(1))?), &Evidence::default());
    let same = (verdict == Verdict::Permit) == (response.decision() == Decision::Allow)
        && found.len() == response.diagnostics().reason().count()
        && response.diagnostics().errors().next().is_none();
    if !same {
        return Err(io::Error::other("the index and all policies do not decide alike"));
    }
    Ok(Sample::within((runs, EACH), || (), |()| ask()))
}

fn entities() -> Value {
    let entity = |kind: &str, id: &str, attrs: Value, parents: &[(&str, &str)]| {
        let parents: Vec<Value> = parents.iter().map(|(kind, id)| json!({ "type": kind, "id": id })).collect();
        json!({ "uid": { "type": kind, "id": id }, "attrs": attrs, "parents": parents })
    };
    let production = json!({ "environment": "production" });
    json!([
        entity("Agent", "quiet/caller@1", production.clone(), &[("AgentName", "quiet/caller")]),
        entity("AgentName", "quiet/caller", json!({}), &[("Team", "quiet")]),
        entity("Team", "quiet", json!({}), &[("Org", "bench.example")]),
        entity("Org", "bench.example", json!({}), &[]),
        entity("Action", "quiet/echo", json!({}), &[("Action", "CallTool")]),
        entity("Action", "CallTool", json!({}), &[]),
        entity("Tool", "quiet/echo", json!({ "environment": "production", "tier": 0 }), &[("Server", "quiet")]),
        entity("Server", "quiet", production, &[]),
    ])
}

/// The context of the same call, as far as these policies read it.
fn context() -> Value {
    json!({
        "labels": { "trust": 0, "sensitivity": 0 }, "session": { "calls": 1, "spend": 0 }, "credential": "dpop",
        "evidence": { "approved": false, "dual": false }, "input": { "text": "hi 1" }, "now": 1_795_250_400,
    })
}
