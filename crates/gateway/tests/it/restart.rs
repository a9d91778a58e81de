//! What a root has done and read outlives the gateway; what cannot be known counts as the worst.

use remit_core::event::Kind;

use crate::client::Run;
use crate::world::{AGENT, Setup, World, agent};

const TOOLS: &str = r#"{"read_ticket":{},"list_tickets":{},"issue_refund":{}}"#;
const REFUND: &str = r#"{"id":41,"amount_cents":1,"iban":"GB82WEST12345698765432"}"#;

async fn world() -> World {
    let mut limited = agent(AGENT);
    limited.calls_max = 3;
    World::with(Setup { agent: limited, ..Setup::default() }).await
}

/// The same run, where the gateway is now.
fn at(world: &World, run: &Run) -> Run {
    Run { addr: world.addr(), ..run.clone() }
}

/// Break: keep labels or counts in memory alone.
#[tokio::test(flavor = "multi_thread")]
async fn labels_and_counts_outlive_the_gateway() {
    let mut world = world().await;
    let run = world.run("r1", TOOLS);
    assert_eq!(run.refusal("read_ticket", r#"{"id":41}"#).await, "ok");
    world.stop(true).await;
    world.restart().await;
    let run = at(&world, &run);
    assert_eq!(run.refusal("issue_refund", REFUND).await, "gate_pending", "{}", world.story());
    assert_eq!(run.refusal("list_tickets", "{}").await, "ok");
    assert_eq!(run.refusal("list_tickets", "{}").await, "budget_spent", "{}", world.story());
    assert_eq!(world.of(Kind::Epoch).len(), 1);
}

/// Break: believe a directory that may lack entries, or treat roots that began after it as if they had been before.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_home_is_a_new_epoch_and_old_roots_are_spent() {
    let mut world = world().await;
    let run = world.run("r1", TOOLS);
    assert_eq!(run.refusal("list_tickets", "{}").await, "ok");
    world.restored().await;
    assert_eq!(at(&world, &run).refusal("list_tickets", "{}").await, "budget_spent", "{}", world.story());
    let began = world.clock.advanced(std::time::Duration::from_secs(5));
    let fresh = at(&world, &world.run("r2", TOOLS).with(|claims| claims.root_at = began));
    assert_eq!(fresh.refusal("issue_refund", REFUND).await, "ok", "{}", world.story());
}

/// Break: try a call again whose end nobody knows, or forget that it may have had its effect.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_crash_cut_off_is_unknown_and_not_repeated() {
    let mut world = world().await;
    let run = world.run("r1", r#"{"watch_ticket":{},"issue_refund":{},"list_tickets":{}}"#);
    let mut watching = run.send(run.watch(30)).await;
    let _first = watching.event().await.unwrap();
    let intent = world.last(Kind::CallIntent).index;
    world.crashed().await;
    assert_eq!(world.last(Kind::OutcomeUnknown).int("intent").unsigned_abs(), intent);
    let began = world.ledger().iter().filter(|effect| effect.tool == "watch_ticket").count();
    assert_eq!(began, 1, "{:?}", world.ledger());
    assert_eq!(at(&world, &run).refusal("issue_refund", REFUND).await, "gate_pending", "{}", world.story());
}
