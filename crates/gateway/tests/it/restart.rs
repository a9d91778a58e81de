//! What a root has done and read outlives the gateway; what cannot be known counts as the worst.

use remit_audit::{Config, Log, LogKey};
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

/// Break: begin to read behind what a live root needs, or believe what a clock that was ahead held to be over.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_read_again_is_over_by_the_clock_of_now() {
    const DAYS: std::time::Duration = std::time::Duration::from_hours(48);
    let mut world = world().await;
    let early = world.run("r1", TOOLS);
    assert_eq!(early.refusal("read_ticket", r#"{"id":41}"#).await, "ok");
    let of_early = world.last(Kind::CallOutcome).index;
    world.stop(true).await;
    world.clock.advance(DAYS);
    world.restart().await;
    let late = world.run("r2", TOOLS);
    assert_eq!(late.refusal("read_ticket", r#"{"id":41}"#).await, "ok");
    let of_late = world.last(Kind::CallIntent).index;
    for start in 0..2 {
        world.stop(true).await;
        world.restart().await;
        let low_water = world.last(Kind::Heartbeat).int("low_water").unsigned_abs();
        assert!(of_early < low_water && low_water <= of_late, "start {start}: {low_water}, {}", world.story());
        assert_eq!(at(&world, &late).refusal("issue_refund", REFUND).await, "gate_pending", "{}", world.story());
    }
    assert_eq!(at(&world, &late).refusal("list_tickets", "{}").await, "budget_spent", "{}", world.story());
    world.stop(true).await;
    world.clock.put_back(DAYS);
    world.restart().await;
    assert_eq!(at(&world, &early).refusal("issue_refund", REFUND).await, "gate_pending", "{}", world.story());
}

/// Break: take a gateway whose log is gone for one that never had any. Twice: what is known must outlive the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_log_forgives_nothing() {
    for head_too in [false, true] {
        let mut world = world().await;
        let run = world.run("r1", TOOLS);
        assert_eq!(run.refusal("read_ticket", r#"{"id":41}"#).await, "ok");
        world.stop(true).await;
        std::fs::remove_dir_all(world.config.home.join("log")).unwrap();
        if head_too {
            std::fs::remove_file(world.config.home.join("log.head")).unwrap();
        }
        // Without the head, what is older than the log is known by the second.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        for start in ["first", "second"] {
            world.restart().await;
            let refusal = at(&world, &run).refusal("list_tickets", "{}").await;
            assert_eq!(refusal, "budget_spent", "{start} start, head too {head_too}: {}", world.story());
            world.stop(true).await;
        }
    }
}

/// Break: believe old entries because the newest are right.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_does_not_start_on_an_edited_log() {
    let mut world = world().await;
    let run = world.run("r1", TOOLS);
    assert_eq!(run.refusal("read_ticket", r#"{"id":41}"#).await, "ok");
    // The entry that raised the label must be in a full bundle, at which nothing else looks.
    world.stop(true).await;
    let home = &world.config.home;
    let mut config = Config::new(home.join("log"), world.config.trust_domain.as_str(), &world.config.instance);
    config.outside = Some(remit_gateway::rebuild::outside(home));
    let (log, _) = Log::open(config, LogKey::load_or_create(&home.join("keys/log")).unwrap()).unwrap();
    while log.size() < 300 {
        log.commit_wait(log.read(0).unwrap()).unwrap();
    }
    let bundle = log.dir().join("tile/entries/000");
    log.close().unwrap();
    let bytes = std::fs::read(&bundle).unwrap();
    let (from, to) = (br#""trust":"untrusted""#, br#""trust":"verified!""#);
    let mut lowered = bytes.clone();
    let mut edits = 0;
    for at in 0..lowered.len().saturating_sub(from.len()) {
        if lowered[at..].starts_with(from) {
            lowered[at..at + from.len()].copy_from_slice(to);
            edits += 1;
        }
    }
    assert!(edits > 0, "the label was never raised");
    remit_audit::durable::write(&bundle, &lowered, 0o600).unwrap();
    let refused = remit_gateway::Gateway::open(world.config.clone(), world.clock.clone()).await;
    let why = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(why.contains("remit log verify"), "{why}");
    remit_audit::durable::write(&bundle, &bytes, 0o600).unwrap();
    world.restart().await;
    assert_eq!(at(&world, &run).refusal("issue_refund", REFUND).await, "gate_pending", "{}", world.story());
}
