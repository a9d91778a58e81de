//! Tasks: none can be begun, whatever a client declares and a server says.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::client::{Ask, Run, code_of};
use crate::stub::{self, Stub};
use crate::world::{Setup, World, http_server};

const TOOLS: &str = r#"[{"name":"job","inputSchema":{"type":"object"}}]"#;
const GRANTED: &str = r#"{"job":{}}"#;
const EXTENSION: &str = "io.modelcontextprotocol/tasks";

async fn world_of(stub: &Stub) -> World {
    World::with(Setup { servers: vec![http_server("raw", &stub.url, TOOLS)], ..Setup::default() }).await
}

/// A call of a client that declares tasks, and something else.
fn declaring(run: &Run) -> Ask {
    let ask = run.modern("raw", "tools/call", r#"{"name":"job","arguments":{"n":1.50}}"#);
    let body = String::from_utf8(ask.body.clone()).unwrap();
    let declared = format!(r#"clientCapabilities":{{"extensions":{{"{EXTENSION}":{{}},"x":{{}}}}}}"#);
    ask.body(body.replace(r#"clientCapabilities":{}"#, &declared))
}

/// A server that makes a task of every call of a client that declares them.
async fn eager() -> Arc<Stub> {
    Stub::start(TOOLS, |heard| async move {
        let said = heard.json();
        let place = "/params/_meta/io.modelcontextprotocol~1clientCapabilities/extensions";
        let declares = said.pointer(place).is_some_and(|all| all.get(EXTENSION).is_some());
        let result = if declares { json!({"resultType": "task"}) } else { json!({"content": []}) };
        stub::json(json!({"jsonrpc": "2.0", "id": said["id"], "result": result}).to_string())
    })
    .await
}

/// Break: let the server hear that the client knows tasks.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_declares_tasks_gets_its_answer_and_no_task() {
    let stub = eager().await;
    let world = world_of(&stub).await;
    let run = world.run_at("raw", "r1", GRANTED);
    let answer = run.send(declaring(&run)).await.json().await;
    assert_eq!(answer["result"], json!({"content": []}), "{answer}");
    assert_eq!(world.outcome(), "ok");
    let heard = stub.of("tools/call").pop().unwrap();
    let text = String::from_utf8(heard.body.to_vec()).unwrap();
    // All the rest is as it was written.
    assert!(text.contains(r#"{"extensions":{"x":{}}}"#) && text.contains(r#""n":1.50"#), "{text}");
}

/// Break: pass on a task that nobody could ask for.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_a_server_makes_all_the_same_is_no_answer() {
    let stub = Stub::start(TOOLS, |heard| async move {
        let result = r#"{"resultType":"t\u0061sk","taskId":"t-1","status":"working"}"#;
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, heard.id());
        match heard.json().pointer("/params/arguments/stream") {
            Some(Value::Bool(true)) => stub::with(200, "text/event-stream", format!("data: {answer}\n\n")),
            _ => stub::json(answer),
        }
    })
    .await;
    let world = world_of(&stub).await;
    let run = world.run_at("raw", "r1", GRANTED);
    let answer = run.send(declaring(&run)).await.json().await;
    assert_eq!(code_of(&answer), "upstream_invalid", "{answer}");
    world.outcome_is("upstream_invalid").await;
    let stream = run.modern("raw", "tools/call", r#"{"name":"job","arguments":{"stream":true}}"#);
    let text = run.send(stream).await.text().await;
    assert!(!text.contains("t-1"), "{text}");
    world.outcome_is("upstream_invalid").await;
}
