//! Portable posture: one authority states an agent, another one takes it over as a request, under its own floor.

use super::common::{MANIFEST, NOW, PIN, World, asked, put};
use super::http::bundle;
use super::teams::{as_person, known, refusal};
use remit_authority::change::AgentRecord;
use remit_authority::org::Import;
use remit_authority::posture::{Posture, verify};
use remit_authority::socket::wire::{AdminAsk, Answered, Approval, RegistryAsk, Request, Requested, Word};
use remit_core::grant::Detail;
use remit_core::hash::{b64, unb64};
use remit_core::rejection::{Code, Rejection};
use serde_json::{Value, json};

async fn exported(world: &World) -> (String, String) {
    let ask = AdminAsk::Registry(RegistryAsk::Export { agent: "support/triage".into() });
    let vkey = std::fs::read_to_string(world.path("root.vkey")).unwrap();
    (world.admin(ask).await.unwrap(), vkey)
}

fn import(statement: &str, key: &str) -> AdminAsk {
    AdminAsk::Registry(RegistryAsk::Import { statement: statement.into(), key: key.into() })
}

fn word(id: &str, allow: bool) -> AdminAsk {
    AdminAsk::Answer(Word { id: id.into(), allow, why: "the same desk".into(), duration: String::new(), digest: None })
}

/// What is granted to the agent `away`, or why not.
async fn judged(world: &World, tools: &[&str]) -> Result<Vec<Detail>, Rejection> {
    let ask = AdminAsk::Request(Box::new(Request {
        agent: "support/away".into(),
        asked: asked(tools),
        principal: None,
        pid: None,
        key: None,
        golden: false,
    }));
    let answer: Result<Requested, _> = world.admin(ask).await;
    answer.map(|given| given.grant.details).map_err(|error| refusal::<()>(Err(error)))
}

/// A statement with a member of its header or its claims changed, and the signature as it was.
fn changed(statement: &str, part: usize, name: &str, value: Value) -> String {
    let mut parts: Vec<String> = statement.split('.').map(ToOwned::to_owned).collect();
    let mut json: Value = serde_json::from_slice(&unb64(&parts[part]).unwrap()).unwrap();
    json[name] = value;
    parts[part] = b64(json.to_string().as_bytes());
    parts.join(".")
}

/// Break: believe what nobody signed, what another key signed, or what is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_of_the_authority_whose_key_is_named() {
    let (world, other) = (World::start().await, World::start().await);
    world.furnish().await;
    let (statement, vkey) = exported(&world).await;
    let posture: Posture = verify(&statement, &vkey, NOW).unwrap();
    assert_eq!((posture.sub.short().as_str(), posture.tier.as_str()), ("support/triage@1", "medium"));
    assert_eq!((posture.owner.as_str(), posture.expires), ("support", NOW + 90 * 86_400));
    assert_eq!(posture.manifest.needs.len(), 2);
    let issued = bundle(&world).await;
    assert_eq!(posture.bundle.unwrap().version, issued.version);
    assert_eq!(posture.policies.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["floor/base"]);
    let foreign = std::fs::read_to_string(other.path("root.vkey")).unwrap();
    let renamed = vkey.replacen("acme.example", "evil.example", 1);
    for key in [foreign.as_str(), &renamed, "", "x", "acme.example/root+00000000+AA=="] {
        assert!(verify(&statement, key, NOW).is_err(), "{key}");
    }
    for now in [NOW - 61, NOW + 30 * 86_400] {
        assert!(verify(&statement, &vkey, now).is_err(), "{now}");
    }
    for bad in [
        changed(&statement, 1, "sub", json!("spiffe://acme.example/agent/support/other/1")),
        changed(&statement, 1, "exp", json!(NOW * 2)),
        changed(&statement, 0, "alg", json!("none")),
        changed(&statement, 0, "typ", json!("at+jwt")),
        changed(&statement, 0, "kid", json!("evil.example/root")),
        statement.rsplit_once('.').unwrap().0.to_owned() + ".",
        String::new(),
    ] {
        assert!(verify(&bad, &vkey, NOW).is_err(), "{bad}");
        refusal(other.admin::<Import>(import(&bad, &vkey)).await);
    }
}

