//! Registrations end, owners leave, rules of separation stand: what may not act gets neither a run nor a token.

use super::common::{Key, MANIFEST, NOW, PIN, World, asked, put, request};
use super::delegation::{Party, READER, actor, detail, furnished, root};
use super::teams::{as_person, give, known, refusal};
use remit_authority::change::AgentRecord;
use remit_authority::hygiene::Standing;
use remit_authority::org::{Owned, Renewal};
use remit_authority::socket::client::{self, ClientError};
use remit_authority::socket::wire::{AdminAsk, RegistryAsk, Requested, RunAsk, Spawn, TeamAsk, TokenGiven};
use remit_core::id::ServerName;
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::Revocation;
use serde_json::{Value, json};

const DAY: i64 = 86_400;
const ADA: &str = "ada's own pin";

async fn standings(world: &World, unused_days: i64) -> Vec<Standing> {
    world.admin(AdminAsk::Registry(RegistryAsk::Standings { unused_days })).await.unwrap()
}

fn renew() -> AdminAsk {
    AdminAsk::Registry(RegistryAsk::Renew { agent: "support/triage".into() })
}

async fn read(world: &World) -> Result<Requested, ClientError> {
    world.request(&["tickets/read_ticket"], None).await
}

async fn token(requested: &Requested) -> Result<TokenGiven, ClientError> {
    let socket = requested.socket.clone();
    let ask = RunAsk::Token { server: ServerName::new("tickets").unwrap(), grant: None };
    tokio::task::spawn_blocking(move || client::run(&socket, &ask)).await.unwrap()
}

#[track_caller]
fn frozen(rejection: &Rejection, says: &str, help: &str) {
    assert_eq!(rejection.code, Code::AgentFrozen, "{rejection}");
    assert!(rejection.message.contains(says) && rejection.message.contains("owned by"), "{rejection}");
    assert!(rejection.help.contains(help), "{}", rejection.help);
}

/// Break: let a registration hold for ever, renew it for whoever asks, or give tokens after its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_ends_is_spoken_of_before_and_is_renewed_by_its_owner() {
    let world = World::start().await;
    world.furnish().await;
    let agents: Vec<AgentRecord> = world.admin(AdminAsk::Agents {}).await.unwrap();
    assert_eq!(agents[0].expires, Some(NOW + 90 * DAY));
    assert_eq!(read(&world).await.unwrap().warning, None);
    world.clock.set(NOW + 76 * DAY);
    let warning = read(&world).await.unwrap().warning.unwrap();
    assert!(warning.contains("ends in 14 days") && warning.contains("remit agent renew support/triage"), "{warning}");
    assert!(standings(&world, 365).await[0].stale[0].contains("ends in 14 days"));
    // A run that is live at the end gets no further token.
    world.clock.set(NOW + 90 * DAY - 60);
    let live = read(&world).await.unwrap();
    token(&live).await.unwrap();
    world.clock.set(NOW + 90 * DAY);
    frozen(&refusal(read(&world).await), "support/triage@1 is over since 0 days", "remit agent renew support/triage");
    frozen(&refusal(token(&live).await), "is over since 0 days", "remit agent renew support/triage");
    let key = Key::new(1);
    refusal(world.request(&["tickets/read_ticket"], Some(&key)).await);
    assert!(standings(&world, 365).await[0].frozen.is_some());
    // Its owner renews it with a PIN; a stranger does not, and nobody without one.
    assert_eq!(refusal(world.admin::<Renewal>(renew()).await).code, Code::AdminRequired);
    known(&world, "ada", ADA).await;
    assert_eq!(refusal(as_person::<Renewal>(&world, "ada", Some(ADA), renew()).await).code, Code::RoleRequired);
    give(&world, "support/owner", "ada").await;
    let renewed: Renewal = as_person(&world, "ada", Some(ADA), renew()).await.unwrap();
    assert_eq!(renewed.until, NOW + 180 * DAY);
    token(&live).await.unwrap();
    read(&world).await.unwrap();
    // What its manifest says is for how long, within a year.
    let short = MANIFEST.replace("purpose", "expires = \"7d\"\npurpose");
    world.register(&short).await.unwrap();
    assert_eq!(standings(&world, 365).await[0].expires, NOW + 97 * DAY);
    assert_eq!(refusal(world.register(&short.replace("7d", "366d")).await).code, Code::RequestInvalid);
}

