//! Delegation without the authority: a run hands on less of its token by a link that its own key signs.

use std::time::Duration;

use remit_core::chain::{LINK_TYPE, THUMBPRINT_URN, is_linked};
use remit_core::event::Kind as Event;
use remit_core::hash::{b64, sha256};
use remit_core::registry::Offline;
use remit_core::revoked::Kind;
use serde_json::{Value, json};

use crate::authority::jws;
use crate::client::{Run, code_of, public, thumbprint};
use crate::world::{OTHER, World};

const TOOLS: &str = r#"{"read_ticket":{},"watch_ticket":{}}"#;
const READ: &str = r#"{"read_ticket":{}}"#;
const TICKET: &str = r#"{"id":42}"#;
const REFUND: &str = r#"{"id":41,"amount_cents":1,"iban":"GB82WEST12345698765432"}"#;
/// How long a revocation may take to arrive.
const LATE: Duration = Duration::from_secs(2);

/// A world in which the other agent may be handed what the first one has.
async fn world() -> World {
    let mut world = World::new().await;
    let until = world.run("r0", READ).claims.exp + 3_600;
    let may = |tool: &str| Offline { target: format!("tickets/{tool}").parse().unwrap(), seconds: 900, until };
    world.publish(2, |bundle| bundle.agents[1].offline = ["read_ticket", "watch_ticket"].map(may).into()).await;
    world
}

/// What the run hands on, to whoever holds this key.
fn handed(run: &Run, name: &str, tools: &str, change: impl FnOnce(&mut Value)) -> Run {
    let before = run.token.rsplit('~').next().unwrap();
    let depth = run.token.matches('~').count() + 1;
    let (own, heir) = (run.seed.unwrap_or_default(), sha256(&[name.as_bytes()]));
    let tools: Value = serde_json::from_str(tools).unwrap();
    let mut payload = json!({
        "iss": format!("{THUMBPRINT_URN}{}", thumbprint(own)), "act": {"sub": OTHER}, "iat": run.claims.iat,
        "exp": run.claims.exp, "par_hash": b64(&sha256(&[before.rsplit_once('.').unwrap().0.as_bytes()])),
        "cnf": {"jkt": thumbprint(heir)}, "del_depth": depth, "del_max_depth": run.claims.del_max_depth, "why": "it looks",
        "authorization_details": [{"type": "mcp_tools", "locations": [format!("{}/mcp/tickets", run.url)], "tools": tools}],
    });
    change(&mut payload);
    let header = json!({"typ": LINK_TYPE, "alg": "EdDSA", "jwk": public(own)});
    let mut child = run.clone();
    child.token = format!("{}~{}", run.token, jws(&header.to_string(), &payload.to_string(), own));
    child.seed = Some(heir);
    child
}

fn child(run: &Run, name: &str) -> Run {
    handed(run, name, READ, |_| {})
}

/// The status and the code of an answer to a call.
async fn called(run: &Run, tool: &str) -> (u16, String) {
    let reply = run.send(run.tool(tool, TICKET)).await;
    (reply.status.as_u16(), code_of(&reply.json().await))
}

