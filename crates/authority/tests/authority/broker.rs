//! The authority as an OAuth client of a server's authorization server: what it sends there, what it lends of it, and to
//! whose calls.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_authority::broker::connect::{Begun, Ended};
use remit_authority::broker::record::Behalf;
use remit_authority::socket::client::ClientError;
use remit_authority::socket::wire::{AdminAsk, Borrowed, Given, Oauth, Requested, ServerShown, Whose};
use remit_core::hash::{b64, sha256};
use remit_core::id::ServerName;
use remit_core::rejection::Code;
use serde_json::Value;

use super::brokered::{admit, ask, given};
use super::common::{GATEWAY, Key, MANIFEST, NOW, PIN, World, add_server, asked, request};
use super::upstream::{Manners, Upstream, lent, references};

type Change = fn(&mut Manners);

const SECRET: &str = "cs-live-0f1e2d3c4b5a6978";

pub(crate) fn tickets() -> ServerName {
    ServerName::new("tickets").unwrap()
}

pub(crate) fn oauth(behalf: Behalf, client: Option<&str>) -> Oauth {
    Oauth { behalf, client: client.map(str::to_owned), key: false, scope: None, issuer: None }
}

/// An authority that may reach this machine, a gateway, and nothing registered yet.
async fn empty() -> (World, Key) {
    let mut world = World::start().await;
    world.stop().await;
    world.internal_hosts = vec!["127.0.0.1".into()];
    world.serve().await;
    world.set_pin().await;
    let gateway = Key::new(21);
    admit(&world, "edge", &gateway).await.unwrap();
    (world, gateway)
}

pub(crate) async fn add(
    world: &World,
    upstream: &Upstream,
    oauth: Oauth,
    secret: Vec<Given>,
) -> Result<ServerShown, ClientError> {
    let AdminAsk::AddServer(mut add) = add_server() else { panic!("another verb") };
    add.upstream = remit_core::registry::Upstream::Http { url: upstream.url() };
    add.oauth = Some(oauth);
    ask(world, AdminAsk::AddServer(add), secret).await
}

pub(crate) async fn machine(upstream: &Upstream) -> (World, Key) {
    let (world, gateway) = empty().await;
    let wanted = oauth(Behalf::ClientCredentials, Some("remit:1"));
    add(&world, upstream, wanted, vec![given("bearer", SECRET)]).await.unwrap();
    (world, gateway)
}

/// Break: ask for each call or for each waiting one, send the secret elsewhere or in a URL, use a token to its last second,
/// or give up one that is good because the next one is not issued.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_our_own_is_got_once_and_renewed_ahead() {
    let upstream = Upstream::start().await;
    let (world, gateway) = machine(&upstream).await;
    upstream.set(|manners| manners.slow = Duration::from_millis(300));
    // Whoever asks first does not wait for the answer: it is taken all the same.
    tokio::time::timeout(Duration::from_millis(100), lent(&world, &gateway, None, None)).await.unwrap_err();
    let all =
        (lent(&world, &gateway, None, None), lent(&world, &gateway, None, None), lent(&world, &gateway, None, None));
    let (one, two, three) = tokio::join!(all.0, all.1, all.2);
    let token = one.unwrap();
    assert_eq!((&token, &token), (&two.unwrap(), &three.unwrap()));
    assert_eq!(token, ["at-1-0123456789"]);
    let [sent] = &upstream.heard("/token")[..] else { panic!("one for all who wait") };
    let basic = format!("Basic {}", STANDARD.encode(format!("remit%3A1:{SECRET}")));
    assert_eq!(sent.headers["authorization"], basic);
    assert_eq!(sent.form("grant_type").as_deref(), Some("client_credentials"));
    assert_eq!(sent.form("resource"), Some(upstream.url()));
    assert_eq!(sent.form("scope").as_deref(), Some("read"));
    upstream.set(|manners| manners.slow = Duration::ZERO);
    // In its last minute the next one is asked for; while that fails, this one is good.
    world.clock.set(NOW + 539);
    assert_eq!(lent(&world, &gateway, None, None).await.unwrap(), token);
    world.clock.set(NOW + 541);
    upstream.set(|manners| manners.refuses = Some((503, "temporarily_unavailable")));
    for _ in 0..3 {
        assert_eq!(lent(&world, &gateway, None, None).await.unwrap(), token);
    }
    assert_eq!(upstream.heard("/token").len(), 2, "nobody is asked again at once");
    world.clock.set(NOW + 599);
    let (status, said) = lent(&world, &gateway, None, None).await.unwrap_err();
    assert_eq!((status, said.contains("canary")), (503, false), "{said}");
    upstream.set(|manners| manners.refuses = None);
    world.clock.set(NOW + 610);
    assert_eq!(lent(&world, &gateway, None, None).await.unwrap(), ["at-4-0123456789"]);
    assert!(!upstream.everything().contains(&gateway.public.thumbprint()));
    nowhere(&world, &[SECRET, "at-1-0123456789", "at-4-0123456789"]).await;
}

