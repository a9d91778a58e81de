//! The credential of an upstream: lent when it is first needed, for the version that the bundle names, or nothing is sent.

use std::sync::Arc;

use remit_core::event::Kind;
use remit_core::secret::Reference;
use serde_json::json;

use crate::authority::Lent;
use crate::client::Run;
use crate::stub::{Stub, json as answer};
use crate::world::{Setup, World, http_server};

const TOOL: &str = r#"[{"name":"t","inputSchema":{"type":"object"}}]"#;
const GRANTED: &str = r#"{"t":{}}"#;

fn reference(version: u64) -> Reference {
    Reference { place: "header:x-api-key".parse().unwrap(), version, plain: false, own: false }
}

/// A server that wants a credential, of which the bundle names a version, and the authority has what `lent` says.
async fn world(lent: Lent) -> (World, Arc<Stub>, Run) {
    let stub = Stub::start(TOOL, |heard| async move {
        answer(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[]}}}}"#, heard.id()))
    })
    .await;
    let mut server = http_server("keyed", &stub.url, TOOL);
    server.secrets = vec![reference(1)];
    let world = World::with(Setup { servers: vec![server], ..Setup::default() }).await;
    world.authority.lend(lent);
    let run = world.run_at("keyed", "r-1", GRANTED);
    (world, stub, run)
}

async fn call(run: &Run) -> (u16, serde_json::Value) {
    let mut ask = run.modern("keyed", "tools/call", r#"{"name":"t","arguments":{}}"#);
    // What a caller might try to put in the credential's place, or to smuggle beside it.
    ask.headers.insert("x-api-key", "of-the-caller".parse().unwrap());
    let reply = ask.send(run.addr).await;
    (reply.status.as_u16(), reply.json().await)
}

fn keys(stub: &Stub) -> Vec<String> {
    let heard = stub.heard.lock().unwrap();
    let key = |headers: &http::HeaderMap| {
        assert!(!headers.contains_key("authorization") && !headers.contains_key("dpop"));
        let keys: Vec<_> = headers.get_all("x-api-key").iter().map(|key| key.to_str().unwrap().to_owned()).collect();
        keys.join("+")
    };
    heard.iter().map(|heard| key(&heard.headers)).collect()
}

/// Break: ask for each call, use what another version of the bundle named, or let the caller's own header through.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_lent_once_for_each_version_and_stands_alone() {
    let (mut world, stub, run) = world(Lent::good(1, "key-one-1")).await;
    for _ in 0..3 {
        assert_eq!(call(&run).await.0, 200, "{}", world.story());
    }
    assert!(keys(&stub).iter().all(|key| key == "key-one-1"), "{:?}", keys(&stub));
    assert_eq!(world.authority.lent(), 1);
    world.authority.lend(Lent::good(2, "key-two-2"));
    world
        .publish(2, |bundle| {
            bundle.servers.iter_mut().for_each(|server| {
                server.secrets.iter_mut().for_each(|secret| secret.version = 2);
            });
        })
        .await;
    stub.heard.lock().unwrap().clear();
    assert_eq!(call(&run).await.0, 200, "{}", world.story());
    assert!(keys(&stub).iter().all(|key| key == "key-two-2"), "{:?}", keys(&stub));
    assert_eq!(world.authority.lent(), 2);
    // What is lent stays good while the authority is away.
    world.authority.set_down(true);
    assert_eq!(call(&run).await.0, 200, "{}", world.story());
}

/// Break: send without it, take one that somebody on the way made or that answered another request, or leave no record.
#[tokio::test(flavor = "multi_thread")]
async fn without_it_nothing_is_sent_and_the_log_says_so() {
    for lent in [
        Lent::Nothing,
        Lent::good(2, "key-two-2"),
        Lent::Forged("key-one-1"),
        Lent::Replayed("key-one-1"),
        Lent::ForAnother("key-one-1"),
    ] {
        let name = format!("{lent:?}");
        let (world, stub, run) = world(lent).await;
        let (_, answer) = call(&run).await;
        let code = &answer["result"]["_meta"]["dev.remit/rejection"]["code"];
        let code = if code.is_null() { &answer["error"]["data"]["code"] } else { code };
        assert_eq!(code, &json!("credential_unavailable"), "{name} {answer}");
        assert_eq!(keys(&stub), Vec::<String>::new(), "{name}");
        assert_eq!(world.last(Kind::CallOutcome).text("status"), "not_sent", "{name}\n{}", world.story());
    }
}
