//! The legacy era: sessions belong to a run, GET and DELETE exist, and a cancelled call ends.

use std::sync::Arc;

use http::Method;
use remit_core::event::Kind;
use ticketdesk::Outcome;
use tokio::sync::mpsc;

use crate::client::{Ask, LEGACY, Run, code_of};
use crate::stub::{self, Stub};
use crate::world::World;

const TOOLS: &str = r#"{"watch_ticket":{},"read_ticket":{}}"#;

fn call(id: &str, tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{{"progressToken":"p"}}}}}}"#
    )
}

/// Break: pass the upstream's session id through, or accept another run's.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_belongs_to_its_run() {
    let world = World::new().await;
    let (run, other) = (world.run("r1", TOOLS), world.run("r2", TOOLS));
    let session = run.initialize("tickets").await;
    assert!(!session.is_empty());
    let body = call("1", "read_ticket", r#"{"id":42}"#);
    let answer = run.send(run.legacy("tickets", Some(&session), &body)).await.json().await;
    assert_eq!(code_of(&answer), "ok", "{answer}\n{}", world.story());
    for (run, session) in [(&other, session.as_str()), (&run, "made-up"), (&run, &format!("{session}x"))] {
        let reply = run.send(run.legacy("tickets", Some(session), &body)).await;
        assert_eq!(reply.status, 404);
        assert_eq!(code_of(&reply.json().await), "session_unknown");
        assert_eq!(world.outcome(), "not_sent", "{}", world.story());
    }
    assert_eq!(world.ledger().len(), 1);
}

