//! The authority goes away, or says what it must not: the last good bundle stays, and what is too old decides nothing.

use std::time::Duration;

use remit_core::bundle::PolicyFile;
use remit_core::event::Kind;

use crate::bytes::{TOOLS, echo, raw};
use crate::client::code_of;
use crate::stub;
use crate::world::{Setup, World};

const READ: &str = r#"{"read_ticket":{}}"#;
const TICKET: &str = r#"{"id":42}"#;

async fn refused_because(world: &World, why: &str) {
    let refused =
        async || world.of(Kind::Bundle).last().is_some_and(|e| e.text("what") == "refused" && e.text("why") == why);
    world.until(why, refused).await;
}

/// Break: take over a bundle whose signature, version, end or content is not good, or say nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_not_good_changes_nothing() {
    let mut world = World::new().await;
    let run = world.run("r1", READ);
    world.publish(5, |_| {}).await;
    let mut open = world.bundle.clone();
    let text = "permit (principal, action, resource);".to_owned();
    open.floor = vec![PolicyFile { name: "open".into(), text }];
    let mut broken = world.bundle.clone();
    broken.floor.push(PolicyFile { name: "broken".into(), text: "permit (principal".into() });
    let good = world.authority.note(6, &open);
    for (announced, note, why) in [
        (6, world.authority.forged(6, &open), "signature"),
        (7, good.replacen("support", "Support", 1), "signature"),
        (8, world.authority.note(4, &open), "older"),
        (9, world.authority.note(9, &broken), "policy"),
        (10, world.authority.ended(10, &open), "ended"),
    ] {
        world.authority.serve(announced, note);
        refused_because(&world, why).await;
        assert_eq!(world.health().await.1["bundle"], 5, "{why}");
        assert_eq!(run.refusal("read_ticket", TICKET).await, "ok");
        assert_eq!(run.refusal("export_customers", "{}").await.split(' ').next(), Some("-32602"), "{why}");
    }
    world.publish(11, |_| {}).await;
}

/// Break: keep the highest version in memory alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_bundle_is_refused_after_a_restart_too() {
    let mut world = World::new().await;
    let run = world.run("r1", READ);
    world.publish(5, |_| {}).await;
    world.stop(true).await;
    world.authority.serve(9, world.authority.note(4, &world.bundle));
    world.start_again().await;
    refused_because(&world, "older").await;
    let run = crate::client::Run { addr: world.addr(), ..run };
    let reply = run.send(run.tool("read_ticket", TICKET)).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, "1"));
    assert_eq!(crate::client::code_of(&reply.json().await), "policy_stale");
    world.publish(10, |_| {}).await;
    world.ready().await;
    assert_eq!(run.refusal("read_ticket", TICKET).await, "ok");
}

/// Break: know the highest version from the files of bundles, or from entries, alone. Twice: what is known must outlive the
/// next start.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_bundle_is_refused_where_only_a_heartbeat_knows_of_a_newer_one() {
    let mut world = World::new().await;
    world.publish(5, |_| {}).await;
    let loaded = world.last(Kind::Bundle).index;
    world.stop(true).await;
    world.authority.serve(9, world.authority.note(4, &world.bundle));
    for start in ["first", "second"] {
        let beat = world.last(Kind::Heartbeat);
        assert!(loaded < beat.int("low_water").unsigned_abs(), "{start}: the entry is read again\n{}", world.story());
        std::fs::remove_dir_all(world.config.home.join("bundles")).unwrap();
        let refusals = world.of(Kind::Bundle).len();
        world.start_again().await;
        world.until("offered", async || world.of(Kind::Bundle).len() > refusals).await;
        assert_eq!(world.last(Kind::Bundle).text("why"), "older", "{start}\n{}", world.story());
        assert_eq!(world.health().await.0, 503, "{start}");
        world.stop(true).await;
    }
}

/// Break: send, or wait, where nothing can be recorded.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_sent() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    assert_eq!(run.refusal("read_ticket", TICKET).await, "ok");
    // The log is gone, and the gateway goes on.
    std::sync::Arc::clone(world.gateway()).close().await;
    let reply = run.send(run.tool("read_ticket", TICKET)).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, "1"));
    assert_eq!(crate::client::code_of(&reply.json().await), "audit_unavailable");
    assert_eq!((world.ledger().len(), world.health().await.0), (1, 503));
}

