//! Whatever a stranger, a run or an upstream sends has an end, and it is the gateway that ends it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use remit_core::id::RunId;
use remit_core::rejection::Code;
use remit_gateway::body::{BODY_TIME_MAX, Unread, read};
use remit_gateway::fetch::{Authority, FetchError};
use remit_gateway::mcp::{MESSAGE_BYTES_MAX, McpError};
use remit_gateway::pins::LIST_PAGES_MAX;
use remit_gateway::places::{
    BODIES_BYTES_MAX, BODIES_BYTES_PER_ROOT_MAX, CALLS_PER_ROOT_MAX, Places, STREAMS_PER_ROOT_MAX,
};
use remit_gateway::questions::QUESTIONS_PER_ROOT_MAX;
use remit_gateway::runs::{ROOTS_MAX, Runs};
use remit_gateway::sse::FRAME_BYTES_MAX;
use remit_gateway::upstream::REPLY_BYTES_MAX;
use remit_gateway::upstream::stdio::{CHILDREN_MAX, ChildLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bytes::{TOOLS, echo, raw};
use crate::client::{LEGACY, MODERN, PATIENCE, Run, code_of};
use crate::stub::{self, Stub};
use crate::world::{Setup, World, http_server};

const MIB: usize = 1 << 20;

/// Break: raise a limit, so that everything else here, which counts in limits, holds as before.
#[test]
fn the_limits_are_what_is_said_of_them() {
    assert_eq!((MESSAGE_BYTES_MAX, BODIES_BYTES_PER_ROOT_MAX, BODIES_BYTES_MAX), (4 * MIB, 32 * MIB, 256 * MIB));
    assert_eq!((FRAME_BYTES_MAX, REPLY_BYTES_MAX), (8 * MIB, 8 * MIB));
    assert_eq!((CALLS_PER_ROOT_MAX, STREAMS_PER_ROOT_MAX, QUESTIONS_PER_ROOT_MAX), (128, 16, 16));
    assert_eq!((ROOTS_MAX, CHILDREN_MAX, LIST_PAGES_MAX), (100_000, 256, 16));
    assert_eq!(BODY_TIME_MAX, Duration::from_secs(10));
}

/// A body of so many pieces of a MiB, and how many of them were asked for.
fn pieces(count: usize) -> (Body, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let next = move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok::<_, Infallible>(Bytes::from(vec![b'x'; MIB]))
    };
    (Body::from_stream(stream::iter((0..count).map(next))), asked)
}

fn root(name: impl Into<String>) -> RunId {
    RunId::new(name).unwrap()
}

/// Break: read a body to its end, however long it is, and look at its length afterwards.
#[tokio::test]
async fn a_body_is_read_no_further_than_a_message_may_be() {
    let places = Places::new(64);
    let (body, asked) = pieces(16);
    let mut place = places.take(&root("r1"), None).unwrap();
    let unread = read(body, &mut place).await;
    assert!(matches!(unread, Err(Unread::Bad(McpError::TooLarge { max: MESSAGE_BYTES_MAX }))), "{unread:?}");
    assert!(asked.load(Ordering::SeqCst) <= MESSAGE_BYTES_MAX / MIB + 1);
    let (body, _) = pieces(4);
    assert_eq!(read(body, &mut places.take(&root("r2"), None).unwrap()).await.unwrap().len(), 4 * MIB);
}

/// Break: read bodies into room that nobody counts, or count it for each call alone.
#[tokio::test]
async fn the_bodies_of_one_root_share_its_room() {
    let places = Places::new(64);
    let mut held = Vec::new();
    for _ in 0..BODIES_BYTES_PER_ROOT_MAX / (4 * MIB) {
        let mut place = places.take(&root("r1"), None).unwrap();
        assert!(read(pieces(4).0, &mut place).await.is_ok());
        held.push(place);
    }
    let full = read(pieces(1).0, &mut places.take(&root("r1"), None).unwrap()).await;
    assert!(matches!(&full, Err(Unread::NoRoom(rejection)) if rejection.code == Code::Overloaded), "{full:?}");
    assert!(read(pieces(1).0, &mut places.take(&root("r2"), None).unwrap()).await.is_ok());
    drop(held);
    assert!(read(pieces(1).0, &mut places.take(&root("r1"), None).unwrap()).await.is_ok());
}

