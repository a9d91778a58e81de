//! Against real children: a small server in Python that does what it is told.

use std::sync::LazyLock;
use std::time::Duration;

use ::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::process::{Program, Surroundings};
use super::stdio::{ChildKey, ChildLimits, Children, one_line};
use super::*;

/// `tools/call` runs the tool that its name says; every message that came is kept for `heard`.
const SERVER: &str = r#"
import json, os, sys, threading, time
heard, lock = [], threading.Lock()
def say(message):
    with lock:
        sys.stdout.write(json.dumps(message) + "\n"); sys.stdout.flush()
def call(m):
    name, args, rid = m["params"]["name"], m["params"].get("arguments", {}), m["id"]
    token = m["params"].get("_meta", {}).get("progressToken")
    text = name
    if name == "sleep": time.sleep(args["s"]); text = args.get("text", "slept")
    if name == "never": return
    if name == "exit": os._exit(3)
    if name == "env": text = dict(os.environ)
    if name == "home": text = [os.environ["HOME"], os.getcwd(), os.listdir(os.environ["HOME"])]
    if name == "pid": text = [os.getpid(), os.getpgid(0)]
    if name == "grandchild":
        import subprocess
        text = subprocess.Popen(["sleep", "600"]).pid
    if name == "heard": text = list(heard)
    if name == "huge":
        sys.stdout.write("x" * args["bytes"] + "\n"); sys.stdout.flush(); return
    if name == "progress":
        for n in range(args["n"]): say({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": n}})
    if name == "ask":
        for method in ["ping", "sampling/createMessage", "elicitation/create", "roots/list"]:
            say({"jsonrpc": "2.0", "id": "q-" + method, "method": method, "params": {}})
        time.sleep(0.3); text = [h for h in heard if str(h.get("id", "")).startswith("q-")]
    if name == "notice":
        say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        say({"jsonrpc": "2.0", "method": "notifications/elicitation/complete", "params": {"elicitationId": "x"}})
    if name == "noise": print("log line that is no message"); print("[1,2]"); sys.stderr.write("secret tok_abcdef\n" * 5); sys.stdout.flush()
    say({"jsonrpc": "2.0", "id": rid, "result": {"text": text, "args": args}})
for line in sys.stdin:
    m = json.loads(line); heard.append(m)
    method = m.get("method")
    if method == "initialize": say({"jsonrpc": "2.0", "id": m["id"], "result": {"protocolVersion": m["params"]["protocolVersion"], "x-big": 12345678901234567890123, "capabilities": {}}})
    elif method == "server/discover" and "modern" in sys.argv: say({"jsonrpc": "2.0", "id": m["id"], "result": {"supportedVersions": ["2026-07-28"], "resultType": "complete"}})
    elif method == "subscriptions/listen":
        sid = {"io.modelcontextprotocol/subscriptionId": m["id"]}
        say({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {"_meta": sid}})
        say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"_meta": sid}})
        say({"jsonrpc": "2.0", "id": m["id"], "result": {"resultType": "complete", "_meta": sid}})
    elif method == "tools/call": threading.Thread(target=call, args=(m,), daemon=True).start()
    elif "id" in m and method: say({"jsonrpc": "2.0", "id": m["id"], "error": {"code": -32601, "message": "no"}})
"#;

struct World {
    children: Children,
    program: Program,
    _scratch: TempDir,
}

fn key(root: &str) -> ChildKey {
    ChildKey {
        server: "s".into(),
        owner: "o".into(),
        root: root.into(),
    }
}

fn limits() -> ChildLimits {
    ChildLimits {
        children: 4,
        idle: Duration::from_secs(30),
        backoff: Duration::from_millis(100),
        backoff_max: Duration::from_secs(1),
    }
}

fn deadlines() -> Deadlines {
    let s = Duration::from_secs;
    Deadlines {
        connect: s(10),
        first_byte: s(10),
        idle: s(10),
        total: s(20),
    }
}

