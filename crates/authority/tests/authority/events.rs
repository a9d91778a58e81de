//! Security events of identity providers: whoever's session ended there has nothing running here; and what others push.

use http_body_util::Full;
use remit_authority::socket::wire::{AdminAsk, Status};
use remit_core::revoked::Kind;
use serde_json::{Value, json};

use super::common::{ISSUER, NOW, World};
use super::federation::{CI, IDP, logged, merged, said, show, sign, word, world};
use super::http::page;

const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
const DESK: [(&str, &str); 1] = [("client_id", "support/desk")];

/// An event about Ada, with these changes.
fn event(header: &Value, payload: &Value) -> String {
    let whole = json!({"iss": IDP, "aud": [ISSUER], "iat": NOW, "jti": "e-1", "events": {REVOKED: {"event_timestamp": NOW}},
        "sub_id": {"format": "iss_sub", "iss": IDP, "sub": "ada"}});
    sign(&merged(json!({"alg": "ES256", "typ": "secevent+jwt", "kid": "ec"}), header), &merged(whole, payload))
}

async fn push(world: &World, text: &str) -> (u16, Value) {
    let request = http::Request::post("/events").header("host", "as.example");
    let request = request.header("content-type", "application/secevent+jwt").body(Full::from(text.to_owned())).unwrap();
    let (status, _, text) = world.send(request).await;
    (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
}

/// A run of a person, by another word of the provider each time.
async fn begin(world: &World, sub: &str, jti: &str) -> (u16, Value) {
    show(world, &word(&json!({}), &json!({"sub": sub, "jti": jti})), &DESK, None).await
}

async fn live(world: &World) -> usize {
    world.admin::<Status>(AdminAsk::Status {}).await.unwrap().runs
}

/// Break: acknowledge an event and do nothing, end what is another's, or take a word from before the event for one after it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_disabled_at_their_provider_has_nothing_running() {
    let world = world().await;
    let mut roots = Vec::new();
    for (sub, jti) in [("ada", "1"), ("ada", "2"), ("bob", "3")] {
        let (status, given) = begin(&world, sub, jti).await;
        assert_eq!(status, 200, "{given}");
        roots.push(said(&world, &given).await.root.to_string());
    }
    let late = word(&json!({}), &json!({"jti": "late"}));
    assert_eq!(push(&world, &event(&json!({}), &json!({}))).await, (202, Value::Null));
    let entries = page(&world, 0).await.entries;
    let ended: Vec<_> = entries.iter().map(|entry| (entry.kind, entry.id.as_str())).collect();
    assert_eq!(ended, [(Kind::Root, roots[0].as_str()), (Kind::Root, roots[1].as_str())]);
    assert_eq!(live(&world).await, 1, "the other person's");
    // What the provider said before it ended the session begins nothing any more.
    let (status, answer) = show(&world, &late, &DESK, None).await;
    assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_grant")), "{answer}");
    // What it says after that does; and the same event, which comes again, ends nothing of it.
    world.clock.set(NOW + 60);
    let again = word(&json!({}), &json!({"jti": "4", "iat": NOW + 60, "exp": NOW + 300}));
    assert_eq!(show(&world, &again, &DESK, None).await.0, 200);
    assert_eq!(push(&world, &event(&json!({}), &json!({}))).await.0, 202);
    assert_eq!((live(&world).await, page(&world, 0).await.entries.len()), (2, 2));
    // As the user of a complex subject, and by the account.
    let complex = json!({"format": "complex", "user": {"format": "iss_sub", "iss": IDP, "sub": "ada"}, "session": {"format": "opaque", "id": "s"}});
    let later = json!({"iat": NOW + 60, "jti": "e-2", "sub_id": complex, "events": {DISABLED: {}}});
    assert_eq!(push(&world, &event(&json!({}), &later)).await.0, 202);
    assert_eq!(live(&world).await, 1);
}

/// Break: let one issuer speak of another's people, take another token for an event, or one that is for somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_not_the_providers_own_ends_nothing_and_is_recorded() {
    let world = world().await;
    assert_eq!(begin(&world, "ada", "1").await.0, 200);
    let subject = |iss: &str, format: &str| json!({"sub_id": {"format": format, "iss": iss, "sub": "ada"}});
    for (header, payload, err, why) in [
        (json!({"typ": "JWT"}), json!({}), "invalid_request", "type"),
        (json!({"typ": "oauth-id-jag+jwt"}), json!({}), "invalid_request", "type"),
        (json!({"alg": "none"}), json!({}), "invalid_request", "form"),
        (json!({"alg": "HS256"}), json!({}), "invalid_request", "form"),
        (json!({"alg": "RS256"}), json!({}), "invalid_key", "signature"),
        (json!({}), json!({"iss": "https://evil.example"}), "invalid_issuer", "issuer"),
        // Workloads have no sessions.
        (json!({}), json!({"iss": CI}), "invalid_issuer", "issuer"),
        (json!({}), json!({"aud": "https://other.example"}), "invalid_audience", "audience"),
        (json!({}), json!({"aud": null}), "invalid_audience", "audience"),
        (json!({}), json!({"iat": NOW + 61}), "invalid_request", "time"),
        (json!({}), json!({"iat": null}), "invalid_request", "time"),
        (json!({}), json!({"jti": null}), "invalid_request", "form"),
        (json!({}), json!({"events": null}), "invalid_request", "form"),
        (json!({}), json!({"sub_id": null}), "invalid_request", "subject"),
        (json!({}), subject("https://evil.example", "iss_sub"), "invalid_request", "subject"),
        (json!({}), subject(IDP, "email"), "invalid_request", "subject"),
    ] {
        let (status, answer) = push(&world, &event(&header, &payload)).await;
        assert_eq!((status, answer["err"].as_str()), (400, Some(err)), "{header} {payload}: {answer}");
        assert!(logged(&world, &format!("\"id\":\"{why}\"")).await, "{why}");
    }
    for harmless in [
        json!({"events": {"https://schemas.openid.net/secevent/ssf/event-type/verification": {"state": "x"}}, "sub_id": {"format": "opaque", "id": "s"}}),
        json!({"sub_id": {"format": "iss_sub", "iss": IDP, "sub": "nobody"}}),
    ] {
        assert_eq!(push(&world, &event(&json!({}), &harmless)).await, (202, Value::Null));
    }
    let form = [("token", "x")];
    assert_eq!(world.post("/events", &form, None).await.1["err"], "invalid_request");
    assert_eq!((live(&world).await, page(&world, 0).await.entries.len()), (1, 0));
}
