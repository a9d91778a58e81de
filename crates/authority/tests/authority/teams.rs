//! Teams, people and roles: who may do what, and that nobody else may.

use super::common::{MANIFEST, NOW, PIN, World, put, request};
use remit_authority::change::AgentRecord;
use remit_authority::socket::client::{self, ClientError, Who};
use remit_authority::socket::wire::{AdminAsk, PersonGone, Requested, RoleShown, Status, TeamAsk, TeamShown};
use remit_core::rejection::{Code, Rejection};
use remit_core::role::OrgRole;
use serde::de::DeserializeOwned;
use serde_json::Value;

const ADA: &str = "ada's own pin";

pub(crate) fn role(text: &str) -> OrgRole {
    text.parse().unwrap()
}

/// Asks as a person who is known by name.
pub(crate) async fn as_person<R: DeserializeOwned + Send + 'static>(
    world: &World,
    person: &'static str,
    pin: Option<&'static str>,
    ask: AdminAsk,
) -> Result<R, ClientError> {
    let home = world.dir.path().to_owned();
    let who = Who { person: Some(person), pin };
    tokio::task::spawn_blocking(move || client::admin_as(&home, &ask, who, &[])).await.unwrap()
}

pub(crate) fn refusal<R>(answer: Result<R, ClientError>) -> Rejection {
    match answer {
        Err(ClientError::Refused(rejection)) => rejection,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was done"),
    }
}

/// Makes a person known, whose PIN is their name twice.
pub(crate) async fn known(world: &World, name: &str, pin: &str) {
    let ask = AdminAsk::Team(TeamAsk::AddPerson { name: name.into(), new: pin.into() });
    let _done: Value = world.admin_pin(ask, Some(PIN)).await.unwrap();
}

pub(crate) async fn give(world: &World, to: &str, person: &str) -> RoleShown {
    let ask = AdminAsk::Team(TeamAsk::Role { role: role(to), person: person.into(), held: true });
    world.admin_pin(ask, Some(PIN)).await.unwrap()
}

fn team(name: &str) -> AdminAsk {
    AdminAsk::Team(TeamAsk::Add { name: name.parse().unwrap() })
}

fn register(of: &str) -> AdminAsk {
    AdminAsk::RegisterAgent { manifest: MANIFEST.replace("\"support\"", &format!("\"{of}\"")) }
}

fn stakes(of: &str) -> AdminAsk {
    let manifest = MANIFEST.replace("\"support\"", &format!("\"{of}\""));
    AdminAsk::RegisterAgent { manifest: manifest.replace("purpose", "environment = \"production\"\npurpose") }
}

/// Break: let a team's owner be anybody, or need the platform for a team of one's own.
#[tokio::test(flavor = "multi_thread")]
async fn who_adds_a_team_owns_it_and_nobody_else_registers_its_agents() {
    let world = World::start().await;
    world.furnish().await;
    known(&world, "ada", ADA).await;
    let shown: TeamShown = as_person(&world, "ada", Some(ADA), team("b")).await.unwrap();
    assert_eq!(shown.roles[0], RoleShown { role: role("b/owner"), people: vec!["ada".into()] });
    let _agent: Value = as_person(&world, "ada", Some(ADA), register("b")).await.unwrap();
    // What is at stake takes the owner's own PIN, and not the platform's.
    let _agent: Value = as_person(&world, "ada", Some(ADA), stakes("b")).await.unwrap();
    // The operating-system user who serves it owns `support`, and is nobody in `b`.
    let refused = refusal(world.admin::<Value>(register("b")).await);
    assert_eq!(
        (refused.code, refused.message.contains("it belongs to b/owner or platform")),
        (Code::AdminRequired, true)
    );
    let refused = refusal(as_person::<Value>(&world, "ada", Some(ADA), register("support")).await);
    assert_eq!(refused.code, Code::RoleRequired, "{refused}");
    assert!(refused.message.contains("belongs to support/owner or platform, and ada does not hold it"), "{refused}");
    assert!(refused.help.contains("ask one who does: uid:"), "{}", refused.help);
    let refused = refusal(as_person::<Value>(&world, "ada", Some(ADA), stakes("support")).await);
    assert_eq!(refused.code, Code::RoleRequired);
    let refused = refusal(world.admin::<Value>(team("b")).await);
    assert!(refused.message.contains("there is a team `b` already"));
    for name in ["platform", "agent-security"] {
        assert!(refusal(world.admin::<Value>(team(name)).await).message.contains("name of a role"));
        assert!(refusal(world.admin::<Value>(register(name)).await).message.contains("name of a role"));
    }
    // All of it is in the log, and stands after the database was lost.
    let before: Vec<TeamShown> = world.admin(AdminAsk::Team(TeamAsk::List {})).await.unwrap();
    let mut world = world;
    world.stop().await;
    for file in ["authority.db", "authority.db-wal", "authority.db-shm"] {
        std::fs::remove_file(world.path(file)).ok();
    }
    world.serve().await;
    let after: Vec<TeamShown> = world.admin(AdminAsk::Team(TeamAsk::List {})).await.unwrap();
    assert_eq!(before, after);
}