/// The interpreter itself: what stands first in `PATH` may be a script that sets variables of its own.
static PYTHON: LazyLock<String> = LazyLock::new(|| {
    let found = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output();
    String::from_utf8(found.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
});

fn world_of(limits: ChildLimits, deadlines: Deadlines, args: &[&str]) -> World {
    static PATH: LazyLock<String> =
        LazyLock::new(|| std::env::vars().find(|(name, _)| name == "PATH").unwrap().1);
    let scratch = tempfile::tempdir().unwrap();
    let around = Surroundings {
        path: PATH.clone(),
        scratch: scratch.path().join("homes"),
    };
    let mut all: Vec<String> = ["-u", "-c", SERVER].map(str::to_owned).into();
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    let vars = vec![("TOKEN".to_owned(), Zeroizing::new("tok_abcdef".to_owned()))];
    let program = Program {
        command: PYTHON.clone(),
        args: all,
        vars,
    };
    World {
        children: Children::new(around, deadlines, limits),
        program,
        _scratch: scratch,
    }
}

fn world() -> World {
    world_of(limits(), deadlines(), &[])
}

fn post(message: &Value) -> Outgoing {
    Outgoing {
        body: Bytes::from(message.to_string()),
        headers: HeaderMap::new(),
        method: Method::POST,
        standing: message["method"] == "subscriptions/listen",
    }
}

fn tool(id: Value, name: &str, args: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": args}})
}

impl World {
    async fn send(&self, root: &str, message: &Value) -> Result<Reply, UpstreamError> {
        self.children
            .send(&key(root), &self.program, "run", post(message))
            .await
    }

    async fn answer(&self, root: &str, message: &Value) -> Value {
        body(self.send(root, message).await.unwrap()).1
    }

    async fn text(&self, root: &str, name: &str, args: Value) -> Value {
        self.answer(root, &tool(json!("x"), name, args)).await["result"]["text"].clone()
    }

    async fn heard(&self, root: &str, method: &str) -> Vec<Value> {
        let all = self.text(root, "heard", json!({})).await;
        all.as_array()
            .unwrap()
            .iter()
            .filter(|m| m["method"] == method)
            .cloned()
            .collect()
    }
}

fn body(reply: Reply) -> (StatusCode, Value) {
    let Reply::Json { status, body, .. } = reply else {
        panic!("one message, not {reply:?}")
    };
    (status, serde_json::from_slice(&body).unwrap())
}

async fn messages(reply: Reply) -> Vec<Value> {
    let Reply::Stream { frames, .. } = reply else {
        panic!("a stream, not {reply:?}")
    };
    frames
        .map(|frame| serde_json::from_str(frame.unwrap().data().unwrap()).unwrap())
        .collect()
        .await
}

/// Waits until a process of that number is gone, for as long as anything here may take.
async fn gone(pid: &Value) {
    let pid =
        rustix::process::Pid::from_raw(i32::try_from(pid.as_i64().unwrap()).unwrap()).unwrap();
    let is_zombie = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
            .unwrap_or_default();
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'))
    };
    for _ in 0..500 {
        if rustix::process::test_kill_process(pid).is_err() || is_zombie() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{pid:?} still runs");
}

#[tokio::test]
async fn equal_ids_never_cross() {
    let world = world();
    let slow = |text: &str, s: f64| tool(json!("same"), "sleep", json!({"s": s, "text": text}));
    // Two roots, and two runs of one root that share its child; the later asked is the sooner answered.
    let calls = [
        ("a", "1", 0.6),
        ("b", "2", 0.3),
        ("a", "3", 0.1),
        ("b", "4", 0.4),
    ]
    .map(|(root, text, s)| {
        let (world, message) = (&world, slow(text, s));
        async move { world.answer(root, &message).await }
    });
    let answers = futures_util::future::join_all(calls).await;
    for (answer, text) in answers.iter().zip(["1", "2", "3", "4"]) {
        assert_eq!(
            (&answer["id"], &answer["result"]["text"]),
            (&json!("same"), &json!(text))
        );
    }
    assert_eq!(world.children.running(), 2);
    let (a, b) = (
        world.text("a", "pid", json!({})).await,
        world.text("b", "pid", json!({})).await,
    );
    assert_ne!(a, b);
    assert_eq!(a[0], a[1], "it leads its own process group");
}

#[tokio::test]
async fn the_environment_does_not_leak() {
    let world = world();
    let env = world.text("a", "env", json!({})).await;
    let mut names: Vec<&str> = env
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.retain(|name| *name != "LC_CTYPE"); // Python's own
    assert_eq!(names, ["HOME", "LANG", "PATH", "TOKEN"]);
    assert_eq!(env["TOKEN"], "tok_abcdef");
    let (a, b) = (
        world.text("a", "home", json!({})).await,
        world.text("b", "home", json!({})).await,
    );
    assert_eq!((&a[0], &a[2]), (&a[1], &json!([])));
    assert_ne!(a[0], b[0]);
    world.children.shut_down().await;
    assert!(
        !std::path::Path::new(a[0].as_str().unwrap()).exists(),
        "the home goes with the child"
    );
}

#[tokio::test]
async fn the_handshake_is_made_once() {
    let world = world();
    let initialize = |id: Value, version: &str| {
        json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": {"protocolVersion": version,
            "capabilities": {"sampling": {}, "roots": {}}, "clientInfo": {"name": "c", "version": "1"}}})
    };
    let reply = world
        .send("a", &initialize(json!("i"), "2025-06-18"))
        .await
        .unwrap();
    let Reply::Json { body: bytes, .. } = &reply else {
        panic!("one message")
    };
    assert!(
        std::str::from_utf8(bytes)
            .unwrap()
            .contains("12345678901234567890123"),
        "as the child wrote it"
    );
    assert_eq!(body(reply).1["id"], "i");
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    for _ in 0..2 {
        assert!(matches!(
            world.send("a", &initialized).await,
            Ok(Reply::Accepted)
        ));
    }
    let again = world.answer("a", &initialize(json!(7), "2025-11-25")).await;
    assert_eq!(
        (&again["id"], &again["result"]["protocolVersion"]),
        (&json!(7), &json!("2025-06-18"))
    );
    let handshakes = world.heard("a", "initialize").await;
    assert_eq!(handshakes.len(), 1);
    assert_eq!(
        handshakes[0]["params"]["capabilities"],
        json!({}),
        "the client's capabilities are not the gateway's"
    );
    assert_eq!(world.heard("a", "notifications/initialized").await.len(), 1);
    // A call without any handshake of the caller's finds a child that had one.
    assert_eq!(world.heard("b", "initialize").await.len(), 1);
}