/// Nothing of these is at rest, in the bundle, or shown.
async fn nowhere(world: &World, secrets: &[&str]) {
    fn below(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
    }
    let shown: Value = world.admin(AdminAsk::Server { name: tickets() }).await.unwrap();
    let mut all = vec![shown.to_string(), world.get("/fleet/bundle").await.2];
    let read =
        |path: &std::path::PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).replace('\0', "");
    all.extend(below(world.dir.path()).iter().map(read));
    assert!(all.iter().any(|text| text.contains("tickets")), "the search finds what is there");
    for secret in secrets {
        for needle in [(*secret).to_owned(), b64(secret.as_bytes()), STANDARD.encode(secret)] {
            assert!(!all.iter().any(|text| text.contains(&needle)), "{needle}");
        }
    }
}

/// Break: ask for another token whenever a server refuses one.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_its_server_refuses_is_renewed_once_and_not_while_it_is_new() {
    let upstream = Upstream::start().await;
    let (world, gateway) = machine(&upstream).await;
    let first = lent(&world, &gateway, None, None).await.unwrap().remove(0);
    assert_eq!(lent(&world, &gateway, None, Some(&first)).await.unwrap_err().0, 503, "it is new");
    world.clock.set(NOW + 60);
    let second = lent(&world, &gateway, None, Some(&first)).await.unwrap().remove(0);
    assert_ne!(first, second);
    // Who comes late with the same word gets what is there, and the new one is new.
    assert_eq!(lent(&world, &gateway, None, Some(&first)).await.unwrap(), [second.as_str()]);
    assert_eq!(lent(&world, &gateway, None, Some(&second)).await.unwrap_err().0, 503);
    assert_eq!(upstream.heard("/token").len(), 2);
}

/// Break: keep no key, sign with another, or for another authorization server.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_key_proves_itself_by_that() {
    let upstream = Upstream::start().await;
    let (world, gateway) = empty().await;
    let wanted = Oauth { key: true, ..oauth(Behalf::ClientCredentials, Some("remit-1")) };
    let shown = add(&world, &upstream, wanted, vec![]).await.unwrap().oauth.unwrap();
    let key = shown.key.unwrap();
    assert_eq!((key.crv.as_str(), key.alg.as_deref(), shown.sealed), ("P-256", Some("ES256"), None));
    lent(&world, &gateway, None, None).await.unwrap();
    let [sent] = &upstream.heard("/token")[..] else { panic!("one") };
    let assertion = sent.form("client_assertion").unwrap();
    let claims = remit_core::jws::Unverified::parse(&assertion).unwrap().verify(&key).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["aud"]),
        (&"remit-1".into(), &"remit-1".into(), &upstream.origin.clone().into())
    );
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
    assert!(!sent.headers.contains_key("authorization"));
}

