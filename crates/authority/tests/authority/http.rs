//! The authority over HTTP: tokens, metadata, bundle and feed, as OAuth clients and gateways see them.

use super::common::{GATEWAY, ISSUER, Key, NOW, PIN, World};
use remit_audit::note;
use remit_authority::socket::client::ClientError;
use remit_authority::socket::wire::{AdminAsk, Issued, Registered, Requested, Status};
use remit_core::bundle::{FeedPage, Versioned};
use remit_core::claims::Claims;
use remit_core::id::TrustDomain;
use remit_core::jws::Unverified;
use remit_core::policy;
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::{Kind, Revocation, Revoked};
use serde_json::Value;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const TOKEN_URL: &str = "https://as.example/token";
const TICKETS: &str = "https://gw.example/mcp/tickets";

fn domain() -> TrustDomain {
    TrustDomain::new("acme.example").unwrap()
}

/// What the root key has signed.
async fn signed(world: &World, path: &str) -> String {
    let (status, _, text) = world.get(path).await;
    assert_eq!(status, 200, "{text}");
    let vkey = std::fs::read_to_string(world.path("root.vkey")).unwrap();
    let verifier = note::Verifier::parse(vkey.trim_end()).unwrap();
    note::open(&text, &[verifier]).unwrap().text
}

pub(crate) async fn bundle(world: &World) -> Versioned {
    Versioned::read(&signed(world, "/fleet/bundle").await, &domain()).unwrap()
}

pub(crate) async fn page(world: &World, after: u64) -> FeedPage {
    FeedPage::read(&signed(world, &format!("/fleet/feed?after={after}")).await, &domain()).unwrap()
}

fn form<'a>(assertion: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let base =
        [("grant_type", "client_credentials"), ("client_assertion_type", ASSERTION), ("client_assertion", assertion)];
    base.into_iter().chain(more.iter().copied()).collect()
}

async fn furnished(key: &Key) -> (World, Requested) {
    let world = World::start().await;
    world.furnish().await;
    let requested = world.request(&["tickets/read_ticket"], Some(key)).await.unwrap();
    (world, requested)
}

