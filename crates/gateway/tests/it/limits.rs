//! Budget, rate and loops are the root's, and every call of its whole tree counts.

use crate::world::{AGENT, Setup, World, agent};

const TOOLS: &str = r#"{"read_ticket":{},"list_tickets":{}}"#;

async fn check(change: impl FnOnce(&mut remit_core::registry::Agent), asked: &[i64], expected: &[&str]) {
    let mut limited = agent(AGENT);
    change(&mut limited);
    let world = World::with(Setup { agent: limited, ..Setup::default() }).await;
    let run = world.run("r1", TOOLS);
    let mut found = Vec::new();
    for id in asked {
        found.push(run.refusal("read_ticket", &format!(r#"{{"id":{id}}}"#)).await);
    }
    assert_eq!(found, expected, "{}", world.story());
    assert_eq!(world.ledger().len(), expected.iter().filter(|code| **code == "ok").count());
    // Another root has its own.
    assert_eq!(world.run("r2", TOOLS).refusal("read_ticket", r#"{"id":42}"#).await, "ok");
}

/// Break: do not count, or count per token.
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_spent() {
    check(|agent| agent.calls_max = 2, &[41, 42, 43, 44], &["ok", "ok", "budget_spent", "budget_spent"]).await;
}

/// Break: count all calls as one minute's, or none.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept() {
    check(|agent| agent.calls_per_minute_max = 2, &[41, 42, 43], &["ok", "ok", "rate_limited"]).await;
}

/// Break: compare anything but server, method, name and the exact arguments.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_seen() {
    check(|agent| agent.repeats_max = 2, &[41, 41, 41, 42, 41], &["ok", "ok", "loop_detected", "ok", "ok"]).await;
}
