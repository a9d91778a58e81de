//! Streams pass frame by frame: labels rise before the first, the outcome stands before the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use remit_core::event::Kind;
use ticketdesk::Outcome;
use tokio::sync::mpsc;

use crate::bytes::{TOOLS, echo, raw};
use crate::client::{PATIENCE, code_of};
use crate::stub::Stub;
use crate::world::World;

const WATCH: &str = r#"{"watch_ticket":{},"read_ticket":{},"issue_refund":{}}"#;

/// A stub whose streams are fed by the test.
async fn fed() -> (Arc<Stub>, mpsc::Receiver<mpsc::Sender<String>>) {
    let (out, feeds) = mpsc::channel(8);
    let stub = Stub::start(TOOLS, move |_| {
        let out = out.clone();
        async move {
            let (response, sender) = Stub::stream();
            out.send(sender).await.unwrap();
            response
        }
    })
    .await;
    (stub, feeds)
}

/// Break: let the outcome come after the final frame, or hold frames back that are not final.
#[tokio::test(flavor = "multi_thread")]
async fn frames_pass_at_once_and_the_last_waits_for_its_outcome() {
    let (stub, mut feeds) = fed().await;
    let (world, run) = raw(&stub).await;
    let ask = echo(&run, "{}");
    let id = serde_json::from_slice::<serde_json::Value>(&ask.body).unwrap()["id"].to_string();
    let asking = tokio::spawn(ask.send(run.addr));
    let feed = feeds.recv().await.unwrap();
    let mut reply = asking.await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.header("x-accel-buffering")), (200, "no"));
    feed.send(": keep\n\n".into()).await.unwrap();
    assert_eq!(reply.piece().await.unwrap(), ": keep\n");
    let note = "event: message\nid: 7\nretry: 5\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"x\":1e400}}\n\n";
    feed.send(note.into()).await.unwrap();
    assert_eq!(reply.piece().await.unwrap(), note);
    assert_eq!(world.outcome(), "");
    // A question to the user, and an answer to somebody else, are not let through.
    for foreign in [
        r#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":"other","result":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/unheard"}"#,
    ] {
        feed.send(format!("data: {foreign}\n\n")).await.unwrap();
    }
    let last = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"n\":123456789012345678901}}}}");
    feed.send(format!("{last}\n\n")).await.unwrap();
    assert_eq!(reply.event().await.unwrap(), last);
    assert_eq!(world.outcome(), "ok");
    assert!(reply.event().await.is_none());
    // What comes after the last frame comes to nobody.
    feed.closed().await;
}

/// Break: raise the label when the answer is complete, or only in memory.
#[tokio::test(flavor = "multi_thread")]
async fn labels_rise_before_the_first_frame() {
    let mut world = World::new().await;
    let run = world.run("r1", WATCH);
    let mut watching = run.send(run.watch(20)).await;
    let _first = watching.event().await.unwrap();
    let refund = r#"{"id":41,"amount_cents":1,"iban":"GB82WEST12345698765432"}"#;
    assert_eq!(run.refusal("issue_refund", refund).await, "gate_pending", "{}", world.story());
    // The first frame is there, so the rise is durable: a crash now does not undo it.
    world.crashed().await;
    let again = crate::client::Run { addr: world.addr(), ..run };
    assert_eq!(again.refusal("issue_refund", refund).await, "gate_pending", "{}", world.story());
    assert_eq!(world.of(Kind::OutcomeUnknown).len(), 1, "{}", world.story());
}

/// Break: go on reading from an upstream when nobody listens any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_the_upstream_call() {
    let world = World::new().await;
    let run = world.run("r1", WATCH);
    let mut watching = run.send(run.watch(20)).await;
    let _first = watching.event().await.unwrap();
    drop(watching);
    world.outcome_is("cancelled").await;
    world.until("cancelled", async || world.ledger().iter().any(|e| e.outcome == Outcome::Cancelled)).await;
}

