//! What went wrong in other gateways, proxies and servers of tools, tried here. Each is a row of docs/vulnerabilities.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use remit_core::event::Kind;
use serde_json::Value;

use crate::bytes::{TOOLS, echo, raw};
use crate::client::{Ask, LEGACY, MODERN, Run, code_of};
use crate::stub::{self, Stub};
use crate::world::{AGENT, OTHER, Setup, World, http_server};

const READ: &str = r#"{"read_ticket":{}}"#;
/// Every revision of the legacy era.
const LEGACIES: [&str; 3] = ["2025-03-26", "2025-06-18", LEGACY];

/// An upstream that answers everything, and lists its tools.
async fn obliging() -> Arc<Stub> {
    Stub::start(TOOLS, |heard| async move {
        stub::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[]}}}}"#, heard.id()))
    })
    .await
}

/// A call of `echo` in a legacy revision, outside of any session.
fn legacy_echo(run: &Run, revision: &str, tool: &str, arguments: &str) -> Ask {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    );
    run.legacy("raw", None, &body).set("mcp-protocol-version", revision)
}

/// Break: take a media type that one does not know for a reason to look no further.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_another_media_type_reaches_nobody() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    let call = || run.tool("read_ticket", r#"{"id":42}"#);
    for kind in [
        "text/plain",
        "text/json",
        "text/event-stream",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json-patch+json",
        "multipart/form-data; boundary=x",
    ] {
        assert_eq!(run.send(call().set("content-type", kind)).await.status, 415, "{kind}");
    }
    assert_eq!(run.send(call().unset("content-type")).await.status, 415);
    assert_eq!(run.send(call().add("content-type", "text/plain")).await.status, 415);
    assert!(world.ledger().is_empty(), "{}", world.story());
    assert_eq!(code_of(&run.send(call()).await.json().await), "ok");
    assert_eq!(world.ledger().len(), 1);
}

/// Break: know batches where a revision once had them, and judge none of what is in them.
#[tokio::test(flavor = "multi_thread")]
async fn no_revision_takes_a_batch() {
    let stub = obliging().await;
    let (world, run) = raw(&stub).await;
    for revision in LEGACIES {
        let one = String::from_utf8(legacy_echo(&run, revision, "echo", "{}").body).unwrap();
        for batch in [format!("[{one}]"), format!(" [{one},{one}]"), "[]".into(), format!("[[{one}]]")] {
            let ask = run.legacy("raw", None, &batch).set("mcp-protocol-version", revision);
            assert_eq!(run.send(ask).await.status, 400, "{revision} {batch}");
        }
    }
    assert!(stub.of("tools/call").is_empty() && world.of(Kind::CallIntent).is_empty(), "{}", world.story());
}

/// Break: ask for less in an older revision.
#[tokio::test(flavor = "multi_thread")]
async fn every_revision_asks_the_same() {
    let stub = obliging().await;
    let (world, _) = raw(&stub).await;
    let run = world.run_at("raw", "r2", r#"{"echo":{"t":{"constraint_type":"exact","value":"yes"}}}"#);
    let none = world.run_at("raw", "r3", "{}");
    for revision in LEGACIES.into_iter().chain([MODERN]) {
        let ask = |run: &Run, t: &str| {
            let arguments = format!(r#"{{"t":"{t}"}}"#);
            if revision == MODERN { echo(run, &arguments) } else { legacy_echo(run, revision, "echo", &arguments) }
        };
        for (run, t, expected) in
            [(&run, "yes", "ok"), (&run, "no", "arguments_outside_grant"), (&none, "yes", "-32602 Unknown tool: echo")]
        {
            let calls = stub.of("tools/call").len();
            let code = code_of(&run.send(ask(run, t)).await.json().await);
            assert_eq!(code, expected, "{revision}\n{}", world.story());
            assert_eq!(stub.of("tools/call").len() - calls, usize::from(expected == "ok"), "{revision} {expected}");
            let intent = world.last(Kind::CallIntent);
            assert_eq!(intent.node.text(&["api", "version"]), Some(revision));
            assert_eq!(intent.text("decision/verdict") == "permit", expected == "ok", "{revision} {expected}");
        }
        let calls = stub.of("tools/call").len();
        let stranger = ask(&run, "yes").unset("authorization").unset("dpop");
        assert_eq!(run.send(stranger).await.status, 401, "{revision}");
        assert_eq!(stub.of("tools/call").len(), calls, "{revision}");
    }
}

/// What an upstream lists: what was reviewed, and what nobody may see.
fn two_tools(id: &str) -> String {
    let listed = TOOLS.trim_start_matches('[').trim_end_matches(']');
    let more = r#"{"name":"canary-tool","description":"canary-words","inputSchema":{"type":"object"}}"#;
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{listed},{more}]}}}}"#)
}

