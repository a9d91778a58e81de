//! Who is calling: every token and proof that is not exactly right is refused, and leaves an entry that says which.

use std::time::Duration;

use remit_core::event::Kind;

use crate::authority::minted_by;
use crate::client::{Ask, Run, code_of};
use crate::world::World;

const READ: &str = r#"{"read_ticket":{}}"#;

async fn check(world: &World, run: &Run, ask: Ask, status: u16, code: &str) {
    let reply = run.send(ask).await;
    let (found, challenge) = (reply.status.as_u16(), reply.header("www-authenticate").to_owned());
    let answer = reply.json().await;
    assert_eq!((found, code_of(&answer).as_str()), (status, code), "{answer}\n{}", world.story());
    if status == 401 {
        assert!(challenge.contains("resource_metadata=\"http://"), "{code}: {challenge}");
    }
    assert_eq!(world.last(Kind::CallIntent).text("decision/code"), code);
    assert!(world.ledger().is_empty());
}

fn call(run: &Run) -> Ask {
    run.tool("read_ticket", r#"{"id":42}"#)
}

/// Break: any one check of `authenticate` or `identify`.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_right() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    let bare = call(&run).unset("authorization").unset("dpop");
    check(&world, &run, bare, 401, "token_missing").await;
    let mut forged = run.clone();
    forged.token = minted_by(&run.claims, [1; 32]);
    check(&world, &run, call(&forged), 401, "token_invalid").await;
    let elsewhere = run.with(|claims| claims.aud = vec![format!("{}/mcp/other", run.url)]);
    check(&world, &run, call(&elsewhere), 401, "token_audience").await;
    let stranger = run.with(|claims| claims.iss = "https://as.evil.example".into());
    check(&world, &run, call(&stranger), 401, "token_invalid").await;
}

/// Break: let the time of a token pass, or accept an agent whose version is not registered.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_time_or_agent() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    let unregistered = run.with(|claims| {
        let id = "spiffe://acme.example/agent/support/triage/9.9.9".to_owned();
        claims.client_id = remit_core::id::AgentId::parse(&id).unwrap();
        claims.act.sub.agent = claims.client_id.clone();
    });
    check(&world, &run, call(&unregistered), 403, "agent_unregistered").await;
    // Another agent that holds the first one's token does not hold its key.
    let mut thief = world.run("r2", READ);
    thief.token.clone_from(&run.token);
    check(&world, &run, call(&thief), 401, "proof_invalid").await;
    world.clock.advance(Duration::from_secs(901));
    world.ready().await;
    check(&world, &run, call(&run), 401, "token_expired").await;
}

/// Break: take a bound token without its proof, or a proof that was made for something else.
#[tokio::test(flavor = "multi_thread")]
async fn proofs_that_are_not_right() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    let url = format!("{}/mcp/tickets", run.url);
    let as_bearer = call(&run).set("authorization", &format!("Bearer {}", run.token)).unset("dpop");
    check(&world, &run, as_bearer, 401, "proof_invalid").await;
    for (method, url) in
        [("GET", url.as_str()), ("POST", "http://127.0.0.1:1/mcp/tickets"), ("POST", &format!("{url}/x"))]
    {
        let ask = call(&run).set("dpop", &run.proof(method, url));
        check(&world, &run, ask, 401, "proof_invalid").await;
    }
}

/// Break: forget proofs that were used, or read only the first of two headers.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_good_once_and_there_is_one_of_each_header() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    let twice = call(&run).add("authorization", &format!("DPoP {}", run.token));
    check(&world, &run, twice, 401, "token_invalid").await;
    let twice = call(&run).add("dpop", &run.proof("POST", &format!("{}/mcp/tickets", run.url)));
    check(&world, &run, twice, 401, "token_invalid").await;
    let ask = call(&run);
    assert_eq!(run.send(ask.clone()).await.status, 200);
    let reply = run.send(ask).await;
    assert!(reply.header("www-authenticate").starts_with("DPoP error=\"invalid_dpop_proof\""));
    assert_eq!(code_of(&reply.json().await), "proof_replayed");
    assert_eq!(world.ledger().len(), 1);
}

/// Break: give every refusal of a stranger an entry, or never sum them up.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_strangers_is_summed_up() {
    let mut world = World::new().await;
    let run = world.run("r1", READ);
    // Warm: the tools are known.
    assert_eq!(run.refusal("read_ticket", r#"{"id":42}"#).await, "ok");
    let before = world.log().len();
    let expired = run.with(|claims| claims.exp = claims.iat + 1);
    world.clock.advance(Duration::from_secs(2));
    for n in 0..200 {
        let ask = if n % 2 == 0 { call(&run).unset("authorization") } else { call(&expired) };
        assert_eq!(run.send(ask).await.status, 401);
    }
    assert!(world.log().len() - before <= 12, "{}", world.story());
    assert_eq!(run.refusal("read_ticket", r#"{"id":42}"#).await, "ok");
    world.stop(true).await;
    world.restart().await;
    // The run of the token that is over is a source of its own.
    let summaries = world.of(Kind::Refusals);
    let counts = summaries.iter().flat_map(|summary| summary.node.list(&["unmapped", "remit", "counts"]));
    let counts: Vec<i64> = counts.map(|count| count.int(&["n"]).unwrap()).collect();
    assert_eq!(counts, [95, 95], "{}", world.story());
    assert!(summaries.iter().all(|summary| !summary.text("source").contains("127.0.0.1")));
}

/// Break: serve metadata that names another resource, or none.
#[tokio::test(flavor = "multi_thread")]
async fn the_challenge_leads_to_the_metadata() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    let reply = run.send(Run::modern_bare("tickets", "tools/list", "{}")).await;
    assert_eq!(reply.status, 401);
    let challenge = reply.header("www-authenticate").to_owned();
    let url = challenge.split("resource_metadata=\"").nth(1).unwrap().split('"').next().unwrap();
    let path = url.strip_prefix(&run.url).unwrap();
    let ask = Ask { method: http::Method::GET, path: path.into(), headers: http::HeaderMap::new(), body: vec![] };
    let metadata = run.send(ask).await.json().await;
    assert_eq!(metadata["resource"], format!("{}/mcp/tickets", run.url));
    assert_eq!(metadata["authorization_servers"][0], crate::authority::ISSUER);
}
