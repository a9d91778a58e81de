//! Keys of issuers that are fetched: when, how often, from where, and never from inside.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use remit_authority::issuer::{self, KeySource};
use serde_json::{Value, json};

use super::common::{ISSUER, Key, NOW, World};
use super::federation::{self, TICKETS, entries, issuer, logged, show, trust};

const RULES: &str = "[[rule]]\nagent = \"support/desk\"\nclaims = { repository = \"acme/api\" }\n";

/// A real issuer: what it says of itself, its keys, and how often it was asked for them.
#[derive(Clone)]
struct Issuer {
    url: String,
    configuration: Arc<Mutex<Value>>,
    keys: Arc<Mutex<Value>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start(host: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{host}:{}", listener.local_addr().unwrap().port());
        let configuration = json!({"issuer": url, "jwks_uri": format!("{url}/jwks")});
        let own = Self {
            url,
            configuration: Arc::new(Mutex::new(configuration)),
            keys: Arc::default(),
            asked: Arc::default(),
        };
        own.publish(&[("one", 1)]);
        let (of_itself, of_keys) = (own.clone(), own.clone());
        let router = axum::Router::new()
            .route(
                "/.well-known/openid-configuration",
                axum::routing::get(async move || axum::Json(of_itself.configuration.lock().unwrap().clone())),
            )
            .route(
                "/jwks",
                axum::routing::get(async move || {
                    of_keys.asked.fetch_add(1, Ordering::SeqCst);
                    axum::Json(of_keys.keys.lock().unwrap().clone())
                }),
            );
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        own
    }

    /// Publishes these keys, by name and seed.
    fn publish(&self, keys: &[(&str, u8)]) {
        let key = |(kid, seed): &(&str, u8)| {
            let mut key = serde_json::to_value(&Key::new(*seed).public).unwrap();
            key["kid"] = (*kid).into();
            key
        };
        *self.keys.lock().unwrap() = json!({"keys": keys.iter().map(key).collect::<Vec<_>>()});
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn token(&self, (kid, seed): (&str, u8), jti: &str, now: i64) -> String {
        let payload = json!({"iss": self.url, "sub": "job", "aud": ISSUER, "iat": now, "exp": now + 300, "jti": jti,
            "repository": "acme/api"});
        Key::new(seed).sign(&json!({"alg": "EdDSA", "typ": "JWT", "kid": kid}), &payload)
    }
}

async fn world(internal: &[&str]) -> World {
    let mut world = federation::world().await;
    world.stop().await;
    world.internal_hosts = internal.iter().map(ToString::to_string).collect();
    world.serve().await;
    world
}

/// Break: fetch for every token, never again, or as often as somebody invents a name.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_once_and_again_for_a_new_name_at_a_bounded_rate() {
    let world = world(&["127.0.0.1"]).await;
    let idp = Issuer::start("127.0.0.1").await;
    trust(&world, issuer(&idp.url, issuer::Kind::Workload, RULES, KeySource::Discovered)).await.unwrap();
    assert_eq!(idp.asked(), 0, "nobody is asked before there is a token");
    for jti in ["1", "2", "3"] {
        let (status, given) = show(&world, &idp.token(("one", 1), jti, NOW), &[], None).await;
        assert_eq!(status, 200, "{given}");
    }
    assert_eq!(idp.asked(), 1);
    // Names that nobody knows do not make it ask again before its time.
    for n in 0..5_u8 {
        let forged = idp.token((&format!("x{n}"), 9), "4", NOW);
        assert_eq!(show(&world, &forged, &[], None).await.0, 400);
    }
    assert_eq!(idp.asked(), 1);
    // After it, one that is new is found, and the old one is good no more once it is gone from the set.
    idp.publish(&[("two", 2)]);
    assert_eq!(show(&world, &idp.token(("one", 1), "5", NOW), &[], None).await.0, 200);
    world.clock.set(NOW + 31);
    let now = NOW + 31;
    assert_eq!(show(&world, &idp.token(("two", 2), "6", now), &[], None).await.0, 200);
    assert_eq!(idp.asked(), 2);
    assert_eq!(show(&world, &idp.token(("one", 1), "7", now), &[], None).await.0, 400);
    // What is not fresh is asked for again, and an issuer that says nothing useful is believed for a while and no longer.
    *idp.keys.lock().unwrap() = json!({"keys": []});
    for (later, expected) in [(31 + 299, 200), (31 + 301, 200), (31 + 3_599, 200), (31 + 3_601, 400)] {
        world.clock.set(NOW + later);
        let token = idp.token(("two", 2), &format!("t{later}"), NOW + later);
        let (status, answer) = show(&world, &token, &[], None).await;
        assert_eq!(status, expected, "{later}: {answer}");
    }
}