/// Lists the tools of an upstream that answers in one of several ways; gives how often the list came through.
async fn lists(ways: &'static [(u16, &'static str)], body: fn(way: usize, id: &str) -> String) -> usize {
    static WAY: AtomicUsize = AtomicUsize::new(0);
    let mut shown = 0;
    for (way, (status, kind)) in ways.iter().enumerate() {
        WAY.store(way, Ordering::SeqCst);
        let stub = Stub::start("", move |heard| async move {
            let text = body(way, &heard.id());
            stub::with(*status, kind, text)
        })
        .await;
        let (world, run) = raw(&stub).await;
        for ask in [
            run.modern("raw", "tools/list", "{}"),
            run.legacy("raw", None, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#),
        ] {
            let reply = run.send(ask).await;
            let status = reply.status;
            let text = reply.text().await;
            assert!(!text.contains("canary"), "{way}: {text}\n{}", world.story());
            let through = text.contains(r#""name":"echo""#);
            assert!(through || !text.contains(r#""tools""#), "{way}: {status} {text}");
            shown += usize::from(through);
        }
    }
    shown
}

/// Break: filter only what is spelled as one expects, and let the rest pass as it is.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_an_answer_escapes_the_filter() {
    const WAYS: &[(u16, &str)] = &[
        (200, "application/json"),
        (200, "Application/JSON"),
        (200, "application/json ; charset=utf-8"),
        (200, "application/json;charset=\"utf-8\""),
        (201, "application/json"),
        (202, "application/json"),
        (203, "application/json"),
        (299, "application/json"),
        (200, "application/x-json"),
        (200, "text/json"),
        (200, "text/plain"),
        (200, ""),
    ];
    let shown = lists(WAYS, |_, id| two_tools(id)).await;
    // The first four are the same, and each is asked in both eras.
    assert!(shown >= 8, "{shown}");
}

/// Break: give up on a stream of which one line is not what one expects, and let all of it pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_strange_line_in_a_stream_does_not_open_the_list() {
    fn body(way: usize, id: &str) -> String {
        let list = two_tools(id);
        let notice = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
        let question = r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#;
        match way {
            0 => format!("data: {list}\n\n"),
            1 => format!("data: {notice}\n\ndata: {list}\n\n"),
            2 => format!("data: {question}\n\ndata: {list}\n\n"),
            3 => format!("data: canary, no json\n\ndata: {list}\n\n"),
            4 => format!("data: {{\"canary\":\n\ndata: {list}\n\n"),
            5 => format!("data: {}\n\ndata: {list}\n\n", two_tools("\"another\"")),
            6 => format!("event: message\ndata: {}\n\n", list.replacen(',', ",\ndata: ", 1)),
            7 => format!("data:{list}\r\rdata: [{list}]\r\n\r\n"),
            _ => format!(": canary\nid: canary\nevent: canary\ndata: {list}"),
        }
    }
    const WAYS: &[(u16, &str)] = &[(200, "text/event-stream"); 9];
    let shown = lists(WAYS, body).await;
    assert!(shown >= 2, "{shown}");
}

/// Break: pass over a policy that cannot be evaluated, or refuse without an entry that says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_be_evaluated_refuses_and_the_log_names_it() {
    const ERRING: &str = r#"@id("overflow")
        forbid (principal, action == Action::"tickets/read_ticket", resource) when { context.input.id * 2 < 0 };"#;
    let world = World::with(Setup { floor: vec![("sums", ERRING.into())], ..Setup::default() }).await;
    let run = world.run("r1", READ);
    assert_eq!(run.refusal("read_ticket", r#"{"id":9223372036854775807}"#).await, "policy_error");
    assert!(world.ledger().is_empty());
    let intent = world.last(Kind::CallIntent);
    assert_eq!((intent.text("decision/verdict"), intent.text("decision/code")), ("forbid", "policy_error"));
    let policies = intent.node.list(&["unmapped", "remit", "decision", "policies"]);
    let policies: Vec<_> = policies.iter().filter_map(|policy| policy.text(&[])).collect();
    assert_eq!(policies, ["floor/sums/overflow"], "{}", world.story());
    assert_eq!(run.refusal("read_ticket", r#"{"id":42}"#).await, "ok");
}

/// Break: take the absence of policies for leave.
#[tokio::test(flavor = "multi_thread")]
async fn where_there_are_no_policies_nothing_is_permitted() {
    let mut world = World::new().await;
    let run = world.run("r1", READ);
    assert_eq!(run.refusal("read_ticket", r#"{"id":42}"#).await, "ok");
    world.publish(2, |bundle| bundle.floor.clear()).await;
    assert_eq!(run.refusal("read_ticket", r#"{"id":42}"#).await, "policy_forbid", "{}", world.story());
    assert_eq!(world.ledger().len(), 1);
}

/// Break: believe what a request says of its sender.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_says_of_its_sender_counts_for_nothing() {
    const OWN: &str = r#"@id("own") 
        forbid (principal, action == Action::"tickets/read_ticket", resource) when { principal.team == "support" };"#;
    let world = World::with(Setup { floor: vec![("teams", OWN.into())], ..Setup::default() }).await;
    let run = world.run("r1", READ);
    // Whom it names may do it, with a token of its own.
    let other = world.run("r2", READ).with(|claims| {
        claims.client_id = remit_core::id::AgentId::parse(OTHER).unwrap();
        claims.act.sub.agent = claims.client_id.clone();
    });
    assert_eq!(other.refusal("read_ticket", r#"{"id":42}"#).await, "ok", "{}", world.story());
    for header in [
        "x-agent-id",
        "x-remit-agent",
        "x-user",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-authenticated-userid",
        "mcp-agent-id",
        "from",
        "client-cert",
    ] {
        let ask = run.tool("read_ticket", r#"{"id":42}"#).set(header, OTHER).set("x-forwarded-for", "127.0.0.1");
        let body = String::from_utf8(ask.body.clone()).unwrap();
        let claimed = format!(
            r#""_meta":{{"agent":"{OTHER}","sub":"p-other","io.modelcontextprotocol/clientInfo":{{"name":"{OTHER}","version":"1"}},"#
        );
        let ask = ask.body(body.replacen(r#""_meta":{"#, &claimed, 1));
        assert_eq!(code_of(&run.send(ask).await.json().await), "policy_forbid", "{header}");
        let intent = world.last(Kind::CallIntent);
        assert_eq!(intent.node.text(&["ai_agent", "uid"]), Some(AGENT), "{header}");
        assert_eq!(intent.node.text(&["actor", "user", "uid"]), Some("p-3f9a"), "{header}");
    }
    assert_eq!(world.ledger().len(), 1);
}

/// Break: follow a URL that an upstream names: where to sign in, where it went, what it wants to be fetched.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstreams_urls_lead_the_gateway_nowhere() {
    let bait = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/canary", bait.local_addr().unwrap());
    let stub = Stub::start(TOOLS, move |heard| {
        let url = url.clone();
        async move {
            let status = heard.json()["params"]["arguments"]["n"].as_u64().unwrap_or(200);
            let answer = format!(
                r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[{{"type":"resource_link","uri":"{url}","name":"x"}}],"authorization_endpoint":"{url}"}}}}"#,
                heard.id()
            );
            let mut response = stub::with(u16::try_from(status).unwrap(), "application/json", answer);
            let challenge = format!(r#"Bearer resource_metadata="{url}", authorization_uri="{url}", scope="*""#);
            for (name, value) in [("www-authenticate", challenge.as_str()), ("location", &url), ("refresh", &url)] {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
    })
    .await;
    let (world, run) = raw(&stub).await;
    for status in [200, 301, 302, 307, 308, 401, 403, 407] {
        let reply = run.send(echo(&run, &format!(r#"{{"n":{status}}}"#))).await;
        assert!(reply.header("location").is_empty() && reply.header("www-authenticate").is_empty(), "{status}");
        assert_eq!(reply.status == 200, status == 200, "{status}\n{}", world.story());
    }
    let followed = tokio::time::timeout(Duration::from_millis(300), bait.accept()).await;
    assert!(followed.is_err(), "somebody came");
    assert_eq!(stub.of("tools/call").len(), 8);
}

/// Break: let a router and a check read one path in two ways, or take a token of one server at another.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_leads_to_another_server() {
    let stub = obliging().await;
    let (world, _) = raw(&stub).await;
    let run = world.run("r1", READ);
    let call = || run.tool("read_ticket", r#"{"id":42}"#);
    let entries = world.log().len();
    for path in [
        "/mcp/raw",
        "/mcp/tickets/",
        "/mcp//tickets",
        "//mcp/tickets",
        "/MCP/tickets",
        "/mcp/Tickets",
        "/mcp/%74ickets",
        "/mcp/tickets%2f..%2fraw",
        "/mcp/tickets/../raw",
        "/mcp/raw/../tickets",
        "/mcp/./tickets",
        "/mcp/tickets;x=/mcp/raw",
        "/mcp/tickets%00",
        "/mcp/tickets%20",
        "/mcp/ticket%C5%9F",
        "/mcp",
        "/",
    ] {
        let ask = run.authorize(Ask { path: path.into(), ..call().unset("authorization").unset("dpop") });
        let reply = run.send(ask).await;
        assert!([401, 404].contains(&reply.status.as_u16()), "{path}: {}", reply.status);
    }
    assert!(world.ledger().is_empty() && stub.heard.lock().unwrap().is_empty());
    let permitted = |entry: &crate::world::Logged| entry.text("decision/verdict") == "permit";
    assert!(!world.log().iter().skip(entries).any(permitted), "{}", world.story());
    assert_eq!(code_of(&run.send(call()).await.json().await), "ok");
}

/// Break: make a name for a resource of which two resources have the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_of_one_uri_is_granted_of_no_other() {
    const GRANTED: &str = "mcp://srv/config/admin";
    let stub = obliging().await;
    let mut server = http_server("raw", &stub.url, TOOLS);
    server.resources = true;
    let world = World::with(Setup { servers: vec![server], ..Setup::default() }).await;
    let grant = format!(r#"{{}},"resources":[{{"constraint_type":"exact","value":"{GRANTED}"}}]"#);
    let run = world.run_at("raw", "r1", &grant);
    for uri in [
        "mcp://srv/config:admin",
        "mcp://srv/config.admin",
        "mcp://srv/config_admin",
        "mcp:__srv_config_admin",
        "mcp___srv_config_admin",
        "MCP://srv/config/admin",
        "mcp://SRV/config/admin",
        "mcp://srv/config/admin/",
        "mcp://srv//config/admin",
        "mcp://srv/x/../config/admin",
        "mcp://srv/config/%61dmin",
        "mcp://srv/config/admin?x=1",
        "mcp://srv/config/admin#x",
        " mcp://srv/config/admin",
    ] {
        let ask = run.modern("raw", "resources/read", &format!(r#"{{"uri":"{uri}"}}"#));
        let answer = run.send(ask).await.json().await;
        assert_ne!(code_of(&answer), "ok", "{uri}");
    }
    assert!(stub.of("resources/read").is_empty(), "{}", world.story());
    let read = run.modern("raw", "resources/read", &format!(r#"{{"uri":"{GRANTED}"}}"#));
    assert_eq!(code_of(&run.send(read).await.json().await), "ok", "{}", world.story());
    assert_eq!(stub.of("resources/read").len(), 1);
}

/// Break: put a message that names no session into the only one that there is.
#[tokio::test(flavor = "multi_thread")]
async fn who_names_no_session_gets_nobody_elses() {
    static SESSIONS: AtomicUsize = AtomicUsize::new(0);
    let stub = Stub::start(TOOLS, |heard| async move {
        let begins = heard.named() == "initialize";
        if heard.named().starts_with("notifications/") {
            return stub::with(202, "", "");
        }
        let result = if begins {
            format!(r#"{{"protocolVersion":"{LEGACY}","capabilities":{{}},"serverInfo":{{"name":"s","version":"1"}}}}"#)
        } else {
            r#"{"content":[]}"#.into()
        };
        let mut response = stub::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, heard.id()));
        if begins {
            let session = format!("upstream-{}", SESSIONS.fetch_add(1, Ordering::SeqCst));
            response.headers_mut().insert("mcp-session-id", session.parse().unwrap());
        }
        response
    })
    .await;
    let (world, first) = raw(&stub).await;
    let second = world.run_at("raw", "r2", r#"{"echo":{}}"#);
    let session = first.initialize("raw").await;
    let of_first = |heard: &stub::Heard| heard.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
    let call = legacy_echo(&first, LEGACY, "echo", "{}").set("mcp-session-id", &session);
    assert_eq!(code_of(&first.send(call).await.json().await), "ok");
    let owned = of_first(&stub.of("tools/call").pop().unwrap()).unwrap();
    let answer: Value = second.send(legacy_echo(&second, LEGACY, "echo", "{}")).await.json().await;
    let heard = stub.of("tools/call").pop().unwrap();
    assert_ne!(of_first(&heard), Some(owned), "{answer}\n{}", world.story());
    let stranger = legacy_echo(&second, LEGACY, "echo", "{}").unset("authorization").unset("dpop");
    assert_eq!(second.send(stranger).await.status, 401);
}
