//! A call that was cut off: nobody knows what became of it, so its root has done the worst, for as long as it lives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use remit_core::event::Kind;

use crate::bytes::{TOOLS, echo, raw};
use crate::client::{Run, code_of};
use crate::stub::{self, Stub};
use crate::world::{AGENT, Setup, World, agent, files, http_server};

const REFUND: &str = r#"{"id":41,"amount_cents":1,"iban":"GB82WEST12345698765432"}"#;

/// A call of a tool that returns nothing but internal text, which never answers; and a world in which the budget is
/// two calls. Whatever is worse than internal afterwards is so because of the crash.
async fn cut_off() -> (Arc<Stub>, World, Run) {
    let stub = Stub::start(TOOLS, |heard| async move {
        if heard.named() == "tools/call" {
            std::future::pending::<()>().await;
        }
        stub::json("{}")
    })
    .await;
    let mut limited = agent(AGENT);
    limited.calls_max = 2;
    let servers = vec![http_server("raw", &stub.url, TOOLS)];
    let world = World::with(Setup { servers, agent: limited, ..Setup::default() }).await;
    let run = world.run_at("raw", "r1", r#"{"echo":{}}"#);
    tokio::spawn(echo(&run, "{}").try_send(world.addr()));
    world.until("asked", async || !stub.of("tools/call").is_empty()).await;
    (stub, world, run)
}

/// The same root, at the ticket desk.
async fn refund(world: &World) -> String {
    world.run("r1", r#"{"issue_refund":{}}"#).refusal("issue_refund", REFUND).await
}

/// Break: leave the label as the intent has it, give the call back to the budget, forget either at the next start, or
/// say of one call twice that its end is unknown.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_counts_as_the_worst_at_every_later_start() {
    // What the first start found must stand in the log: the second finds it there.
    for starts in [1, 2] {
        let (stub, mut world, _) = cut_off().await;
        let intent = world.last(Kind::CallIntent);
        assert_eq!(intent.text("labels_after/trust"), "internal");
        world.crashed().await;
        if starts == 2 {
            world.stop(true).await;
            world.restart().await;
        }
        let unknown: Vec<_> = world.of(Kind::OutcomeUnknown).iter().map(|e| e.int("intent").unsigned_abs()).collect();
        assert_eq!(unknown, [intent.index], "{}", world.story());
        assert_eq!(refund(&world).await, "gate_pending", "{}", world.story());
        let after = world.last(Kind::CallIntent);
        assert_eq!((after.text("labels/trust"), after.text("labels/sensitivity")), ("untrusted", "regulated"));
        assert_eq!(refund(&world).await, "budget_spent", "{}", world.story());
        assert_eq!((stub.of("tools/call").len(), world.ledger().len()), (1, 0));
    }
}

/// Every file below a directory, as it is now.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(dir).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap_or_default())).collect()
}

/// Break: restart from a backup, and leave the calls that were open when it was made without an outcome; or take the
/// root of such a call for one of which everything is known.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_left_open_is_closed_once() {
    let (_stub, mut world, _) = cut_off().await;
    // Of one moment, although the log still publishes.
    let mut all = contents(world.home.path());
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = std::mem::replace(&mut all, contents(world.home.path()));
        if before == all {
            break;
        }
    }
    let copy = tempfile::tempdir().unwrap();
    for (path, bytes) in all {
        let to = copy.path().join(path.strip_prefix(world.home.path()).unwrap());
        remit_audit::durable::create_dir(to.parent().unwrap()).unwrap();
        remit_audit::durable::write(&to, &bytes, 0o600).unwrap();
    }
    world.stop(false).await;
    Arc::clone(&world.running.gateway).close().await;
    world.config.home = copy.path().to_owned();
    world.home = copy;
    for start in ["first", "second"] {
        world.restart().await;
        assert_eq!(world.of(Kind::OutcomeUnknown).len(), 1, "{start}\n{}", world.story());
        if start == "second" {
            assert_eq!(refund(&world).await, "budget_spent", "{}", world.story());
        }
        world.stop(true).await;
    }
}

/// Every leaf of the log.
fn leaves(world: &World) -> Vec<Vec<u8>> {
    world.gateway().entries(0).map(|entry| entry.unwrap().1.leaf).collect()
}

/// Break: answer what has no outcome in the log, say that it was not made, or lose what was acknowledged before.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_outcome_cannot_be_recorded_is_withheld() {
    let (stub, go) = stub::holding(TOOLS).await;
    let (mut world, run) = raw(&stub).await;
    assert_eq!(world.run("r2", r#"{"read_ticket":{}}"#).refusal("read_ticket", r#"{"id":42}"#).await, "ok");
    let whole = tokio::spawn(echo(&run, "{}").send(run.addr));
    world.until("asked", async || !stub.of("tools/call").is_empty()).await;
    let mut stream = run.send(echo(&run, r#"{"t":"stream"}"#)).await;
    assert_eq!(stream.message().await.unwrap()["method"], "notifications/message");
    let intents: Vec<u64> = world.of(Kind::CallIntent).iter().skip(1).map(|e| e.index).collect();
    // Closed while they are under way, as soon as it has waited for them long enough.
    Arc::clone(world.gateway()).close().await;
    let acknowledged = leaves(&world);
    go.send_replace(true);
    let reply = whole.await.unwrap();
    // Nothing that could make a client repeat it by itself.
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, ""));
    let answer = reply.json().await;
    assert_eq!(code_of(&answer), "audit_unavailable", "{answer}");
    assert_eq!(answer["error"]["data"]["decision"], intents[0], "{answer}");
    let text = answer.to_string();
    assert!(text.contains("may have had its effect") && !text.contains("not made"), "{text}");
    assert_eq!(stream.message().await, None, "the final frame is there without its outcome");
    assert_eq!((leaves(&world).len(), world.health().await.0), (acknowledged.len(), 503));
    world.stop(false).await;
    world.restart().await;
    assert_eq!(leaves(&world)[..acknowledged.len()], acknowledged);
    let unknown: Vec<_> = world.of(Kind::OutcomeUnknown).iter().map(|e| e.int("intent").unsigned_abs()).collect();
    assert_eq!((unknown, intents.len()), (intents, 2), "{}", world.story());
    assert_eq!(stub.of("tools/call").len(), 2);
}