/// Break: take a name for a person, one person's PIN for another's, or the administrators' for a person's.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_who_has_that_persons_pin() {
    let world = World::start().await;
    world.furnish().await;
    known(&world, "ada", ADA).await;
    known(&world, "bob", "bob's own pin").await;
    give(&world, "platform", "ada").await;
    let rotate = AdminAsk::RotateKeys {};
    for (person, pin) in [
        ("ada", None),
        ("ada", Some(PIN)),
        ("ada", Some("bob's own pin")),
        ("nobody", Some(PIN)),
        ("nobody", None),
        ("uid:0", Some(PIN)),
    ] {
        let refused = refusal(as_person::<Value>(&world, person, pin, rotate.clone()).await);
        assert_eq!(refused.code, Code::AdminRequired, "{person} {refused}");
        // Also for what needs no PIN: nobody speaks in another's name.
        refusal(as_person::<Status>(&world, person, pin, AdminAsk::Status {}).await);
    }
    // Whoever guessed wrong has to wait.
    world.clock.set(NOW + 3_600);
    let refused = refusal(as_person::<Value>(&world, "bob", Some("bob's own pin"), rotate.clone()).await);
    assert_eq!((refused.code, refused.help.contains("ask one who does: ada")), (Code::RoleRequired, true), "{refused}");
    let _done: Value = as_person(&world, "ada", Some(ADA), rotate).await.unwrap();
    // What bob asks for is his, and he cannot be made ada by another PIN.
    let asked: Requested =
        as_person(&world, "bob", Some("bob's own pin"), request(&["tickets/read_ticket"], None)).await.unwrap();
    assert_ne!(asked.run.principal.as_str(), "bob");
    let own = AdminAsk::Team(TeamAsk::OwnPin { new: "another pin".into() });
    refusal(world.admin_pin::<Value>(own.clone(), Some(PIN)).await);
    let _done: Value = as_person(&world, "bob", Some("bob's own pin"), own).await.unwrap();
    refusal(as_person::<Status>(&world, "bob", Some("bob's own pin"), AdminAsk::Status {}).await);
    let _status: Status = as_person(&world, "bob", Some("another pin"), AdminAsk::Status {}).await.unwrap();
    let again = AdminAsk::Team(TeamAsk::AddPerson { name: "ada".into(), new: "000000".into() });
    let refused = refusal(as_person::<Value>(&world, "bob", Some("another pin"), again).await);
    assert_eq!(refused.code, Code::RoleRequired, "nobody sets another's PIN but the platform");
    // Whoever is removed has neither a PIN nor a role.
    let gone = AdminAsk::Team(TeamAsk::RemovePerson { name: "ada".into() });
    let _own: Requested = as_person(&world, "ada", Some(ADA), request(&["tickets/read_ticket"], None)).await.unwrap();
    let before: Status = world.admin(AdminAsk::Status {}).await.unwrap();
    let gone: PersonGone = world.admin_pin(gone, Some(PIN)).await.unwrap();
    assert_eq!((gone.runs, gone.servers.len(), gone.bundle_error), (1, 0, None));
    let after: Status = world.admin(AdminAsk::Status {}).await.unwrap();
    assert_eq!(before.runs - after.runs, 1, "what acts for whoever is removed stops, and nothing else");
    refusal(as_person::<Status>(&world, "ada", Some(ADA), AdminAsk::Status {}).await);
    // Nor does anybody but the platform become whoever was known by that name.
    let heir = AdminAsk::Team(TeamAsk::AddPerson { name: "ada".into(), new: "000000".into() });
    let refused = refusal(as_person::<Value>(&world, "bob", Some("another pin"), heir).await);
    assert_eq!(refused.code, Code::RoleRequired);
    known(&world, "ada", ADA).await;
    assert_eq!(
        refusal(as_person::<Value>(&world, "ada", Some(ADA), AdminAsk::RotateKeys {}).await).code,
        Code::RoleRequired
    );
}

