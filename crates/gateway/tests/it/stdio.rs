//! Upstreams that are child processes: one for each root, with nothing of the gateway's own, and no question let through.

use std::sync::LazyLock;
use std::time::Duration;

use remit_core::event::Kind;
use remit_core::registry::Upstream;
use serde_json::Value;

use crate::client::{Ask, Run, code_of};
use crate::world::{Setup, World, server};

const TOOLS: &str = r#"[{"name":"where","inputSchema":{"type":"object","properties":{"text":{"type":"string"},"s":{"type":"number"}}}},
{"name":"env","inputSchema":{"type":"object"}},{"name":"never","inputSchema":{"type":"object"}},
{"name":"heard","inputSchema":{"type":"object"}},{"name":"ask","inputSchema":{"type":"object"}}]"#;
const GRANT: &str = r#"{"where":{},"env":{},"never":{},"heard":{},"ask":{}}"#;

/// Speaks both eras; keeps every message that came.
const SERVER: &str = r#"
import json, os, sys, threading, time
TOOLS, heard, lock = json.loads(sys.argv[1]), [], threading.Lock()
def say(message):
    with lock:
        sys.stdout.write(json.dumps(message) + "\n"); sys.stdout.flush()
def call(m):
    name, args = m["params"]["name"], m["params"].get("arguments", {})
    if name == "never": return
    if name == "where": time.sleep(args.get("s", 0)); text = [args.get("text"), os.getpid()]
    if name == "env": text = dict(os.environ)
    if name == "heard": text = list(heard)
    if name == "ask":
        for method in ["sampling/createMessage", "elicitation/create", "roots/list"]:
            say({"jsonrpc": "2.0", "id": "q-" + method, "method": method, "params": {"canary": "upstream-words"}})
        while len([h for h in heard if str(h.get("id", "")).startswith("q-")]) < 3: time.sleep(0.01)
        text = [h for h in heard if str(h.get("id", "")).startswith("q-")]
    say({"jsonrpc": "2.0", "id": m["id"], "result": {"resultType": "complete", "content": [], "is": text}})
for line in sys.stdin:
    m = json.loads(line); heard.append(m)
    method = m.get("method")
    if method == "server/discover": say({"jsonrpc": "2.0", "id": m["id"], "result": {"supportedVersions": ["2026-07-28"], "resultType": "complete"}})
    elif method == "tools/list": say({"jsonrpc": "2.0", "id": m["id"], "result": {"tools": TOOLS, "resultType": "complete"}})
    elif method == "tools/call": threading.Thread(target=call, args=(m,), daemon=True).start()
"#;

pub static PYTHON: LazyLock<String> = LazyLock::new(|| {
    let found = std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8(found.unwrap().stdout).unwrap().trim().to_owned()
});

async fn world() -> World {
    let args = ["-u", "-c", SERVER, TOOLS].map(str::to_owned).into();
    let upstream = Upstream::Stdio { command: PYTHON.clone(), args };
    World::with(Setup { servers: vec![server("proc", upstream, TOOLS)], ..Setup::default() }).await
}