/// Break: believe a resource about another one, an authorization server under another name, or send our secret to whomever
/// the server names later.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_is_checked_before_anything_of_ours_is_sent() {
    let upstream = Upstream::start().await;
    let (world, gateway) = empty().await;
    let good = |upstream: &Upstream| {
        let (origin, url) = (upstream.origin.clone(), upstream.url());
        upstream.set(|manners| {
            manners.protected["resource"] = url.into();
            manners.metadata["issuer"] = origin.into();
            manners.metadata["code_challenge_methods_supported"] = serde_json::json!(["S256"]);
        });
    };
    let changes: [(Behalf, Change); 5] = [
        (Behalf::ClientCredentials, |manners| manners.protected["resource"] = "https://other.example/mcp".into()),
        (Behalf::ClientCredentials, |manners| manners.metadata["issuer"] = "https://other.example".into()),
        (Behalf::ClientCredentials, |manners| {
            manners.metadata["issuer"] = format!("{}/", manners.metadata["issuer"].as_str().unwrap()).into();
        }),
        (Behalf::AuthorizationCode, |manners| {
            manners.metadata["code_challenge_methods_supported"] = serde_json::json!([]);
        }),
        (Behalf::AuthorizationCode, |manners| {
            manners.metadata["authorization_endpoint"] = "javascript:alert(1)".into();
        }),
    ];
    for (index, (behalf, change)) in changes.into_iter().enumerate() {
        good(&upstream);
        upstream.set(change);
        let secret = vec![given("bearer", SECRET)];
        let refused = add(&world, &upstream, oauth(behalf, Some("remit:1")), secret).await;
        let Err(ClientError::Refused(refused)) = refused else { panic!("{index}: {refused:?}") };
        assert_eq!(refused.code, Code::CredentialUnavailable, "{index} {refused}");
    }
    assert!(!upstream.everything().contains(SECRET));
    // A name inside that nobody has allowed is not looked at.
    good(&upstream);
    upstream.set(|manners| manners.protected["authorization_servers"] = serde_json::json!(["http://localhost:1"]));
    let wanted = oauth(Behalf::ClientCredentials, Some("remit:1"));
    let Err(ClientError::Refused(refused)) =
        add(&world, &upstream, wanted.clone(), vec![given("bearer", SECRET)]).await
    else {
        panic!("it was looked at")
    };
    assert!(refused.message.contains("https URL"), "{refused}");
    // Registered, and then the server names somebody else.
    let origin = upstream.origin.clone();
    upstream.set(|manners| manners.protected["authorization_servers"] = serde_json::json!([origin]));
    add(&world, &upstream, wanted, vec![given("bearer", SECRET)]).await.unwrap();
    let evil = Upstream::start().await;
    let named = evil.origin.clone();
    upstream.set(|manners| manners.protected["authorization_servers"] = serde_json::json!([named]));
    lent(&world, &gateway, None, None).await.unwrap();
    assert_eq!((upstream.heard("/token").len(), evil.heard("/token").len()), (1, 0));
}

/// A world where `tickets` is reached on behalf of people, and a run of this user's and one of Ada's.
pub(crate) async fn people(upstream: &Upstream) -> (World, Key, Requested, Requested) {
    let (world, gateway) = empty().await;
    upstream.set(|manners| manners.refresh = true);
    add(&world, upstream, oauth(Behalf::AuthorizationCode, None), vec![]).await.unwrap();
    world.register(MANIFEST).await.unwrap();
    let own = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let ada = ask_for(&world, "Ada Example").await;
    (world, gateway, own, ada)
}

async fn ask_for(world: &World, principal: &str) -> Requested {
    let request = remit_authority::socket::wire::Request {
        agent: "support/triage".into(),
        asked: asked(&["tickets/read_ticket"]),
        principal: Some(principal.into()),
        pid: None,
        key: None,
        golden: false,
    };
    world.admin_pin(AdminAsk::Request(Box::new(request)), Some(PIN)).await.unwrap()
}

pub(crate) async fn begin(world: &World) -> String {
    world.admin::<Begun>(AdminAsk::Connect { server: tickets() }).await.unwrap().url
}

/// What the page shows: the code, or nothing.
pub(crate) async fn page(world: &World, path: &str) -> Option<String> {
    let (_, headers, text) = world.get(path).await;
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    Some(text.split_once("--code ")?.1.chars().take(9).collect())
}

pub(crate) async fn finish(world: &World, code: &str) -> Result<ServerShown, ClientError> {
    world.admin(AdminAsk::Connected { server: tickets(), code: code.into() }).await
}

pub(crate) async fn connect(world: &World, upstream: &Upstream) -> ServerShown {
    let url = begin(world).await;
    let code = page(world, &upstream.back(&url, &[])).await.unwrap();
    finish(world, &code).await.unwrap()
}

