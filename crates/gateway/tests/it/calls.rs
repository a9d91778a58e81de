//! A call that is allowed, and calls that are refused: what stands in the log, and what reached the desk.

use remit_core::event::Kind;
use serde_json::json;

use crate::client::code_of;
use crate::stub::{self, Stub};
use crate::world::{Setup, World, http_server};

const READ: &str = r#"{"read_ticket":{}}"#;

/// Break: send before the intent is committed, or reply before the outcome is.
#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_call_is_recorded_before_and_after_its_effect() {
    let world = World::new().await;
    let run = world.run("r1", READ);
    let answer = run.call("read_ticket", r#"{"id":41}"#).await;
    assert_eq!(code_of(&answer), "ok", "{answer}\n{}", world.story());
    // The answer is here, so the outcome is there.
    assert_eq!(world.outcome(), "ok", "{}", world.story());
    let intent = world.last(Kind::CallIntent);
    assert_eq!(intent.text("decision/verdict"), "permit");
    assert_eq!(intent.text("credential"), "dpop");
    assert_eq!(intent.text("labels_after/trust"), "untrusted");
    let outcome = world.last(Kind::CallOutcome);
    assert!(intent.index < outcome.index);
    let ledger = world.ledger();
    assert_eq!(ledger.len(), 1);
    assert_eq!((ledger[0].tool.as_str(), &ledger[0].arguments), ("read_ticket", &json!({"id": 41})));
}

/// Break: reply before the outcome is durable, where the answer is one message.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_for_its_outcome() {
    let stub = Stub::start(crate::bytes::TOOLS, |heard| async move {
        stub::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[]}}}}"#, heard.id()))
    })
    .await;
    let (world, run) = crate::bytes::raw(&stub).await;
    for _ in 0..5 {
        assert_eq!(code_of(&run.send(crate::bytes::echo(&run, "{}")).await.json().await), "ok");
        assert_eq!(world.outcome(), "ok", "{}", world.story());
    }
}

/// Break: decide tools alone, and let prompts and resources pass.
#[tokio::test(flavor = "multi_thread")]
async fn prompts_and_resources_are_decided_like_tools() {
    let stub = Stub::start("[]", |heard| async move {
        stub::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"resultType":"complete"}}}}"#, heard.id()))
    })
    .await;
    let mut server = http_server("raw", &stub.url, "[]");
    server.prompts = ["greet", "part"].map(|name| remit_core::id::ToolName::new(name).unwrap()).into();
    server.resources = true;
    let world = World::with(Setup { servers: vec![server], ..Setup::default() }).await;
    let grant = r#"{},"prompts":{"greet":{}},"resources":[{"constraint_type":"exact","value":"file:///a"}]"#;
    let run = world.run_at("raw", "r1", grant);
    for (method, params, expected) in [
        ("prompts/get", r#"{"name":"greet"}"#, "ok"),
        ("prompts/get", r#"{"name":"part"}"#, "-32602 Unknown prompt: part"),
        ("prompts/get", r#"{"name":"other"}"#, "-32602 Unknown prompt: other"),
        ("resources/read", r#"{"uri":"file:///a"}"#, "ok"),
        ("resources/read", r#"{"uri":"file:///b"}"#, "-32602 Resource not found"),
    ] {
        let heard = stub.of(method).len();
        let answer = run.send(run.modern("raw", method, params)).await.json().await;
        assert_eq!(code_of(&answer), expected, "{params}\n{}", world.story());
        assert_eq!(stub.of(method).len() - heard, usize::from(expected == "ok"), "{params}");
        let intent = world.last(Kind::CallIntent);
        assert_eq!(intent.text("decision/verdict"), if expected == "ok" { "permit" } else { "forbid" });
    }
}

/// Break: put a step of a call's life somewhere else than into the one function that shows all of them.
#[test]
fn the_life_of_a_call_is_one_short_function() {
    const LINES_MAX: usize = 45;
    let text = include_str!("../../src/handle.rs");
    let body = text.split(") -> Result<Response, Rejection> {\n").nth(1).unwrap();
    let body = body.split("\n}\n").next().unwrap();
    assert!(body.lines().count() <= LINES_MAX, "{} lines", body.lines().count());
    let steps = [
        ".present(",
        "identify(",
        "plan(",
        "evidence(",
        "decide(",
        ".intent(",
        "Permit::new(",
        ".raise(",
        "send(",
        "relay(",
    ];
    let mut rest = body;
    for step in steps {
        rest = rest.split_once(step).unwrap_or_else(|| panic!("{step} is not where it should be")).1;
    }
}