/// Break: take what is registered once more for what was seen, although it was over.
#[tokio::test(flavor = "multi_thread")]
async fn registering_again_is_no_way_around_a_renewal() {
    let world = World::start().await;
    world.furnish().await;
    let risky = MANIFEST.replace("purpose", "bearer = true\npurpose").replace("triage", "risky");
    let risky = || AdminAsk::RegisterAgent { manifest: risky.clone() };
    let _first: Value = world.admin_pin(risky(), Some(PIN)).await.unwrap();
    world.clock.set(NOW + 90 * DAY - 1);
    let _still: Value = world.admin(risky()).await.unwrap();
    world.clock.set(NOW + 180 * DAY - 1);
    assert_eq!(refusal(world.admin::<Value>(risky()).await).code, Code::AdminRequired);
    let _seen: Value = world.admin_pin(risky(), Some(PIN)).await.unwrap();
}

/// Break: let a registration of a release that knew no end hold for ever, or be over at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_without_an_end_gets_one_when_the_authority_opens() {
    let mut world = World::start().await;
    world.furnish().await;
    world.stop().await;
    let database = rusqlite::Connection::open(world.path("authority.db")).unwrap();
    assert_eq!(database.execute("UPDATE agents SET expires = NULL", []).unwrap(), 1);
    drop(database);
    world.clock.set(NOW + 200 * DAY);
    world.serve().await;
    assert_eq!(standings(&world, 365).await[0].expires, NOW + 290 * DAY);
    read(&world).await.unwrap();
    // It is an entry of the log: the same after the database was lost.
    world.stop().await;
    for file in ["authority.db", "authority.db-wal", "authority.db-shm"] {
        std::fs::remove_file(world.path(file)).ok();
    }
    world.clock.set(NOW + 210 * DAY);
    world.serve().await;
    assert_eq!(standings(&world, 365).await[0].expires, NOW + 290 * DAY);
}

/// Break: show only what is over, or what was used in another version.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_uses_is_shown() {
    let world = World::start().await;
    world.furnish().await;
    let stale = async |days| standings(&world, days).await.remove(0).stale;
    world.clock.set(NOW + 9 * DAY);
    assert_eq!(stale(10).await, [""; 0]);
    world.clock.set(NOW + 10 * DAY);
    assert!(stale(10).await[0].contains("unused for 10 days"));
    read(&world).await.unwrap();
    let left = stale(10).await;
    assert!(left[0].contains("declared and never asked for: tickets/reply;"), "{left:?}");
    let _run = world.request(&["tickets/reply"], None).await.unwrap();
    assert_eq!(stale(10).await, [""; 0]);
}

/// Break: let what nobody owns act on, or be had by whoever asks.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_owns_is_frozen_and_thawed_by_a_new_owner() {
    let world = World::start().await;
    world.furnish().await;
    known(&world, "ada", ADA).await;
    known(&world, "bob", "bob's own pin").await;
    let add = |name: &str| AdminAsk::Team(TeamAsk::Add { name: name.parse().unwrap() });
    let _b: Value = as_person(&world, "ada", Some(ADA), add("b")).await.unwrap();
    let manifest = MANIFEST.replace("\"support\"", "\"b\"");
    let _agent: Value = as_person(&world, "ada", Some(ADA), AdminAsk::RegisterAgent { manifest }).await.unwrap();
    let ask = || {
        let mut ask = request(&["tickets/read_ticket"], None);
        if let AdminAsk::Request(request) = &mut ask {
            request.agent = "b/triage".into();
        }
        ask
    };
    let live: Requested = world.admin(ask()).await.unwrap();
    token(&live).await.unwrap();
    // She leaves.
    let gone = AdminAsk::Team(TeamAsk::RemovePerson { name: "ada".into() });
    let _done: Value = world.admin_pin(gone, Some(PIN)).await.unwrap();
    let help = "remit agent own b/triage --team TEAM";
    frozen(&refusal(world.admin::<Requested>(ask()).await), "nobody owns the team `b`", help);
    frozen(&refusal(token(&live).await), "nobody owns the team `b`", help);
    assert!(standings(&world, 365).await[0].frozen.as_ref().is_some_and(|why| why.contains("nobody owns")));
    // Nobody helps himself to it.
    let own =
        |team: &str| AdminAsk::Registry(RegistryAsk::Own { agent: "b/triage".into(), team: team.parse().unwrap() });
    let _c: Value = as_person(&world, "bob", Some("bob's own pin"), add("c")).await.unwrap();
    let refused = refusal(as_person::<Owned>(&world, "bob", Some("bob's own pin"), own("c")).await);
    assert_eq!(refused.code, Code::RoleRequired, "{refused}");
    for nobodys in ["b", "x"] {
        refusal(world.admin_pin::<Owned>(own(nobodys), Some(PIN)).await);
    }
    let _owned: Owned = world.admin_pin(own("c"), Some(PIN)).await.unwrap();
    token(&live).await.unwrap();
    let _run: Requested = world.admin(ask()).await.unwrap();
    let renew = AdminAsk::Registry(RegistryAsk::Renew { agent: "b/triage".into() });
    let _renewed: Renewal = as_person(&world, "bob", Some("bob's own pin"), renew).await.unwrap();
    // And whoever answers for it registers it, though its name is another team's.
    let manifest = MANIFEST.replace("\"support\"", "\"b\"").replace("15m", "20m");
    let _wider: Value =
        as_person(&world, "bob", Some("bob's own pin"), AdminAsk::RegisterAgent { manifest }).await.unwrap();
    // A team that is given up freezes too, and comes back by the platform alone.
    let remove = AdminAsk::Team(TeamAsk::Remove { name: "c".parse().unwrap() });
    let _left: Value = as_person(&world, "bob", Some("bob's own pin"), remove).await.unwrap();
    frozen(&refusal(token(&live).await), "nobody owns the team `c`", help);
    assert_eq!(
        refusal(as_person::<Value>(&world, "bob", Some("bob's own pin"), add("c")).await).code,
        Code::RoleRequired
    );
    let _back: Value = world.admin_pin(add("c"), Some(PIN)).await.unwrap();
    token(&live).await.unwrap();
}