/// Break: lend one person's token for another's run, or for a run that was granted nothing of the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_persons_token_is_for_that_persons_runs_and_no_others() {
    let upstream = Upstream::start().await;
    let (mut world, gateway, own, ada) = people(&upstream).await;
    for run in [&own, &ada] {
        let (status, said) = lent(&world, &gateway, Some(&run.run.id), None).await.unwrap_err();
        assert_eq!((status, said.contains("remit server connect tickets")), (409, true), "{said}");
    }
    let shown = connect(&world, &upstream).await;
    assert_eq!((shown.connections.len(), &shown.connections[0].principal), (1, &own.run.principal));
    let [sent] = &upstream.heard("/token")[..] else { panic!("one") };
    // The client is the one that the registration gave.
    let basic = format!("Basic {}", STANDARD.encode("dcr-1:dcr-secret-0123456789"));
    assert_eq!(sent.headers["authorization"], basic);
    assert_eq!(lent(&world, &gateway, Some(&own.run.id), None).await.unwrap(), ["at-1-0123456789"]);
    assert_eq!(lent(&world, &gateway, Some(&ada.run.id), None).await.unwrap_err().0, 409);
    // No run, one that is none, one that has ended, and one with nothing of this server.
    assert_eq!(lent(&world, &gateway, None, None).await.unwrap_err().0, 503);
    assert_eq!(lent(&world, &gateway, Some(&"r-x".parse().unwrap()), None).await.unwrap_err().0, 503);
    let AdminAsk::AddServer(mut notes) = add_server() else { panic!("another verb") };
    notes.name = ServerName::new("notes").unwrap();
    ask(&world, AdminAsk::AddServer(notes), vec![]).await.unwrap();
    world.register(&MANIFEST.replace("tickets/", "notes/").replace("\"triage\"", "\"reader\"")).await.unwrap();
    let mut elsewhere = request(&["notes/read_ticket"], None);
    if let AdminAsk::Request(request) = &mut elsewhere {
        request.agent = "support/reader".into();
    }
    let elsewhere: Requested = world.admin(elsewhere).await.unwrap();
    assert_eq!(elsewhere.run.principal, own.run.principal);
    assert_eq!(lent(&world, &gateway, Some(&elsewhere.run.id), None).await.unwrap_err().0, 503);
    // All of it again, from the log alone.
    world.stop().await;
    for name in ["authority.db", "authority.db-wal", "authority.db-shm"] {
        std::fs::remove_file(world.path(name)).unwrap_or_default();
    }
    world.serve().await;
    assert_eq!(lent(&world, &gateway, Some(&own.run.id), None).await.unwrap(), ["at-1-0123456789"]);
    assert_eq!(upstream.heard("/token").len(), 1);
    nowhere(&world, &["at-1-0123456789", "rt-1-0123456789", "dcr-secret-0123456789"]).await;
    let _ended: Value = world.admin(AdminAsk::End { run: own.run.id.clone() }).await.unwrap();
    assert_eq!(lent(&world, &gateway, Some(&own.run.id), None).await.unwrap_err().0, 503);
}

