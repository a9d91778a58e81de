//! Asking a person for more than policy grants: who is asked, who answers, and what comes of it.

use super::common::{MANIFEST, NOW, PIN, World, asked, put};
use super::grants::{held, only, run, token};
use super::teams::{as_person, give, known, refusal};
use remit_authority::asks::record::{AskRecord, AskState, Asking};
use remit_authority::grant::Asked;
use remit_authority::socket::client::ClientError;
use remit_authority::socket::wire::{
    AdminAsk, Answered, Approval, GrantAsk, HeldAsk, Request, Requested, RunAsk, Status, Word,
};
use remit_core::id::ServerName;
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::Kind;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Each one's PIN.
const OWN: &str = "a pin for each";
/// An agent that declares to read, and nothing else.
fn reader() -> String {
    let (head, _) = MANIFEST.split_once("[[need]]\ntool = \"tickets/reply\"").unwrap();
    head.replace("triage", "reader")
}

/// `reply` is of T2 and of the platform's server, so the platform is asked: ada and bob, with eve as deputy.
async fn furnished() -> World {
    let world = World::start().await;
    world.furnish().await;
    furnish(&world).await;
    world
}

pub(crate) async fn furnish(world: &World) {
    world.register(&reader()).await.unwrap();
    for person in ["ada", "bob", "eve", "joe"] {
        known(world, person, OWN).await;
    }
    for (role, person) in [("platform", "ada"), ("platform", "bob"), ("platform/deputy", "eve")] {
        give(world, role, person).await;
    }
}

fn request(asked: Asked) -> Request {
    Request { agent: "support/reader".into(), asked, principal: None, pid: None, key: None, golden: false }
}

pub(crate) async fn begin(world: &World) -> Requested {
    world.admin(AdminAsk::Request(Box::new(request(asked(&["tickets/read_ticket"]))))).await.unwrap()
}

/// A run that asks to answer ticket 4.
pub(crate) async fn within(of: &Requested) -> Result<Asking, ClientError> {
    held(of, HeldAsk::Ask { asked: only("tickets/reply", 4, "5m") }).await
}

pub(crate) fn opened(asking: Asking) -> AskRecord {
    assert_eq!(asking.granted, None);
    asking.ask.unwrap().ask
}

async fn says<R: DeserializeOwned + Send + 'static>(
    world: &World,
    person: &'static str,
    ask: &AskRecord,
    allow: bool,
) -> Result<R, ClientError> {
    let (id, digest) = (ask.id.to_lowercase().replace('-', ""), Some(ask.digest.clone()));
    let said = Word { id, allow, why: "one answer".into(), duration: String::new(), digest };
    as_person(world, person, Some(OWN), AdminAsk::Answer(said)).await
}

pub(crate) async fn state(of: &Requested, ask: &AskRecord) -> Asking {
    held(of, HeldAsk::Asked { id: ask.id.clone() }).await.unwrap()
}

async fn waiting(world: &World) -> usize {
    world.admin::<Vec<Approval>>(AdminAsk::Approvals {}).await.unwrap().len()
}

#[track_caller]
fn refused<T>(result: Result<T, ClientError>, code: Code) -> Rejection {
    let refused = refusal(result);
    assert_eq!(refused.code, code, "{refused}");
    refused
}