#[tokio::test]
async fn eras() {
    let modern = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
    let message = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "pid", "_meta": modern}});
    let legacy_only = world();
    let (status, answer) = body(legacy_only.send("a", &message("tools/call")).await.unwrap());
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!(-32000))
    );
    let both = world_of(limits(), deadlines(), &["modern"]);
    let (status, answer) = body(both.send("a", &message("tools/call")).await.unwrap());
    assert!(
        status == StatusCode::OK && answer["result"].is_object(),
        "{answer}"
    );
    assert!(both.heard("a", "server/discover").await.len() == 1);
    let (status, _) = body(both.send("a", &message("x/unknown")).await.unwrap());
    assert_eq!(status, StatusCode::NOT_FOUND);
    let mut listen = message("subscriptions/listen");
    listen["id"] = json!("l");
    let seen = messages(both.send("a", &listen).await.unwrap()).await;
    let of = |value: &Value| value["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    assert_eq!(
        [
            of(&seen[0]["params"]),
            of(&seen[1]["params"]),
            of(&seen[2]["result"])
        ],
        [json!("l"), json!("l"), json!("l")]
    );
    assert_eq!((seen.len(), &seen[2]["id"]), (3, &json!("l")));
}

#[tokio::test]
async fn progress_reaches_its_own_request() {
    let world = world();
    let with_token = |id: &str, n: usize| {
        let mut message = tool(json!(id), "progress", json!({"n": n}));
        message["params"]["_meta"] = json!({"progressToken": "same"});
        message
    };
    let (one, two) = (with_token("i", 3), with_token("j", 2));
    let (one, two) = tokio::join!(world.send("a", &one), world.send("a", &two));
    for (reply, id, n) in [(one, "i", 3), (two, "j", 2)] {
        let seen = messages(reply.unwrap()).await;
        assert_eq!(seen.len(), n + 1);
        assert!(
            seen[..n]
                .iter()
                .all(|m| m["params"]["progressToken"] == "same"),
            "{seen:?}"
        );
        assert_eq!(seen[n]["id"], id);
    }
}