const RULE: &str = "[[rule]]\nid = \"customer-data-does-not-answer\"\ntags = [\"customer-data\"]\nnever = [\"tickets/reply\"]\n\
                    owner = \"agent-security\"\nwhy = \"who reads must not write\"\n";

/// Break: judge at registration alone, at the grant alone, or go on without rules where they cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn duties_that_are_separated_stay_so() {
    let mut world = World::start().await;
    world.furnish().await;
    let tagged = MANIFEST.replace("purpose", "tags = [\"customer-data\"]\npurpose");
    world.register(&tagged).await.unwrap();
    let held = world.request(&["tickets/reply"], None).await.unwrap();
    let file = world.path("policies/floor/separation.toml");
    put(&file, RULE);
    let _issued: Value = world.admin(AdminAsk::Reload {}).await.unwrap();
    let says = "may not have tickets/reply, by the rule `customer-data-does-not-answer`: who reads must not write; owned by \
                agent-security";
    frozen(&refusal(world.register(&tagged).await), says, "split it into two agents");
    // What was registered before the rule gets nothing of it, and no token for what it has.
    frozen(&refusal(world.request(&["tickets/reply"], None).await), says, "split it");
    frozen(&refusal(token(&held).await), says, "split it");
    read(&world).await.unwrap();
    assert!(standings(&world, 365).await[0].stale[0].contains("customer-data-does-not-answer"));
    let (reads, _) = tagged.rsplit_once("[[need]]").unwrap();
    world.register(reads).await.unwrap();
    // A tag is not dropped by whoever is kept from something by it.
    let untagged = reads.replace("tags = [\"customer-data\"]\n", "");
    assert!(refusal(world.register(&untagged).await).message.contains("a tag less"));
    // Rules that cannot be read: the last ones stand, and after a start without any nothing is granted.
    put(&file, "[[rule]]\nid = 1");
    refusal(world.admin::<Value>(AdminAsk::Reload {}).await);
    frozen(&refusal(world.register(&tagged).await), says, "split it");
    world.restart().await;
    let refused = refusal(read(&world).await);
    assert!(refused.message.contains("separation.toml of the floor could not be read"), "{refused}");
}

