//! Requests that are wrong before anybody asks whether they are allowed: refused, whoever sends them.

use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Ask, LEGACY, MODERN, Run};
use crate::stub::{self, Stub};
use crate::world::{Setup, World, http_server};

const READ: &str = r#"{"read_ticket":{}}"#;

async fn check(world: &World, run: &Run, what: &str, ask: Ask, status: u16, code: i64) {
    let entries = world.log().len();
    let reply = run.send(ask).await;
    assert_eq!(reply.status, status, "{what}");
    let text = reply.text().await;
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    assert_eq!(answer["error"]["code"].as_i64().unwrap_or(0), code, "{what}: {text}");
    assert!(world.ledger().is_empty(), "{what}");
    // The upstream may refuse the same: what is refused here does not come so far.
    let sent = world.log().iter().skip(entries).any(|e| e.text("decision/verdict") == "permit");
    assert!(!sent || status == 200, "{what}\n{}", world.story());
}

const MIRRORED: &str =
    r#"[{"name":"echo","inputSchema":{"type":"object","properties":{"t":{"type":"string","x-mcp-header":"Region"}}}}]"#;

/// Break: believe a header that repeats an argument, where the argument says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_repeat_arguments_must_equal_them() {
    let stub = Stub::start(MIRRORED, |heard| async move {
        stub::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[]}}}}"#, heard.id()))
    })
    .await;
    let servers = vec![http_server("raw", &stub.url, MIRRORED)];
    let world = World::with(Setup { servers, ..Setup::default() }).await;
    let run = world.run_at("raw", "r1", r#"{"echo":{}}"#);
    let call = || run.modern("raw", "tools/call", r#"{"name":"echo","arguments":{"t":"eu"}}"#);
    for (what, ask) in [("differs", call().set("mcp-param-region", "us")), ("is missing", call())] {
        let reply = run.send(ask).await;
        assert_eq!(reply.status, 400, "{what}");
        let answer = reply.json().await;
        assert_eq!(answer["error"]["code"], -32020, "{answer}");
        assert_eq!(
            answer["error"]["message"],
            format!("header mismatch: Mcp-Param-* {what}").replace("differs", "differs from the body")
        );
        // It was permitted, so the log says what became of it.
        world.outcome_is("not_sent").await;
    }
    assert_eq!(run.send(call().set("mcp-param-region", "eu")).await.status, 200, "{}", world.story());
    assert_eq!(stub.of("tools/call").len(), 1);
}

/// Break: look at these headers only in the modern era, or let pass what nobody checked.
#[tokio::test(flavor = "multi_thread")]
async fn no_header_that_was_not_checked_goes_on_in_any_era() {
    let stub = Stub::start(MIRRORED, |heard| async move {
        stub::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[]}}}}"#, heard.id()))
    })
    .await;
    let servers = vec![http_server("raw", &stub.url, MIRRORED)];
    let world = World::with(Setup { servers, ..Setup::default() }).await;
    let run = world.run_at("raw", "r1", r#"{"echo":{}}"#);
    let body = |id: u8| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"t":"eu"}}}}}}"#
        )
    };
    let differs = run.legacy("raw", None, &body(1)).set("mcp-param-region", "us");
    assert_eq!(run.send(differs).await.status, 400);
    world.outcome_is("not_sent").await;
    assert!(stub.of("tools/call").is_empty());
    let modern = run.modern("raw", "tools/call", r#"{"name":"echo","arguments":{"t":"eu"}}"#);
    for ask in [run.legacy("raw", None, &body(2)), modern] {
        let ask = ask.set("mcp-param-region", "eu").set("mcp-param-other", "us").set("mcp-tenant", "other");
        assert_eq!(run.send(ask).await.status, 200, "{}", world.story());
        let headers = stub.of("tools/call").pop().unwrap().headers;
        assert_eq!(headers["mcp-param-region"], "eu");
        assert!(!headers.contains_key("mcp-param-other") && !headers.contains_key("mcp-tenant"), "{headers:?}");
    }
}