#[tokio::test]
async fn whoever_leaves_cancels() {
    let world = world();
    let never = tool(json!("n"), "never", json!({}));
    tokio::time::timeout(Duration::from_secs(1), world.send("a", &never))
        .await
        .unwrap_err();
    let numbers: Vec<Value> = world
        .heard("a", "tools/call")
        .await
        .iter()
        .map(|m| m["id"].clone())
        .collect();
    let cancelled = world.heard("a", "notifications/cancelled").await;
    assert_eq!(cancelled.len(), 1);
    assert_eq!(cancelled[0]["params"]["requestId"], numbers[0]);
}

#[tokio::test]
async fn a_caller_cancels_only_its_own() {
    let world = world();
    world.text("a", "pid", json!({})).await;
    let never = tool(json!("n"), "never", json!({}));
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "n", "reason": "r"}});
    let cancelling = async {
        while world
            .heard("a", "tools/call")
            .await
            .iter()
            .all(|m| m["params"]["name"] != "never")
        {}
        world
            .children
            .send(&key("a"), &world.program, "other run", post(&cancel))
            .await
            .unwrap();
        assert!(
            world.heard("a", "notifications/cancelled").await.is_empty(),
            "another run's id is not its"
        );
        world.send("a", &cancel).await.unwrap();
    };
    let (ended, ()) = tokio::join!(world.send("a", &never), cancelling);
    assert_eq!(ended.map(|_| ()), Err(UpstreamError::Closed));
    let cancelled = world.heard("a", "notifications/cancelled").await;
    assert_eq!(
        (cancelled.len(), &cancelled[0]["params"]["reason"]),
        (1, &json!("r"))
    );
    assert_ne!(cancelled[0]["params"]["requestId"], "n");
}

#[tokio::test]
async fn the_child_asks_and_the_gateway_answers() {
    let world = world();
    let answers = world.text("a", "ask", json!({})).await;
    let of = |method: &str| {
        answers
            .as_array()
            .unwrap()
            .iter()
            .find(|m| m["id"] == format!("q-{method}"))
            .unwrap()
    };
    assert_eq!(of("ping")["result"], json!({}));
    for method in ["sampling/createMessage", "elicitation/create", "roots/list"] {
        assert_eq!(of(method)["error"]["code"], -32601, "{method}");
    }
}

#[tokio::test]
async fn notices_reach_standing_streams() {
    let world = world();
    let get = Outgoing {
        body: Bytes::new(),
        headers: HeaderMap::new(),
        method: Method::GET,
        standing: true,
    };
    let Reply::Stream { mut frames, .. } = world
        .children
        .send(&key("a"), &world.program, "run", get)
        .await
        .unwrap()
    else {
        panic!("a stream")
    };
    for _ in 0..2 {
        world.text("a", "notice", json!({})).await;
    }
    for _ in 0..2 {
        let frame = frames.next().await.unwrap().unwrap();
        assert!(
            frame.data().unwrap().contains("tools/list_changed"),
            "what is refused is not relayed: {frame:?}"
        );
    }
    world.children.end_root("a").await;
    assert!(frames.next().await.is_none());
}

#[tokio::test]
async fn noise_does_no_harm_and_a_flood_ends_the_child() {
    let world = world();
    assert_eq!(world.text("a", "noise", json!({})).await, "noise");
    let flood = tool(json!(1), "huge", json!({"bytes": REPLY_BYTES_MAX + 1}));
    assert_eq!(
        world.send("a", &flood).await.map(|_| ()),
        Err(UpstreamError::Closed)
    );
    let lines = Outgoing {
        body: Bytes::from_static(b"{\n}"),
        ..post(&flood)
    };
    let refused = world
        .children
        .send(&key("b"), &world.program, "run", lines)
        .await;
    assert!(matches!(refused, Err(UpstreamError::Malformed(_))));
    assert_eq!(
        one_line(Bytes::from_static(b"{\r\n\"a\":\"\\n\"}")),
        Bytes::from_static(b"{  \"a\":\"\\n\"}")
    );
}

