//! What is held: listed, renewed within what still allows it, given back early.

use std::path::PathBuf;

use super::common::{MANIFEST, NOW, PIN, World, asked};
use super::http::page;
use super::teams::{as_person, known, refusal};
use remit_authority::grant::Asked;
use remit_authority::held::{Held, Whose};
use remit_authority::socket::client::{self, ClientError};
use remit_authority::socket::wire::{
    AdminAsk, GrantAsk, HeldAsk, Request, Requested, RunAsk, RunStatus, Status, TokenGiven,
};
use remit_core::id::{GrantId, ServerName, ToolName};
use remit_core::identify::verify;
use remit_core::rejection::Code;
use remit_core::revoked::{Kind, Revocation, Revoked};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) async fn run<R: DeserializeOwned + Send + 'static>(of: &Requested, ask: RunAsk) -> Result<R, ClientError> {
    let socket: PathBuf = of.socket.clone();
    tokio::task::spawn_blocking(move || client::run(&socket, &ask)).await.unwrap()
}

pub(crate) async fn held<R: DeserializeOwned + Send + 'static>(of: &Requested, ask: HeldAsk) -> Result<R, ClientError> {
    run(of, RunAsk::Held(ask)).await
}

pub(crate) fn only(tool: &str, id: i64, duration: &str) -> Asked {
    let only = json!({ "argument": "id", "constraint": { "constraint_type": "exact", "value": id } });
    let constraints = vec![serde_json::from_value(only).unwrap()];
    Asked { constraints, duration: duration.into(), ..asked(&[tool]) }
}

/// A grant within the ceiling, for five minutes.
async fn part(of: &Requested) -> Requested {
    run(of, RunAsk::Request { asked: only("tickets/read_ticket", 4, "5m") }).await.unwrap()
}

fn renew(grant: &GrantId, duration: &str) -> HeldAsk {
    HeldAsk::Renew { grant: grant.clone(), duration: duration.into() }
}

pub(crate) async fn token(of: &Requested, grant: &GrantId) -> Result<TokenGiven, ClientError> {
    let server = ServerName::new("tickets").unwrap();
    run(of, RunAsk::Token { server, grant: Some(grant.clone()) }).await
}

async fn list(world: &World, whose: Whose) -> Vec<Held> {
    world.admin(AdminAsk::Grant(GrantAsk::List(whose))).await.unwrap()
}

fn menu(expose: &[&str], hide: &[&str]) -> AdminAsk {
    let tools = |names: &[&str]| names.iter().map(|name| ToolName::new(*name).unwrap()).collect();
    AdminAsk::Menu { server: ServerName::new("tickets").unwrap(), expose: tools(expose), hide: tools(hide) }
}

async fn furnished() -> (World, Requested) {
    let world = World::start().await;
    world.furnish().await;
    let root = world.request(&["tickets/read_ticket", "tickets/reply"], None).await.unwrap();
    (world, root)
}

/// Break: list what was taken back, what is over, or what is somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_listed_with_its_limits_and_the_time_that_is_left() {
    let (world, root) = furnished().await;
    let other = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let part = part(&root).await;
    world.clock.set(NOW + 60);
    let said = |held: &[Held]| -> Vec<(String, i64, bool)> {
        held.iter().map(|one| (one.tools.join(","), one.left_s, one.grant.ceiling)).collect()
    };
    let both = ("tickets/read_ticket,tickets/reply".to_owned(), 840, true);
    let one = ("tickets/read_ticket".to_owned(), 240, false);
    let inside: Vec<Held> = held(&root, HeldAsk::List {}).await.unwrap();
    assert_eq!(said(&inside), [both.clone(), one.clone()]);
    assert_eq!(inside[1].constraints.as_deref(), Some(&["id=4".to_owned()][..]));
    let all = list(&world, Whose::default()).await;
    assert_eq!(said(&all), [both.clone(), ("tickets/read_ticket".into(), 840, true), one]);
    let of = |run: &Requested| Whose { run: Some(run.run.id.clone()), ..Whose::default() };
    assert_eq!(list(&world, of(&root)).await, inside);
    for (agent, count) in [("support/triage", 3), ("support/triage@1", 3), ("support/triage@2", 0), ("support", 0)] {
        let whose = Whose { agent: Some(agent.into()), ..Whose::default() };
        assert_eq!(list(&world, whose).await.len(), count, "{agent}");
    }
    for (person, count) in [(all[0].person.clone(), 3), (root.run.principal.to_string(), 3), ("ada".into(), 0)] {
        let whose = Whose { person: Some(person.clone()), ..Whose::default() };
        assert_eq!(list(&world, whose).await.len(), count, "{person}");
    }
    // What was taken back is not held, nor what a run held that ended.
    let gone = AdminAsk::Revoke { kind: Kind::Grant, id: part.grant.id.to_string(), why: "x".into() };
    let _done: Revocation = world.admin(gone).await.unwrap();
    let _done: Value = world.admin(AdminAsk::End { run: other.run.id.clone() }).await.unwrap();
    assert_eq!(said(&list(&world, Whose::default()).await), [both]);
    let status: RunStatus = run(&root, RunAsk::Status {}).await.unwrap();
    assert_eq!(status.grants.len(), 1);
    let over = world.admin::<Vec<Held>>(AdminAsk::Grant(GrantAsk::List(of(&other)))).await;
    assert_eq!(refusal(over).code, Code::TokenExpired);
    world.clock.set(NOW + 900);
    assert_eq!(list(&world, Whose::default()).await, []);
}

