//! Delegation without the authority: what it says beforehand of the agents that may begin by a link, and what it takes back
//! of runs that it never heard of.

use super::common::{Key, NOW, PIN, World, put};
use super::delegation::{Party, READER, TICKETS, claims, detail, furnished, root};
use super::http::{bundle, page};
use remit_authority::socket::client::ClientError;
use remit_authority::socket::wire::{AdminAsk, RegistryAsk};
use remit_core::bundle::Versioned;
use remit_core::chain::{LINK_TYPE, THUMBPRINT_URN, is_linked};
use remit_core::hash::{b64, sha256};
use remit_core::id::TrustDomain;
use remit_core::policy::compile;
use remit_core::registry::Offline;
use remit_core::rejection::Code;
use remit_core::revoked::{Kind, Revocation};
use serde_json::{Value, json};

const DAY: i64 = 86_400;
const MANIFEST: &str = r#"
[agent]
name = "reader"
version = "1"
team = "support"
purpose = "reads"
offline = true
[harm]
writes = false
reversible = true
autonomous = true
[[need]]
tool = "tickets/read_ticket"
reason = "x"
longest = "10m"
"#;

async fn register(world: &World, manifest: &str) {
    let ask = AdminAsk::RegisterAgent { manifest: manifest.into() };
    let _done: Value = world.admin_pin(ask, Some(PIN)).await.unwrap();
}

/// What gateways are told that the reader may be handed.
fn offered(bundle: &Versioned) -> Vec<Offline> {
    let reader = bundle.bundle.agents.iter().find(|agent| agent.id.to_string() == READER).unwrap();
    reader.offline.clone()
}

/// Waits until gateways are told so.
async fn until(world: &World, expected: &[Offline]) {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while offered(&bundle(world).await) != expected {
        assert!(tokio::time::Instant::now() < end, "never: {expected:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn read(until: i64) -> Vec<Offline> {
    vec![Offline { target: "tickets/read_ticket".parse().unwrap(), seconds: 600, until }]
}

/// Break: offer agents that did not say so, or go on offering one that may not act, or that a rule of separation stands against.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_offered_for_links_while_it_says_so_and_may_act() {
    let world = furnished().await;
    assert_eq!(offered(&bundle(&world).await), []);
    let widened = world.register(MANIFEST).await.unwrap_err();
    assert!(
        matches!(&widened, ClientError::Refused(rejection) if rejection.message.contains("`offline = true`")),
        "{widened}"
    );
    register(&world, MANIFEST).await;
    assert_eq!(offered(&bundle(&world).await), read(NOW + 90 * DAY));
    // One that ends earlier is offered for so long.
    register(&world, &MANIFEST.replace("longest", "until = \"2026-12-01\"\nlongest")).await;
    let day = offered(&bundle(&world).await)[0].until;
    assert!(day > NOW && day < NOW + 30 * DAY);
    register(&world, MANIFEST).await;
    // Nobody has to publish anything for what comes with time, or with the org.
    world.clock.set(NOW + 90 * DAY);
    until(&world, &[]).await;
    let ask = AdminAsk::Registry(RegistryAsk::Renew { agent: "support/reader".into() });
    let _renewed: Value = world.admin_pin(ask, Some(PIN)).await.unwrap();
    until(&world, &read(NOW + 180 * DAY)).await;
    let rule = "[[rule]]\nid = \"r\"\ntags = [\"x\"]\nnever = [\"tickets/read_ticket\"]\n";
    register(&world, &MANIFEST.replace("purpose", "tags = [\"x\"]\npurpose")).await;
    put(&world.path("policies/floor/separation.toml"), rule);
    let _issued: Value = world.admin(AdminAsk::Reload {}).await.unwrap();
    assert_eq!(offered(&bundle(&world).await), []);
}

/// A chain of a token and one link, by the key of its run.
fn chain(parent: &Party, token: &str, heir: &Key) -> String {
    let jkt = parent.key.public.thumbprint();
    let signed = token.rsplit_once('.').unwrap().0;
    let details: Value = serde_json::from_str(&detail(r#"{"read_ticket":{}}"#)).unwrap();
    let payload = json!({
        "iss": format!("{THUMBPRINT_URN}{jkt}"), "act": {"sub": READER}, "iat": NOW, "exp": NOW + 300,
        "par_hash": b64(&sha256(&[signed.as_bytes()])), "cnf": {"jkt": heir.public.thumbprint()},
        "authorization_details": details, "del_depth": 1, "del_max_depth": 3, "why": "it looks",
    });
    let header = json!({"typ": LINK_TYPE, "alg": "EdDSA", "jwk": parent.key.public});
    format!("{token}~{}", parent.key.sign(&header, &payload))
}

/// Break: mint tokens that say other than what a gateway needs to judge a link; or take a chain for a token at the endpoints.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_authority_is_handed_on_by_its_key_and_by_no_endpoint() {
    let world = furnished().await;
    register(&world, MANIFEST).await;
    let parent = root(&world, 1).await;
    let token = parent.token(&world).await;
    let text = chain(&parent, &token, &Key::new(2));
    let compiled = compile(bundle(&world).await, TrustDomain::new("acme.example").unwrap()).unwrap();
    let child = remit_core::chain::verify(&compiled, &text).unwrap();
    let (child, own) = (child.claims(), claims(&world, &token).await);
    assert_eq!((&child.lin, &child.gid, child.aud[0].as_str()), (&vec![own.jti], &own.gid, TICKETS));
    assert!(is_linked(child.run.as_str()));
    // The authority never heard of it.
    let (status, answer) = parent.less(&world, &text, &[]).await;
    assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_request")));
    let (_, answer) = parent.ask(&world, "/introspect", &[("token", &text)], None).await;
    assert_eq!(answer, json!({"active": false}));
    // And takes it back by the ids that the log of a gateway shows.
    for (kind, id) in [
        (Kind::Run, child.run.to_string()),
        (Kind::Token, child.jti.clone()),
        (Kind::Key, child.cnf.clone().unwrap().jkt),
    ] {
        let ask = || AdminAsk::Revoke { kind, id: id.clone(), why: "x".into() };
        let alone = world.admin::<Revocation>(ask()).await.unwrap_err();
        assert!(matches!(&alone, ClientError::Refused(rejection) if rejection.code == Code::AdminRequired), "{alone}");
        let revocation: Revocation = world.admin_pin(ask(), Some(PIN)).await.unwrap();
        assert_eq!((revocation.kind, &revocation.id), (kind, &id));
        assert!(page(&world, revocation.seq - 1).await.entries.contains(&revocation));
    }
    let unknown = AdminAsk::Revoke { kind: Kind::Run, id: "link-1".into(), why: "x".into() };
    world.admin_pin::<Revocation>(unknown, Some(PIN)).await.unwrap_err();
}
