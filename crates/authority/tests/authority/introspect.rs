//! What a run learns of tokens, and what it takes back: its own, and those below it.

use super::common::{ISSUER, Key, NOW, World};
use super::delegation::{Party, READER, actor, claims, detail, furnished, root, text};
use super::http::page;
use remit_authority::socket::wire::{AdminAsk, Status};
use remit_core::claims::Claims;
use remit_core::revoked::Kind;
use serde_json::{Value, json};

/// A root and a run below it, a run beside it, and a token of each.
struct Family {
    world: World,
    parties: [Party; 3],
    tokens: [String; 3],
    claims: [Claims; 3],
}

const ROOT: usize = 0;
const CHILD: usize = 1;
const OTHER: usize = 2;

async fn family() -> Family {
    let world = furnished().await;
    let (root, other) = (root(&world, 1).await, root(&world, 3).await);
    let (own, theirs) = (root.token(&world).await, other.token(&world).await);
    let key = Key::new(2);
    let more = detail(r#"{"read_ticket":{}}"#);
    let (_, answer) = root.hand(&world, &own, &actor(&key, READER, NOW), &[("authorization_details", &more)]).await;
    let tokens = [own, text(&answer), theirs];
    let said = [claims(&world, &tokens[0]).await, claims(&world, &tokens[1]).await, claims(&world, &tokens[2]).await];
    let parties = [root, Party::child(key, &said[CHILD]), other];
    Family { world, parties, tokens, claims: said }
}

impl Family {
    async fn introspect(&self, who: usize, token: &str) -> Value {
        let (status, answer) = self.parties[who].ask(&self.world, "/introspect", &[("token", token)], None).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn revoke(&self, who: usize, token: &str) {
        let answer = self.parties[who].ask(&self.world, "/revoke", &[("token", token)], None).await;
        assert_eq!(answer, (200, Value::Null), "nothing is told");
    }

    async fn feed(&self) -> Vec<(Kind, String)> {
        // A page is held back until there is something; who asks for none gets it at once where there is any.
        page(&self.world, 0).await.entries.into_iter().map(|entry| (entry.kind, entry.id)).collect()
    }

    async fn entries(&self) -> u64 {
        self.world.admin::<Status>(AdminAsk::Status {}).await.unwrap().log_size
    }
}

/// Break: tell of every token that verifies, or of a parent's to its child.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_learns_of_its_own_tokens_and_of_those_below_it() {
    let family = family().await;
    for (who, token, told) in [
        (ROOT, ROOT, true),
        (ROOT, CHILD, true),
        (ROOT, OTHER, false),
        (CHILD, ROOT, false),
        (CHILD, CHILD, true),
        (OTHER, ROOT, false),
        (OTHER, CHILD, false),
    ] {
        let said = family.introspect(who, &family.tokens[token]).await;
        if told {
            let claims = &family.claims[token];
            assert_eq!((&said["active"], &said["iss"]), (&json!(true), &json!(ISSUER)), "{said}");
            assert_eq!((&said["jti"], &said["exp"]), (&json!(claims.jti), &json!(claims.exp)));
            assert_eq!(said["authorization_details"], json!(claims.authorization_details));
            assert_eq!((&said["act"], &said["token_type"]), (&json!(claims.act), &json!("DPoP")));
            assert!(said.get("name").is_none() && said.get("task").is_none(), "no words of people: {said}");
        } else {
            assert_eq!(said, json!({ "active": false }), "{who} of {token}");
        }
    }
    for nothing in ["x", "a.b.c", &format!("{}x", family.tokens[ROOT])] {
        assert_eq!(family.introspect(ROOT, nothing).await, json!({ "active": false }));
    }
}

/// Break: call a token active that no gateway takes any more, or whose run is over.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_not_active() {
    let family = family().await;
    let _done: Value = family.world.admin(AdminAsk::End { run: family.claims[CHILD].run.clone() }).await.unwrap();
    assert_eq!(family.introspect(ROOT, &family.tokens[CHILD]).await, json!({ "active": false }));
    family.world.clock.set(family.claims[ROOT].exp - 1);
    let mut root = Party { now: family.claims[ROOT].exp - 1, ..family.parties.into_iter().next().unwrap() };
    let ask =
        async |root: &Party| root.ask(&family.world, "/introspect", &[("token", &family.tokens[ROOT])], None).await.1;
    assert_eq!(ask(&root).await["active"], json!(true));
    family.world.clock.set(family.claims[ROOT].exp);
    root.now += 1;
    assert_eq!(ask(&root).await, json!({ "active": false }));
}

