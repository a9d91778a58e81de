//! Prompts and resources: granted, on the menu, within the grant's constraints; and the label rises before a word of
//! them is there.

use std::sync::Arc;

use remit_core::event::Kind;
use remit_core::id::ToolName;

use crate::client::{Run, code_of};
use crate::stub::{self, Stub};
use crate::world::{Setup, World, http_server};

const GREET: &str = r#"{"name":"greet"}"#;
const FILE: &str = r#"{"uri":"file:///a"}"#;

/// Two servers in front of one stub: `open` serves a prompt and resources, and `shut` neither.
async fn world(stub: &Stub) -> World {
    let mut open = http_server("open", &stub.url, "[]");
    open.prompts = vec![ToolName::new("greet").unwrap()];
    open.resources = true;
    let servers = vec![open, http_server("shut", &stub.url, "[]")];
    World::with(Setup { servers, ..Setup::default() }).await
}

async fn answering() -> Arc<Stub> {
    Stub::start(
        "[]",
        |heard| async move { stub::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, heard.id())) },
    )
    .await
}

const EVERYTHING: &str = r#"{},"prompts":{"greet":{},"hidden":{}},"resources":[{"constraint_type":"wildcard"}]"#;

async fn asked(run: &Run, server: &str, method: &str, params: &str) -> String {
    code_of(&run.send(run.modern(server, method, params)).await.json().await)
}

/// Break: take the grant's word for what a server's menu does not hold.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_on_the_menu_does_not_exist_whatever_is_granted() {
    let stub = answering().await;
    let world = world(&stub).await;
    let hidden = r#"{"name":"hidden"}"#;
    for (server, method, params, expected) in [
        ("open", "prompts/get", GREET, "ok"),
        ("open", "prompts/get", hidden, "-32602 Unknown prompt: hidden"),
        ("open", "resources/read", FILE, "ok"),
        ("shut", "prompts/get", GREET, "-32602 Unknown prompt: greet"),
        ("shut", "resources/read", FILE, "-32602 Resource not found"),
    ] {
        let heard = stub.of(method).len();
        let run = world.run_at(server, "r1", EVERYTHING);
        assert_eq!(asked(&run, server, method, params).await, expected, "{server} {params}\n{}", world.story());
        assert_eq!(stub.of(method).len() - heard, usize::from(expected == "ok"), "{server} {params}");
    }
}

/// Break: hold the arguments of tools alone against the grant.
#[tokio::test(flavor = "multi_thread")]
async fn the_arguments_of_a_prompt_stay_within_the_grant() {
    let stub = answering().await;
    let world = world(&stub).await;
    let grant = r#"{},"prompts":{"greet":{"who":{"constraint_type":"exact","value":"ada"}}}"#;
    let run = world.run_at("open", "r1", grant);
    for (arguments, expected) in [
        (r#"{"who":"ada"}"#, "ok"),
        (r#"{"who":"eve"}"#, "arguments_outside_grant"),
        (r#"{"who":"ada","also":"eve"}"#, "arguments_outside_grant"),
        ("{}", "arguments_outside_grant"),
    ] {
        let params = format!(r#"{{"name":"greet","arguments":{arguments}}}"#);
        assert_eq!(asked(&run, "open", "prompts/get", &params).await, expected, "{arguments}\n{}", world.story());
    }
    assert_eq!(asked(&run, "open", "prompts/get", GREET).await, "arguments_outside_grant");
    assert_eq!(stub.of("prompts/get").len(), 1);
}

/// Break: let whoever may read one resource, or none, read any.
#[tokio::test(flavor = "multi_thread")]
async fn only_resources_that_were_granted_are_read() {
    let stub = answering().await;
    let world = world(&stub).await;
    let one = r#"{},"resources":[{"constraint_type":"exact","value":"file:///a"}]"#;
    for (grant, uri, expected) in [
        (one, "file:///a", "ok"),
        (one, "file:///a/../b", "-32602 Resource not found"),
        (one, "file:///b", "-32602 Resource not found"),
        (r#"{},"prompts":{"greet":{}}"#, "file:///a", "-32602 Resource not found"),
    ] {
        let run = world.run_at("open", "r1", grant);
        let params = format!(r#"{{"uri":"{uri}"}}"#);
        assert_eq!(asked(&run, "open", "resources/read", &params).await, expected, "{uri}\n{}", world.story());
    }
    assert_eq!(stub.of("resources/read").len(), 1);
}

/// Break: take a server's own words for reviewed ones, or raise the label only when they have come.
#[tokio::test(flavor = "multi_thread")]
async fn the_label_has_risen_while_the_server_still_thinks() {
    let stub = Stub::start("[]", |_| std::future::pending()).await;
    let world = world(&stub).await;
    for (root, method, params) in [("r1", "prompts/get", GREET), ("r2", "resources/read", FILE)] {
        let refund = async || {
            let arguments = r#"{"id":41,"amount_cents":1,"iban":"GB82WEST12345698765432"}"#;
            world.run(root, r#"{"issue_refund":{}}"#).refusal("issue_refund", arguments).await
        };
        assert_eq!(refund().await, "ok", "{method}");
        let run = world.run_at("open", root, EVERYTHING);
        let asking = tokio::spawn(run.modern("open", method, params).try_send(world.addr()));
        world.until("asked", async || !stub.of(method).is_empty()).await;
        let intent = world.last(Kind::CallIntent);
        assert_eq!(intent.text("labels_after/trust"), "untrusted");
        assert_eq!(intent.text("labels_after/sensitivity"), "regulated");
        assert_eq!(refund().await, "gate_pending", "{method}\n{}", world.story());
        asking.abort();
    }
    assert_eq!(world.ledger().len(), 2);
}