/// Break: register what is brought, let anybody confirm it, or judge it by the other authority's floor.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_brought_is_a_request_and_then_stands_under_the_floor_of_here() {
    let (world, other) = (World::start().await, World::start().await);
    world.furnish().await;
    other.furnish().await;
    known(&other, "eve", "eve's own pin").await;
    // There it has not been heard of this agent.
    let away = MANIFEST.replace("triage", "away").replace("purpose", "tags = [\"customer-data\"]\npurpose");
    world.register(&away).await.unwrap();
    let ask = AdminAsk::Registry(RegistryAsk::Export { agent: "support/away".into() });
    let statement: String = world.admin(ask).await.unwrap();
    let vkey = std::fs::read_to_string(world.path("root.vkey")).unwrap();
    let brought: Import = other.admin(import(&statement, &vkey)).await.unwrap();
    let again: Import = other.admin(import(&statement, &vkey)).await.unwrap();
    assert_eq!(brought, again, "brought twice, it is one request");
    assert_eq!(brought.key, vkey.trim(), "whoever confirms sees which key signed it");
    let agents = async || other.admin::<Vec<AgentRecord>>(AdminAsk::Agents {}).await.unwrap().len();
    assert_eq!(agents().await, 1);
    let waiting: Vec<Approval> = other.admin(AdminAsk::Approvals {}).await.unwrap();
    assert_eq!(waiting, [Approval::Import(Box::new(brought.clone()))]);
    assert_eq!(refusal(other.admin::<Answered>(word(&brought.id, true)).await).code, Code::AdminRequired);
    let refused = refusal(as_person::<Answered>(&other, "eve", Some("eve's own pin"), word(&brought.id, true)).await);
    assert_eq!(refused.code, Code::RoleRequired);
    assert_eq!(agents().await, 1);
    // The floor of here, as it is when somebody confirms: a rule that the other authority does not have.
    let rule = "[[rule]]\nid = \"apart\"\ntags = [\"customer-data\"]\nnever = [\"tickets/reply\"]\n";
    let file = other.path("policies/floor/separation.toml");
    put(&file, rule);
    let _issued: Value = other.admin(AdminAsk::Reload {}).await.unwrap();
    let refused = refusal(other.admin_pin::<Answered>(word(&brought.id, true), Some(PIN)).await);
    assert!(refused.message.contains("by the rule `apart`"), "{refused}");
    std::fs::remove_file(&file).unwrap();
    let _issued: Value = other.admin(AdminAsk::Reload {}).await.unwrap();
    let _taken: Answered = other.admin_pin(word(&brought.id.to_lowercase(), true), Some(PIN)).await.unwrap();
    assert_eq!(agents().await, 2);
    refusal(other.admin_pin::<Answered>(word(&brought.id, true), Some(PIN)).await);
    let waiting: Vec<Approval> = other.admin(AdminAsk::Approvals {}).await.unwrap();
    assert_eq!(waiting, []);
    // The same verdicts, request by request.
    for tools in [&["tickets/read_ticket"][..], &["tickets/reply"], &["tickets/delete_ticket"], &["tickets/*"]] {
        assert_eq!(judged(&world, tools).await, judged(&other, tools).await, "{tools:?}");
    }
    // And where the floor of here says otherwise, that holds.
    put(&file, rule);
    let _issued: Value = other.admin(AdminAsk::Reload {}).await.unwrap();
    assert!(judged(&world, &["tickets/reply"]).await.is_ok());
    assert_eq!(judged(&other, &["tickets/reply"]).await.unwrap_err().code, Code::AgentFrozen);
    assert!(judged(&other, &["tickets/read_ticket"]).await.is_ok());
}

/// Break: take what could never be registered here, or keep as many as are brought.
#[tokio::test(flavor = "multi_thread")]
async fn a_no_registers_nothing_and_leaves_room() {
    let (world, other) = (World::start().await, World::start().await);
    world.furnish().await;
    other.set_pin().await;
    let mut last = None;
    for _ in 0..64 {
        let (statement, vkey) = exported(&world).await;
        last = Some(other.admin::<Import>(import(&statement, &vkey)).await.unwrap());
    }
    let (statement, vkey) = exported(&world).await;
    assert!(refusal(other.admin::<Import>(import(&statement, &vkey)).await).message.contains("64 imports wait"));
    let id = last.unwrap().id;
    let _denied: Answered = other.admin(word(&id, false)).await.unwrap();
    assert_eq!(other.admin::<Vec<AgentRecord>>(AdminAsk::Agents {}).await.unwrap(), []);
    let _brought: Import = other.admin(import(&statement, &vkey)).await.unwrap();
}
