//! Nothing at rest shows what it must not: arguments, results, reasons, names, tokens, proofs.

use remit_core::event::Kind;

use crate::world::{NAME, WHY, World, files};

/// All that is at rest. A file that goes away while we look is not at rest.
fn everything(world: &World) -> String {
    let all = files(world.home.path()).into_iter().map(|path| std::fs::read(path).unwrap_or_default());
    String::from_utf8_lossy(&all.collect::<Vec<_>>().concat()).into_owned()
}

/// Break: write anything of a call in clear, in the log, beside it, or in a bundle that is kept.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_call_is_at_rest_in_clear() {
    let mut world = World::new().await;
    let run = world.run("r1", r#"{"list_tickets":{},"read_ticket":{}}"#);
    let bearer = world.bearer("r2", r#"{"list_tickets":{}}"#);
    let ask = run.tool("read_ticket", r#"{"id":41}"#);
    let proof = ask.headers["dpop"].to_str().unwrap().to_owned();
    let result = run.send(ask).await.text().await;
    assert_eq!(bearer.refusal("list_tickets", "{}").await, "ok");
    let canary = run.refusal("read_ticket", r#"{"id":"canary-argument-55e1"}"#).await;
    assert_eq!(canary, "arguments_invalid", "{}", world.story());
    // A tool that nobody heard of is in the log as it was called.
    assert!(run.refusal("heard-of-by-nobody", "{}").await.starts_with("-32602"));
    let open = |world: &World, state: &str| {
        assert!(result.contains(ticketdesk::ATTACKER_IBAN), "{result}");
        let all = everything(world);
        assert!(all.contains("read_ticket"), "the search finds what is there, {state}");
        let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
        for secret in [
            WHY,
            NAME,
            "canary",
            ticketdesk::ATTACKER_IBAN,
            ticketdesk::ATTACKER_URL,
            &signature(&run.token),
            &signature(&bearer.token),
            &signature(&proof),
        ] {
            assert!(!all.contains(secret), "{secret} {state}");
        }
    };
    open(&world, "while it runs");
    world.stop(true).await;
    open(&world, "at rest");
    world.restart().await;
    assert_eq!(world.last(Kind::Bundle).text("what"), "loaded");
}
