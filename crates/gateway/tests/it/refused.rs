//! Calls that are refused: each with its code, its next step, and the entry that holds the whole reason.

use remit_core::event::Kind;
use serde_json::Value;

use crate::client::{Run, code_of};
use crate::world::{Setup, World};

/// Break: tell apart, in any byte, a tool that the run may not see from one that does not exist.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_for_this_run_answers_like_what_does_not_exist() {
    let world = World::new().await;
    let run = world.run("r1", r#"{"read_ticket":{}}"#);
    let mut answers = Vec::new();
    // Exposed and not declared; offered by the upstream and not exposed; not there at all.
    for tool in ["delete_ticket", "reply_to_customer", "no_such_tools"] {
        let reply = run.send(run.tool(tool, r#"{"id":41}"#)).await;
        let (status, mut headers) = (reply.status, reply.headers.clone());
        headers.remove("date");
        let id = |text: &str| text.split(",\"").find(|part| part.contains("id\":")).map(ToOwned::to_owned);
        let text = reply.text().await;
        let text = text.replace(&id(&text).unwrap(), "ID").replace(tool, "TOOL");
        let lengths = headers.remove("content-length").is_some();
        answers.push((status, format!("{headers:?}"), lengths, text));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[1], answers[2]);
    assert!(answers[0].3.contains("-32602") && answers[0].3.contains("Unknown tool: TOOL"), "{}", answers[0].3);
    assert!(world.ledger().is_empty());
}

/// Break: leave the challenge out, or put bytes into it that a header cannot hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_declared_tool_without_a_grant_names_the_command_that_asks_for_it() {
    let world = World::new().await;
    let run = world.run("r1", r#"{"read_ticket":{}}"#);
    let reply =
        run.send(run.tool("issue_refund", r#"{"id":41,"amount_cents":1,"iban":"GB82WEST12345698765432"}"#)).await;
    assert_eq!(reply.status, 403);
    let challenge = reply.header("www-authenticate").to_owned();
    for part in [
        "Bearer error=\"insufficient_scope\"",
        "scope=\"tickets/issue_refund\"",
        "remit request tickets/issue_refund --for 15m",
        "resource_metadata=\"",
    ] {
        assert!(challenge.contains(part), "{part} in {challenge}");
    }
    assert!(challenge.bytes().all(|b| (0x20..0x7f).contains(&b)), "{challenge}");
    let answer = reply.json().await;
    assert_eq!(code_of(&answer), "insufficient_scope", "{answer}");
    let index = world.last(Kind::CallIntent).index;
    assert_eq!(answer["error"]["data"]["decision"], index);
    assert!(world.ledger().is_empty());
}

#[track_caller]
fn check(world: &World, answer: &Value, code: &str, about: &str) {
    assert_eq!(code_of(answer), code, "{answer}\n{}", world.story());
    let result = &answer["result"];
    assert_eq!((result["isError"].as_bool(), result["resultType"].as_str()), (Some(true), Some("complete")));
    let intent = world.last(Kind::CallIntent);
    assert_eq!(intent.text("decision/code"), code);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains(code) && text.contains(&format!("decision {}", intent.index)), "{text}");
    assert!(text.contains("Next: ") && text.contains(about), "{text}");
    assert_eq!(result["_meta"]["dev.remit/rejection"]["decision"], intent.index);
    assert!(world.ledger().is_empty(), "{:?}", world.ledger());
    assert!(world.of(Kind::CallOutcome).iter().all(|e| e.int("intent") < i64::try_from(intent.index).unwrap()));
}

const FLOOR: &str = r#"
@id("no-41") forbid (principal, action == Action::"tickets/read_ticket", resource) when { context.input.id == 41 };
@id("small") forbid (principal, action == Action::"tickets/issue_refund", resource) when { context.input.amount_cents > 500 };
"#;

/// Break: skip the policy, the grant's constraints, the pinned schema, or the exactness of numbers.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_result_that_names_its_code_and_its_entry() {
    let world = World::with(Setup { floor: vec![("extra", FLOOR.into())], ..Setup::default() }).await;
    let tools = r#"{"read_ticket":{},"list_tickets":{"status":{"constraint_type":"exact","value":"open"}},
        "issue_refund":{"id":{"constraint_type":"wildcard"},"amount_cents":{"constraint_type":"range","max":1000},"iban":{"constraint_type":"wildcard"}}}"#;
    let run = world.run("r1", tools);
    let refund = |cents: &str| format!(r#"{{"id":41,"amount_cents":{cents},"iban":"GB82WEST12345698765432"}}"#);
    for (tool, arguments, code, about) in [
        ("read_ticket", r#"{"id":41}"#.to_owned(), "policy_forbid", "floor/extra/no-41"),
        ("issue_refund", refund("501"), "policy_forbid", "floor/extra/small"),
        ("issue_refund", refund("1001"), "arguments_outside_grant", "amount_cents"),
        ("issue_refund", refund("4.00001"), "number_inexact", "amount_cents"),
        ("issue_refund", refund("1e2"), "number_inexact", "amount_cents"),
        ("list_tickets", r#"{"status":"closed"}"#.into(), "arguments_outside_grant", "status"),
        ("list_tickets", "{}".into(), "arguments_outside_grant", "status"),
        ("read_ticket", r#"{"id":"42"}"#.into(), "arguments_invalid", "id"),
        ("read_ticket", "{}".into(), "arguments_invalid", "id"),
        ("read_ticket", r#"{"id":42,"extra":1}"#.into(), "arguments_invalid", "extra"),
    ] {
        check(&world, &run.call(tool, &arguments).await, code, about);
    }
}

/// Break: let a pending gate through.
#[tokio::test(flavor = "multi_thread")]
async fn harm_after_untrusted_text_waits_for_a_person() {
    let world = World::new().await;
    let run = world.run("r1", r#"{"read_ticket":{},"issue_refund":{}}"#);
    assert_eq!(run.refusal("read_ticket", r#"{"id":41}"#).await, "ok");
    let refund = r#"{"id":41,"amount_cents":1,"iban":"GB82WEST12345698765432"}"#;
    assert_eq!(run.refusal("issue_refund", refund).await, "gate_pending");
    assert_eq!(world.ledger().len(), 1);
    // Another root has read nothing, and may.
    let fresh = world.run("r2", r#"{"issue_refund":{}}"#);
    assert_eq!(fresh.refusal("issue_refund", refund).await, "ok");
    // A child of the first root has read what its root has read.
    let child = child_of(&world, &run);
    assert_eq!(child.refusal("issue_refund", refund).await, "gate_pending");
}

fn child_of(world: &World, parent: &Run) -> Run {
    let mut child = world.run("r1-child", r#"{"issue_refund":{}}"#);
    child = child.with(|claims| {
        claims.root = parent.claims.root.clone();
        claims.act.act = Some(Box::new(parent.claims.act.clone()));
        claims.lin = vec![parent.claims.jti.clone()];
        claims.del_depth = 1;
    });
    child
}

/// Break: accept bearer tokens for what cannot be taken back, or do not write down how possession was shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_bearer_token_is_for_low_stakes_and_the_log_says_so() {
    let world = World::new().await;
    let run = world.bearer("r1", r#"{"list_tickets":{},"issue_refund":{}}"#);
    assert_eq!(run.refusal("list_tickets", "{}").await, "ok");
    assert_eq!(world.last(Kind::CallIntent).text("credential"), "bearer");
    let refund = r#"{"id":41,"amount_cents":1,"iban":"GB82WEST12345698765432"}"#;
    assert_eq!(run.refusal("issue_refund", refund).await, "policy_forbid");
    assert_eq!(world.ledger().len(), 1);
}