#[tokio::test]
async fn a_child_that_fails_is_started_again_after_a_while() {
    let world = world();
    let first = world.text("a", "pid", json!({})).await;
    let exit = tool(json!(1), "exit", json!({}));
    assert_eq!(
        world.send("a", &exit).await.map(|_| ()),
        Err(UpstreamError::Closed)
    );
    let pid = tool(json!(2), "pid", json!({}));
    assert_eq!(
        world.send("a", &pid).await.map(|_| ()),
        Err(UpstreamError::Busy),
        "not at once"
    );
    let second = loop {
        match world.send("a", &pid).await {
            Err(UpstreamError::Busy) => tokio::time::sleep(Duration::from_millis(10)).await,
            reply => break body(reply.unwrap()).1["result"]["text"].clone(),
        }
    };
    assert_ne!(first, second);
    let missing = Program {
        command: "/nowhere/server".into(),
        ..world.program.clone()
    };
    let reply = world
        .children
        .send(&key("b"), &missing, "run", post(&pid))
        .await;
    assert_eq!(reply.map(|_| ()), Err(UpstreamError::Unreachable));
}

#[tokio::test]
async fn the_whole_group_ends() {
    let world = world();
    let grandchild = world.text("a", "grandchild", json!({})).await;
    let other = world.text("b", "grandchild", json!({})).await;
    world.children.end_root("a").await;
    gone(&grandchild).await;
    assert_eq!(world.children.running(), 1);
    let exit = tool(json!(1), "exit", json!({}));
    assert!(world.send("b", &exit).await.is_err());
    gone(&other).await;
    let third = world.text("c", "pid", json!({})).await;
    drop(world.children);
    gone(&third[0]).await;
}

#[tokio::test]
async fn idle_children_are_reaped_and_busy_ones_are_not() {
    let world = world_of(
        ChildLimits {
            idle: Duration::from_millis(400),
            ..limits()
        },
        deadlines(),
        &[],
    );
    let pid = world.text("a", "pid", json!({})).await;
    assert_eq!(
        world.text("a", "sleep", json!({"s": 1.2})).await,
        "slept",
        "longer than the idle time"
    );
    assert_eq!(world.text("a", "pid", json!({})).await, pid);
    gone(&pid[0]).await;
    assert_eq!(world.children.running(), 0);
    assert_ne!(
        world.text("a", "pid", json!({})).await,
        pid,
        "no failure, so no waiting"
    );
}

#[tokio::test]
async fn there_are_no_more_than_the_cap() {
    let world = world_of(
        ChildLimits {
            children: 2,
            ..limits()
        },
        deadlines(),
        &[],
    );
    let (one, two) = (
        world.text("a", "pid", json!({})).await,
        world.text("b", "pid", json!({})).await,
    );
    let never = tool(json!(1), "never", json!({}));
    let busy = async { world.send("b", &never).await };
    let rest = async {
        while world
            .heard("b", "tools/call")
            .await
            .iter()
            .all(|m| m["params"]["name"] != "never")
        {}
        let third = world.text("c", "pid", json!({})).await;
        gone(&one[0]).await;
        let (_never, other) = tokio::join!(
            tokio::time::timeout(Duration::from_millis(600), world.send("c", &never)),
            async {
                while world
                    .heard("c", "tools/call")
                    .await
                    .iter()
                    .all(|m| m["params"]["name"] != "never")
                {}
                world.send("d", &never).await
            }
        );
        assert_eq!(other.map(|_| ()), Err(UpstreamError::Busy), "all are busy");
        assert_eq!(world.children.running(), 2);
        third
    };
    tokio::select! { _ = busy => panic!("it never answers"), third = rest => assert_ne!(third, two) }
}

#[tokio::test]
async fn another_credential_is_another_child() {
    let world = world();
    let pid = world.text("a", "pid", json!({})).await;
    let vars = vec![("TOKEN".to_owned(), Zeroizing::new("tok_rotated".to_owned()))];
    let rotated = Program {
        vars,
        ..world.program.clone()
    };
    let message = tool(json!(1), "env", json!({}));
    let reply = world
        .children
        .send(&key("a"), &rotated, "run", post(&message))
        .await
        .unwrap();
    assert_eq!(body(reply).1["result"]["text"]["TOKEN"], "tok_rotated");
    gone(&pid[0]).await;
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let short = Deadlines {
        first_byte: Duration::from_millis(300),
        ..deadlines()
    };
    let world = world_of(limits(), short, &[]);
    assert_eq!(
        world
            .send("a", &tool(json!(1), "never", json!({})))
            .await
            .map(|_| ()),
        Err(UpstreamError::Timeout)
    );
    assert_eq!(world.heard("a", "notifications/cancelled").await.len(), 1);
}