/// Break: grant something else than was shown, more than once, or for longer; or let it widen the ceiling.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_asks_for_is_granted_once_as_shown_when_another_person_allows_it() {
    let mut world = furnished().await;
    let of = begin(&world).await;
    let ask = opened(within(&of).await.unwrap());
    assert_eq!((ask.role.to_string().as_str(), ask.state, ask.until), ("platform", AskState::Open, NOW + 900));
    assert!(ask.beyond.contains("does not declare tickets/reply"), "{}", ask.beyond);
    // Asked twice, it is one ask.
    assert_eq!(opened(within(&of).await.unwrap()), ask);
    world.clock.set(NOW + 90);
    let answered: Answered = says(&world, "ada", &ask, true).await.unwrap();
    let Approval::Scope(shown) = answered.approval else { panic!("it is an ask") };
    assert_eq!((shown.ask.state, shown.ask.digest == ask.digest), (AskState::Granted, true));
    refused(says::<Value>(&world, "bob", &ask, true).await, Code::RequestInvalid);
    let given = state(&of, &ask).await.granted.unwrap();
    let grant = given.grant;
    assert_eq!((&grant.details, grant.until, grant.ceiling), (&ask.details, NOW + 390, false));
    assert_eq!((grant.by.as_str(), grant.ask.as_ref()), (shown.ask.answered_by.unwrap().as_str(), Some(&ask.id)));
    assert_eq!(token(&of, &grant.id).await.unwrap().authorization_details, ask.details);
    // It is beside the ceiling, and no part of it: what a run may ask for, and hand on, is as before.
    let more = RunAsk::Request { asked: only("tickets/reply", 4, "1m") };
    refused(run::<Requested>(&of, more).await, Code::ScopeUndeclared);
    let server = ServerName::new("tickets").unwrap();
    let ceiling: Value = run(&of, RunAsk::Token { server, grant: None }).await.unwrap();
    assert_eq!(ceiling["authorization_details"][0]["tools"].as_object().unwrap().len(), 1);
    let renew = HeldAsk::Renew { grant: grant.id.clone(), duration: "10m".into() };
    refused(held::<Requested>(&of, renew).await, Code::InsufficientScope);
    // It ends by itself, and how long it took is known.
    world.clock.set(NOW + 390);
    refused(token(&of, &grant.id).await, Code::TokenExpired);
    assert_eq!(state(&of, &ask).await.granted, None);
    world.restart().await;
    let times = world.admin::<Status>(AdminAsk::Status {}).await.unwrap().request_to_grant;
    assert_eq!((times.asked.count, times.asked.p50_us), (1, Some(90_000_000)));
}

/// Break: let whoever asks, for whom it is, or who owns the agent answer; or anybody without the role.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_who_owns_and_for_whom_it_is_do_not_answer() {
    let world = furnished().await;
    // bob asks, for joe; joe and ada hold the role too, and ada owns the agent. eve is the deputy.
    give(&world, "support/owner", "ada").await;
    for person in ["joe", "eve"] {
        give(&world, "platform", person).await;
    }
    known(&world, "kim", OWN).await;
    give(&world, "platform/deputy", "kim").await;
    let wanted = Request { principal: Some("joe".into()), ..request(only("tickets/reply", 4, "5m")) };
    let wanted = || AdminAsk::Grant(GrantAsk::Ask(Box::new(wanted.clone())));
    let asking: Asking = as_person(&world, "bob", Some(OWN), wanted()).await.unwrap();
    assert_eq!(asking.ask.as_ref().unwrap().people, ["eve", "kim"]);
    let ask = opened(asking);
    for person in ["bob", "joe", "ada"] {
        for allow in [true, false] {
            let refused = refused(says::<Value>(&world, person, &ask, allow).await, Code::RoleRequired);
            assert!(refused.help.contains("eve, kim"), "{person} {refused}");
        }
    }
    known(&world, "zoe", OWN).await;
    let other = refused(says::<Value>(&world, "zoe", &ask, true).await, Code::RoleRequired);
    assert!(other.message.contains("belongs to platform or platform/deputy"), "{other}");
    // The administrators' PIN stands for the platform, and for nobody: a word on an ask is a person's.
    let said = Word { id: ask.id.clone(), allow: true, why: "x".into(), duration: String::new(), digest: None };
    let nobody = refusal(world.admin_pin::<Value>(AdminAsk::Answer(said.clone()), Some(PIN)).await);
    assert!(nobody.code == Code::RoleRequired && nobody.help.contains("--as NAME"), "{nobody}");
    // What it is about was not shown, there is no reason, or it would hold longer than it was asked for.
    for (other, code) in [
        (Word { digest: Some("sha256:00".into()), ..said.clone() }, Code::RequestInvalid),
        (Word { why: " ".into(), ..said.clone() }, Code::GrantIncomplete),
        (Word { duration: "1h".into(), ..said.clone() }, Code::RequestInvalid),
    ] {
        refused(as_person::<Value>(&world, "eve", Some(OWN), AdminAsk::Answer(other)).await, code);
    }
    assert_eq!(waiting(&world).await, 1);
    let _yes: Answered = says(&world, "kim", &ask, true).await.unwrap();
    // Whoever asked gets it, once, and nobody else.
    let look = || AdminAsk::Grant(GrantAsk::Asked { id: ask.id.clone() });
    assert_eq!(as_person::<Asking>(&world, "joe", Some(OWN), look()).await.unwrap().granted, None);
    let given = as_person::<Asking>(&world, "bob", Some(OWN), look()).await.unwrap().granted.unwrap();
    assert_eq!((&given.grant.details, given.grant.until, given.grant.ceiling), (&ask.details, NOW + 300, true));
    assert_eq!((&given.run.principal, given.run.until), (&ask.principal, NOW + 300));
    let again = as_person::<Asking>(&world, "bob", Some(OWN), look()).await.unwrap().granted.unwrap();
    assert_eq!(again.run.id, given.run.id);
}

