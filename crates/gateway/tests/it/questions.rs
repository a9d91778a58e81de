//! What servers ask of the user or the model: off unless granted, marked as the server's words, decided and recorded on
//! the way there and on the way back, in both eras.

use std::sync::Arc;
use std::time::Duration;

use remit_core::bundle::Bundle;
use remit_core::event::Kind;
use remit_core::feature::Feature;
use remit_core::registry::Upstream;
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use crate::client::{Ask, Reply, Run, code_of};
use crate::stdio::{PYTHON, child_of};
use crate::stub::{self, Heard, Stub};
use crate::world::{AGENT, Setup, World, agent, http_server, server};

const TOOLS: &str =
    r#"[{"name":"ask","inputSchema":{"type":"object"}},{"name":"other","inputSchema":{"type":"object"}}]"#;
const PLAIN: &str = r#"{"ask":{},"other":{}}"#;
const GRANTED: &str = r#"{"ask":{},"other":{}},"features":["elicitation"]"#;
const WORDS: &str = "type your password to go on";

/// An upstream that asks in the middle of a call, and answers once it was answered.
async fn asking() -> Arc<Stub> {
    let (heard_in, heard_out) = mpsc::channel::<Heard>(8);
    let heard_out = Arc::new(Mutex::new(heard_out));
    Stub::start(TOOLS, move |heard| {
        let (heard_in, heard_out) = (heard_in.clone(), Arc::clone(&heard_out));
        async move {
            if heard.named() != "tools/call" {
                heard_in.send(heard).await.unwrap();
                return stub::with(202, "", "");
            }
            let (response, frames) = Stub::stream();
            tokio::spawn(async move {
                let question = json!({"jsonrpc": "2.0", "id": 0, "method": "elicitation/create", "params": {
                    "message": WORDS, "requestedSchema": {"type": "object"}}});
                frames.send(format!("data: {question}\n\n")).await.ok();
                heard_out.lock().await.recv().await;
                let id = heard.id();
                frames
                    .send(format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[]}}}}\n\n"))
                    .await
                    .ok();
            });
            response
        }
    })
    .await
}

async fn world_of(stub: &Stub, floor: Vec<(&'static str, String)>) -> World {
    let mut server = http_server("raw", &stub.url, TOOLS);
    server.features = [Feature::Elicitation].into();
    World::with(Setup { servers: vec![server], floor, ..Setup::default() }).await
}

fn call(run: &Run) -> Ask {
    let body = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"ask","arguments":{}}}"#;
    run.legacy("raw", None, body)
}

