//! Credentials of servers: what lies on the disk, to whom they are lent, and what is left of one that was replaced.

use remit_audit::letter::Receiver;
use remit_authority::change::GatewayRecord;
use remit_authority::socket::client::{self, ClientError};
use remit_authority::socket::wire::{AdminAsk, Given, ServerShown, Whose};
use remit_core::hash::{b64, unb64};
use remit_core::id::{GatewayName, ServerName, TrustDomain};
use remit_core::lease::{ASK_TYP, Ask, Lease};
use remit_core::secret::{Reference, Value as Secret};
use serde_json::{Value, json};

use super::common::{ISSUER, Key, NOW, PIN, World, add_server};

const KEY: &str = "sk-live-0f1e2d3c4b5a6978";
const NEXT: &str = "sk-next-77aa88bb99cc00dd";

fn tickets() -> ServerName {
    ServerName::new("tickets").unwrap()
}

pub(crate) fn given(place: &str, value: &str) -> Given {
    Given { place: place.parse().unwrap(), value: Secret::new(value.into()), plain: false }
}

/// Asks with the PIN and these credentials.
pub(crate) async fn ask(world: &World, ask: AdminAsk, given: Vec<Given>) -> Result<ServerShown, ClientError> {
    let home = world.dir.path().to_owned();
    tokio::task::spawn_blocking(move || client::admin_with(&home, &ask, Some(PIN), &given)).await.unwrap()
}

/// A world where `tickets` has a key, and `edge` is a gateway.
async fn world(gateway: &Key) -> World {
    let world = World::start().await;
    world.set_pin().await;
    ask(&world, add_server(), vec![given("bearer", KEY)]).await.unwrap();
    admit(&world, "edge", gateway).await.unwrap();
    world
}

pub(crate) async fn admit(world: &World, name: &str, key: &Key) -> Result<GatewayRecord, ClientError> {
    let add = AdminAsk::AddGateway { name: GatewayName::new(name).unwrap(), key: key.public.clone() };
    world.admin_pin(add, Some(PIN)).await
}

fn wants(version: u64) -> Vec<Reference> {
    vec![Reference { place: "bearer".parse().unwrap(), version, plain: false, own: false }]
}

/// A request, as a gateway makes it.
pub(crate) struct Asking {
    pub(crate) ask: Ask,
    receiver: Receiver,
}

impl Asking {
    pub(crate) fn new(key: &Key, version: u64, jti: &str) -> Self {
        let receiver = Receiver::new().unwrap();
        let ask = Ask {
            iss: key.public.thumbprint(),
            aud: ISSUER.into(),
            iat: NOW,
            exp: NOW + 60,
            jti: jti.into(),
            server: tickets(),
            secrets: wants(version),
            run: None,
            refused: None,
            epk: b64(receiver.public()),
        };
        Self { ask, receiver }
    }

    pub(crate) fn signed(&self, key: &Key, typ: &str) -> String {
        let header = json!({ "alg": "EdDSA", "typ": typ, "kid": self.ask.iss });
        key.sign(&header, &serde_json::to_value(&self.ask).unwrap())
    }

    /// What was lent, opened.
    pub(crate) fn open(self, note: &str) -> Vec<String> {
        let text = note.split_once("\n\n").unwrap().0;
        let domain = TrustDomain::new("acme.example").unwrap();
        let lease = Lease::read(&format!("{text}\n"), &domain, &self.ask).unwrap();
        let bound = Lease::bound(&lease.ask, &lease.server, &lease.secrets);
        let from = unb64(&lease.epk).unwrap().try_into().unwrap();
        let plain = self.receiver.open(&from, &bound, &unb64(&lease.sealed).unwrap()).unwrap();
        serde_json::from_slice(&plain).unwrap()
    }
}

async fn send(world: &World, signed: &str) -> (u16, String) {
    send_to(world, "tickets", signed).await
}

pub(crate) async fn send_to(world: &World, server: &str, signed: &str) -> (u16, String) {
    let request = http::Request::get(format!("/fleet/secret/{server}"))
        .header("host", "as.example")
        .header("authorization", format!("Bearer {signed}"));
    let (status, headers, text) = world.send(request.body(http_body_util::Full::default()).unwrap()).await;
    if status == 200 {
        assert_eq!(headers["cache-control"], "no-store");
    }
    (status, text)
}

async fn lent(world: &World, key: &Key, version: u64, jti: &str) -> Result<Vec<String>, u16> {
    let asking = Asking::new(key, version, jti);
    let (status, text) = send(world, &asking.signed(key, ASK_TYP)).await;
    if status == 200 { Ok(asking.open(&text)) } else { Err(status) }
}