fn call(run: &Run, tool: &str, arguments: &str) -> Ask {
    run.modern("proc", "tools/call", &format!(r#"{{"name":"{tool}","arguments":{arguments}}}"#))
}

async fn is(run: &Run, tool: &str, arguments: &str) -> Value {
    let answer = run.send(call(run, tool, arguments)).await.json().await;
    assert_eq!(code_of(&answer), "ok", "{answer}");
    answer["result"]["is"].clone()
}

/// A run that another one spawned, of the same root.
fn spawned(world: &World, parent: &Run, run: &str) -> Run {
    child_of(parent, &world.run_at("proc", run, GRANT))
}

/// The run as one that the other spawned.
pub fn child_of(parent: &Run, run: &Run) -> Run {
    run.with(|claims| {
        claims.root = parent.claims.root.clone();
        claims.act.act = Some(Box::new(parent.claims.act.clone()));
        claims.lin = vec![parent.claims.jti.clone()];
        claims.del_depth = 1;
    })
}

/// Break: let two people share a child, because their runs are of one root.
#[tokio::test(flavor = "multi_thread")]
async fn each_credential_owner_has_a_child_of_its_own() {
    let world = world().await;
    let one = world.run_at("proc", "r1", GRANT);
    let same = spawned(&world, &one, "r1-child");
    let other = spawned(&world, &one, "r1-other")
        .with(|claims| claims.sub = remit_core::id::PrincipalId::new("p-77aa").unwrap());
    let pid = async |run: &Run| is(run, "where", "{}").await[1].clone();
    let first = pid(&one).await;
    assert_eq!(pid(&same).await, first);
    assert_ne!(pid(&other).await, first);
}

/// Break: one child for all, one for each run, or ids as the clients wrote them.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_has_its_own_child_and_equal_ids_do_not_cross() {
    let world = world().await;
    let one = world.run_at("proc", "r1", GRANT);
    let two = world.run_at("proc", "r2", GRANT);
    let child = spawned(&world, &one, "r1-child");
    // The later one asks, the sooner it is answered.
    let asks = [(&one, "a", 0.4), (&child, "b", 0.2), (&two, "c", 0.3), (&one, "d", 0.0)].map(|(run, text, s)| {
        let ask = call(run, "where", &format!(r#"{{"text":"{text}","s":{s}}}"#));
        async move { run.send(same(ask)).await.json().await }
    });
    let answers = futures_util::future::join_all(asks).await;
    let pid = |n: usize| answers[n]["result"]["is"][1].clone();
    for (answer, text) in answers.iter().zip(["a", "b", "c", "d"]) {
        assert_eq!((&answer["id"], &answer["result"]["is"][0]), (&"same".into(), &text.into()), "{answer}");
    }
    assert!(pid(0) == pid(1) && pid(0) == pid(3) && pid(0) != pid(2), "{answers:?}");
}

/// The request under an id that others use too.
fn same(ask: Ask) -> Ask {
    let body: Value = serde_json::from_slice(&ask.body).unwrap();
    let from = format!("\"id\":{}", body["id"]);
    let same = String::from_utf8(ask.body.clone()).unwrap().replacen(&from, "\"id\":\"same\"", 1);
    ask.body(same)
}

/// Break: cancel by the id alone at a child that several runs share.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_cancels_only_its_own_call_at_a_shared_child() {
    let world = world().await;
    let one = world.run_at("proc", "r1", GRANT);
    let child = spawned(&world, &one, "r1-child");
    assert_eq!(is(&one, "where", r#"{"text":"warm"}"#).await[0], "warm");
    let mine = tokio::spawn(same(call(&one, "where", r#"{"text":"mine","s":1.5}"#)).send(world.addr()));
    let theirs = tokio::spawn(same(call(&child, "never", "{}")).send(world.addr()));
    let asked = async || {
        let heard = is(&one, "heard", "{}").await;
        let named = |name: &str| heard.as_array().unwrap().iter().any(|m| m["params"]["name"] == name);
        named("never") && heard.as_array().unwrap().iter().any(|m| m["params"]["arguments"]["text"] == "mine")
    };
    world.until("asked", asked).await;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"same"}}"#;
    let cancel = Ask::post("/mcp/proc", cancel)
        .set("mcp-protocol-version", crate::client::MODERN)
        .set("mcp-method", "notifications/cancelled");
    assert_eq!(child.send(child.authorize(cancel)).await.status, 202, "{}", world.story());
    theirs.await.unwrap();
    let answer = mine.await.unwrap().json().await;
    assert_eq!(answer["result"]["is"][0], "mine", "{answer}\n{}", world.story());
}

/// Break: give a child the gateway's environment.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_gets_nothing_of_the_gateways_environment() {
    let world = world().await;
    let env = is(&world.run_at("proc", "r1", GRANT), "env", "{}").await;
    let mut names: Vec<&str> = env.as_object().unwrap().keys().map(String::as_str).collect();
    names.retain(|name| *name != "LC_CTYPE"); // Python's own
    assert_eq!(names, ["HOME", "LANG", "PATH"]);
    assert!(std::env::vars().count() > names.len());
}

/// Break: let the call go on at the child, or end another's.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_call_is_cancelled_at_the_child() {
    let world = world().await;
    let one = world.run_at("proc", "r1", GRANT);
    let child = spawned(&world, &one, "r1-child");
    let never = tokio::spawn(call(&child, "never", "{}").send(world.addr()));
    let asked = async || {
        let heard = is(&one, "heard", "{}").await;
        heard.as_array().unwrap().iter().any(|m| m["params"]["name"] == "never")
    };
    world.until("asked", asked).await;
    world.authority.revoke(remit_core::revoked::Kind::Run, "r1-child");
    let reply = tokio::time::timeout(Duration::from_secs(2), never).await.unwrap().unwrap();
    assert_eq!(code_of(&reply.json().await), "revoked");
    let outcomes = world.of(Kind::CallOutcome);
    let of_child: Vec<_> = outcomes.iter().filter(|e| e.text("run") == "r1-child").map(|e| e.text("status")).collect();
    assert_eq!(of_child.last(), Some(&"revoked"), "{}", world.story());
    let heard = is(&one, "heard", "{}").await;
    let heard = heard.as_array().unwrap();
    let of = |method: &str| heard.iter().filter(|m| m["method"] == method).cloned().collect::<Vec<_>>();
    let never = heard.iter().find(|m| m["params"]["name"] == "never").unwrap();
    let cancelled = of("notifications/cancelled");
    assert_eq!((cancelled.len(), &cancelled[0]["params"]["requestId"]), (1, &never["id"]));
}

/// Break: pass a child's questions on to the client, or leave the child without an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_childs_questions_are_answered_by_the_gateway() {
    let world = world().await;
    let run = world.run_at("proc", "r1", GRANT);
    let text = run.send(call(&run, "ask", "{}")).await.text().await;
    assert!(!text.contains("upstream-words"), "{text}");
    let answer: Value = serde_json::from_str(text.trim().trim_start_matches("event: message\ndata: ")).unwrap();
    let answers = answer["result"]["is"].as_array().unwrap();
    assert_eq!(answers.iter().map(|m| m["error"]["code"].as_i64()).collect::<Vec<_>>(), [Some(-32601); 3], "{answer}");
}