/// Break: ask where one person alone could answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_ask_never_hangs_on_one_person() {
    let world = World::start().await;
    world.furnish().await;
    world.register(&reader()).await.unwrap();
    for person in ["ada", "bob", "eve"] {
        known(&world, person, OWN).await;
    }
    let of = begin(&world).await;
    let hangs = async || {
        let refused = refused(within(&of).await, Code::RoleRequired);
        assert!(refused.message.contains("would hang on one person: platform needs"), "{refused}");
    };
    hangs().await;
    give(&world, "platform", "ada").await;
    hangs().await;
    give(&world, "platform", "bob").await;
    hangs().await;
    // There are three, and two of them own the agent.
    give(&world, "platform/deputy", "eve").await;
    give(&world, "support/owner", "ada").await;
    give(&world, "support/owner", "eve").await;
    hangs().await;
    assert_eq!(waiting(&world).await, 0);
}

/// Break: let an ask be answered after its end, or let it be forgotten how it ended.
#[tokio::test(flavor = "multi_thread")]
async fn an_ask_ends_denied_withdrawn_or_expired_and_says_so() {
    let mut world = furnished().await;
    let of = begin(&world).await;
    let denied = opened(within(&of).await.unwrap());
    let _no: Answered = says(&world, "eve", &denied, false).await.unwrap();
    let withdrawn = opened(within(&of).await.unwrap());
    assert_ne!(withdrawn.id, denied.id);
    let back = |ask: &AskRecord| HeldAsk::Withdraw { id: ask.id.clone() };
    let other = begin(&world).await;
    refused(held::<AskRecord>(&other, back(&withdrawn)).await, Code::RequestInvalid);
    refused(held::<Asking>(&other, HeldAsk::Asked { id: withdrawn.id.clone() }).await, Code::RequestInvalid);
    held::<AskRecord>(&of, back(&withdrawn)).await.unwrap();
    refused(held::<AskRecord>(&of, back(&withdrawn)).await, Code::RequestInvalid);
    let expired = opened(within(&of).await.unwrap());
    let outside = AdminAsk::Grant(GrantAsk::Ask(Box::new(request(only("tickets/reply", 5, "5m")))));
    let collected = opened(world.admin(outside).await.unwrap());
    let _yes: Answered = says(&world, "eve", &collected, true).await.unwrap();
    // Nobody comes for what was allowed, and nobody answers the other one.
    world.clock.set(NOW + 600);
    let look = |ask: &AskRecord| AdminAsk::Grant(GrantAsk::Asked { id: ask.id.clone() });
    let late = world.admin::<Asking>(look(&collected)).await;
    assert!(late.is_err() || late.is_ok_and(|asking| asking.granted.is_none()));
    world.clock.set(NOW + 900);
    refused(says::<Value>(&world, "eve", &expired, true).await, Code::RequestInvalid);
    world.restart().await;
    for (ask, state) in [
        (&denied, AskState::Denied),
        (&withdrawn, AskState::Withdrawn),
        (&expired, AskState::Expired),
        (&collected, AskState::Expired),
    ] {
        let mut found = world.admin::<Asking>(look(ask)).await;
        // What is over is noted once a second.
        for _ in 0..100 {
            if found.as_ref().is_ok_and(|asking| asking.ask.as_ref().unwrap().ask.state == state) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            found = world.admin::<Asking>(look(ask)).await;
        }
        let found = found.unwrap();
        assert_eq!((found.granted, found.ask.unwrap().ask.state), (None, state));
    }
    assert_eq!(waiting(&world).await, 0);
}