/// Break: hand on what a rule keeps from the one who gets it.
#[tokio::test(flavor = "multi_thread")]
async fn a_helper_is_kept_apart_too_and_a_frozen_one_begins_nothing() {
    let world = furnished().await;
    let run: Party = root(&world, 1).await;
    let own = run.token(&world).await;
    let reader = |extra: &str| {
        let manifest = MANIFEST.replace("triage", "reader").replace("purpose", &format!("{extra}\npurpose"));
        manifest.rsplit_once("[[need]]").unwrap().0.to_owned()
    };
    world.register(&reader("tags = [\"customer-data\"]")).await.unwrap();
    put(&world.path("policies/floor/separation.toml"), &RULE.replace("tickets/reply", "tickets/read_ticket"));
    let _issued: Value = world.admin(AdminAsk::Reload {}).await.unwrap();
    let details = detail(r#"{"read_ticket":{}}"#);
    let hand = async |seed| {
        let actor = actor(&Key::new(seed), READER, NOW);
        run.hand(&world, &own, &actor, &[("authorization_details", &details)]).await
    };
    let (status, answer) = hand(5).await;
    assert_eq!((status, &answer["error"]), (400, &json!("actor_unauthorized")), "{answer}");
    std::fs::remove_file(world.path("policies/floor/separation.toml")).unwrap();
    let _issued: Value = world.admin(AdminAsk::Reload {}).await.unwrap();
    assert_eq!(hand(6).await.0, 200);
}

/// Break: grant what was needed until yesterday, or until after its last day.
#[tokio::test(flavor = "multi_thread")]
async fn a_need_ends_with_its_last_day() {
    let world = World::start().await;
    world.furnish().await;
    let until = MANIFEST.replacen("longest = \"15m\"", "longest = \"15m\"\nuntil = \"2026-11-21\"", 1);
    world.register(&until).await.unwrap();
    let midnight = NOW - NOW % DAY + DAY;
    world.clock.set(midnight - 900);
    read(&world).await.unwrap();
    world.clock.set(midnight - 899);
    let refused = refusal(read(&world).await);
    assert_eq!(
        (refused.code, refused.help.lines().next()),
        (Code::GrantIncomplete, Some("ask for less: --for 899s")),
        "{refused}"
    );
    world.clock.set(midnight);
    let refused = refusal(read(&world).await);
    assert!(refused.message.contains("needs `tickets/read_ticket` until 2026-11-21, and that is over"), "{refused}");
    let _other = world.request(&["tickets/reply"], None).await.unwrap();
    assert!(standings(&world, 365).await[0].stale[0].contains("the need tickets/read_ticket was over"));
}

fn veto(lift: bool, why: &str) -> AdminAsk {
    AdminAsk::Registry(RegistryAsk::Veto { agent: "support/triage@1".into(), lift, why: why.into() })
}

/// Break: let the platform lift it, stop another version, or stop staging too.
#[tokio::test(flavor = "multi_thread")]
async fn a_veto_stops_one_version_in_production_until_the_same_role_lifts_it() {
    let world = World::start().await;
    world.furnish().await;
    for (name, pin) in [("ada", ADA), ("sam", "sam's own pin")] {
        known(&world, name, pin).await;
    }
    let sam = |ask| as_person::<Revocation>(&world, "sam", Some("sam's own pin"), ask);
    let refused = refusal(world.admin_pin::<Revocation>(veto(false, "INC"), Some(PIN)).await);
    assert_eq!(refused.code, Code::RoleRequired);
    assert!(refused.help.contains("remit role give agent-security PERSON"), "{}", refused.help);
    give(&world, "agent-security", "sam").await;
    give(&world, "platform", "ada").await;
    assert!(refusal(sam(veto(false, " ")).await).message.contains("a veto has a reason"));
    // Of staging: recorded, and it changes nothing there.
    sam(veto(false, "INC-42")).await.unwrap();
    let staging = read(&world).await.unwrap();
    token(&staging).await.unwrap();
    world.register(&MANIFEST.replace("triage", "reader")).await.unwrap();
    let spawn = Spawn { agent: "support/reader".into(), asked: asked(&["tickets/read_ticket"]), pid: None };
    let (socket, spawn) = (staging.socket.clone(), RunAsk::Spawn(Box::new(spawn)));
    let helper = tokio::task::spawn_blocking(move || client::run::<Requested>(&socket, &spawn)).await.unwrap().unwrap();
    token(&helper).await.unwrap();
    let production = MANIFEST.replace("purpose", "environment = \"production\"\npurpose");
    let register = |manifest: String| world.admin_pin::<Value>(AdminAsk::RegisterAgent { manifest }, Some(PIN));
    register(production.clone()).await.unwrap();
    frozen(&refusal(read(&world).await), "support/triage@1 is vetoed in production", "veto support/triage@1 --lift");
    frozen(
        &refusal(token(&staging).await),
        "is vetoed in production",
        "agent-security".trim_start_matches("agent-security"),
    );
    let refused = refusal(token(&helper).await);
    assert!(refused.message.contains("the agent, or one that it acts for, is vetoed in production"), "{refused}");
    register(production.replace("version = \"1\"", "version = \"2\"")).await.unwrap();
    let next = read(&world).await.unwrap();
    assert_eq!(next.run.agent.version.as_str(), "2");
    token(&next).await.unwrap();
    // The role that stopped it lets it go on, and no other.
    for (person, pin) in [("ada", ADA)] {
        let refused = refusal(as_person::<Revocation>(&world, person, Some(pin), veto(true, "")).await);
        assert_eq!((refused.code, refused.help.contains("sam")), (Code::RoleRequired, true), "{refused}");
    }
    refusal(world.admin_pin::<Revocation>(veto(true, ""), Some(PIN)).await);
    sam(veto(true, "")).await.unwrap();
    token(&staging).await.unwrap();
    refusal(sam(veto(true, "")).await);
}