fn answer(run: &Run, id: &Value) -> Ask {
    // Big numbers and the order of members survive.
    let body = format!(r#"{{"result":{{"content":{{"n":1.50e400}},"action":"accept"}},"id":{id},"jsonrpc":"2.0"}}"#);
    run.legacy("raw", None, &body)
}

async fn next(reply: &mut Reply) -> Value {
    tokio::time::timeout(Duration::from_secs(10), reply.message()).await.unwrap().unwrap()
}

fn answers_heard(stub: &Stub) -> Vec<Heard> {
    stub.of("").into_iter().filter(|heard| !heard.body.is_empty()).collect()
}

/// Break: pass the question on as it came, or before it is recorded; send the answer without a permit, or as it came.
#[tokio::test(flavor = "multi_thread")]
async fn a_granted_question_and_its_answer_take_the_whole_road() {
    let stub = asking().await;
    let world = world_of(&stub, vec![]).await;
    let run = world.run_at("raw", "r1", GRANTED);
    let mut reply = run.send(call(&run)).await;
    let question = next(&mut reply).await;
    assert_eq!(question["method"], "elicitation/create");
    assert!(question["id"].is_string(), "the upstream's own id goes nowhere: {question}");
    let message = question["params"]["message"].as_str().unwrap();
    assert!(message.starts_with("The server `raw` asks, in its own words") && message.ends_with(WORDS), "{message}");
    assert_eq!(question["params"]["_meta"]["dev.remit/source"], json!({"server": "raw", "trust": "untrusted"}));
    let asked =
        world.of(Kind::Method).into_iter().find(|e| e.node.text(&["api", "operation"]) == Some("elicitation/create"));
    let asked = asked.unwrap_or_else(|| panic!("{}", world.story()));
    assert_eq!((asked.text("decision/verdict"), asked.text("labels_after/trust")), ("permit", "untrusted"));

    let taken = run.send(answer(&run, &question["id"])).await;
    assert_eq!(taken.status, 202, "{}", world.story());
    assert_eq!(next(&mut reply).await["id"], 7);
    let heard = answers_heard(&stub);
    let sent = String::from_utf8(heard.last().unwrap().body.to_vec()).unwrap();
    assert_eq!(sent, r#"{"result":{"content":{"n":1.50e400},"action":"accept"},"id":0,"jsonrpc":"2.0"}"#);
    let intents = world.of(Kind::CallIntent);
    let given = intents.iter().find(|e| e.node.list(&["resources"])[0].text(&["type"]) == Some("mcp.client"));
    let given = given.unwrap_or_else(|| panic!("{}", world.story()));
    assert_eq!(given.text("decision/verdict"), "permit");
    let outcomes = world.of(Kind::CallOutcome);
    assert!(outcomes.iter().any(|e| e.int("intent").unsigned_abs() == given.index && e.text("status") == "ok"));
    // Once.
    let again = run.send(answer(&run, &question["id"])).await;
    assert_eq!(again.status, 400);
    assert_eq!(answers_heard(&stub).len(), 1);
}

/// Break: put a question to a run that was not granted it, or leave the server without an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_not_granted_reaches_nobody() {
    let stub = asking().await;
    let never = r#"forbid(principal, action == Action::"AnswerServer", resource);"#;
    for (floor, grant) in [(vec![], PLAIN), (vec![("never", never.to_owned())], GRANTED)] {
        let world = world_of(&stub, floor).await;
        let run = world.run_at("raw", "r1", grant);
        let text = run.send(call(&run)).await.text().await;
        assert!(!text.contains(WORDS) && text.contains(r#""id":7"#), "{text}\n{}", world.story());
        let refused: Value = answers_heard(&stub).last().unwrap().json();
        assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(0), &json!(-32601)));
        let label = world.last(Kind::CallOutcome);
        assert_ne!(label.text("labels_after/trust"), "untrusted", "{}", world.story());
    }
}

/// Break: let whoever knows the id answer, at any server, for as long as he likes.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_by_its_own_run_while_it_waits() {
    let stub = asking().await;
    let world = world_of(&stub, vec![]).await;
    let (run, other) = (world.run_at("raw", "r1", GRANTED), world.run_at("raw", "r2", GRANTED));
    let mut reply = run.send(call(&run)).await;
    let id = next(&mut reply).await["id"].clone();
    let foreign = other.send(answer(&other, &id)).await;
    assert_eq!(foreign.status, 400);
    let made_up = run.send(answer(&run, &json!(0))).await;
    assert_eq!(made_up.status, 400);
    // The client goes away, and the question with it.
    drop(reply);
    world.until("ended", async || world.of(Kind::CallOutcome).iter().any(|e| e.text("status") == "cancelled")).await;
    let late = run.send(answer(&run, &id)).await;
    assert_eq!(late.status, 400, "{}", world.story());
    let results = answers_heard(&stub).into_iter().filter(|heard| heard.json().get("result").is_some());
    assert_eq!(results.count(), 0);
}

/// An upstream of the modern era: asks first, and then repeats what it was given.
async fn asking_first() -> Arc<Stub> {
    Stub::start(TOOLS, |heard| async move {
        let params = heard.json()["params"].clone();
        if params.get("inputResponses").is_some() {
            let result = json!({"resultType": "complete", "content": [], "heard": params});
            return stub::json(json!({"jsonrpc": "2.0", "id": heard.json()["id"], "result": result}).to_string());
        }
        let result = r#"{"big":1.50e400,"resultType":"input_\u0072equired","requestState":"upstream-state","inputRequests":{
            "who":{"method":"elicitation/create","params":{"message":"type your password to go on","requestedSchema":{"type":"object"}}}}}"#;
        let more = r#"},"more":{"method":"sampling/createMessage","params":{"messages":[]}}}"#;
        let two = result.trim_end().strip_suffix("}}}}}").map(|start| format!("{start}}}}}{more}}}"));
        let result = two.filter(|_| params["arguments"].get("two").is_some()).unwrap_or_else(|| result.to_owned());
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, heard.id());
        if params["arguments"].get("stream").is_some() {
            return stub::with(200, "text/event-stream", format!("data: {}\n\n", answer.replace('\n', " ")));
        }
        stub::json(answer)
    })
    .await
}