/// Break: notice that nobody listens only when there is something to say.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_a_silent_stream_ends_the_upstream_call() {
    let (stub, mut feeds) = fed().await;
    let (world, run) = raw(&stub).await;
    let asking = tokio::spawn(echo(&run, "{}").send(run.addr));
    let feed = feeds.recv().await.unwrap();
    drop(asking.await.unwrap());
    world.outcome_is("cancelled").await;
    tokio::time::timeout(PATIENCE, feed.closed()).await.unwrap();
}

/// Counts down when a call that hangs is dropped.
struct Down(Arc<AtomicUsize>);

impl Drop for Down {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Break: forget a call whose client leaves before the answer begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_begins() {
    let hanging = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hanging);
    let stub = Stub::start(TOOLS, move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let down = Down(Arc::clone(&count));
        async move {
            let _down = down;
            std::future::pending().await
        }
    })
    .await;
    let (world, run) = raw(&stub).await;
    let asking = tokio::spawn(echo(&run, "{}").send(run.addr));
    world.until("asked", async || hanging.load(Ordering::SeqCst) == 1).await;
    asking.abort();
    world.outcome_is("cancelled").await;
    world.until("ended", async || hanging.load(Ordering::SeqCst) == 0).await;
}

/// Break: take a stream that ends without an answer for an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_a_last_frame_is_no_answer() {
    let (stub, mut feeds) = fed().await;
    let (world, run) = raw(&stub).await;
    for (frame, status) in [
        ("", "upstream_unreachable"),
        ("data: {\"half", "upstream_unreachable"),
        ("data: \u{0}nonsense\n\n", "upstream_unreachable"),
    ] {
        let asking = tokio::spawn(echo(&run, "{}").send(run.addr));
        let feed = feeds.recv().await.unwrap();
        let mut reply = asking.await.unwrap();
        feed.send(frame.into()).await.unwrap();
        drop(feed);
        while let Some(event) = reply.event().await {
            assert!(!event.contains("result"), "{event}");
        }
        world.outcome_is(status).await;
    }
}

/// Break: stop looking whether the run is revoked while a slow client is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_does_not_keep_a_revoked_call_alive() {
    let (stub, mut feeds) = fed().await;
    let (world, run) = raw(&stub).await;
    let asking = tokio::spawn(echo(&run, "{}").send(run.addr));
    let feed = feeds.recv().await.unwrap();
    let reply = asking.await.unwrap();
    let frame = format!(
        "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{{\"data\":\"{}\"}}}}\n\n",
        "x".repeat(1 << 20)
    );
    // Until the sockets between here and there are full.
    while let Ok(sent) = tokio::time::timeout(Duration::from_millis(300), feed.send(frame.clone())).await {
        assert!(sent.is_ok(), "the call ended before it was revoked\n{}", world.story());
    }
    world.authority.revoke(remit_core::revoked::Kind::Run, "r1");
    let began = tokio::time::Instant::now();
    world.outcome_is("revoked").await;
    assert!(began.elapsed() < Duration::from_secs(2));
    tokio::time::timeout(PATIENCE, feed.closed()).await.unwrap();
    drop(reply);
}

/// Break: end a stream without its entry when the gateway ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_leaves_no_call_open() {
    let mut world = World::new().await;
    let run = world.run("r1", WATCH);
    let mut watching = run.send(run.watch(30)).await;
    let _first = watching.event().await.unwrap();
    world.stop(true).await;
    world.restart().await;
    assert_eq!(world.outcome(), "cancelled", "{}", world.story());
    assert!(world.of(Kind::OutcomeUnknown).is_empty());
    let beat = world.last(Kind::Heartbeat);
    assert_eq!(beat.int("open"), 0);
    assert_eq!(code_of(&world.run("r2", WATCH).call("read_ticket", r#"{"id":42}"#).await), "ok");
}