/// Break: go on for ever with what was heard last, or stop at once.
#[tokio::test(flavor = "multi_thread")]
async fn no_news_for_too_long_decides_nothing() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    assert_eq!(run.refusal("read_ticket", TICKET).await, "ok");
    world.authority.set_down(true);
    world.clock.advance(Duration::from_secs(50));
    assert_eq!(run.refusal("read_ticket", TICKET).await, "ok");
    world.clock.advance(Duration::from_secs(15));
    let entries = world.log().len();
    assert_eq!(run.refusal("read_ticket", TICKET).await, "policy_stale");
    assert_eq!((world.health().await.0, world.log().len(), world.ledger().len()), (503, entries, 2));
    world.authority.set_down(false);
    world.ready().await;
    assert_eq!(run.refusal("read_ticket", TICKET).await, "ok");
}

/// Break: end what is under way with the news, leave it without its outcome, or begin something new.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_under_way_ends_as_it_would_have() {
    let (stub, go) = stub::holding(TOOLS).await;
    let (world, run) = raw(&stub).await;
    let whole = tokio::spawn(echo(&run, "{}").send(run.addr));
    world.until("asked", async || !stub.of("tools/call").is_empty()).await;
    let mut stream = run.send(echo(&run, r#"{"t":"stream"}"#)).await;
    assert_eq!(stream.message().await.unwrap()["method"], "notifications/message");
    world.authority.set_down(true);
    world.clock.advance(Duration::from_secs(65));
    let entries = world.log().len();
    assert_eq!(code_of(&run.send(echo(&run, "{}")).await.json().await), "policy_stale", "{}", world.story());
    assert_eq!((world.health().await.0, world.log().len()), (503, entries), "{}", world.story());
    // What comes of it first, a bundle, makes the gateway look at its calls, and there is no news yet.
    world.authority.set_feed_down(true);
    world.authority.set_down(false);
    world.authority.publish(2, &world.bundle);
    world.until("loaded", async || world.last(Kind::Bundle).int("version") == 2).await;
    assert_eq!(code_of(&run.send(echo(&run, "{}")).await.json().await), "policy_stale", "{}", world.story());
    go.send_replace(true);
    assert_eq!(code_of(&whole.await.unwrap().json().await), "ok", "{}", world.story());
    assert_eq!(code_of(&stream.message().await.unwrap()), "ok", "{}", world.story());
    let intents: Vec<u64> = world.of(Kind::CallIntent).iter().map(|e| e.index).collect();
    let outcomes = world.of(Kind::CallOutcome);
    let ended =
        |intent: &u64| outcomes.iter().any(|e| e.int("intent").unsigned_abs() == *intent && e.text("status") == "ok");
    assert!(intents.len() == 2 && intents.iter().all(ended), "{}", world.story());
    assert_eq!((world.health().await.0, stub.of("tools/call").len()), (503, 2));
}

/// Break: say nothing of how old the news is, or be well however old it is.
#[tokio::test(flavor = "multi_thread")]
async fn health_says_how_old_the_news_is() {
    let world = World::with(Setup { age_max: Duration::from_mins(10), ..Setup::default() }).await;
    world.authority.set_down(true);
    let said = async || {
        let (status, body) = world.health().await;
        let age = body["snapshot_age_s"].as_i64().unwrap();
        (status, body["ok"] == true, body["policy"].as_str().unwrap().to_owned(), age)
    };
    for (passed, more) in [(200, 200), (400, 200), (560, 160)] {
        world.clock.advance(Duration::from_secs(more));
        let (status, ok, policy, age) = said().await;
        assert!((passed..passed + 40).contains(&age), "{age} s after {passed} s");
        assert_eq!((status, ok, policy.as_str()), (200, true, "fresh"));
    }
    world.clock.advance(Duration::from_secs(45));
    let (status, ok, policy, _) = said().await;
    assert_eq!((status, ok, policy.as_str()), (503, false, "stale"));
    world.authority.set_down(false);
    world.ready().await;
    let (_, _, _, age) = said().await;
    assert!((0..40).contains(&age), "{age} s after news");
}