/// Break: wait for ever for a body that has begun.
#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let places = Places::new(4);
    let began = tokio::time::Instant::now();
    let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let mut place = places.take(&root("r1"), None).unwrap();
    let unread = tokio::time::timeout(BODY_TIME_MAX * 2, read(never, &mut place)).await;
    assert!(matches!(unread, Ok(Err(Unread::Bad(McpError::Shape(_))))));
    assert!(began.elapsed() >= BODY_TIME_MAX);
}

/// Break: let streams that stand take every place there is.
#[test]
fn streams_that_stand_leave_room_for_what_ends() {
    let places = Places::new(4);
    let mut held: Vec<_> = (0..4).map(|n| places.take(&root(format!("r{n}")), None).unwrap()).collect();
    let stands: Vec<bool> = held.iter_mut().map(|place| place.stand().is_ok()).collect();
    assert_eq!(stands, [true, true, false, false]);
}

/// Break: remember every root that ever called, or forget one whose grant still holds.
#[test]
fn roots_have_an_end_and_only_the_ended_make_room() {
    let runs = Runs::default();
    let instance = "spiffe://acme.example/agent/support/triage/1/r";
    let mut claims: remit_core::claims::Claims = serde_json::from_value(serde_json::json!({
        "ver": 1, "iss": "i", "aud": [], "exp": 1, "iat": 0, "jti": "t", "sub": "p", "sub_profile": "user",
        "client_id": "spiffe://acme.example/agent/support/triage/1",
        "act": { "sub": instance, "iss": "i", "sub_profile": "a" }, "authorization_details": [],
        "task": { "id": "t", "purpose": "p", "why": "w" }, "run": "r", "root": "r", "root_at": 0, "root_until": 100,
        "gid": "g", "del_depth": 0, "del_max_depth": 0, "grant": { "until": 50, "by": "policy" },
    }))
    .unwrap();
    for n in 0..ROOTS_MAX {
        claims.root = root(format!("r{n}"));
        assert!(runs.peek(&claims, 0, 0).is_ok());
    }
    claims.root = root("one-more");
    assert_eq!(runs.peek(&claims, 99, 0).unwrap_err().code, Code::Overloaded);
    claims.root = root("r0");
    assert!(runs.peek(&claims, 99, 0).is_ok());
    claims.root = root("one-more");
    claims.root_until = 200;
    assert!(runs.peek(&claims, 100, 0).is_ok());
}

/// Break: start as many programs as there are roots.
#[test]
fn children_have_an_end_unless_somebody_says_otherwise() {
    assert_eq!(ChildLimits::default().children, CHILDREN_MAX);
}

/// Break: read whatever an authority sends, however much it is.
#[tokio::test]
async fn an_answer_of_the_authority_has_its_limit() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = Authority::new(&format!("http://{}", listener.local_addr().unwrap()));
    let router = axum::Router::new().fallback(|| async { "x".repeat(2_000) });
    tokio::spawn(async move { axum::serve(listener, router).await });
    assert_eq!(authority.get("/", 1_999, PATIENCE).await, Err(FetchError::Invalid));
    assert_eq!(authority.get("/", 2_000, PATIENCE).await.unwrap().map(|text| text.len()), Some(2_000));
}

async fn refused(world: &World, run: &Run, what: &str, ask: crate::client::Ask, status: u16, code: i64) {
    let entries = world.log().len();
    let reply = run.send(ask).await;
    assert_eq!(reply.status, status, "{what}");
    let answer = reply.json().await;
    assert_eq!(answer["error"]["code"], code, "{what}: {answer}");
    assert_eq!(world.log().len(), entries, "{what}");
}