/// Break: take the end that is asked for as it is, judge by the grant alone, or renew a ceiling.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_renewed_within_its_ceiling_and_the_manifest_and_never_wider() {
    let (mut world, root) = furnished().await;
    let part = part(&root).await;
    let id = &part.grant.id;
    world.clock.set(NOW + 120);
    let renewed: Requested = held(&root, renew(id, "5m")).await.unwrap();
    assert_eq!((renewed.grant.until, &renewed.grant.details), (NOW + 420, &part.grant.details));
    let expires = |given: TokenGiven| given.expires_in;
    assert_eq!(token(&root, id).await.map(expires).unwrap(), 300);
    let shorter = refusal(held::<Requested>(&root, renew(id, "4m")).await);
    assert!(shorter.message.contains("the grant holds for 300s"), "{shorter}");
    let longer = refusal(held::<Requested>(&root, renew(id, "15m")).await);
    assert_eq!((longer.code, longer.help.as_str()), (Code::InsufficientScope, "ask for at most that: --for 780s"));
    assert_eq!(refusal(held::<Requested>(&root, renew(id, "16m")).await).code, Code::GrantIncomplete);
    assert_eq!(refusal(held::<Requested>(&root, renew(id, "soon")).await).code, Code::GrantIncomplete);
    // As long as may be: to the end of the run, which is before the longest time of the manifest.
    let longest: Requested = held(&root, renew(id, "")).await.unwrap();
    assert_eq!(longest.grant.until, root.grant.until);
    // What it was launched with ends when it was said to.
    let ceiling = refusal(held::<Requested>(&root, renew(&root.grant.id, "5m")).await);
    assert_eq!(ceiling.code, Code::InsufficientScope);
    let again = "remit request tickets/read_ticket tickets/reply --for 15m --why debugging --agent support/triage@1";
    assert!(ceiling.help.ends_with(again), "{}", ceiling.help);
    // The log has it: the database is what it adds up to.
    world.stop().await;
    for name in ["authority.db", "authority.db-wal", "authority.db-shm"] {
        std::fs::remove_file(world.path(name)).ok();
    }
    world.serve().await;
    let all = list(&world, Whose::default()).await;
    assert_eq!(all.iter().map(|one| one.grant.until).collect::<Vec<_>>(), [NOW + 900, NOW + 900]);
}

/// Break: renew by what was true when it was granted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_renewed_is_judged_by_what_is_true_now() {
    let (world, root) = furnished().await;
    let part = part(&root).await;
    let other = world.request(&["tickets/reply"], None).await.unwrap();
    let id = &part.grant.id;
    world.clock.set(NOW + 120);
    let code =
        async |of: &Requested| held::<Requested>(of, renew(id, "5m")).await.map_err(|e| refusal(Err::<(), _>(e)).code);
    assert_eq!(code(&other).await.unwrap_err(), Code::RequestInvalid, "it is another run's");
    let _hidden: Value = world.admin(menu(&[], &["read_ticket"])).await.unwrap();
    assert_eq!(code(&root).await.unwrap_err(), Code::Unknown);
    let _shown: Value = world.admin_pin(menu(&["read_ticket"], &[]), Some(PIN)).await.unwrap();
    world.register(&MANIFEST.replace("tickets/read_ticket", "tickets/delete_ticket")).await.unwrap_err();
    let (head, _) = MANIFEST.split_once("[[need]]").unwrap();
    world.register(head).await.unwrap();
    assert_eq!(code(&root).await.unwrap_err(), Code::ScopeUndeclared);
    world.admin_pin::<Value>(AdminAsk::RegisterAgent { manifest: MANIFEST.into() }, Some(PIN)).await.unwrap();
    // Somebody else's is renewed and given back by the platform alone.
    known(&world, "ada", "ada's own pin").await;
    for ask in [GrantAsk::Renew { grant: id.clone(), duration: "5m".into() }, GrantAsk::Return { grant: id.clone() }] {
        let refused = as_person::<Value>(&world, "ada", Some("ada's own pin"), AdminAsk::Grant(ask)).await;
        assert_eq!(refusal(refused).code, Code::RoleRequired);
    }
    let ask = AdminAsk::Grant(GrantAsk::Renew { grant: id.clone(), duration: "6m".into() });
    let renewed: Requested = world.admin(ask).await.unwrap();
    assert_eq!(renewed.grant.until, NOW + 480);
    world.clock.set(NOW + 480);
    assert_eq!(code(&root).await.unwrap_err(), Code::TokenExpired);
}