/// Break: leave out the signature, the registration, the type, the audience, the time, the one use or the server.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_registered_gateway_is_lent_a_key_and_only_once_for_a_request() {
    let (own, other) = (Key::new(21), Key::new(22));
    let world = world(&own).await;
    assert_eq!(lent(&world, &own, 1, "j-1").await, Ok(vec![KEY.to_owned()]));
    assert_eq!(lent(&world, &other, 1, "j-2").await, Err(403), "not registered");
    // Signed by somebody else in its name.
    let asking = Asking::new(&own, 1, "j-3");
    assert_eq!(send(&world, &asking.signed(&other, ASK_TYP)).await.0, 403);
    assert_eq!(send(&world, &asking.signed(&own, "JWT")).await.0, 403, "of another type");
    let changed = |change: fn(&mut Ask)| {
        let mut asking = Asking::new(&own, 1, "j-4");
        change(&mut asking.ask);
        asking.signed(&own, ASK_TYP)
    };
    for signed in [
        changed(|ask| ask.aud = "https://other.example".into()),
        changed(|ask| ask.exp = NOW),
        changed(|ask| ask.exp = NOW + 61),
        changed(|ask| ask.iat = NOW + 3_600),
        changed(|ask| ask.server = ServerName::new("other").unwrap()),
        changed(|ask| ask.epk = "AA".into()),
        changed(|ask| ask.iss = "another".into()),
        String::new(),
        "a.b.c".into(),
    ] {
        assert_eq!(send(&world, &signed).await.0, 403, "{signed}");
    }
    // The same request again, and one for another server.
    let again = Asking::new(&own, 1, "j-5").signed(&own, ASK_TYP);
    assert_eq!(send(&world, &again).await.0, 200);
    assert_eq!(send(&world, &again).await.0, 403);
    let signed = Asking::new(&own, 1, "j-6").signed(&own, ASK_TYP);
    assert_eq!(send_to(&world, "other", &signed).await.0, 403);
    let gone = AdminAsk::RemoveGateway { name: GatewayName::new("edge").unwrap() };
    world.admin::<Value>(gone).await.unwrap();
    assert_eq!(lent(&world, &own, 1, "j-7").await, Err(403), "removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_registered_by_a_person_and_under_one_name() {
    let (own, other) = (Key::new(21), Key::new(22));
    let world = world(&own).await;
    let add = |key: &Key| AdminAsk::AddGateway { name: GatewayName::new("x").unwrap(), key: key.public.clone() };
    assert!(world.admin::<GatewayRecord>(add(&other)).await.is_err(), "without the PIN");
    assert!(admit(&world, "x", &own).await.is_err(), "under a second name");
    admit(&world, "edge", &own).await.unwrap();
    admit(&world, "edge", &other).await.unwrap();
    assert_eq!(lent(&world, &own, 1, "j-1").await, Err(403), "its former key");
    assert_eq!(lent(&world, &other, 1, "j-2").await, Ok(vec![KEY.to_owned()]));
}

/// Break: keep the data key of a value that was replaced, lend an old version, or lose the new one at a restart.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_replaced_is_gone() {
    let own = Key::new(21);
    let mut world = world(&own).await;
    let keys = |world: &World| std::fs::read_dir(world.path("secrets/keys")).unwrap().count();
    assert_eq!(keys(&world), 1);
    let rotate = AdminAsk::Secret { server: tickets(), rotate: true, whose: Whose::All };
    let shown = ask(&world, rotate, vec![given("bearer", NEXT)]).await.unwrap();
    assert_eq!((shown.secrets.len(), shown.secrets[0].version), (1, 2));
    assert_eq!(keys(&world), 1, "the data key of the first version is destroyed");
    assert_eq!(lent(&world, &own, 1, "j-1").await, Err(503));
    assert_eq!(lent(&world, &own, 2, "j-2").await, Ok(vec![NEXT.to_owned()]));
    // All of it again, from the log alone.
    world.stop().await;
    for name in ["authority.db", "authority.db-wal", "authority.db-shm"] {
        std::fs::remove_file(world.path(name)).unwrap_or_default();
    }
    world.clock.set(NOW + 1);
    world.serve().await;
    assert_eq!(lent(&world, &own, 2, "j-3").await.map_err(|status| status == 403), Err(true), "made before the start");
    world.clock.set(NOW);
    world.restart().await;
    assert_eq!(lent(&world, &own, 2, "j-4").await, Ok(vec![NEXT.to_owned()]));
    // Registered elsewhere: its key is gone, and its version is never given again.
    let AdminAsk::AddServer(mut add) = add_server() else { panic!("another verb") };
    add.upstream = remit_core::registry::Upstream::Http { url: "http://127.0.0.1:2/mcp".into() };
    let shown = ask(&world, AdminAsk::AddServer(add), vec![]).await.unwrap();
    assert_eq!((shown.secrets, keys(&world)), (vec![], 0));
    assert_eq!(lent(&world, &own, 2, "j-5").await, Err(503));
    let put = AdminAsk::Secret { server: tickets(), rotate: false, whose: Whose::All };
    let shown = ask(&world, put, vec![given("bearer", KEY)]).await.unwrap();
    assert_eq!(shown.secrets[0].version, 3);
}

