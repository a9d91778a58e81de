//! Room is for those who have shown a token, and each of them has a share: nobody stalls anybody else.

use std::time::Duration;

use http::Method;
use remit_core::event::Kind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::authority::minted_by;
use crate::client::{Ask, LEGACY, PATIENCE, Run, code_of};
use crate::stub::Stub;
use crate::world::{AGENT, Setup, World, agent, http_server};

const TOOLS: &str = r#"{"watch_ticket":{},"read_ticket":{}}"#;
const READ: &str = r#"{"id":42}"#;

/// What these bytes are answered with; the connection must end by itself.
pub async fn answer_to(world: &World, bytes: &str) -> String {
    let mut socket = TcpStream::connect(world.addr()).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

/// The head of a call whose body does not come.
fn stalled(run: &Run, token: Option<&Run>) -> String {
    let ask = Run::modern_bare("tickets", "tools/call", r#"{"name":"read_ticket","arguments":{"id":42}}"#);
    let ask = token.map_or(ask.clone(), |token| token.authorize(ask));
    let host = run.url.split_once("://").unwrap().1;
    let headers = ask.headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
    let headers: String = headers.collect();
    format!("POST {} HTTP/1.1\r\nhost: {host}\r\n{headers}content-length: 4000000\r\n\r\n", ask.path)
}

/// Break: read the body, or take a place, before the token is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_before_their_bodies_and_take_no_place() {
    let world = World::with(Setup { calls_max: 2, ..Setup::default() }).await;
    let run = world.run("r1", TOOLS);
    let mut forged = run.clone();
    forged.token = minted_by(&run.claims, [1; 32]);
    let expired = run.with(|claims| claims.exp = claims.iat + 1);
    world.clock.advance(Duration::from_secs(2));
    for (token, code) in [(None, "token_missing"), (Some(&forged), "token_invalid"), (Some(&expired), "token_expired")]
    {
        let head = || stalled(&run, token);
        let mut sockets = Vec::new();
        for _ in 0..8 {
            let mut socket = TcpStream::connect(world.addr()).await.unwrap();
            socket.write_all(head().as_bytes()).await.unwrap();
            sockets.push(socket);
        }
        assert_eq!(run.refusal("read_ticket", READ).await, "ok", "{code}");
        // The answer does not wait for the body.
        let answer = answer_to(&world, &head()).await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains(code), "{answer}");
    }
    // What the first of them wanted stands in the log, as far as the headers said it.
    let intents = world.of(Kind::CallIntent);
    let first = intents.iter().find(|entry| entry.text("decision/code") == "token_missing").unwrap();
    assert_eq!(first.node.text(&["api", "operation"]), Some("tools/call"));
}

/// Break: count the open calls of all roots together only, or forget to give a place back.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_has_a_share_of_the_places() {
    let world = World::with(Setup { calls_max: 4, ..Setup::default() }).await;
    let (run, other) = (world.run("r1", TOOLS), world.run("r2", TOOLS));
    let mut sockets = Vec::new();
    let full = async || {
        // It may come while the share is used up by what is asked here.
        let mut socket = TcpStream::connect(world.addr()).await.unwrap();
        socket.write_all(stalled(&run, Some(&run)).as_bytes()).await.unwrap();
        sockets.push(socket);
        run.refusal("read_ticket", READ).await == "overloaded"
    };
    world.until("full", full).await;
    let reply = run.send(run.tool("read_ticket", READ)).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, "1"));
    assert_eq!(other.refusal("read_ticket", READ).await, "ok", "{}", world.story());
    drop(sockets);
    world.until("free", async || run.refusal("read_ticket", READ).await == "ok").await;
}

/// Break: hold the turn at the processors while the upstream is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_an_upstream_leave_their_turns_to_others() {
    const EACH: usize = 48;
    let silent = Stub::start(crate::bytes::TOOLS, |_| std::future::pending()).await;
    let mut busy = agent(AGENT);
    busy.repeats_max = 10_000;
    let servers = vec![http_server("raw", &silent.url, crate::bytes::TOOLS)];
    let world = World::with(Setup { agent: busy, servers, ..Setup::default() }).await;
    // More than may be worked on at a time, and fewer than there are places.
    let turns = 16 * std::thread::available_parallelism().unwrap().get();
    let roots = (turns / EACH + 1).min(5);
    for root in 0..roots {
        let run = world.run_at("raw", &format!("waits-{root}"), r#"{"echo":{}}"#);
        for _ in 0..EACH {
            let run = run.clone();
            tokio::spawn(async move { run.send(crate::bytes::echo(&run, "{}")).await });
        }
    }
    world.until("waiting", async || silent.of("tools/call").len() == roots * EACH).await;
    assert_eq!(world.run("r1", TOOLS).refusal("read_ticket", READ).await, "ok", "{}", world.story());
}

/// Break: let one root open as many standing streams as there are places.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_has_a_share_of_the_standing_streams() {
    let stub = Stub::start(crate::bytes::TOOLS, |heard| async move {
        if heard.method != Method::GET {
            return crate::stub::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, heard.id()));
        }
        let (response, sender) = Stub::stream();
        tokio::spawn(async move { sender.closed().await });
        response
    })
    .await;
    let (world, run) = crate::bytes::raw(&stub).await;
    let other = world.run_at("raw", "r2", r#"{"echo":{}}"#);
    let stand = |run: &Run| {
        let ask = Ask { method: Method::GET, ..Ask::post("/mcp/raw", "") }.unset("content-type");
        run.authorize(ask.set("accept", "text/event-stream").set("mcp-protocol-version", LEGACY))
    };
    let mut open = Vec::new();
    for _ in 0..remit_gateway::places::STREAMS_PER_ROOT_MAX {
        let reply = run.send(stand(&run)).await;
        assert_eq!(reply.status, 200, "{}", world.story());
        open.push(reply);
    }
    let reply = run.send(stand(&run)).await;
    assert_eq!(reply.status, 503);
    let answer = reply.json().await;
    assert_eq!(code_of(&answer), "overloaded");
    assert_eq!(run.send(crate::bytes::echo(&run, "{}")).await.status, 200);
    assert_eq!(other.send(stand(&other)).await.status, 200);
    open.pop();
    world.until("free", async || run.send(stand(&run)).await.status == 200).await;
}

/// Break: let whoever connects first keep everybody else out, or count no source by itself.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_make_room() {
    let world = World::new().await;
    let run = world.run("r1", TOOLS);
    let mut watching = run.send(run.watch(20)).await;
    let _first = watching.event().await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..remit_gateway::doors::CONNECTIONS_MAX / 4 {
        silent.push(TcpStream::connect(world.addr()).await.unwrap());
    }
    assert_eq!(run.refusal("read_ticket", READ).await, "ok", "{}", world.story());
    // The first of them is gone, the last is not, and a call in flight goes on.
    let gone = async |socket: &mut TcpStream| {
        let read = tokio::time::timeout(Duration::from_millis(200), socket.read_u8()).await;
        read.is_ok_and(|read| read.is_err())
    };
    assert!(gone(&mut silent[0]).await);
    assert!(!gone(silent.last_mut().unwrap()).await);
    assert!(watching.event().await.is_some());
}