/// Break: forget it in the database alone, where no gateway hears of it; or let another run give it back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_is_refused_at_once() {
    let (world, root) = furnished().await;
    let part = part(&root).await;
    let other = world.request(&["tickets/reply"], None).await.unwrap();
    let back = |grant: &GrantId| HeldAsk::Return { grant: grant.clone() };
    let given = token(&root, &part.grant.id).await.unwrap();
    let keys = super::http::bundle(&world).await.bundle.keys;
    let claims = verify(&keys, &given.access_token).unwrap().claims().clone();
    assert_eq!(refusal(held::<Revocation>(&other, back(&part.grant.id)).await).code, Code::RequestInvalid);
    let done: Revocation = held(&root, back(&part.grant.id)).await.unwrap();
    assert_eq!((done.kind, done.id.as_str()), (Kind::Grant, part.grant.id.as_str()));
    let mut revoked = Revoked::default();
    for entry in page(&world, 0).await.entries {
        revoked.apply(entry).unwrap();
    }
    assert_eq!(revoked.token(&claims), Some(Kind::Grant));
    assert_eq!(refusal(token(&root, &part.grant.id).await).code, Code::Revoked);
    assert_eq!(refusal(held::<Revocation>(&root, back(&part.grant.id)).await).code, Code::Revoked);
    assert_eq!(refusal(held::<Requested>(&root, renew(&part.grant.id, "10m")).await).code, Code::Revoked);
    // The run goes on with what else it has, and ends with what it was launched with.
    token(&root, &root.grant.id).await.unwrap();
    let ask = AdminAsk::Grant(GrantAsk::Return { grant: root.grant.id.clone() });
    let _done: Revocation = world.admin(ask).await.unwrap();
    assert!(!root.socket.exists());
}

/// Break: take the time of another kind of grant, or none.
#[tokio::test(flavor = "multi_thread")]
async fn how_long_each_grant_took_is_recorded_and_summed_up() {
    let (mut world, root) = furnished().await;
    assert!(root.grant.took_us.is_some_and(|took| took > 0));
    let part = part(&root).await;
    let most = root.grant.took_us.max(part.grant.took_us);
    world.restart().await;
    let status: Status = world.admin(AdminAsk::Status {}).await.unwrap();
    let times = status.request_to_grant;
    assert_eq!((times.immediate.count, times.immediate.p99_us), (2, most));
    assert_eq!(times.immediate.p50_us, root.grant.took_us.min(part.grant.took_us));
    assert_eq!((times.asked.count, times.asked.p50_us), (0, None));
}

/// Break: offer what was never used, what is wider, or an offer where nothing is known.
#[tokio::test(flavor = "multi_thread")]
async fn what_past_use_would_have_needed_is_offered() {
    let (world, _) = furnished().await;
    let begin = async |asked: Asked| -> Result<Requested, ClientError> {
        let (agent, principal, pid, key) = ("support/triage".into(), None, None, None);
        let request = Request { agent, asked, principal, pid, key, golden: false };
        world.admin(AdminAsk::Request(Box::new(request))).await
    };
    let wide = || asked(&["tickets/read_ticket"]);
    for id in [4, 7, 4] {
        let of = begin(only("tickets/read_ticket", id, "5m")).await.unwrap();
        assert_eq!(begin(wide()).await.unwrap().narrower, None, "too little is known");
        token(&of, &of.grant.id).await.unwrap();
    }
    // What was granted and never used says nothing: this one's 9 is not in the offer.
    begin(only("tickets/read_ticket", 9, "15m")).await.unwrap();
    let offer = "remit request tickets/read_ticket --for 5m --why debugging --where 'id=4|7' --agent support/triage@1";
    assert_eq!(begin(wide()).await.unwrap().narrower.as_deref(), Some(offer));
    // Who asks for that, or for less, hears nothing of it.
    assert_eq!(begin(only("tickets/read_ticket", 4, "5m")).await.unwrap().narrower, None);
    // A refusal offers it too.
    let refused = refusal(begin(Asked { duration: "2h".into(), ..wide() }).await);
    assert!(refused.code == Code::GrantIncomplete && refused.help.contains(offer), "{}", refused.help);
    let refused = refusal(begin(asked(&["tickets/read_ticket", "tickets/delete_ticket"])).await);
    assert!(refused.code == Code::ScopeUndeclared && refused.help.contains(offer), "{}", refused.help);
    // It is not on the menu, so a person is not asked for it; nor is anybody for what is declared, and shorter.
    assert!(!refused.help.contains("--ask"), "{}", refused.help);
}