/// Break: leave out the state, the issuer, the verifier, the one use, or what is typed in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_of_whoever_began_it_and_of_the_authorization_server_that_was_asked() {
    let upstream = Upstream::start().await;
    let (world, _, _, _) = people(&upstream).await;
    for changes in [
        &[("state", Some("another"))][..],
        &[("state", None)],
        &[("iss", Some("https://other.example"))],
        &[("iss", None)],
        &[("code", None)],
        &[("code", None), ("error", Some("access_denied"))],
    ] {
        let url = begin(&world).await;
        assert_eq!(page(&world, &upstream.back(&url, changes)).await, None, "{changes:?}");
    }
    assert_eq!(upstream.heard("/token").len(), 0, "nothing is redeemed");
    // A wrong issuer is refused even where none is promised.
    upstream.set(|manners| manners.metadata["authorization_response_iss_parameter_supported"] = false.into());
    let url = begin(&world).await;
    assert_eq!(page(&world, &upstream.back(&url, &[("iss", Some("https://other.example"))])).await, None);
    let url = begin(&world).await;
    let back = upstream.back(&url, &[("iss", None)]);
    let code = page(&world, &back).await.unwrap();
    let [sent] = &upstream.heard("/token")[..] else { panic!("one") };
    let challenge = b64(&sha256(&[sent.form("code_verifier").unwrap().as_bytes()]));
    assert!(url.contains(&format!("code_challenge={challenge}&code_challenge_method=S256")), "{url}");
    assert_eq!(sent.form("redirect_uri"), Some(format!("https://as.example{}", back.split_once('?').unwrap().0)));
    assert_eq!(sent.form("resource"), Some(upstream.url()));
    assert_eq!(page(&world, &back).await, None, "the same answer again");
    // Until it is typed, nobody is connected; a few wrong ones, and it waits for none.
    let shown: ServerShown = world.admin(AdminAsk::Server { name: tickets() }).await.unwrap();
    assert_eq!(shown.connections, []);
    for _ in 0..5 {
        assert!(finish(&world, "BBBB-BBBB").await.is_err());
    }
    assert!(finish(&world, &code).await.is_err(), "a sixth try");
    // A server that names somebody else now sends nobody there.
    let origin = upstream.origin.clone();
    let other = Upstream::start().await;
    let evil = other.origin.clone();
    upstream.set(|manners| manners.protected["authorization_servers"] = serde_json::json!([evil]));
    assert!(world.admin::<Begun>(AdminAsk::Connect { server: tickets() }).await.is_err());
    upstream.set(|manners| manners.protected["authorization_servers"] = serde_json::json!([origin]));
    // In time.
    let url = begin(&world).await;
    let code = page(&world, &upstream.back(&url, &[])).await.unwrap();
    world.clock.set(NOW + 601);
    assert!(finish(&world, &code).await.is_err(), "too late");
    world.clock.set(NOW);
    assert_eq!(connect(&world, &upstream).await.connections.len(), 1);
}

/// Break: use a refresh token again, or go on with one that is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_used_once_and_its_refusal_ends_the_connection() {
    let upstream = Upstream::start().await;
    let (mut world, gateway, own, _) = people(&upstream).await;
    connect(&world, &upstream).await;
    let run = Some(&own.run.id);
    let before = references(&world).await;
    for (at, count) in [(541, 2), (1_082, 3)] {
        world.clock.set(NOW + at);
        let run = world.request(&["tickets/read_ticket"], None).await.unwrap().run.id;
        assert_eq!(lent(&world, &gateway, Some(&run), None).await.unwrap(), [format!("at-{count}-0123456789")]);
        let sent = upstream.heard("/token").pop().unwrap();
        assert_eq!(sent.form("refresh_token"), Some(format!("rt-{}-0123456789", count - 1)));
        if count == 2 {
            world.restart().await;
        }
    }
    assert_eq!(references(&world).await, before, "a renewal changes no bundle");
    upstream.set(|manners| manners.refuses = Some((400, "invalid_grant")));
    world.clock.set(NOW + 1_640);
    let fresh = world.request(&["tickets/read_ticket"], None).await.unwrap().run.id;
    let (status, said) = lent(&world, &gateway, Some(&fresh), None).await.unwrap_err();
    assert_eq!((status, said.contains("has ended the connection")), (409, true), "{said}");
    let shown: ServerShown = world.admin(AdminAsk::Server { name: tickets() }).await.unwrap();
    assert_eq!(shown.connections, []);
    assert!(references(&world).await[0].version > before[0].version, "gateways forget what they were lent");
    assert_eq!(lent(&world, &gateway, Some(&fresh), None).await.unwrap_err().0, 409);
    assert_eq!(upstream.heard("/token").len(), 4);
    assert!(run.is_some());
}

/// Break: end it in memory only, or leave the data key.
#[tokio::test(flavor = "multi_thread")]
async fn who_disconnects_is_forgotten_here_and_there() {
    let upstream = Upstream::start().await;
    let (world, gateway, own, _) = people(&upstream).await;
    let keys = || std::fs::read_dir(world.path("secrets/keys")).unwrap().count();
    let before = keys();
    connect(&world, &upstream).await;
    assert_eq!(keys(), before + 1);
    let version = references(&world).await[0].version;
    assert!(lent(&world, &gateway, Some(&own.run.id), None).await.is_ok());
    let ended: Ended = world.admin(AdminAsk::Disconnect { server: tickets() }).await.unwrap();
    assert_eq!((ended.was, ended.revoked), (true, true));
    assert_eq!(upstream.heard("/revoke")[0].form("token").as_deref(), Some("rt-1-0123456789"));
    assert_eq!(keys(), before);
    assert!(references(&world).await[0].version > version);
    assert_eq!(lent(&world, &gateway, Some(&own.run.id), None).await.unwrap_err().0, 409);
    let ended: Ended = world.admin(AdminAsk::Disconnect { server: tickets() }).await.unwrap();
    assert!(!ended.was);
}