/// Break: leave to a person what the floor withholds.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_for_what_the_floor_withholds() {
    let world = furnished().await;
    let of = begin(&world).await;
    let ask = async |asked: Asked| held::<Asking>(&of, HeldAsk::Ask { asked }).await;
    refused(ask(asked(&["tickets/delete_ticket"])).await, Code::Unknown);
    refused(ask(asked(&["tickets/*"])).await, Code::ScopeUndeclared);
    refused(
        ask(Asked { duration: "14m".into(), why: String::new(), ..only("tickets/reply", 4, "") }).await,
        Code::GrantIncomplete,
    );
    refused(ask(only("tickets/reply", 4, "16m")).await, Code::InsufficientScope);
    let outside = request(only("tickets/reply", 4, "61m"));
    refused(world.admin::<Asking>(AdminAsk::Grant(GrantAsk::Ask(Box::new(outside)))).await, Code::GrantIncomplete);
    let rules = "[[rule]]\nid = \"readers-do-not-write\"\ntags = [\"reads\"]\nnever = [\"tickets/reply\"]\n";
    put(&world.path("policies/floor/separation.toml"), rules);
    let tagged = reader().replace("purpose =", "tags = [\"reads\"]\npurpose =");
    world.register(&tagged).await.unwrap();
    let _read: Value = world.admin(AdminAsk::Reload {}).await.unwrap();
    refused(ask(only("tickets/reply", 4, "5m")).await, Code::AgentFrozen);
    assert_eq!(waiting(&world).await, 0);
    // What policy grants at once, nobody is asked for.
    let given = ask(only("tickets/read_ticket", 4, "5m")).await.unwrap();
    assert!(given.granted.is_some() && given.ask.is_none());
}

/// Break: grant what was reviewed anew, or taken from the menu, since it was shown.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_what_was_shown_is_not_granted() {
    let world = furnished().await;
    let of = begin(&world).await;
    let ask = opened(within(&of).await.unwrap());
    let pin = AdminAsk::Pin {
        server: ServerName::new("tickets").unwrap(),
        list: super::common::LIST.replace("answers", "answers, and tells me"),
        tools: vec!["reply".parse().unwrap()],
        overrides: [].into(),
    };
    let _pinned: Value = world.admin_pin(pin, Some(PIN)).await.unwrap();
    refused(says::<Value>(&world, "ada", &ask, true).await, Code::PinChanged);
    let anew = opened(within(&of).await.unwrap());
    assert_ne!(anew.digest, ask.digest);
    // A run that was taken back holds nothing, whatever is said now.
    let gone = AdminAsk::Revoke { kind: Kind::Run, id: of.run.id.to_string(), why: "x".into() };
    let _done: Value = world.admin(gone).await.unwrap();
    assert!(says::<Value>(&world, "ada", &anew, true).await.is_err());
    let grants: Vec<remit_authority::held::Held> =
        world.admin(AdminAsk::Grant(GrantAsk::List(remit_authority::held::Whose::default()))).await.unwrap();
    assert_eq!(grants, []);
}

