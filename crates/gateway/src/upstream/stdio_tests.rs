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

mod bounds;
mod calls;
mod lives;

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
        while len(text) < 4: text = [h for h in heard if str(h.get("id", "")).startswith("q-")]
    if name == "stderr": sys.stderr.write("e" * args["bytes"] + "\n"); sys.stderr.flush()
    if name == "notices":
        for n in range(args["n"]): say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": n}})
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
    ChildKey { server: "s".into(), owner: "o".into(), root: root.into() }
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
    Deadlines { connect: s(10), first_byte: s(10), idle: s(10), total: s(20) }
}

/// The interpreter itself: what stands first in `PATH` may be a script that sets variables of its own.
static PYTHON: LazyLock<String> = LazyLock::new(|| {
    let found = std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8(found.unwrap().stdout).unwrap().trim().to_owned()
});

fn world_of(limits: ChildLimits, deadlines: Deadlines, args: &[&str]) -> World {
    static PATH: LazyLock<String> = LazyLock::new(|| std::env::vars().find(|(name, _)| name == "PATH").unwrap().1);
    let scratch = tempfile::tempdir().unwrap();
    let around = Surroundings { path: PATH.clone(), scratch: scratch.path().join("homes") };
    let mut all: Vec<String> = ["-u", "-c", SERVER].map(str::to_owned).into();
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    let vars = vec![("TOKEN".to_owned(), Zeroizing::new("tok_abcdef".to_owned()))];
    let program = Program { command: PYTHON.clone(), args: all, vars };
    World { children: Children::new(around, deadlines, limits), program, _scratch: scratch }
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
        reviewed: BTreeSet::new(),
    }
}

/// What opens a standing stream.
fn get() -> Outgoing {
    Outgoing {
        body: Bytes::new(),
        headers: HeaderMap::new(),
        method: Method::GET,
        standing: true,
        reviewed: BTreeSet::new(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better")]
fn tool(id: Value, name: &str, args: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": args}})
}

impl World {
    async fn send(&self, root: &str, message: &Value) -> Result<Reply, UpstreamError> {
        self.children.send(&key(root), &self.program, "run", post(message)).await
    }

    async fn answer(&self, root: &str, message: &Value) -> Value {
        body(self.send(root, message).await.unwrap()).1
    }

    async fn text(&self, root: &str, name: &str, args: Value) -> Value {
        self.answer(root, &tool(json!("x"), name, args)).await["result"]["text"].clone()
    }

    async fn heard(&self, root: &str, method: &str) -> Vec<Value> {
        let all = self.text(root, "heard", json!({})).await;
        all.as_array().unwrap().iter().filter(|m| m["method"] == method).cloned().collect()
    }
}

fn body(reply: Reply) -> (StatusCode, Value) {
    let Reply::Json { status, body, .. } = reply else { panic!("one message, not {reply:?}") };
    (status, serde_json::from_slice(&body).unwrap())
}

async fn messages(reply: Reply) -> Vec<Value> {
    let Reply::Stream { frames, .. } = reply else { panic!("a stream, not {reply:?}") };
    frames.map(|frame| serde_json::from_str(frame.unwrap().data().unwrap()).unwrap()).collect().await
}