/// Break: take a name, a URI, an id or a method of any length, or as many headers as there are.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_message_names_is_short() {
    let world = World::new().await;
    let run = world.run("r1", r#"{"read_ticket":{}}"#);
    let uri = format!(r#"{{"uri":"file:///{}"}}"#, "x".repeat(2_048));
    refused(&world, &run, "URI", run.modern("tickets", "resources/read", &uri), 400, -32602).await;
    let subscribe = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{uri}}}"#);
    refused(&world, &run, "URI of a method", run.legacy("tickets", None, &subscribe), 400, -32602).await;
    let method = |bytes: usize| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "m".repeat(bytes));
        run.legacy("tickets", None, &body)
    };
    refused(&world, &run, "method", method(129), 400, -32600).await;
    refused(&world, &run, "unknown method", method(128), 404, -32601).await;
    let id = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#, "i".repeat(255));
    refused(&world, &run, "id", run.legacy("tickets", None, &id), 400, -32600).await;
    let many = (0..65).fold(run.tool("read_ticket", r#"{"id":42}"#), |ask, n| ask.set(&format!("mcp-x-{n}"), "v"));
    refused(&world, &run, "headers", many, 400, -32020).await;
    assert!(world.ledger().is_empty());
    // What is said of a version that nobody speaks is short, too.
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let ask = run.legacy("tickets", None, body).set("mcp-protocol-version", &"9".repeat(500));
    let answer = run.send(ask).await.json().await;
    assert_eq!(answer["error"]["code"], -32022, "{answer}");
    assert!(answer["error"]["data"]["requested"].as_str().unwrap().len() <= 64, "{answer}");
}

/// Break: keep a request's head in memory as long as it grows.
#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_request_has_its_limit() {
    let world = World::new().await;
    let run = world.run("r1", r#"{"read_ticket":{}}"#);
    let head = |pad: usize| {
        let own = world.addr();
        format!("GET /healthz HTTP/1.1\r\nhost: {own}\r\nx-pad: {}\r\nconnection: close\r\n\r\n", "x".repeat(pad))
    };
    assert!(crate::room::answer_to(&world, &head(1_000)).await.starts_with("HTTP/1.1 200 "));
    let mut socket = TcpStream::connect(world.addr()).await.unwrap();
    // The connection may be closed over what was not read, and then nothing more is heard of it.
    socket.write_all(head(1 << 20).as_bytes()).await.ok();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap().ok();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(run.refusal("read_ticket", r#"{"id":42}"#).await, "ok");
}

/// Break: take in all that somebody without a token sends, for as long as he is listened to.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_body_is_not_taken_in() {
    let world = World::new().await;
    let own = world.addr();
    let head = format!(
        "POST /mcp/tickets HTTP/1.1\r\nhost: {own}\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\n\r\n"
    );
    let mut socket = TcpStream::connect(own).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; MIB];
    let mut taken = 0;
    let flood = async {
        while taken < 64 && socket.write_all(&piece).await.is_ok() {
            taken += 1;
        }
    };
    tokio::time::timeout(PATIENCE, flood).await.unwrap();
    // What fits into the sockets between here and there, and no more.
    assert!(taken < 32, "{taken} MiB");
}

/// Break: keep all of an answer that comes piece by piece, because nobody said how long it would be.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_unknown_length_has_its_limit() {
    let stub = Stub::start(TOOLS, |heard| async move {
        let begin = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[],"pad":""#, heard.id());
        let count = heard.json()["params"]["arguments"]["n"].as_u64().unwrap();
        let pads = (0..count).map(|_| "x".repeat(MIB));
        let all = std::iter::once(begin).chain(pads).chain(std::iter::once(r#""}}"#.to_owned()));
        stub::json(Body::from_stream(stream::iter(all.map(Ok::<_, Infallible>))))
    })
    .await;
    let (world, run) = raw(&stub).await;
    let answer = run.send(echo(&run, r#"{"n":9}"#)).await.json().await;
    assert_eq!(code_of(&answer), "upstream_invalid", "{}", world.story());
    assert_eq!(code_of(&run.send(echo(&run, r#"{"n":1}"#)).await.json().await), "ok");
}

/// Break: ask for page after page, as long as an upstream says that there is another.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_an_end_is_none() {
    let stub = Stub::start("", |heard| async move {
        stub::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"tools":[],"nextCursor":"more"}}}}"#, heard.id()))
    })
    .await;
    let (world, run) = raw(&stub).await;
    assert_eq!(code_of(&run.send(echo(&run, "{}")).await.json().await), "upstream_invalid", "{}", world.story());
    assert_eq!(stub.of("tools/list").len(), LIST_PAGES_MAX);
    assert!(stub.of("tools/call").is_empty());
}

/// Break: judge a page of any length, or let a cursor be as long as a letter.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_and_its_cursor_have_their_limits() {
    let stub = Stub::start("", |heard| async move {
        let named = |n: usize| format!(r#"{{"name":"t{n}","inputSchema":{{"type":"object"}}}}"#);
        let count = if heard.json()["params"]["cursor"] == "long" { 4_097 } else { 4_096 };
        let tools = (0..count).map(named).collect::<Vec<_>>().join(",");
        let cursor = "c".repeat(if heard.json()["params"]["cursor"] == "short" { 512 } else { 513 });
        let id = heard.id();
        stub::json(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{tools}],"prompts":[],"nextCursor":"{cursor}"}}}}"#
        ))
    })
    .await;
    let servers = vec![http_server("raw", &stub.url, TOOLS)];
    let world = World::with(Setup { servers, ..Setup::default() }).await;
    let run = world.run_at("raw", "r1", r#"{"echo":{}}"#);
    let list = async |method: &str, cursor: &str| {
        run.send(run.modern("raw", method, &format!(r#"{{"cursor":"{cursor}"}}"#))).await.json().await
    };
    assert_eq!(code_of(&list("tools/list", "long").await), "upstream_invalid");
    assert_eq!(code_of(&list("tools/list", "short").await), "ok");
    assert_eq!(list("prompts/list", "short").await["result"]["nextCursor"], "c".repeat(512));
    assert_eq!(list("prompts/list", "none").await["result"].get("nextCursor"), None, "{MODERN}");
}

/// Break: seal a session id of any length, and give it to the client to keep.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstreams_session_id_has_its_limit() {
    let stub = Stub::start(TOOLS, |heard| async move {
        let result = format!(r#"{{"protocolVersion":"{LEGACY}","capabilities":{{}},"serverInfo":{{}}}}"#);
        let mut answer = stub::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, heard.id()));
        let bytes = if heard.id() == "1" { 512 } else { 513 };
        answer.headers_mut().insert("mcp-session-id", "s".repeat(bytes).parse().unwrap());
        answer
    })
    .await;
    let (_world, run) = raw(&stub).await;
    for (id, given) in [(1, true), (2, false)] {
        let params = format!(r#"{{"protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{{}}}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{params}}}"#);
        let reply = run.send(run.legacy("raw", None, &body)).await;
        assert_eq!((reply.status.as_u16(), !reply.header("mcp-session-id").is_empty()), (200, given));
    }
}

/// Break: take in all that an upstream says to a client who does not read.
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_nobody_reads_wait_at_their_source() {
    let (out, mut feeds) = tokio::sync::mpsc::channel(8);
    let stub = Stub::start(TOOLS, move |_| {
        let out = out.clone();
        async move {
            let (response, sender) = Stub::stream();
            out.send(sender).await.unwrap();
            response
        }
    })
    .await;
    let (_world, run) = raw(&stub).await;
    let asking = tokio::spawn(echo(&run, "{}").send(run.addr));
    let feed = feeds.recv().await.unwrap();
    let reply = asking.await.unwrap();
    let pad = "x".repeat(MIB);
    let frame = format!(r#"data: {{"jsonrpc":"2.0","method":"notifications/message","params":{{"data":"{pad}"}}}}"#);
    let frame = format!("{frame}\n\n");
    let mut sent = 0;
    while sent < 400 {
        match tokio::time::timeout(Duration::from_secs(1), feed.send(frame.clone())).await {
            Ok(taken) => taken.unwrap(),
            Err(_) => break,
        }
        sent += 1;
    }
    // The test's own queue holds 64 of them, the gateway 16; the rest is in sockets.
    assert!(sent < 200, "{sent} MiB");
    drop(reply);
}