/// Break: bind the seal to less, so that somebody who writes the database moves a key where he can read it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_key_opens_for_its_server_as_it_is_reached_and_nothing_else() {
    let own = Key::new(21);
    let mut world = world(&own).await;
    let database = world.path("authority.db");
    for (sql, version) in [
        ("UPDATE servers SET record = json_set(record, '$.upstream.url', 'http://127.0.0.1:9/mcp')", 1),
        ("UPDATE secrets SET record = json_set(record, '$.version', 2)", 2),
        ("UPDATE secrets SET record = json_set(record, '$.place', 'basic')", 1),
    ] {
        world.stop().await;
        let kept = std::fs::read(&database).unwrap();
        let connection = rusqlite::Connection::open(&database).unwrap();
        assert_eq!(connection.execute(sql, []).unwrap(), 1);
        drop(connection);
        world.serve().await;
        let place = if sql.contains("basic") { "basic" } else { "bearer" };
        let mut asking = Asking::new(&own, version, &format!("j-{sql}").chars().take(100).collect::<String>());
        asking.ask.secrets = vec![Reference { place: place.parse().unwrap(), version, plain: false, own: false }];
        assert_eq!(send(&world, &asking.signed(&own, ASK_TYP)).await.0, 500, "{sql}");
        world.stop().await;
        remit_audit::durable::write(&database, &kept, 0o600).unwrap();
        world.serve().await;
    }
    assert_eq!(lent(&world, &own, 1, "j-1").await, Ok(vec![KEY.to_owned()]), "put back");
}

/// Break: keep the value in the database, in the log's frames, in the bundle or in an answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_lies_on_the_disk_is_sealed() {
    fn below(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
    }
    let own = Key::new(21);
    let world = world(&own).await;
    assert_eq!(lent(&world, &own, 1, "j-1").await, Ok(vec![KEY.to_owned()]));
    let shown: Value = world.admin(AdminAsk::Server { name: tickets() }).await.unwrap();
    let (_, _, bundle) = world.get("/fleet/bundle").await;
    assert!(bundle.contains(r#""secrets":[{"place":"bearer","version":1}]"#));
    // Without the room that a log keeps for later.
    let contents = |path: &std::path::PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        let used: Vec<&[u8]> = bytes.chunks(4_096).filter(|chunk| chunk.iter().any(|byte| *byte != 0)).collect();
        String::from_utf8_lossy(&used.concat()).into_owned()
    };
    let mut all = vec![shown.to_string(), bundle];
    all.extend(below(world.dir.path()).iter().map(contents));
    assert!(all.iter().any(|text| text.contains("tickets")), "the search finds what is there");
    for needle in [KEY.to_owned(), b64(KEY.as_bytes())] {
        assert!(!all.iter().any(|text| text.contains(&needle)), "{needle}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_not_registered_where_it_would_be_read_on_the_way() {
    let world = World::start().await;
    world.set_pin().await;
    let add = |url: &str| {
        let AdminAsk::AddServer(mut add) = add_server() else { panic!("another verb") };
        add.upstream = remit_core::registry::Upstream::Http { url: url.into() };
        AdminAsk::AddServer(add)
    };
    for (url, takes) in [
        ("http://tracker.example/mcp", false),
        ("http://127.0.0.1.tracker.example/mcp", false),
        ("http://10.0.0.1/mcp", false),
        ("http://localhost@tracker.example/mcp", false),
        ("https://tracker.example/mcp", true),
        ("http://127.0.0.1:1/mcp", true),
        ("http://[::1]:1/mcp", true),
        ("http://localhost:1/mcp", true),
    ] {
        let added = ask(&world, add(url), vec![given("bearer", KEY)]).await;
        assert_eq!(added.is_ok(), takes, "{url}");
        // Without one it may be: what is refused registers nothing.
        let shown = ask(&world, AdminAsk::Server { name: tickets() }, vec![]).await;
        if !takes {
            assert!(shown.is_err(), "{url}");
        }
    }
}
