//! An access token that the upstream's authorization server issues to Remit: lent for its time and for the person whose run
//! it is, and never a reason to repeat what may have had an effect.

use std::sync::Arc;
use std::time::Duration;

use remit_core::event::Kind;
use remit_core::id::PrincipalId;
use remit_core::registry::ToolTier;
use remit_core::secret::Reference;
use serde_json::Value;

use crate::authority::{Lent, mint};
use crate::client::Run;
use crate::stub::{Stub, json, with};
use crate::world::{Setup, World, http_server};

const TOOL: &str = r#"[{"name":"t","inputSchema":{"type":"object"}}]"#;
const GRANTED: &str = r#"{"t":{}}"#;

/// A server whose calls succeed with a token that ends so; what it offers, it tells everybody.
async fn world(lent: Lent, tier: ToolTier, own: bool, good: &'static str) -> (World, Arc<Stub>, Run) {
    let stub = Stub::start(TOOL, move |heard| async move {
        let token = heard.headers["authorization"].to_str().unwrap().to_owned();
        if heard.named() == "tools/call" && !token.ends_with(good) {
            return with(401, "application/json", "{}");
        }
        json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[]}}}}"#, heard.id()))
    })
    .await;
    let mut server = http_server("issued", &stub.url, TOOL);
    server.tools[0].tier = tier;
    server.secrets = vec![Reference { place: "bearer".parse().unwrap(), version: 1, plain: false, own }];
    let world = World::with(Setup { servers: vec![server], ..Setup::default() }).await;
    world.authority.lend(lent);
    let run = world.run_at("issued", "r-1", GRANTED);
    (world, stub, run)
}

/// The refusal's code with its message and help, or `ok`.
async fn call(run: &Run) -> (String, String) {
    let answer = run.modern("issued", "tools/call", r#"{"name":"t","arguments":{}}"#).send(run.addr).await.json().await;
    let rejection = &answer["result"]["_meta"]["dev.remit/rejection"];
    let rejection = if rejection.is_null() { &answer["error"]["data"] } else { rejection };
    let part = |name: &str| rejection[name].as_str().unwrap_or_default().to_owned();
    match rejection {
        Value::Null => ("ok".into(), answer.to_string()),
        _ => (part("code"), format!("{answer}")),
    }
}

fn tokens(stub: &Stub, method: &str) -> Vec<String> {
    let token = |heard: crate::stub::Heard| {
        assert!(!heard.headers.contains_key("dpop"));
        let all: Vec<_> =
            heard.headers.get_all("authorization").iter().map(|one| one.to_str().unwrap().to_owned()).collect();
        all.join("+")
    };
    stub.of(method).into_iter().map(token).collect()
}

/// Break: repeat whatever was refused, or nothing at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_token_is_renewed_once_and_only_what_reads_is_sent_again() {
    let (world, stub, run) = world(Lent::Issued(1, 300, 240), ToolTier::T0, false, "-1").await;
    assert_eq!(call(&run).await.0, "ok", "{}", world.story());
    assert_eq!(tokens(&stub, "tools/call"), ["Bearer token-of-all-0", "Bearer token-of-all-1"]);
    assert_eq!(call(&run).await.0, "ok", "{}", world.story());
    assert_eq!((world.authority.lent(), world.authority.refused()), (2, 1));
}

/// Break: repeat a call that may have had its effect, or say nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_could_have_had_an_effect_is_not_repeated() {
    let (world, stub, run) = world(Lent::Issued(1, 300, 240), ToolTier::T1, false, "-1").await;
    let (code, said) = call(&run).await;
    assert_eq!(code, "credential_unavailable", "{said}");
    assert!(said.contains("was not repeated"), "{said}");
    assert_eq!(tokens(&stub, "tools/call"), ["Bearer token-of-all-0"]);
    assert_eq!(world.last(Kind::CallOutcome).text("status"), "upstream_invalid", "{}", world.story());
    // The next one has the new token.
    assert_eq!(call(&run).await.0, "ok", "{}", world.story());
}

/// Break: ask for another one for as long as each is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_every_token_makes_no_loop() {
    let (world, stub, run) = world(Lent::Issued(1, 300, 240), ToolTier::T0, false, "never").await;
    for _ in 0..3 {
        assert_eq!(call(&run).await.0, "credential_unavailable", "{}", world.story());
    }
    assert_eq!(world.authority.refused(), 1);
    assert_eq!(tokens(&stub, "tools/call").len(), 4);
}

/// Break: use one person's token for another's run, or pass on what the agent presents.
#[tokio::test(flavor = "multi_thread")]
async fn each_person_has_a_token_and_nobodys_stands_in() {
    let (world, stub, run) = world(Lent::Issued(1, 300, 240), ToolTier::T0, true, "-0").await;
    let mut other = world.run_at("issued", "r-2", GRANTED);
    other.claims.sub = PrincipalId::new("p-another-person").unwrap();
    other.token = mint(&other.claims);
    for (run, token) in [(&run, "token-of-r-1-0"), (&other, "token-of-r-2-0"), (&run, "token-of-r-1-0")] {
        stub.heard.lock().unwrap().clear();
        assert_eq!(call(run).await.0, "ok", "{}", world.story());
        let heard = stub.heard.lock().unwrap().clone();
        assert!(heard.iter().all(|heard| heard.headers["authorization"] == format!("Bearer {token}")), "{token}");
        for heard in heard {
            let all = format!("{:?} {}", heard.headers, String::from_utf8_lossy(&heard.body));
            assert!(!all.contains(&run.token) && !all.contains(run.token.rsplit('.').next().unwrap()), "{all}");
        }
    }
    assert_eq!(world.authority.lent(), 2);
}

/// Break: send without it, or with somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_connected_nothing_is_told_what_to_type() {
    let (world, stub, run) = world(Lent::Unconnected, ToolTier::T0, true, "").await;
    let (code, said) = call(&run).await;
    assert_eq!(code, "credential_unavailable", "{said}");
    assert!(said.contains("remit server connect"), "{said}");
    assert_eq!(stub.heard.lock().unwrap().len(), 0);
    assert_eq!(world.last(Kind::CallOutcome).text("status"), "not_sent", "{}", world.story());
}

/// Break: use a token to its end and then wait for the next one, or give up one that is good because the authority is away.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_lent_anew_ahead_of_its_end_and_is_good_until_then() {
    let (world, _stub, run) = world(Lent::Issued(1, 40, 10), ToolTier::T0, false, "-0").await;
    assert_eq!(call(&run).await.0, "ok", "{}", world.story());
    world.authority.clock.advance(Duration::from_secs(11));
    assert_eq!(call(&run).await.0, "ok", "{}", world.story());
    assert_eq!(world.authority.lent(), 2);
    world.authority.clock.advance(Duration::from_secs(11));
    world.authority.lend(Lent::Nothing);
    assert_eq!(call(&run).await.0, "ok", "while it is good");
    world.authority.clock.advance(Duration::from_secs(20));
    assert_eq!(call(&run).await.0, "ok", "{}", world.story());
    world.authority.clock.advance(Duration::from_secs(10));
    assert_eq!(call(&run).await.0, "credential_unavailable", "{}", world.story());
}