/// Break: give roles of another team, or let the last owner go without a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_team_gives_its_own_roles_and_is_never_left_by_mistake() {
    let world = World::start().await;
    world.furnish().await;
    known(&world, "ada", ADA).await;
    known(&world, "bob", "bob's own pin").await;
    let _team: TeamShown = as_person(&world, "ada", Some(ADA), team("b")).await.unwrap();
    let put_role = |role_of: &str, person: &str, held| {
        AdminAsk::Team(TeamAsk::Role { role: role(role_of), person: person.into(), held })
    };
    let shown: RoleShown = as_person(&world, "ada", Some(ADA), put_role("b/approver", "bob", true)).await.unwrap();
    assert_eq!(shown.people, ["bob"]);
    for other in ["support/owner", "platform", "agent-security", "platform/deputy"] {
        let refused = refusal(as_person::<Value>(&world, "ada", Some(ADA), put_role(other, "ada", true)).await);
        assert_eq!(refused.code, Code::RoleRequired, "{other}");
    }
    let refused = refusal(as_person::<Value>(&world, "ada", Some(ADA), put_role("b/owner", "ada", false)).await);
    assert!(
        refused.message.contains("the last b/owner") && refused.help.contains("remit role give b/owner"),
        "{refused}"
    );
    let refused = refusal(as_person::<Value>(&world, "ada", Some(ADA), put_role("b/owner", "eve", true)).await);
    assert!(refused.help.contains("remit person add eve"), "{refused}");
    let _gave: RoleShown = as_person(&world, "ada", Some(ADA), put_role("b/owner", "bob", true)).await.unwrap();
    let left: RoleShown = as_person(&world, "ada", Some(ADA), put_role("b/owner", "ada", false)).await.unwrap();
    assert_eq!(left.people, ["bob"]);
    assert_eq!(refusal(as_person::<Value>(&world, "ada", Some(ADA), register("b")).await).code, Code::RoleRequired);
}

const GATE: &str = "@id(\"harm\") @gate(\"approval\") @owner(\"agent-security\") @approvers(\"support/approver\")
    forbid (principal in Team::\"support\", action, resource) unless { context.evidence.approved };\n";

/// Break: load a gate that nobody but one person lifts, or take its second person away.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_never_hangs_on_one_person() {
    let world = World::start().await;
    world.furnish().await;
    let dir = world.path("policies/teams/support");
    std::fs::create_dir_all(&dir).unwrap();
    let load = async |text: &str| {
        put(&dir.join("own.cedar"), text);
        world.admin::<Value>(AdminAsk::Reload {}).await
    };
    // A team names its own roles, and roles that there are.
    for (from, to) in [("support/approver", "desk/approver"), ("agent-security", "ada"), ("agent-security", "support")]
    {
        assert!(load(&GATE.replace(from, to)).await.is_err(), "{to}");
    }
    let own = GATE.replace("agent-security", "support/owner");
    for person in ["ada", "bob", "eve"] {
        known(&world, person, "a pin for each").await;
    }
    let hangs = |error: ClientError| error.to_string().contains("would hang on one person: support/approver");
    assert!(load(&own).await.is_err_and(hangs));
    give(&world, "support/approver", "ada").await;
    assert!(load(&own).await.is_err_and(hangs));
    give(&world, "support/approver", "bob").await;
    assert!(load(&own).await.is_err_and(hangs), "there is no deputy");
    // Who approves already is no deputy.
    give(&world, "support/deputy", "ada").await;
    assert!(load(&own).await.is_err_and(hangs));
    give(&world, "support/deputy", "eve").await;
    load(&own).await.unwrap();
    for (of, person) in [("support/approver", "bob"), ("support/approver", "ada"), ("support/deputy", "eve")] {
        let ask = AdminAsk::Team(TeamAsk::Role { role: role(of), person: person.into(), held: false });
        let refused = refusal(world.admin_pin::<Value>(ask, Some(PIN)).await);
        assert!(refused.message.contains("would hang on one person without them"), "{of} {person} {refused}");
    }
    let remove = AdminAsk::Team(TeamAsk::Remove { name: "support".parse().unwrap() });
    assert!(refusal(world.admin_pin::<Value>(remove, Some(PIN)).await).message.contains("would hang on one person"));
    // With a third one, the first may go.
    known(&world, "joe", "a pin for each").await;
    give(&world, "support/approver", "joe").await;
    let ask = AdminAsk::Team(TeamAsk::Role { role: role("support/approver"), person: "bob".into(), held: false });
    let _left: RoleShown = world.admin_pin(ask, Some(PIN)).await.unwrap();
    let agents: Vec<AgentRecord> = world.admin(AdminAsk::Agents {}).await.unwrap();
    assert_eq!(agents.len(), 1);
    // Whoever leaves altogether is gone all the same, and it is said what hangs then.
    let gone = AdminAsk::Team(TeamAsk::RemovePerson { name: "eve".into() });
    let gone: PersonGone = world.admin_pin(gone, Some(PIN)).await.unwrap();
    assert!(gone.bundle_error.unwrap().contains("would hang on one person"));
}