fn of(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Break: log a child as its parent, count it as a root of its own, or give it its parent's tools.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_by_a_link_is_its_own_principal_below_the_same_root() {
    let world = world().await;
    let parent = world.run("r1", TOOLS);
    let (first, second) = (child(&parent, "c1"), child(&parent, "c2"));
    let mut runs = Vec::new();
    for run in [&first, &second, &first] {
        assert_eq!(called(run, "read_ticket").await, of(200, "ok"), "{}", world.story());
        let intent = world.last(Event::CallIntent);
        assert_eq!(intent.text("root"), "r1");
        assert_eq!(intent.node.text(&["actor", "app_uid"]), Some(OTHER));
        assert_eq!(intent.node.list(&["unmapped", "remit", "lineage"]).len(), 2);
        runs.push(intent.text("run").to_owned());
    }
    assert!(is_linked(&runs[0]) && runs[0] == runs[2] && runs[0] != runs[1], "{runs:?}");
    // Nothing that the link leaves out, though the parent has it.
    assert_ne!(called(&first, "watch_ticket").await.1, "ok");
    let listed = first.send(first.modern("tickets", "tools/list", "{}")).await.json().await;
    let names: Vec<&str> =
        listed["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["read_ticket"]);
}

/// Break: keep labels and budgets by run, so that a tree that hands on has as many as it likes.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_child_reads_and_spends_the_tree_has_read_and_spent() {
    let mut world = world().await;
    world.publish(3, |bundle| bundle.agents[0].calls_max = 3).await;
    let parent = world.run("r1", r#"{"read_ticket":{},"issue_refund":{}}"#);
    let run = child(&parent, "c1");
    assert_eq!(called(&run, "read_ticket").await, of(200, "ok"), "{}", world.story());
    assert_eq!(parent.refusal("issue_refund", REFUND).await, "gate_pending", "{}", world.story());
    assert_eq!(called(&child(&parent, "c2"), "read_ticket").await, of(200, "ok"));
    for run in [&run, &parent, &child(&parent, "c3")] {
        assert_eq!(called(run, "read_ticket").await.1, "budget_spent");
    }
}

/// Break: take a chain without a proof, with a proof of another key, or of less than the whole of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_used_by_the_last_key_alone() {
    let world = world().await;
    let parent = world.run("r1", TOOLS);
    let run = child(&parent, "c1");
    let code = async |ask| {
        let reply = run.send(ask).await;
        (reply.status.as_u16(), code_of(&reply.json().await))
    };
    let call = || run.tool("read_ticket", TICKET);
    assert_eq!(code(call()).await, of(200, "ok"));
    let bearer = call().unset("dpop").set("authorization", &format!("Bearer {}", run.token));
    assert_eq!(code(bearer).await, of(401, "proof_invalid"));
    assert_eq!(code(call().unset("dpop")).await, of(401, "proof_invalid"));
    let replayed = call();
    assert_eq!(code(replayed.clone()).await, of(200, "ok"));
    assert_eq!(code(replayed).await, of(401, "proof_replayed"));
    // The parent cannot act as its child, and the child not as its parent.
    let mut as_child = run.clone();
    as_child.seed = parent.seed;
    assert_eq!(called(&as_child, "read_ticket").await, of(401, "proof_invalid"));
    let mut as_parent = run.clone();
    as_parent.token.clone_from(&parent.token);
    assert_eq!(called(&as_parent, "read_ticket").await, of(401, "proof_invalid"));
    // A proof that was made for the token alone.
    let url = format!("{}/mcp/tickets", run.url);
    let alone = call().set("dpop", &as_parent.proof("POST", &url));
    assert_eq!(code(alone).await, of(401, "proof_invalid"));
}

/// Break: let whoever has a token hand it on, or hand on what they do not have; or accept an agent that is not to begin so.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_handed_on_is_refused_and_recorded() {
    let world = world().await;
    let parent = world.run("r1", READ);
    let check = async |run: &Run, expected: (u16, String)| {
        assert_eq!(called(run, "read_ticket").await, expected, "{}", world.story());
        assert_eq!(world.last(Event::CallIntent).text("decision/code"), expected.1);
        assert!(world.ledger().is_empty());
    };
    let bearer = world.bearer("r2", READ);
    check(&child(&bearer, "c1"), of(401, "token_invalid")).await;
    let mut thief = parent.clone();
    thief.seed = Some([9; 32]);
    check(&child(&thief, "c1"), of(401, "token_invalid")).await;
    check(&handed(&parent, "c1", TOOLS, |_| {}), of(401, "token_invalid")).await;
    check(&handed(&parent, "c1", READ, |link| link["exp"] = (parent.claims.exp + 1).into()), of(401, "token_invalid"))
        .await;
    // The first agent's manifest does not let it begin by a link.
    let back = |link: &mut Value| link["act"]["sub"] = parent.claims.client_id.to_string().into();
    check(&handed(&parent, "c1", READ, back), of(403, "scope_undeclared")).await;
    let mut deep = child(&parent, "c1");
    for n in 2..=parent.claims.del_max_depth {
        deep = child(&deep, &format!("c{n}"));
    }
    check(&child(&deep, "last"), of(401, "token_invalid")).await;
    assert_eq!(called(&deep, "read_ticket").await, of(200, "ok"), "{}", world.story());
    world.clock.advance(Duration::from_secs(901));
    world.ready().await;
    assert_eq!(called(&deep, "read_ticket").await, of(401, "token_expired"));
}

