//! An identity provider's word for a person and a client (ID-JAG).

use remit_authority::issuer::{self, KeySource};
use remit_authority::socket::wire::AdminAsk;
use remit_core::revoked::Kind;
use serde_json::{Value, json};

use super::common::PIN;
use super::federation::{IDP, issuer, jwks, refused, said, show, trust, word, world};

/// Break: take another client's assertion, or more than the provider allows.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_acts_through_the_client_that_the_provider_names() {
    let world = world().await;
    let desk = ("client_id", "support/desk");
    for (payload, more, error) in [
        (json!({}), &[][..], "invalid_grant"),
        (json!({}), &[("client_id", "support/triage")], "invalid_grant"),
        (json!({"client_id": null}), &[desk], "invalid_grant"),
        (json!({"client_id": "support/nobody"}), &[("client_id", "support/nobody")], "invalid_client"),
        (json!({"resource": "https://gw.example/mcp/other"}), &[desk], "invalid_target"),
        (json!({"resource": 7}), &[desk], "invalid_target"),
        (json!({"scope": "tickets/read_ticket"}), &[desk, ("scope", "tickets/reply")], "invalid_scope"),
        (json!({"scope": ["tickets/read_ticket"]}), &[desk], "invalid_scope"),
        (json!({"scope": "tickets.read"}), &[desk, ("scope", "tickets/reply")], "invalid_scope"),
        (json!({"authorization_details": []}), &[desk], "invalid_authorization_details"),
    ] {
        let what = format!("{payload} {more:?}");
        refused(&world, show(&world, &word(&json!({}), &payload), more, None).await, error, error, &what).await;
    }
    let (status, given) =
        show(&world, &word(&json!({}), &json!({"scope": "tickets/read_ticket"})), &[desk], None).await;
    assert_eq!(status, 200, "{given}");
    let claims = said(&world, &given).await;
    assert_eq!((claims.name.as_deref(), claims.sub_profile.as_str()), (Some("Ada Example"), "user"));
    let tools: Vec<String> = claims.authorization_details[0].tools.keys().map(ToString::to_string).collect();
    assert_eq!(tools, ["read_ticket"]);
    // The same person again is the same principal, whatever they are called now; and a revoked one gets nothing.
    let again = show(&world, &word(&json!({}), &json!({"jti": "2", "name": "Somebody"})), &[desk], None).await.1;
    assert_eq!(said(&world, &again).await.sub, claims.sub);
    let (kind, id) = (Kind::Principal, "https://idp.example#ada".to_owned());
    let _revoked: Value = world.admin_pin(AdminAsk::Revoke { kind, id, why: "left".into() }, Some(PIN)).await.unwrap();
    let (_, answer) = show(&world, &word(&json!({}), &json!({"jti": "3"})), &[desk], None).await;
    assert_eq!(answer["error"], "invalid_grant", "{answer}");
}

/// Break: leave the groups out, or take those of another claim.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_uses_agents_of_the_teams_of_their_groups() {
    let world = world().await;
    let rules =
        "[[group]]\nname = \"desk\"\nteams = [\"support\"]\n[[group]]\nname = \"else\"\nteams = [\"platform\"]\n";
    let given = KeySource::Given(jwks("sig").to_string());
    trust(&world, issuer(IDP, issuer::Kind::People, rules, given)).await.unwrap();
    let desk = [("client_id", "support/desk")];
    for groups in [json!(null), json!(["else"]), json!([])] {
        let token = word(&json!({}), &json!({"groups": groups}));
        refused(&world, show(&world, &token, &desk, None).await, "invalid_grant", "invalid_grant", &groups.to_string())
            .await;
    }
    assert_eq!(show(&world, &word(&json!({}), &json!({"groups": ["desk"]})), &desk, None).await.0, 200);
}