/// Break: let the modern era see sessions.
#[tokio::test(flavor = "multi_thread")]
async fn the_modern_era_has_no_sessions() {
    let world = World::new().await;
    let run = world.run("r1", TOOLS);
    let reply = run.send(run.tool("read_ticket", r#"{"id":42}"#).set("mcp-session-id", "whatever")).await;
    assert_eq!((reply.status.as_u16(), reply.header("mcp-session-id")), (200, ""));
}

fn bodyless(run: &Run, method: Method, session: &str) -> Ask {
    let ask = Ask { method, ..Ask::post("/mcp/tickets", "") }
        .unset("content-type")
        .set("accept", "text/event-stream")
        .set("mcp-protocol-version", LEGACY)
        .set("mcp-session-id", session);
    run.authorize(ask)
}

/// Break: refuse GET and DELETE in every era, or open a standing stream without an entry for its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_standing_stream_has_an_opening_and_a_closing_entry() {
    let world = World::new().await;
    let run = world.run("r1", TOOLS);
    let session = run.initialize("tickets").await;
    let standing = run.send(bodyless(&run, Method::GET, &session)).await;
    assert_eq!(standing.status, 200, "{}", world.story());
    let opened = world.last(Kind::Method);
    assert_eq!(opened.node.text(&["api", "operation"]), Some("GET"));
    drop(standing);
    let closed = async || {
        let outcomes = world.of(Kind::CallOutcome);
        outcomes.iter().any(|e| e.int("intent").unsigned_abs() == opened.index && e.text("status") == "cancelled")
    };
    world.until("closed", closed).await;
    let ended = run.send(bodyless(&run, Method::DELETE, &session)).await;
    assert!(ended.status.is_success(), "{}\n{}", ended.status, world.story());
    let dead = run.send(run.legacy("tickets", Some(&session), &call("9", "read_ticket", r#"{"id":42}"#))).await;
    assert_eq!(dead.status, 404, "{}", world.story());
    // Another run cannot open or end it.
    let other = world.run("r2", TOOLS);
    assert_eq!(other.send(bodyless(&other, Method::DELETE, &session)).await.status, 404);
}

/// Break: pass a cancellation on without ending what the gateway itself waits for, or end another run's call.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_ends_and_nobody_elses() {
    let world = World::new().await;
    let (run, other) = (world.run("r1", TOOLS), world.run("r2", TOOLS));
    let (session, others) = (run.initialize("tickets").await, other.initialize("tickets").await);
    let body = call("\"c-1\"", "watch_ticket", r#"{"id":41,"seconds":30}"#);
    let mut mine = run.send(run.legacy("tickets", Some(&session), &body)).await;
    let mut theirs = other.send(other.legacy("tickets", Some(&others), &body)).await;
    assert!(mine.message().await.is_some() && theirs.message().await.is_some());
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c-1"}}"#;
    let reply = run.send(run.legacy("tickets", Some(&session), cancel)).await;
    assert_eq!(reply.status, 202);
    while mine.event().await.is_some() {}
    let cancelled = async || {
        let outcomes = world.of(Kind::CallOutcome);
        outcomes.iter().any(|e| e.text("run") == "r1" && e.text("status") == "cancelled")
    };
    world.until("cancelled", cancelled).await;
    world.until("ended", async || world.ledger().iter().any(|e| e.outcome == Outcome::Cancelled)).await;
    assert!(theirs.message().await.is_some());
    assert!(world.of(Kind::CallOutcome).iter().all(|e| e.text("run") != "r2" || e.text("status") == "ok"));
}

/// Break: answer a notification with a message, or refuse to say anything where nothing was asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_answers_a_notification_is_not_relayed() {
    let stub = crate::stub::Stub::start(crate::bytes::TOOLS, |heard| async move {
        match heard.method {
            Method::DELETE => crate::stub::with(200, "", ""),
            _ => crate::stub::json(r#"{"canary":"not asked for"}"#),
        }
    })
    .await;
    let (world, run) = crate::bytes::raw(&stub).await;
    let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let reply = run.send(run.legacy("raw", None, body)).await;
    assert!(reply.status.is_success());
    assert_eq!(reply.text().await, "");
    let delete = Ask { method: Method::DELETE, ..Ask::post("/mcp/raw", "") }.set("mcp-protocol-version", LEGACY);
    let reply = run.send(run.authorize(delete)).await;
    assert!(reply.status.is_success(), "{}", world.story());
    assert_eq!(reply.text().await, "");
    assert_eq!(world.last(Kind::CallOutcome).text("status"), "ok");
}

/// A stub of the legacy era whose streams are fed by the test, and a run in a session with it.
async fn fed() -> (Arc<Stub>, mpsc::Receiver<mpsc::Sender<String>>, World, Run) {
    let (out, feeds) = mpsc::channel(8);
    let stub = Stub::start(crate::bytes::TOOLS, move |heard| {
        let out = out.clone();
        async move {
            if heard.named() != "tools/call" {
                return stub::with(202, "", "");
            }
            let (response, sender) = Stub::stream();
            out.send(sender).await.unwrap();
            response
        }
    })
    .await;
    let (world, run) = crate::bytes::raw(&stub).await;
    (stub, feeds, world, run)
}

const NOTICE: &str = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n";

/// Break: drop an upstream's questions without an answer, or let one of them through to the client.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstreams_questions_are_answered_by_the_gateway() {
    let (stub, mut feeds, world, run) = fed().await;
    let body = call("5", "echo", "{}");
    let asking = tokio::spawn(run.legacy("raw", None, &body).send(run.addr));
    let feed = feeds.recv().await.unwrap();
    for method in ["sampling/createMessage", "elicitation/create", "roots/list", "ping"] {
        let canary = "upstream-words";
        let ask = format!(r#"{{"jsonrpc":"2.0","id":"q-{method}","method":"{method}","params":{{"x":"{canary}"}}}}"#);
        feed.send(format!("data: {ask}\n\n")).await.unwrap();
        let id = format!("q-{method}");
        let answer = || {
            let heard = stub.heard.lock().unwrap();
            heard.iter().find(|heard| heard.json()["id"] == id.as_str()).cloned()
        };
        world.until("answered", async || answer().is_some()).await;
        let code = answer().unwrap().json()["error"]["code"].as_i64();
        assert_eq!(code, (method != "ping").then_some(-32601), "{method}");
        assert_eq!(answer().unwrap().headers["mcp-protocol-version"], LEGACY);
    }
    feed.send("data: {\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}\n\n".into()).await.unwrap();
    let text = asking.await.unwrap().text().await;
    assert!(text.contains("result") && !text.contains("upstream-words"), "{text}");
    world.outcome_is("ok").await;
    assert!(stub.of("notifications/cancelled").is_empty(), "an answered call is not cancelled");
}

/// Break: leave a legacy upstream at work for nobody: there the end of a connection ends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_upstream_is_told_that_nobody_waits() {
    let (stub, mut feeds, world, run) = fed().await;
    for (how, status) in [("leaves", "cancelled"), ("is revoked", "revoked")] {
        let body = call("\"same\"", "echo", "{}");
        let asking = tokio::spawn(run.legacy("raw", None, &body).send(run.addr));
        let feed = feeds.recv().await.unwrap();
        let mut reply = asking.await.unwrap();
        feed.send(NOTICE.into()).await.unwrap();
        assert!(reply.message().await.is_some());
        let before = stub.of("notifications/cancelled").len();
        if status == "revoked" {
            world.authority.revoke(remit_core::revoked::Kind::Run, "r1");
            while reply.event().await.is_some() {}
        }
        drop(reply);
        world.outcome_is(status).await;
        world.until(how, async || stub.of("notifications/cancelled").len() == before + 1).await;
        assert_eq!(stub.of("notifications/cancelled")[before].json()["params"]["requestId"], "same");
        feed.closed().await;
    }
}