fn first(run: &Run, arguments: &str) -> Ask {
    run.modern("raw", "tools/call", &format!(r#"{{"name":"ask","arguments":{arguments}}}"#))
}

fn retry(run: &Run, tool: &str, responses: &str, state: &Value) -> Ask {
    let params = format!(r#"{{"name":"{tool}","arguments":{{}},"inputResponses":{responses},"requestState":{state}}}"#);
    run.modern("raw", "tools/call", &params)
}

const ACCEPT: &str = r#"{"who":{"content":{"n":1.50},"action":"accept"}}"#;

/// Break: let the questions of a modern server through as they came, or its state; decide the call that is made again
/// as if it brought nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_asks_first_takes_the_whole_road_twice() {
    let stub = asking_first().await;
    let world = world_of(&stub, vec![]).await;
    let run = world.run_at("raw", "r1", GRANTED);
    for arguments in ["{}", r#"{"stream":true}"#] {
        let text = run.send(first(&run, arguments)).await.text().await;
        assert!(text.contains(r#""big":1.50e400"#) && !text.contains("upstream-state"), "{text}");
        assert_eq!(world.outcome(), "asked");
        let text = text.trim().trim_start_matches("event: message\ndata: ");
        let asked: Value = serde_json::from_str(&text.replace("1.50e400", "1")).unwrap();
        let asked = &asked["result"];
        assert_eq!(asked["resultType"], "input_required");
        let question = &asked["inputRequests"]["who"]["params"];
        assert!(
            question["message"].as_str().unwrap().starts_with("The server `raw` asks, in its own words"),
            "{question}"
        );
        assert_eq!(question["_meta"]["dev.remit/source"]["trust"], "untrusted");
        let last = world.last(Kind::Method);
        assert_eq!((last.text("decision/verdict"), last.text("labels_after/trust")), ("permit", "untrusted"));

        let made = run.send(retry(&run, "ask", ACCEPT, &asked["requestState"])).await.text().await;
        assert!(made.contains(r#""resultType":"complete""#), "{made}\n{}", world.story());
        let heard = stub.of("tools/call").pop().unwrap();
        let sent = String::from_utf8(heard.body.to_vec()).unwrap();
        assert!(sent.contains(&format!(r#""inputResponses":{ACCEPT}"#)), "{sent}");
        assert!(sent.contains(r#""requestState":"upstream-state""#), "{sent}");
        let intent = world.last(Kind::CallIntent);
        let answers = intent.node.list(&["unmapped", "remit", "answers"]);
        assert_eq!(answers.len(), 1, "{}", world.story());
    }
}

/// Break: take any state for one's own, or answers for what was not asked.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_asked_of_this_run_for_this_call_is_answered() {
    let stub = asking_first().await;
    let world = world_of(&stub, vec![]).await;
    let (run, other) = (world.run_at("raw", "r1", GRANTED), world.run_at("raw", "r2", GRANTED));
    let asked = run.send(first(&run, "{}")).await.text().await.replace("1.50e400", "1");
    let state = serde_json::from_str::<Value>(&asked).unwrap()["result"]["requestState"].clone();
    let calls = stub.of("tools/call").len();
    for (what, ask) in [
        ("another run", retry(&other, "ask", ACCEPT, &state)),
        ("another tool", retry(&run, "other", ACCEPT, &state)),
        ("another question", retry(&run, "ask", r#"{"what":{}}"#, &state)),
        ("the upstream's own state", retry(&run, "ask", ACCEPT, &json!("upstream-state"))),
        ("no state", run.modern("raw", "tools/call", r#"{"name":"ask","arguments":{},"inputResponses":{"who":{}}}"#)),
        ("a method", run.modern("raw", "tools/list", r#"{"requestState":"x"}"#)),
        (
            "the legacy era",
            run.legacy(
                "raw",
                None,
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ask","requestState":"x"}}"#,
            ),
        ),
    ] {
        let sender = if what == "another run" { &other } else { &run };
        let reply = sender.send(ask).await;
        assert_eq!(reply.status, 400, "{what}");
    }
    assert_eq!(stub.of("tools/call").len(), calls, "nothing of it was sent");
}

/// Break: show a run what its server asks though it was not granted, on either way of answering.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_asks_first_without_a_grant_is_refused() {
    let stub = asking_first().await;
    let world = world_of(&stub, vec![]).await;
    let run = world.run_at("raw", "r1", PLAIN);
    for arguments in ["{}", r#"{"stream":true}"#] {
        let text = run.send(first(&run, arguments)).await.text().await;
        assert!(!text.contains(WORDS) && !text.contains("upstream-state"), "{text}");
        assert!(text.contains("error"), "{text}");
        assert_eq!(world.outcome(), "asked", "{}", world.story());
    }
    // One of two is granted: neither is shown, and the log says so of the one that was permitted.
    let granted = world.run_at("raw", "r2", GRANTED);
    let text = granted.send(first(&granted, r#"{"two":true}"#)).await.text().await;
    assert!(!text.contains(WORDS) && text.contains("error"), "{text}");
    let asked = world.of(Kind::Method).into_iter().rfind(|e| e.text("decision/verdict") == "permit").unwrap();
    let outcomes = world.of(Kind::CallOutcome);
    assert!(outcomes.iter().any(|e| e.int("intent").unsigned_abs() == asked.index && e.text("status") == "not_sent"));
    // A grant that has gone since: the answer goes nowhere.
    let asked = granted.send(first(&granted, "{}")).await.text().await.replace("1.50e400", "1");
    let state = serde_json::from_str::<Value>(&asked).unwrap()["result"]["requestState"].clone();
    let without = world.run_at("raw", "r2", PLAIN).with(|claims| claims.jti = "t-later".into());
    let calls = stub.of("tools/call").len();
    let refused = without.send(retry(&without, "ask", ACCEPT, &state)).await.json().await;
    assert_eq!(code_of(&refused), "-32602 Unknown tool: ask", "{refused}\n{}", world.story());
    assert_eq!(stub.of("tools/call").len(), calls);
}

/// Break: name the method as what was not granted, which nobody can ask for.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_question_names_the_feature_to_ask_for() {
    let stub = asking_first().await;
    let mut world = world_of(&stub, vec![]).await;
    let declare = |bundle: &mut Bundle| {
        for agent in &mut bundle.agents {
            agent.needs.push("client:raw/elicitation".parse().unwrap());
        }
    };
    world.publish(2, declare).await;
    let run = world.run_at("raw", "r1", PLAIN);
    for arguments in ["{}", r#"{"stream":true}"#] {
        let text = run.send(first(&run, arguments)).await.text().await;
        assert!(text.contains("insufficient_scope") && !text.contains(WORDS), "{text}");
        assert!(text.contains("remit request client:raw/elicitation --for 15m"), "{text}");
    }
}

/// Break: take what one client is not shown for what nobody is.
#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_shown_only_to_a_client_with_the_feature_can_be_called_by_it() {
    let stub = Stub::start("", |heard| async move {
        let said = heard.json();
        if heard.named() != "tools/list" {
            return stub::json(json!({"jsonrpc": "2.0", "id": said["id"], "result": {"content": []}}).to_string());
        }
        let able = said["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"].get("elicitation").is_some();
        let mut all: Value = serde_json::from_str(TOOLS).unwrap();
        all.as_array_mut().unwrap().retain(|tool| able || tool["name"] != "ask");
        stub::json(json!({"jsonrpc": "2.0", "id": said["id"], "result": {"tools": all}}).to_string())
    })
    .await;
    let world = world_of(&stub, vec![]).await;
    let run = world.run_at("raw", "r1", PLAIN);
    let call = |tool: &str| Run::modern_bare("raw", "tools/call", &format!(r#"{{"name":"{tool}","arguments":{{}}}}"#));
    let code = async |ask: Ask| code_of(&run.send(run.authorize(ask)).await.json().await);
    assert_eq!(code(call("other")).await, "ok");
    assert_eq!(code(call("ask")).await, "pin_changed");
    let able = call("ask");
    let body = String::from_utf8(able.body.clone()).unwrap();
    let able = able.body(body.replace(r#"clientCapabilities":{}"#, r#"clientCapabilities":{"elicitation":{}}"#));
    assert_eq!(code(able).await, "ok", "{}", world.story());
    assert_eq!(code(call("other")).await, "ok");
}

/// A child that says what it was told it may ask, and asks.
const CHILD: &str = r#"
import json, sys, threading
heard, declared = {}, {}
def say(message): sys.stdout.write(json.dumps(message) + "\n"); sys.stdout.flush()
def call(m):
    for n in range(m["params"]["arguments"].get("n", 1)):
        key = "%s-%d" % (m["id"], n)
        heard[key] = threading.Event()
        say({"jsonrpc": "2.0", "id": "q" + key, "method": "elicitation/create", "params": {"message": "which?"}})
        heard[key].wait()
    say({"jsonrpc": "2.0", "id": m["id"], "result": {"content": [], "declared": declared, "answer": heard["a" + key]}})
for line in sys.stdin:
    m = json.loads(line)
    if m.get("method") == "initialize":
        declared.update(m["params"]["capabilities"])
        say({"jsonrpc": "2.0", "id": m["id"], "result": {"protocolVersion": m["params"]["protocolVersion"], "capabilities": {"tools": {}}}})
    elif m.get("method") == "tools/list": say({"jsonrpc": "2.0", "id": m["id"], "result": {"tools": json.loads(sys.argv[1])}})
    elif m.get("method") == "tools/call": threading.Thread(target=call, args=(m,), daemon=True).start()
    elif "method" not in m:
        key = m["id"][1:]
        heard["a" + key] = m; heard[key].set()
"#;

async fn child_world() -> World {
    let args = ["-u", "-c", CHILD, TOOLS].map(str::to_owned).into();
    let mut child = server("raw", Upstream::Stdio { command: PYTHON.clone(), args }, TOOLS);
    child.features = [Feature::Elicitation].into();
    let mut limited = agent(AGENT);
    limited.calls_per_minute_max = 5;
    World::with(Setup { servers: vec![child], agent: limited, ..Setup::default() }).await
}

/// What the log says of the questions that a server asked: the verdict on each, why, and whose it was.
fn questions_of(world: &World) -> Vec<[String; 4]> {
    let asked = world.of(Kind::Method).into_iter();
    let asked = asked.filter(|e| e.node.text(&["api", "operation"]) == Some("elicitation/create"));
    let parts = ["decision/verdict", "decision/code", "labels_after/trust", "run"];
    asked.map(|e| parts.map(|part| e.text(part).to_owned())).collect()
}

/// Break: answer a child's question with no before anybody recorded that it was asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_childs_refused_question_is_recorded_like_one_over_http() {
    let stub = asking().await;
    let mut found = Vec::new();
    for world in [world_of(&stub, vec![]).await, child_world().await] {
        let run = world.run_at("raw", "r1", PLAIN);
        let answer = run.send(call(&run)).await.json().await;
        assert_eq!(code_of(&answer), "ok", "{answer}\n{}", world.story());
        found.push(questions_of(&world));
        assert_ne!(world.last(Kind::CallOutcome).text("labels_after/trust"), "untrusted", "{}", world.story());
    }
    assert_eq!(found[0], found[1]);
    assert_eq!((found[1].len(), found[1][0][0].as_str(), found[1][0][3].as_str()), (1, "forbid", "r1"), "{found:?}");
}

/// Break: let a child that asks and asks fill the log, or leave it without an answer beyond its run's rate.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_does_not_stop_asking_does_not_fill_the_log() {
    let world = child_world().await;
    let run = world.run_at("raw", "r1", PLAIN);
    let many = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"ask","arguments":{"n":60}}}"#;
    let answer = run.send(run.legacy("raw", None, many)).await.json().await;
    assert_eq!(answer["result"]["answer"]["error"]["code"], -32601, "{answer}");
    let own = remit_core::method::METHODS_PER_MINUTE_MIN + u64::from(remit_gateway::strangers::OWN_ENTRIES_PER_MINUTE);
    let entries = questions_of(&world).len() as u64;
    // A slow machine may need more than one minute for it, and each minute has its share.
    assert!((own..2 * own).contains(&entries), "{entries}\n{}", world.story());
}

/// Break: declare to a child what it was not reviewed to use; or put a question to the wrong one of two callers.
#[tokio::test(flavor = "multi_thread")]
async fn a_childs_question_reaches_the_one_caller_that_it_can_be_for() {
    let world = child_world().await;
    let run = world.run_at("raw", "r1", GRANTED);
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",
        "capabilities":{"elicitation":{},"sampling":{}},"clientInfo":{"name":"t","version":"0"}}}"#;
    assert_eq!(run.send(run.legacy("raw", None, initialize)).await.status, 200);
    let mut reply = run.send(call(&run)).await;
    let question = next(&mut reply).await;
    assert_eq!(question["params"]["_meta"]["dev.remit/source"]["server"], "raw", "{question}");
    // A second caller of the same child: nobody can tell whose the next question is.
    let sibling = child_of(&run, &world.run_at("raw", "r1-child", GRANTED));
    let text = sibling.send(call(&sibling)).await.text().await;
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["result"]["answer"]["error"]["code"], -32601, "{text}");
    let accept = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"action":"accept"}}}}"#, question["id"]);
    assert_eq!(run.send(run.legacy("raw", None, &accept)).await.status, 202);
    let text = reply.text().await;
    assert!(text.contains(r#""declared": {"elicitation": {}}"#) && text.contains(r#""action": "accept""#), "{text}");
}