/// Break: look at the arguments' headers before anybody asks whether the caller may know of the tool.
#[tokio::test(flavor = "multi_thread")]
async fn the_headers_that_a_tool_wants_are_told_to_nobody_else() {
    let stub = Stub::start(MIRRORED, |_| async { stub::json("{}") }).await;
    let servers = vec![http_server("raw", &stub.url, MIRRORED)];
    let world = World::with(Setup { servers, ..Setup::default() }).await;
    let run = world.run_at("raw", "r1", r#"{"other":{}}"#);
    for tool in ["echo", "nothing"] {
        let params = format!(r#"{{"name":"{tool}","arguments":{{"t":"eu"}}}}"#);
        let stranger = run.send(Run::modern_bare("raw", "tools/call", &params)).await;
        assert_eq!(stranger.status, 401, "{tool}");
        assert_eq!(crate::client::code_of(&stranger.json().await), "token_missing", "{tool}");
        let reply = run.send(run.modern("raw", "tools/call", &params)).await;
        assert_eq!(reply.status, 200, "{tool}");
        let answer = reply.json().await;
        assert_eq!(answer["error"]["message"], format!("Unknown tool: {tool}"), "{answer}");
    }
    assert!(stub.heard.lock().unwrap().is_empty());
}

/// Break: believe a header, or route by one, where the body says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn headers_must_equal_the_body() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    let call = || run.tool("read_ticket", r#"{"id":42}"#);
    for (what, ask) in [
        ("method", call().set("mcp-method", "tools/list")),
        ("no method", call().unset("mcp-method")),
        ("name", call().set("mcp-name", "list_tickets")),
        ("no name", call().unset("mcp-name")),
        ("version", call().set("mcp-protocol-version", LEGACY)),
        ("no version", call().unset("mcp-protocol-version")),
        ("name twice", call().add("mcp-name", "read_ticket")),
        ("bad base64", call().set("mcp-name", "=?base64?!?=")),
    ] {
        check(&world, &run, what, ask, 400, -32020).await;
    }
    let encoded = call().set("mcp-name", "=?base64?cmVhZF90aWNrZXQ=?=");
    assert_eq!(run.send(encoded).await.status, 200);
    assert_eq!(world.ledger().len(), 1);
}

/// Break: read a message that two readers could read differently.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_one_reading() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    let call = || run.tool("read_ticket", r#"{"id":42}"#);
    let with = |from: &str, to: &str| {
        let ask = call();
        let body = String::from_utf8(ask.body.clone()).unwrap();
        assert!(body.contains(from), "{from} in {body}");
        ask.body(body.replacen(from, to, 1))
    };
    check(&world, &run, "argument twice", with(r#"{"id":42}"#, r#"{"id":41,"id":42}"#), 400, -32600).await;
    check(&world, &run, "name twice", with(r#""name":"#, r#""name":"list_tickets","name":"#), 400, -32600).await;
    check(&world, &run, "case", with(r#""name":"#, r#""Name":"x","name":"#), 400, -32600).await;
    check(&world, &run, "params twice", with(r#""params":"#, r#""params":{},"params":"#), 400, -32600).await;
    check(&world, &run, "no id", with(r#""jsonrpc":"2.0","id""#, r#""jsonrpc":"2.0","x""#), 400, -32600).await;
    check(&world, &run, "no json", call().body("{"), 400, -32700).await;
    check(&world, &run, "not utf-8", call().body(vec![0xff, b'{', b'}']), 400, -32700).await;
    let batch = [b"[".as_slice(), &call().body, b"]"].concat();
    check(&world, &run, "batch", call().body(batch), 400, -32600).await;
    check(&world, &run, "encoded", call().set("content-encoding", "gzip"), 415, -32600).await;
    check(&world, &run, "type", call().set("content-type", "text/plain"), 415, -32600).await;
    check(&world, &run, "accept", call().set("accept", "application/json"), 406, -32600).await;
    check(&world, &run, "capabilities", with("clientCapabilities", "clientCapabilitie"), 400, -32602).await;
    let version = with(MODERN, "2027-01-01").set("mcp-protocol-version", "2027-01-01");
    check(&world, &run, "version", version, 400, -32022).await;
    let unknown = with("tools/call", "tools/callx").set("mcp-method", "tools/callx").unset("mcp-name");
    check(&world, &run, "method", unknown, 404, -32601).await;
}

/// Break: raise a limit, or let the framework's own stand in front of ours.
#[tokio::test(flavor = "multi_thread")]
async fn size_is_limited() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    let pad = |bytes: usize| run.tool("read_ticket", &format!(r#"{{"id":42,"pad":"{}"}}"#, "x".repeat(bytes)));
    check(&world, &run, "message", pad(4 << 20), 413, -32600).await;
    check(&world, &run, "arguments", pad(1 << 20), 413, -32600).await;
    // Below both limits it is read and judged.
    check(&world, &run, "neither", pad(1_000_000), 200, 0).await;
    // Beside the arguments there is room up to the limit of the message.
    let ask = run.tool("read_ticket", r#"{"id":42}"#);
    let body = String::from_utf8(ask.body.clone()).unwrap();
    let body = body.replacen(r#""name":"#, &format!(r#""pad":"{}","name":"#, "x".repeat(3 << 20)), 1);
    let reply = run.send(ask.body(body)).await;
    assert!(reply.status == 200 || reply.status == 502 || reply.status == 413, "{}", reply.status);
    let long = run.tool("read_ticket", r#"{"id":42}"#).set("mcp-param-x", &"x".repeat(9 << 10));
    assert_eq!(run.send(long).await.status, 400);
}

/// Break: let a result come by another request, or an answer to a server's question pass, where neither is granted.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_and_answers_to_questions_are_off() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    for member in [r#""task":{"ttl":1000}"#, r#""inputResponses":{"q":{"action":"accept"}}"#] {
        let ask = run.tool("read_ticket", r#"{"id":42}"#);
        let body = String::from_utf8(ask.body.clone()).unwrap();
        let body = body.replacen(r#""name":"#, &format!(r#"{member},"name":"#), 1);
        check(&world, &run, member, ask.body(body), 400, -32602).await;
    }
}

/// Break: answer a web page, or a request for another host.
#[tokio::test(flavor = "multi_thread")]
async fn pages_and_rebound_names_get_nowhere() {
    let world = World::with(Setup { origins: vec!["https://ui.acme.example".into()], ..Setup::default() }).await;
    let run = world.run("r1", READ);
    let call = || run.tool("read_ticket", r#"{"id":42}"#);
    for (what, ask) in [
        ("origin", call().set("origin", "https://evil.example")),
        ("null origin", call().set("origin", "null")),
        ("host", call().set("host", "evil.example")),
        ("host without its port", call().set("host", "127.0.0.1")),
    ] {
        check(&world, &run, what, ask, 403, 0).await;
    }
    assert_eq!(run.send(call().set("origin", "https://ui.acme.example")).await.status, 200);
}

/// Break: look at one host of several, at the header alone, or only where messages are taken.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_host_on_every_route() {
    let world = World::new().await;
    let own = world.addr().to_string();
    let metadata = "/.well-known/oauth-protected-resource/mcp/tickets";
    for (path, meant) in [("/healthz", 200), (metadata, 200), ("/mcp/tickets", 401), ("/nothing", 404)] {
        for (target, hosts, status) in [
            (path.to_owned(), vec![own.as_str()], meant),
            (format!("http://{own}{path}"), vec![&own], meant),
            (format!("http://evil.example{path}"), vec![&own], 403),
            (path.to_owned(), vec![&own, "evil.example"], 403),
            (path.to_owned(), vec!["evil.example", &own], 403),
            (path.to_owned(), vec!["evil.example"], 403),
            (path.to_owned(), vec![], 403),
        ] {
            let hosts: String = hosts.iter().flat_map(|host| ["host: ", host, "\r\n"]).collect();
            let ask = format!("GET {target} HTTP/1.1\r\n{hosts}accept: text/event-stream\r\nconnection: close\r\n\r\n");
            let answer = crate::room::answer_to(&world, &ask).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{ask}{answer}");
        }
    }
    let page =
        format!("GET /healthz HTTP/1.1\r\nhost: {own}\r\norigin: http://evil.example\r\nconnection: close\r\n\r\n");
    assert!(crate::room::answer_to(&world, &page).await.starts_with("HTTP/1.1 403 "));
}

/// Break: keep GET and DELETE where the revision has none.
#[tokio::test(flavor = "multi_thread")]
async fn the_modern_era_knows_post_alone() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    for method in [Method::GET, Method::DELETE, Method::PUT] {
        let ask = Ask { method, ..Ask::post("/mcp/tickets", "") }.set("mcp-protocol-version", MODERN);
        let reply = run.send(run.authorize(ask)).await;
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "POST"));
    }
    let put = Ask { method: Method::PUT, ..Ask::post("/mcp/tickets", "") }.set("mcp-protocol-version", LEGACY);
    assert_eq!(run.send(run.authorize(put)).await.status, 405);
    let nowhere = run.modern("Nö-where", "tools/list", "{}");
    assert_eq!(Ask { path: "/mcp/N%C3%B6".into(), ..nowhere }.send(run.addr).await.status, 404);
}

/// Break: wait for ever for a client that sends its request byte by byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_not_waited_for() {
    let world = World::new().await;
    let head = format!(
        "POST /mcp/tickets HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: */*\r\ncontent-length: 100\r\n\r\n{{",
        world.addr()
    );
    for begun in ["POST /mcp/tickets HTTP/1.1\r\nhost: x\r\n", head.as_str()] {
        let mut socket = tokio::net::TcpStream::connect(world.addr()).await.unwrap();
        socket.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(15), socket.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still open after {begun:?}");
    }
}

/// Break: take more than there is room for, or make them wait.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_at_once_are_refused_at_once() {
    let world = World::with(Setup { calls_max: 1, ..Setup::default() }).await;
    let run = world.run("r1", r#"{"watch_ticket":{},"read_ticket":{}}"#);
    let mut watching = run.send(run.watch(20)).await;
    assert_eq!(watching.status, 200);
    let _first = watching.event().await.unwrap();
    let reply = run.send(run.tool("read_ticket", r#"{"id":42}"#)).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, "1"));
    drop(watching);
    world.outcome_is("cancelled").await;
    assert_eq!(run.refusal("read_ticket", r#"{"id":42}"#).await, "ok");
}
