//! A call that is allowed, and calls that are refused: what stands in the log, and what reached the desk.

use remit_core::event::Kind;
use serde_json::json;

use crate::client::code_of;
use crate::world::World;

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