/// Break: let one run fill the list that people read, or ask for ever.
#[tokio::test(flavor = "multi_thread")]
async fn one_run_asks_for_few_things_at_a_time_and_not_for_ever() {
    let world = furnished().await;
    let of = begin(&world).await;
    let ask = async |id: i64| held::<Asking>(&of, HeldAsk::Ask { asked: only("tickets/reply", id, "5m") }).await;
    let mut open = Vec::new();
    for id in 0..4 {
        open.push(opened(ask(id).await.unwrap()));
    }
    refused(ask(4).await, Code::Overloaded);
    for id in 4..16 {
        let oldest: AskRecord = open.remove(0);
        held::<AskRecord>(&of, HeldAsk::Withdraw { id: oldest.id }).await.unwrap();
        open.push(opened(ask(id).await.unwrap()));
    }
    for one in &open {
        held::<AskRecord>(&of, HeldAsk::Withdraw { id: one.id.clone() }).await.unwrap();
    }
    let full = refused(ask(16).await, Code::Overloaded);
    assert!(full.message.contains("has asked 16 times"), "{full}");
}

/// Break: ask whom the tool's server names where a gate of the policy names somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_is_whom_policy_names() {
    let world = furnished().await;
    for (role, person) in [("support/approver", "bob"), ("support/approver", "eve"), ("support/deputy", "joe")] {
        give(&world, role, person).await;
    }
    let of = begin(&world).await;
    let role = |asking: Asking| {
        let ask = opened(asking);
        (ask.role.to_string(), ask.gate)
    };
    assert_eq!(role(within(&of).await.unwrap()), ("platform".into(), None));
    // What does no harm beyond the agent's own scope is the team's own affair.
    let longer = AdminAsk::Grant(GrantAsk::Ask(Box::new(request(only("tickets/read_ticket", 4, "20m")))));
    assert_eq!(role(world.admin(longer).await.unwrap()), ("support/approver".into(), None));
    let dir = world.path("policies/teams/support");
    std::fs::create_dir_all(&dir).unwrap();
    let gate = |name: &str, scope: &str| {
        format!(
            "@id(\"{name}\") @gate(\"approval\") @owner(\"support/owner\") @approvers(\"support/approver\")\n\
             forbid (principal in Team::\"support\", {scope}) unless {{ context.evidence.approved }};\n"
        )
    };
    for (id, (scope, gate_of)) in (100..).zip([
        ("action == Action::\"tickets/read_ticket\", resource", None),
        ("action in Action::\"CallTool\", resource", Some("team/support/own/harm")),
        ("action == Action::\"tickets/reply\", resource", Some("team/support/own/harm")),
    ]) {
        put(&dir.join("own.cedar"), &gate("harm", scope));
        let _read: Value = world.admin(AdminAsk::Reload {}).await.unwrap();
        let ask = HeldAsk::Ask { asked: only("tickets/reply", id, "5m") };
        let expected = if gate_of.is_some() { "support/approver" } else { "platform" };
        assert_eq!(role(held(&of, ask).await.unwrap()), (expected.into(), gate_of.map(str::to_owned)), "{scope}");
    }
}

/// Break: keep the ways from whoever is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_that_a_person_can_be_asked_where_one_can() {
    let world = furnished().await;
    let of = begin(&world).await;
    for (asked, hint) in [
        (asked(&["tickets/reply"]), true),
        (Asked { duration: "20m".into(), ..asked(&["tickets/read_ticket"]) }, true),
        (asked(&["tickets/delete_ticket"]), false),
        (asked(&["tickets/*"]), false),
        (Asked { why: String::new(), ..asked(&["tickets/reply"]) }, false),
    ] {
        let inside = refusal(run::<Requested>(&of, RunAsk::Request { asked: asked.clone() }).await);
        let outside = refusal(world.admin::<Requested>(AdminAsk::Request(Box::new(request(asked.clone())))).await);
        for refused in [inside, outside] {
            assert_eq!(refused.help.contains("the same command with --ask"), hint, "{asked:?} {}", refused.help);
        }
    }
}
