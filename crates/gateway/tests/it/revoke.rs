//! What is taken back is taken back everywhere, within two seconds, also in the middle of a stream.

use std::time::Duration;

use remit_core::event::Kind as Event;
use remit_core::revoked::Kind;
use ticketdesk::Outcome;

use crate::world::{AGENT, World};

const TOOLS: &str = r#"{"watch_ticket":{},"read_ticket":{}}"#;
/// How long a revocation may take to arrive.
const LATE: Duration = Duration::from_secs(2);

/// Break: check revocations only when a token is seen first, or only one kind of them.
#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_revocation_refuses() {
    let world = World::new().await;
    let short = AGENT.rsplit_once('/').map(|(agent, _)| agent.rsplit_once("agent/").unwrap().1).unwrap();
    for (n, kind) in [Kind::Token, Kind::Run, Kind::Root, Kind::Grant, Kind::Key].into_iter().enumerate() {
        let run = world.run(&format!("r{n}"), TOOLS);
        assert_eq!(run.refusal("read_ticket", r#"{"id":42}"#).await, "ok");
        let id = match kind {
            Kind::Token => run.claims.jti.clone(),
            Kind::Grant => run.claims.gid.to_string(),
            Kind::Key => run.claims.cnf.clone().unwrap().jkt,
            _ => run.claims.run.to_string(),
        };
        let began = tokio::time::Instant::now();
        world.revoke(kind, &id).await;
        assert!(began.elapsed() < LATE);
        let reply = run.send(run.tool("read_ticket", r#"{"id":42}"#)).await;
        assert_eq!(
            (reply.status.as_u16(), crate::client::code_of(&reply.json().await).as_str()),
            (401, "revoked"),
            "{kind:?}"
        );
    }
    assert_eq!(world.ledger().len(), 5);
    let run = world.run("r9", TOOLS);
    world.revoke(Kind::Agent, short).await;
    assert_eq!(run.refusal("read_ticket", r#"{"id":42}"#).await, "revoked");
}

/// Break: look only before a call, and not while its answer comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_run_loses_its_open_stream() {
    let world = World::new().await;
    let run = world.run("r1", TOOLS);
    let mut watching = run.send(run.watch(30)).await;
    let _first = watching.event().await.unwrap();
    let other = world.run("r2", TOOLS);
    let mut spared = other.send(other.watch(30)).await;
    let _first = spared.event().await.unwrap();
    let began = tokio::time::Instant::now();
    world.authority.revoke(Kind::Run, "r1");
    while watching.event().await.is_some() {}
    assert!(began.elapsed() < LATE, "{:?}", began.elapsed());
    let outcomes = world.of(Event::CallOutcome);
    let ended: Vec<_> = outcomes.iter().map(|e| (e.text("run"), e.text("status"))).filter(|e| e.1 != "ok").collect();
    assert_eq!(ended, [("r1", "revoked")], "{}", world.story());
    world.until("ended", async || world.ledger().iter().any(|e| e.outcome == Outcome::Cancelled)).await;
    assert!(spared.event().await.is_some());
}

/// Break: end only what has begun to stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_run_is_answered_while_the_upstream_thinks() {
    let stub = crate::stub::Stub::start(crate::bytes::TOOLS, |_| std::future::pending()).await;
    let (world, run) = crate::bytes::raw(&stub).await;
    let asking = tokio::spawn(crate::bytes::echo(&run, "{}").send(run.addr));
    world.until("asked", async || !stub.of("tools/call").is_empty()).await;
    world.authority.revoke(Kind::Root, "r1");
    let reply = asking.await.unwrap();
    assert_eq!(reply.status, 401);
    assert_eq!(crate::client::code_of(&reply.json().await), "revoked");
    assert_eq!(world.outcome(), "revoked");
}

/// Break: lock down one tool by its name alone, or forget to lift.
#[tokio::test(flavor = "multi_thread")]
async fn a_lockdown_is_for_everybody_until_it_is_lifted() {
    let world = World::new().await;
    let run = world.run("r1", TOOLS);
    let mut watching = run.send(run.watch(30)).await;
    let _first = watching.event().await.unwrap();
    let began = tokio::time::Instant::now();
    world.revoke(Kind::Lockdown, "tickets/watch_ticket").await;
    while watching.event().await.is_some() {}
    assert!(began.elapsed() < LATE, "{:?}", began.elapsed());
    assert_eq!(world.outcome(), "revoked", "{}", world.story());
    assert_eq!(run.refusal("watch_ticket", r#"{"id":41}"#).await, "locked_down");
    assert_eq!(run.refusal("read_ticket", r#"{"id":42}"#).await, "ok");
    world.revoke(Kind::Lockdown, "tickets").await;
    assert_eq!(run.refusal("read_ticket", r#"{"id":43}"#).await, "locked_down");
    world.revoke(Kind::Lift, "tickets").await;
    assert_eq!(run.refusal("read_ticket", r#"{"id":44}"#).await, "ok");
}

/// Break: let a grant that has ended go on where a stream was opened in its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_grant() {
    let world = World::new().await;
    let run = world.run("r1", TOOLS).with(|claims| {
        claims.grant.until = claims.iat + 3;
        claims.exp = claims.iat + 3;
    });
    let mut watching = run.send(run.watch(30)).await;
    let _first = watching.event().await.unwrap();
    while watching.event().await.is_some() {}
    assert_eq!(world.outcome(), "revoked", "{}", world.story());
}