/// Break: follow what a stranger's metadata says into this machine or this network.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_points_inside_is_refused_and_recorded() {
    // `localhost` may be asked, and says that its keys are elsewhere.
    let world = world(&["localhost"]).await;
    let trap = Issuer::start("127.0.0.1").await;
    let idp = Issuer::start("localhost").await;
    trust(&world, issuer(&idp.url, issuer::Kind::Workload, RULES, KeySource::Discovered)).await.unwrap();
    let port = trap.url.rsplit(':').next().unwrap();
    for (n, inside) in [
        format!("{}/jwks", trap.url),
        format!("https://127.0.0.1:{port}/jwks"),
        format!("https://[::1]:{port}/jwks"),
        format!("https://[::ffff:127.0.0.1]:{port}/jwks"),
        "https://169.254.169.254/latest/meta-data".into(),
        "https://10.0.0.1/jwks".into(),
        format!("http://localhost@127.0.0.1:{port}/jwks"),
        format!("http://localhost.:{port}/jwks"),
        "file:///etc/passwd".into(),
    ]
    .into_iter()
    .enumerate()
    {
        let now = NOW + 60 * i64::try_from(n).unwrap();
        world.clock.set(now);
        idp.configuration.lock().unwrap()["jwks_uri"] = inside.clone().into();
        let before = entries(&world).await;
        let (status, answer) = show(&world, &idp.token(("one", 1), "1", now), &[], None).await;
        assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_grant")), "{inside}: {answer}");
        assert_eq!((trap.asked(), entries(&world).await), (0, before + 1), "{inside}");
    }
    assert!(logged(&world, "\"id\":\"keys\"").await);
    // Another issuer's word is none, wherever it points.
    world.clock.set(NOW + 3_000);
    *idp.configuration.lock().unwrap() =
        json!({"issuer": "https://other.example", "jwks_uri": format!("{}/jwks", idp.url)});
    let (_, answer) = show(&world, &idp.token(("one", 1), "1", NOW + 3_000), &[], None).await;
    assert!(answer["error_description"].as_str().unwrap().contains("another issuer"), "{answer}");
    world.clock.set(NOW + 3_100);
    *idp.configuration.lock().unwrap() = json!({"issuer": idp.url, "jwks_uri": format!("{}/jwks", idp.url)});
    let (status, given) = show(&world, &idp.token(("one", 1), "1", NOW + 3_100), &[], None).await;
    assert_eq!((status, given["authorization_details"][0]["locations"][0].as_str()), (200, Some(TICKETS)), "{given}");
}

/// Break: take an issuer that cannot be reached for one that says yes.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_cannot_be_reached_lets_nobody_in_and_says_try_again() {
    let world = world(&["127.0.0.1"]).await;
    let idp = Issuer::start("127.0.0.1").await;
    let nobody = Issuer { url: "http://127.0.0.1:1".into(), ..idp };
    trust(&world, issuer(&nobody.url, issuer::Kind::Workload, RULES, KeySource::Discovered)).await.unwrap();
    let (status, answer) = show(&world, &nobody.token(("one", 1), "1", NOW), &[], None).await;
    assert_eq!((status, answer["error"].as_str()), (503, Some("temporarily_unavailable")), "{answer}");
    assert!(logged(&world, "\"id\":\"unreachable\"").await);
}