/// Break: keep a chain that was verified once, whatever is taken back of what it depends on; or end more than that.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_chain_depends_on_takes_it_back_at_once() {
    let world = world().await;
    for (n, kind) in [Kind::Token, Kind::Run, Kind::Root, Kind::Grant, Kind::Key].into_iter().enumerate() {
        let parent = world.run(&format!("r{n}"), TOOLS);
        let middle = child(&parent, "c1");
        let last = child(&middle, "c2");
        assert_eq!(called(&last, "read_ticket").await, of(200, "ok"));
        let id = match kind {
            Kind::Token => parent.claims.jti.clone(),
            Kind::Grant => parent.claims.gid.to_string(),
            Kind::Key => thumbprint(parent.seed.unwrap()),
            _ => parent.claims.run.to_string(),
        };
        let began = tokio::time::Instant::now();
        world.revoke(kind, &id).await;
        assert!(began.elapsed() < LATE);
        for run in [&middle, &last] {
            assert_eq!(called(run, "read_ticket").await, of(401, "revoked"), "{kind:?}");
        }
    }
    let parent = world.run("r9", TOOLS);
    let run = child(&parent, "c1");
    world.revoke(Kind::Agent, "support/triage").await;
    assert_eq!(called(&run, "read_ticket").await, of(401, "revoked"));
}

/// Break: let nobody take back a child alone, or let its parent begin it anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_taken_back_alone_by_the_id_that_the_log_shows() {
    let world = world().await;
    let parent = world.run("r1", TOOLS);
    let (first, sibling) = (child(&parent, "c1"), child(&parent, "c2"));
    let below = child(&first, "c3");
    assert_eq!(called(&first, "read_ticket").await, of(200, "ok"));
    let id = world.last(Event::CallIntent).text("run").to_owned();
    world.revoke(Kind::Run, &id).await;
    let renewed = handed(&parent.with(|claims| claims.jti = "t-next".into()), "c1", READ, |_| {});
    for run in [&first, &below, &renewed] {
        assert_eq!(called(run, "read_ticket").await, of(401, "revoked"));
    }
    for run in [&parent, &sibling] {
        assert_eq!(called(run, "read_ticket").await, of(200, "ok"));
    }
    // By its key too, which ends whatever it has handed on.
    let below = child(&sibling, "c4");
    world.revoke(Kind::Key, &thumbprint(sibling.seed.unwrap())).await;
    for (run, expected) in [(&sibling, of(401, "revoked")), (&below, of(401, "revoked")), (&parent, of(200, "ok"))] {
        assert_eq!(called(run, "read_ticket").await, expected);
    }
}

/// Break: look at what a chain depends on only before a call.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_loses_its_open_stream_with_its_parent() {
    let world = world().await;
    let parent = world.run("r1", TOOLS);
    let run = handed(&parent, "c1", TOOLS, |_| {});
    let mut watching = run.send(run.watch(30)).await;
    let _first = watching.event().await.unwrap();
    let began = tokio::time::Instant::now();
    world.authority.revoke(Kind::Run, "r1");
    while watching.event().await.is_some() {}
    assert!(began.elapsed() < LATE, "{:?}", began.elapsed());
    world.outcome_is("revoked").await;
}