pub(crate) fn claims(world: &Versioned, token: &str) -> Claims {
    let jws = Unverified::parse(token).unwrap();
    assert_eq!(jws.header.typ.as_deref(), Some("at+jwt"));
    let kid = jws.header.kid.clone();
    let key = world.bundle.keys.iter().find(|key| key.kid == kid).unwrap();
    serde_json::from_slice(&jws.verify(key).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_gets_a_bound_token_of_exactly_what_it_was_granted() {
    let key = Key::new(1);
    let (world, requested) = furnished(&key).await;
    let assertion = key.assertion(&requested, "a1");
    let proof = key.proof(TOKEN_URL, NOW, "p1");
    let entries = async || world.admin::<Status>(AdminAsk::Status {}).await.unwrap().log_size;
    let before = entries().await;
    let (status, answer) = world.token(&form(&assertion, &[("resource", TICKETS)]), Some(&proof)).await;
    assert_eq!(entries().await, before + 1, "the token has its entry");
    assert_eq!((status, &answer["token_type"]), (200, &Value::from("DPoP")), "{answer}");
    assert_eq!(answer["expires_in"], 600);
    let claims = claims(&bundle(&world).await, answer["access_token"].as_str().unwrap());
    assert!(claims.coherent());
    assert_eq!(claims.iss, ISSUER);
    assert_eq!(claims.aud, [TICKETS]);
    assert_eq!(claims.cnf.unwrap().jkt, key.public.thumbprint());
    assert_eq!((&claims.run, &claims.root), (&requested.run.id, &requested.run.id));
    assert_eq!(claims.authorization_details, requested.grant.details);
    assert_eq!((claims.task.why.as_str(), claims.grant.until), ("debugging", NOW + 900));
    // The same assertion, or the same proof, is not accepted a second time.
    let (status, answer) = world.token(&form(&assertion, &[]), Some(&key.proof(TOKEN_URL, NOW, "p2"))).await;
    assert_eq!((status, &answer["error"]), (401, &Value::from("invalid_client")));
    assert_eq!(entries().await, before + 1);
    let again = key.assertion(&requested, "a2");
    let (status, answer) = world.token(&form(&again, &[]), Some(&proof)).await;
    assert_eq!((status, &answer["error"]), (400, &Value::from("invalid_dpop_proof")));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_request_has_the_error_of_its_standard() {
    let (key, other) = (Key::new(1), Key::new(2));
    let (world, requested) = furnished(&key).await;
    let counter = std::cell::Cell::new(0);
    let next = || {
        counter.set(counter.get() + 1);
        (key.assertion(&requested, &format!("a{}", counter.get())), format!("p{}", counter.get()))
    };
    let detail = |tools: &str| format!(r#"[{{"type":"mcp_tools","locations":["{TICKETS}"],"tools":{tools}}}]"#);
    let narrower = detail(r#"{"read_ticket":{"id":{"constraint_type":"exact","value":4}}}"#);
    let wider = detail(r#"{"read_ticket":{},"reply":{}}"#);
    for (more, expected) in [
        (vec![("authorization_details", narrower.as_str())], None),
        (vec![("authorization_details", wider.as_str())], Some((400, "invalid_authorization_details"))),
        (vec![("authorization_details", "[{}]")], Some((400, "invalid_authorization_details"))),
        (vec![("resource", "https://gw.example/mcp/other")], Some((400, "invalid_target"))),
        (vec![("scope", "all")], Some((400, "invalid_scope"))),
        (vec![("grant_type", "password")], Some((400, "invalid_request"))),
        (vec![("client_id", "someone")], Some((401, "invalid_client"))),
    ] {
        let (assertion, jti) = next();
        let (status, answer) = world.token(&form(&assertion, &more), Some(&key.proof(TOKEN_URL, NOW, &jti))).await;
        match expected {
            None => assert_eq!(status, 200, "{answer}"),
            Some((code, error)) => assert_eq!((status, &answer["error"]), (code, &Value::from(error)), "{more:?}"),
        }
    }
    // Proofs: none, of another key, for another URL, too old.
    for (proof, error) in [
        (None, "invalid_request"),
        (Some(other.proof(TOKEN_URL, NOW, "o1")), "invalid_dpop_proof"),
        (Some(key.proof(GATEWAY, NOW, "o2")), "invalid_dpop_proof"),
        (Some(key.proof(TOKEN_URL, NOW - 3_600, "o3")), "invalid_dpop_proof"),
        (Some("x".into()), "invalid_dpop_proof"),
    ] {
        let (status, answer) = world.token(&form(&next().0, &[]), proof.as_deref()).await;
        assert_eq!((status, &answer["error"]), (400, &Value::from(error)), "{proof:?}");
    }
    let forged = other.assertion(&requested, "f");
    let (status, answer) = world.token(&form(&forged, &[]), None).await;
    assert_eq!((status, &answer["error"]), (401, &Value::from("invalid_client")));
    let (status, answer) = world.token(&[("grant_type", "password")], None).await;
    assert_eq!((status, &answer["error"]), (400, &Value::from("unsupported_grant_type")));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_names_what_there_is() {
    let world = World::start().await;
    let (status, _, text) = world.get("/.well-known/oauth-authorization-server").await;
    let metadata: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &metadata["issuer"]), (200, &Value::from(ISSUER)));
    assert_eq!(metadata["token_endpoint"], TOKEN_URL);
    let (_, _, text) = world.get("/jwks").await;
    let keys: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    assert!(keys["keys"][0].get("d").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bundle_compiles_and_its_version_only_rises() {
    let mut world = World::start().await;
    let first = bundle(&world).await;
    world.furnish().await;
    let second = bundle(&world).await;
    assert!(second.version > first.version);
    let tools: Vec<_> = second.bundle.servers[0].tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(tools, ["read_ticket", "reply"], "the menu, and nothing else");
    policy::compile(second.clone(), domain()).unwrap();
    world.restart().await;
    let same = bundle(&world).await;
    assert_eq!((same.version, same.digest), (second.version, second.digest));
    // It is issued anew when half of its life is over.
    world.clock.set(NOW + 50_000);
    let (status, headers, _) = world.get(&format!("/fleet/bundle?after={}", same.version)).await;
    assert_eq!((status, headers["etag"].to_str().unwrap()), (200, format!("\"{}\"", same.version + 1).as_str()));
    let held = http::Request::get("/fleet/bundle")
        .header("host", "as.example")
        .header("if-none-match", headers["etag"].clone());
    let (status, _, _) = world.send(held.body(http_body_util::Full::default()).unwrap()).await;
    assert_eq!(status, 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_back_is_a_new_version_with_old_content() {
    let world = World::start().await;
    let first = bundle(&world).await;
    let more = world.path("policies/floor/more.cedar");
    super::common::put(&more, "forbid(principal, action, resource);");
    let issued: Issued = world.admin(AdminAsk::Reload {}).await.unwrap();
    assert_eq!((issued.version, bundle(&world).await.bundle.floor.len()), (first.version + 1, 2));
    std::fs::remove_file(more).unwrap();
    world.admin::<Issued>(AdminAsk::Reload {}).await.unwrap();
    let back = bundle(&world).await;
    assert_eq!((back.version, &back.bundle), (first.version + 2, &first.bundle));
    // Nothing new is no new version.
    world.admin::<Issued>(AdminAsk::Reload {}).await.unwrap();
    assert_eq!(bundle(&world).await.version, back.version);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_does_not_compile_is_refused_and_the_last_good_one_stays() {
    let world = World::start().await;
    let good = bundle(&world).await;
    super::common::put(
        &world.path("policies/floor/bad.cedar"),
        "permit(principal, action, resource) when { contxt.x };",
    );
    let refused = world.admin::<Issued>(AdminAsk::Reload {}).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(r) if r.message.contains("bad")), "{refused}");
    assert_eq!(bundle(&world).await.version, good.version);
    let status: Status = world.admin(AdminAsk::Status {}).await.unwrap();
    assert!(status.bundle == Some(good.version) && status.bundle_error.is_some());
    std::fs::remove_file(world.path("policies/floor/bad.cedar")).unwrap();
    world.admin::<Issued>(AdminAsk::Reload {}).await.unwrap();
    let status: Status = world.admin(AdminAsk::Status {}).await.unwrap();
    assert_eq!(status.bundle_error, None);
}

/// Break: refuse to start, so that nobody can be asked why, or offer what was issued before as if it were good.
#[tokio::test(flavor = "multi_thread")]
async fn policies_that_do_not_compile_at_start_are_named_and_nothing_is_offered_until_they_are_mended() {
    let mut world = World::start().await;
    let good = bundle(&world).await;
    let bad = world.path("policies/floor/bad.cedar");
    super::common::put(&bad, "permit(principal");
    world.restart().await;
    let (status, headers, text) = world.get("/fleet/bundle").await;
    let refused: Rejection = serde_json::from_str(&text).unwrap();
    assert_eq!((status, headers["retry-after"].to_str().unwrap(), refused.code), (503, "1", Code::PolicyStale));
    assert!(refused.message.contains("`floor/bad` does not parse"), "{refused:?}");
    assert!(refused.help.contains("remit admin reload"), "{refused:?}");
    assert_eq!(world.get("/healthz").await.0, 503);
    let status: Status = world.admin(AdminAsk::Status {}).await.unwrap();
    assert!(status.bundle.is_none() && status.bundle_error.is_some_and(|error| error.contains("floor/bad")));
    assert_eq!(page(&world, 0).await.seq, 0, "what is taken back can be heard of all the same");
    std::fs::remove_file(bad).unwrap();
    world.admin::<Issued>(AdminAsk::Reload {}).await.unwrap();
    let mended = bundle(&world).await;
    assert_eq!((mended.version, mended.digest, world.get("/healthz").await.0), (good.version, good.digest, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_wakes_the_feed_and_ends_minting() {
    let key = Key::new(1);
    let (mut world, requested) = furnished(&key).await;
    assert_eq!(page(&world, 0).await, FeedPage { seq: 0, at: NOW, entries: vec![] }, "an idle page");
    let ask = |kind, id: &str| AdminAsk::Revoke { kind, id: id.into(), why: "misbehaves".into() };
    let id = requested.run.id.to_string();
    let began = std::time::Instant::now();
    let (page, revoked) = tokio::join!(page(&world, 0), world.admin::<Revocation>(ask(Kind::Run, &id)));
    assert_eq!(page.entries, [revoked.unwrap()]);
    assert!(began.elapsed() < std::time::Duration::from_secs(2));
    let assertion = key.assertion(&requested, "a1");
    let (status, answer) = world.token(&form(&assertion, &[]), Some(&key.proof(TOKEN_URL, NOW, "p1"))).await;
    assert_eq!((status, &answer["error"]), (400, &Value::from("invalid_grant")), "{answer}");
    // With its ceiling a run is taken back, lest it narrow what it no longer has; the agent's next run is not disturbed.
    let next = world.request(&["tickets/read_ticket"], Some(&key)).await.unwrap();
    world.admin::<Revocation>(ask(Kind::Grant, next.grant.id.as_str())).await.unwrap();
    let assertion = key.assertion(&next, "a2");
    let (_, answer) = world.token(&form(&assertion, &[]), Some(&key.proof(TOKEN_URL, NOW, "p2"))).await;
    assert_eq!(answer["error"], "invalid_grant");
    world.restart().await;
    let page = self::page(&world, 0).await;
    let mut all = Revoked::default();
    page.entries.into_iter().for_each(|entry| all.apply(entry).unwrap());
    assert_eq!(all.seq(), 3, "the feed outlives the process");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_without_a_token_that_fails() {
    let key = Key::new(1);
    let (world, requested) = furnished(&key).await;
    world.set_pin().await;
    let mint = async |n: i64| {
        let assertion = {
            let id = format!("{}/{}", requested.run.agent, requested.run.id);
            let payload = serde_json::json!({"iss": id, "sub": id, "aud": ISSUER, "iat": NOW + n, "exp": NOW + n + 60, "jti": n.to_string()});
            key.sign(&serde_json::json!({"alg": "EdDSA"}), &payload)
        };
        let proof = key.proof(TOKEN_URL, NOW + n, &n.to_string());
        let (_, answer) = world.token(&form(&assertion, &[]), Some(&proof)).await;
        let token = answer["access_token"].as_str().unwrap().to_owned();
        let bundle = bundle(&world).await;
        claims(&bundle, &token);
        (Unverified::parse(&token).unwrap().header.kid.unwrap(), bundle.bundle.keys.len())
    };
    let (old, keys) = mint(0).await;
    assert_eq!(keys, 1);
    let refused = world.admin::<Value>(AdminAsk::RotateKeys {}).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused(r) if r.code == Code::AdminRequired));
    world.admin_pin::<Value>(AdminAsk::RotateKeys {}, Some(PIN)).await.unwrap();
    assert_eq!(mint(1).await, (old.clone(), 2), "the new key is known before it signs");
    world.clock.set(NOW + 11);
    let (new, keys) = mint(11).await;
    assert!(new != old && keys == 2);
    world.clock.set(NOW + 700);
    let version = bundle(&world).await.version;
    let (status, _, _) = world.get(&format!("/fleet/bundle?after={version}")).await;
    assert_eq!(status, 200, "the old key's last token has expired");
    assert_eq!(mint(700).await, (new, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_registered_is_there_after_the_database_is_lost() {
    let key = Key::new(1);
    let (mut world, requested) = furnished(&key).await;
    let before = bundle(&world).await;
    world.stop().await;
    for name in ["authority.db", "authority.db-wal", "authority.db-shm"] {
        std::fs::remove_file(world.path(name)).ok();
    }
    world.serve().await;
    assert_eq!(bundle(&world).await.digest, before.digest);
    let assertion = key.assertion(&requested, "a1");
    let (status, _) = world.token(&form(&assertion, &[]), Some(&key.proof(TOKEN_URL, NOW, "p1"))).await;
    assert_eq!(status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn widening_needs_the_pin_and_says_what_widens() {
    let world = World::start().await;
    world.furnish().await;
    let wider = super::common::MANIFEST.replace("reply", "delete_ticket").replace("version = \"1\"", "version = \"2\"");
    let refused = world.register(&wider).await.unwrap_err();
    let ClientError::Refused(rejection) = refused else { panic!("{refused}") };
    assert_eq!(rejection.code, Code::AdminRequired);
    assert!(rejection.message.contains("need `tickets/delete_ticket` for 15m"), "{rejection}");
    world.set_pin().await;
    let ask = || AdminAsk::RegisterAgent { manifest: wider.clone() };
    assert!(world.admin_pin::<Registered>(ask(), Some("wrong")).await.is_err());
    let registered: Registered = world.admin_pin(ask(), Some(PIN)).await.unwrap();
    assert_eq!(registered.widened, ["need `tickets/delete_ticket` for 15m"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_before_a_restart_is_not_accepted_after_it() {
    let key = Key::new(1);
    let (mut world, requested) = furnished(&key).await;
    let assertion = key.assertion(&requested, "a1");
    let proof = key.proof(TOKEN_URL, NOW, "p1");
    assert_eq!(world.token(&form(&assertion, &[]), Some(&proof)).await.0, 200);
    world.clock.set(NOW + 1);
    world.restart().await;
    let (status, answer) = world.token(&form(&assertion, &[]), Some(&proof)).await;
    assert_eq!((status, &answer["error"]), (401, &Value::from("invalid_client")));
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_and_oversized_requests_are_refused() {
    let world = World::start().await;
    for (name, value, expected) in
        [("accept", "*/*", 200), ("origin", "https://evil.example", 403), ("origin", "null", 403)]
    {
        let request = ::http::Request::get("/jwks").header("host", "127.0.0.1:1").header(name, value);
        let (status, _, _) = world.send(request.body(http_body_util::Full::default()).unwrap()).await;
        assert_eq!(status, expected, "{name}: {value}");
    }
    let rebound = ::http::Request::get("/fleet/bundle").header("host", "evil.example");
    assert_eq!(world.send(rebound.body(http_body_util::Full::default()).unwrap()).await.0, 403);
    let big = "x".repeat(70_000);
    let (status, answer) = world.token(&form(&big, &[]), None).await;
    assert_eq!((status, &answer["error"]), (400, &Value::from("invalid_request")));
}