/// Break: keep a person's tokens when the person is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_is_connected_to_nothing() {
    let upstream = Upstream::start().await;
    let (world, _, own, _) = people(&upstream).await;
    connect(&world, &upstream).await;
    let keys = || std::fs::read_dir(world.path("secrets/keys")).unwrap().count();
    let before = keys();
    let (principal, ground) = (own.run.principal.to_string(), "erasure-request".to_owned());
    let _done: Value = world.admin_pin(AdminAsk::Erase { principal, ground }, Some(PIN)).await.unwrap();
    let shown: ServerShown = world.admin(AdminAsk::Server { name: tickets() }).await.unwrap();
    assert_eq!((shown.connections.len(), keys()), (0, before - 1));
}

/// Break: give the token to whoever asks the admin socket.
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_borrows_a_token_with_the_pin() {
    let upstream = Upstream::start().await;
    let (world, _) = machine(&upstream).await;
    let borrow = || AdminAsk::Borrow { server: tickets() };
    assert!(world.admin::<Borrowed>(borrow()).await.is_err());
    let lent: Borrowed = world.admin_pin(borrow(), Some(PIN)).await.unwrap();
    assert_eq!(lent.access_token.expose(), "at-1-0123456789");
}

/// Break: lend the less specific one, another team's or person's, or go on lending one that was taken away.
#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_key_is_lent_and_nobody_elses() {
    let (world, gateway) = empty().await;
    ask(&world, add_server(), vec![given("bearer", "key-of-all")]).await.unwrap();
    world.register(MANIFEST).await.unwrap();
    let own = world.request(&["tickets/read_ticket"], None).await.unwrap().run.id;
    let ada = ask_for(&world, "Ada Example").await.run.id;
    assert_eq!(lent(&world, &gateway, None, None).await.unwrap(), ["key-of-all"]);
    let put = async |whose: Whose, value: &str| {
        let secret = AdminAsk::Secret { server: tickets(), rotate: false, whose };
        ask(&world, secret, vec![given("bearer", value)]).await.unwrap()
    };
    put(Whose::Team("other".parse().unwrap()), "key-of-others").await;
    assert_eq!(lent(&world, &gateway, Some(&own), None).await.unwrap(), ["key-of-all"]);
    assert_eq!(lent(&world, &gateway, None, None).await.unwrap_err().0, 503, "it is not said whose call");
    put(Whose::Team("support".parse().unwrap()), "key-of-support").await;
    assert_eq!(lent(&world, &gateway, Some(&own), None).await.unwrap(), ["key-of-support"]);
    let version = references(&world).await[0].version;
    let shown = put(Whose::Principal("Ada Example".into()), "key-of-ada").await;
    assert_eq!(shown.secrets.len(), 4);
    assert!(references(&world).await[0].version > version && references(&world).await[0].own);
    assert_eq!(lent(&world, &gateway, Some(&ada), None).await.unwrap(), ["key-of-ada"]);
    assert_eq!(lent(&world, &gateway, Some(&own), None).await.unwrap(), ["key-of-support"]);
    let version = references(&world).await[0].version;
    let take = AdminAsk::TakeSecret { server: tickets(), whose: Whose::Principal("Ada Example".into()) };
    ask(&world, take, vec![]).await.unwrap();
    assert!(references(&world).await[0].version > version);
    assert_eq!(lent(&world, &gateway, Some(&ada), None).await.unwrap(), ["key-of-support"]);
    let nobody = AdminAsk::Secret { server: tickets(), rotate: false, whose: Whose::Principal("nobody".into()) };
    assert!(ask(&world, nobody, vec![given("bearer", "x")]).await.is_err());
    assert!(world.get("/fleet/bundle").await.2.contains(GATEWAY));
    nowhere(&world, &["key-of-ada", "key-of-support"]).await;
}
