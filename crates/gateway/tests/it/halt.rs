//! What ends a call in flight beside a revocation: its agent, or its server, is registered no more.

use remit_core::bundle::Bundle;
use remit_core::event::Kind;

use crate::bytes::{TOOLS, echo, raw};
use crate::client::code_of;
use crate::stub::Stub;
use crate::world::AGENT;

async fn check(what: &str, change: impl FnOnce(&mut Bundle)) {
    let stub = Stub::start(TOOLS, |_| std::future::pending()).await;
    let (mut world, run) = raw(&stub).await;
    let asking = tokio::spawn(echo(&run, "{}").send(run.addr));
    world.until("asked", async || !stub.of("tools/call").is_empty()).await;
    let intent = world.last(Kind::CallIntent).index;
    // A bundle that leaves all in place ends nothing: what it ended would be in the log before this call.
    world.publish(2, |_| {}).await;
    let other = world.run("r2", r#"{"read_ticket":{}}"#);
    assert_eq!(other.refusal("read_ticket", r#"{"id":42}"#).await, "ok");
    let ended = world.of(Kind::CallOutcome).iter().any(|e| e.int("intent").unsigned_abs() == intent);
    assert!(!ended, "{what}\n{}", world.story());
    world.publish(3, change).await;
    let answer = asking.await.unwrap().json().await;
    let outcome = world.of(Kind::CallOutcome).into_iter().find(|e| e.int("intent").unsigned_abs() == intent).unwrap();
    assert_eq!((code_of(&answer).as_str(), outcome.text("status")), ("revoked", "revoked"), "{what}: {answer}");
}

/// Break: look at revocations alone while an answer is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_no_more_ends_its_calls() {
    check("agent", |bundle| bundle.agents.retain(|agent| agent.id.to_string() != AGENT)).await;
    check("server", |bundle| bundle.servers.retain(|server| server.name.as_str() != "raw")).await;
}