/// Break: take back what anybody names, or only what is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_takes_back_its_own_tokens_and_those_below_it_with_all_that_came_of_them() {
    let family = family().await;
    let before = family.entries().await;
    for (who, token) in [(CHILD, ROOT), (OTHER, ROOT), (OTHER, CHILD), (ROOT, OTHER)] {
        family.revoke(who, &family.tokens[token]).await;
    }
    for nothing in ["x", &format!("{}x", family.tokens[ROOT])] {
        family.revoke(ROOT, nothing).await;
    }
    assert_eq!((family.entries().await, family.feed().await), (before, vec![]), "nothing of that does anything");

    family.revoke(ROOT, &family.tokens[CHILD]).await;
    let one = (Kind::Token, family.claims[CHILD].jti.clone());
    assert_eq!(family.feed().await, std::slice::from_ref(&one));
    assert_eq!(family.introspect(ROOT, &family.tokens[CHILD]).await, json!({ "active": false }));
    // The run below is another matter: its next token counts, until the one is taken back by which it was begun.
    let next = family.parties[CHILD].token(&family.world).await;
    assert_eq!(family.introspect(ROOT, &next).await["active"], json!(true));
    family.revoke(ROOT, &family.tokens[ROOT]).await;
    let two = (Kind::Token, family.claims[ROOT].jti.clone());
    assert_eq!(family.feed().await, [one.clone(), two.clone()]);
    assert_eq!(family.introspect(ROOT, &next).await, json!({ "active": false }));
    assert_eq!(family.world.admin::<Status>(AdminAsk::Status {}).await.unwrap().runs, 2, "the child's run is over");
    // A second time there is nothing to take back, and no entry.
    let before = family.entries().await;
    family.revoke(ROOT, &family.tokens[ROOT]).await;
    assert_eq!((family.entries().await, family.feed().await), (before, vec![one, two]));
    assert_eq!(family.introspect(OTHER, &family.tokens[OTHER]).await["active"], json!(true));
}

/// Break: answer whoever asks.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_a_run_is_told_nothing_and_takes_nothing_back() {
    let family = family().await;
    let forger = Party { key: Key::new(9), id: family.parties[ROOT].id.clone(), now: NOW };
    let before = family.entries().await;
    for path in ["/introspect", "/revoke"] {
        let token = [("token", family.tokens[ROOT].as_str())];
        for (status, answer) in
            [family.world.post(path, &token, None).await, forger.ask(&family.world, path, &token, None).await]
        {
            assert_eq!((status, &answer["error"]), (401, &json!("invalid_client")), "{path}");
        }
        let (status, answer) = family.parties[ROOT].ask(&family.world, path, &[], None).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")), "{path}");
        let (status, answer) = family.world.post(path, &[("token", &"x".repeat(70_000))], None).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")), "{path}");
    }
    assert_eq!(family.entries().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_names_these_endpoints_and_every_kind_of_grant_that_is_answered() {
    let world = furnished().await;
    let (_, _, text) = world.get("/.well-known/oauth-authorization-server").await;
    let metadata: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(metadata["introspection_endpoint"], "https://as.example/introspect");
    assert_eq!(metadata["revocation_endpoint"], "https://as.example/revoke");
    let run = root(&world, 1).await;
    for grant in metadata["grant_types_supported"].as_array().unwrap() {
        let (_, answer) = run.ask(&world, "/token", &[("grant_type", grant.as_str().unwrap())], None).await;
        assert_ne!(answer["error"], "unsupported_grant_type", "{grant}");
    }
    assert_eq!(metadata["grant_types_supported"].as_array().unwrap().len(), 6);
}
