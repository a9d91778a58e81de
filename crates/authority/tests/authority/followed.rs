//! Which gateways count as following a revocation: those that say so with the key that is registered.

use remit_authority::followers::Confirmed;
use remit_authority::socket::wire::AdminAsk;
use remit_core::confirm::{CONFIRM_TYP, Confirm};
use remit_core::revoked::{Kind, Revocation};
use serde_json::json;

use super::brokered::admit;
use super::common::{ISSUER, Key, NOW, PIN, World};

/// Signed by one key, in the name of another.
fn said_as(name: &Key, key: &Key, typ: &str, confirm: &Confirm) -> String {
    let header = json!({ "alg": "EdDSA", "typ": typ, "kid": name.public.thumbprint() });
    key.sign(&header, &serde_json::to_value(confirm).unwrap())
}

fn said(key: &Key, typ: &str, confirm: &Confirm) -> String {
    said_as(key, key, typ, confirm)
}

/// Asks for the next page of the feed, and says this beside it.
async fn polls(world: &World, said: &str) -> u16 {
    let request = http::Request::get("/fleet/feed?after=0&wait=0").header("host", "as.example");
    let request = request.header("authorization", format!("Bearer {said}"));
    world.send(request.body(http_body_util::Full::default()).unwrap()).await.0
}

async fn stands(world: &World, seq: u64) -> Vec<(String, bool)> {
    let stand: Vec<Confirmed> = world.admin(AdminAsk::Confirmed { seq }).await.unwrap();
    stand.into_iter().map(|one| (one.gateway.to_string(), one.confirmed)).collect()
}

/// Break: leave out the signature, the registration, the type, the audience or the time.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_registered_gateway_confirms_and_only_for_itself() {
    let (own, second, stranger) = (Key::new(21), Key::new(22), Key::new(23));
    let world = World::start().await;
    world.furnish().await;
    world.set_pin().await;
    admit(&world, "edge", &own).await.unwrap();
    admit(&world, "west", &second).await.unwrap();
    let revoke = AdminAsk::Revoke { kind: Kind::Lockdown, id: "tickets".into(), why: "x".into() };
    let revoked: Revocation = world.admin_pin(revoke, Some(PIN)).await.unwrap();
    let confirm = || Confirm::new(ISSUER, revoked.seq, NOW);
    let nobody = [("edge".to_owned(), false), ("west".to_owned(), false)];
    let forged = [
        said_as(&own, &stranger, CONFIRM_TYP, &confirm()),
        said(&stranger, CONFIRM_TYP, &confirm()),
        said(&own, "JWT", &confirm()),
        said_as(&second, &own, CONFIRM_TYP, &confirm()),
        said(&own, CONFIRM_TYP, &Confirm { aud: "https://other.example".into(), ..confirm() }),
        said(&own, CONFIRM_TYP, &Confirm { exp: NOW, ..confirm() }),
        said(&own, CONFIRM_TYP, &Confirm { exp: NOW + 61, ..confirm() }),
        said(&own, CONFIRM_TYP, &Confirm { iat: NOW + 3_600, ..confirm() }),
        "no.jws.at-all".into(),
    ];
    for text in forged {
        assert_eq!(polls(&world, &text).await, 200, "the feed is everybody's");
        assert_eq!(stands(&world, revoked.seq).await, nobody, "{text}");
    }
    assert_eq!(polls(&world, &said(&own, CONFIRM_TYP, &confirm())).await, 200);
    assert_eq!(stands(&world, revoked.seq).await, [("edge".to_owned(), true), ("west".to_owned(), false)]);
}
