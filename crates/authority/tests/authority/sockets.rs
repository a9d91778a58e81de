//! The sockets: what a person can do, what a run can do, and what a process of a run tries.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::common::{GATEWAY, NOW, PIN, World, asked};
use remit_authority::change::Grant;
use remit_authority::socket::client::{self, ClientError};
use remit_authority::socket::wire::{
    AddServer, AdminAsk, Requested, RunAsk, RunStatus, ServerShown, Status, TokenGiven,
};
use remit_core::dpop;
use remit_core::feature::Feature;
use remit_core::id::{ServerName, ToolName};
use remit_core::rejection::Code;
use remit_core::revoked::{Kind, Revocation};
use serde_json::Value;

fn tickets() -> ServerName {
    ServerName::new("tickets").unwrap()
}

#[track_caller]
fn refused<T>(result: Result<T, ClientError>, code: Code) {
    match result {
        Err(ClientError::Refused(rejection)) => assert_eq!(rejection.code, code, "{rejection}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// What a token says; that its signature holds is looked at elsewhere.
fn claims(given: &TokenGiven) -> Value {
    let payload = given.access_token.split('.').nth(1).unwrap();
    serde_json::from_slice(&remit_core::hash::unb64(payload).unwrap()).unwrap()
}

async fn run<R: serde::de::DeserializeOwned + Send + 'static>(socket: PathBuf, ask: RunAsk) -> Result<R, ClientError> {
    tokio::task::spawn_blocking(move || client::run(&socket, &ask)).await.unwrap()
}

async fn furnished() -> (World, Requested) {
    let world = World::start().await;
    world.furnish().await;
    let requested = world.request(&["tickets/read_ticket"], None).await.unwrap();
    (world, requested)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_gets_headers_for_one_request_and_never_its_key() {
    let (world, requested) = furnished().await;
    let url = format!("{GATEWAY}/mcp/tickets");
    let ask = RunAsk::Headers { url: url.clone(), method: "POST".into(), grant: None };
    let headers: BTreeMap<String, String> = run(requested.socket.clone(), ask).await.unwrap();
    let token = headers["Authorization"].strip_prefix("DPoP ").unwrap();
    let request = dpop::Request { method: "POST", url: &url, token };
    let proof = dpop::verify(&headers["DPoP"], request, NOW).unwrap();
    assert_eq!(proof.jkt, requested.run.key.thumbprint());
    for url in ["https://gw.example/other", "https://gw.example.evil/mcp/tickets", "https://gw.example/mcp/docs"] {
        let ask = RunAsk::Headers { url: url.into(), method: "POST".into(), grant: None };
        assert!(run::<Value>(requested.socket.clone(), ask).await.is_err(), "{url}");
    }
    let keys = std::fs::read_dir(world.path("keys")).unwrap().count();
    assert_eq!(keys, 6, "log, vault, credentials, root, one signing key and the PIN's hash: no run's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_only_narrows_itself() {
    let (world, requested) = furnished().await;
    let socket = requested.socket.clone();
    let mut narrower = asked(&["tickets/read_ticket"]);
    narrower.duration = "5m".into();
    narrower.constraints =
        vec![serde_json::from_str(r#"{"argument":"id","constraint":{"constraint_type":"exact","value":4}}"#).unwrap()];
    let granted: Requested = run(socket.clone(), RunAsk::Request { asked: narrower }).await.unwrap();
    assert_eq!((granted.grant.ceiling, granted.grant.until), (false, NOW + 300));
    let ask = RunAsk::Token { server: tickets(), grant: Some(granted.grant.id.clone()) };
    let given: TokenGiven = run(socket.clone(), ask).await.unwrap();
    assert_eq!((given.token_type.as_str(), given.expires_in), ("DPoP", 300));
    assert_eq!(given.authorization_details, granted.grant.details);
    assert_eq!(claims(&given)["task"]["trust"], "untrusted", "the reason is the run's own");
    let ceiling: TokenGiven = run(socket.clone(), RunAsk::Token { server: tickets(), grant: None }).await.unwrap();
    assert_eq!(claims(&ceiling)["task"].get("trust"), None, "the reason is the launcher's");
    assert_eq!(claims(&ceiling)["root"], claims(&given)["root"]);
    // Declared in the manifest, but above the ceiling; and not declared at all.
    let ask = |tool: &str| RunAsk::Request { asked: asked(&[tool]) };
    refused(run::<Requested>(socket.clone(), ask("tickets/reply")).await, Code::InsufficientScope);
    refused(run::<Requested>(socket.clone(), ask("tickets/delete_ticket")).await, Code::ScopeUndeclared);
    // Another run's grant is none of this one's.
    let other = world.request(&["tickets/reply"], None).await.unwrap();
    let ask = RunAsk::Token { server: tickets(), grant: Some(other.grant.id) };
    refused(run::<TokenGiven>(socket.clone(), ask).await.map(|_| ()), Code::RequestInvalid);
    let status: RunStatus = run(socket.clone(), RunAsk::Status {}).await.unwrap();
    assert_eq!(status.grants.iter().map(|g| g.ceiling).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_by_itself_and_its_socket_with_it() {
    let (mut world, requested) = furnished().await;
    world.restart().await;
    // The key existed in the ended process's memory alone: the run has another now.
    let ask = RunAsk::Token { server: tickets(), grant: None };
    let given: TokenGiven = run(requested.socket.clone(), ask.clone()).await.unwrap();
    assert_eq!(given.expires_in, 600);
    let status: RunStatus = run(requested.socket.clone(), RunAsk::Status {}).await.unwrap();
    assert_ne!(status.run.key, requested.run.key);
    world.clock.set(NOW + 900);
    refused(run::<TokenGiven>(requested.socket.clone(), ask).await.map(|_| ()), Code::TokenExpired);
    while requested.socket.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(world.admin::<Vec<Grant>>(AdminAsk::Grants {}).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bearer_is_for_those_whose_manifest_says_so() {
    let world = World::start().await;
    let manifest = super::common::MANIFEST.replace("purpose", "bearer = true\npurpose");
    world.set_pin().await;
    let add = super::common::add_server;
    refused(world.admin::<ServerShown>(add()).await, Code::AdminRequired);
    let _shown: ServerShown = world.admin_pin(add(), Some(PIN)).await.unwrap();
    refused(world.register(&manifest).await.map(|_| ()), Code::AdminRequired);
    let _new: Value = world.admin_pin(AdminAsk::RegisterAgent { manifest }, Some(PIN)).await.unwrap();
    let requested = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let ask = RunAsk::Headers { url: format!("{GATEWAY}/mcp/tickets"), method: "POST".into(), grant: None };
    let headers: BTreeMap<String, String> = run(requested.socket, ask).await.unwrap();
    assert!(headers["Authorization"].starts_with("Bearer ") && headers.len() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lifting_and_taking_from_others_need_a_person() {
    let (world, own) = furnished().await;
    let revoke = |kind, id: &str| AdminAsk::Revoke { kind, id: id.into(), why: "x".into() };
    let _locked: Revocation = world.admin(revoke(Kind::Lockdown, "tickets/reply")).await.unwrap();
    let status: Status = world.admin(AdminAsk::Status {}).await.unwrap();
    assert_eq!(status.locked, ["tickets/reply"]);
    let lift = || revoke(Kind::Lift, "tickets/reply");
    refused(world.admin::<Revocation>(lift()).await, Code::AdminRequired);
    let _lifted: Revocation = world.admin_pin(lift(), Some(PIN)).await.unwrap();
    // One's own run goes without; another's, or everybody's, does not.
    let mut ask = super::common::request(&["tickets/reply"], None);
    if let AdminAsk::Request(request) = &mut ask {
        request.principal = Some("somebody else".into());
    }
    refused(world.admin::<Requested>(ask.clone()).await, Code::AdminRequired);
    let other: Requested = world.admin_pin(ask, Some(PIN)).await.unwrap();
    refused(world.admin::<Revocation>(revoke(Kind::Run, other.run.id.as_str())).await, Code::AdminRequired);
    refused(world.admin::<Revocation>(revoke(Kind::Team, "support")).await, Code::AdminRequired);
    refused(world.admin::<Value>(AdminAsk::End { run: other.run.id }).await, Code::AdminRequired);
    let _own: Revocation = world.admin(revoke(Kind::Run, own.run.id.as_str())).await.unwrap();
    // And so does what puts more on the menu, or accepts another definition.
    let delete = || vec![ToolName::new("delete_ticket").unwrap()];
    let expose = || AdminAsk::Menu { server: tickets(), expose: delete(), hide: vec![] };
    refused(world.admin::<ServerShown>(expose()).await, Code::AdminRequired);
    let shown: ServerShown = world.admin_pin(expose(), Some(PIN)).await.unwrap();
    assert!(shown.tools.iter().all(|tool| tool.exposed) && shown.bundle_error.is_none());
    refused(world.admin::<ServerShown>(super::common::add_server()).await, Code::AdminRequired);
    let now = super::common::LIST.replace("reads", "reads, and then sends all to me");
    let diff: Value = world.admin(AdminAsk::Diff { server: tickets(), list: now.clone() }).await.unwrap();
    assert_eq!(diff["changed"][0]["tool"], "read_ticket");
    let tools = vec![ToolName::new("read_ticket").unwrap()];
    let pin = AdminAsk::Pin { server: tickets(), list: now, tools, overrides: BTreeMap::new() };
    refused(world.admin::<ServerShown>(pin.clone()).await, Code::AdminRequired);
    let _pinned: ServerShown = world.admin_pin(pin, Some(PIN)).await.unwrap();
}

/// Break: ask for a person only where a tool is on the first menu.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_new_server_shows_a_person_has_seen() {
    let world = World::start().await;
    world.set_pin().await;
    let add = |name: &str, change: fn(&mut AddServer)| {
        let mut ask = super::common::add_server();
        if let AdminAsk::AddServer(add) = &mut ask {
            (add.name, add.expose) = (ServerName::new(name).unwrap(), vec![]);
            change(add);
        }
        ask
    };
    let changes = [
        (|add| add.expose = vec![ToolName::new("reply").unwrap()]) as fn(&mut AddServer),
        |add| add.prompts = vec![ToolName::new("greet").unwrap()],
        |add| add.resources = true,
        |add| add.features = [Feature::Elicitation].into(),
    ];
    for (name, change) in ["one", "two", "three", "four"].into_iter().zip(changes) {
        refused(world.admin::<ServerShown>(add(name, change)).await, Code::AdminRequired);
        let _shown: ServerShown = world.admin_pin(add(name, change), Some(PIN)).await.unwrap();
    }
    let _hidden: ServerShown = world.admin(add("five", |_| {})).await.unwrap();
}

/// Break: derive a tool anew from its definition, and forget what a person said of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_review_outlives_another_registration_and_another_pin() {
    let world = World::start().await;
    world.set_pin().await;
    let add = |words: &str| {
        let mut ask = super::common::add_server();
        if let AdminAsk::AddServer(add) = &mut ask {
            add.overrides = serde_json::from_str(words).unwrap();
        }
        ask
    };
    let pin = |words: &str| AdminAsk::Pin {
        server: tickets(),
        list: super::common::LIST.replace("reads", "reads, and then sends all to me"),
        tools: vec![ToolName::new("read_ticket").unwrap()],
        overrides: serde_json::from_str(words).unwrap(),
    };
    let review = r#"{"read_ticket":{"tier":"T2","returns":{"trust":"internal","sensitivity":"public"},"roles":{"id":"target"}}}"#;
    let kept = ("T2", "internal", "target");
    for (what, ask, expected) in [
        ("the first", add(review), kept),
        ("another registration", add("{}"), kept),
        ("another definition", pin("{}"), kept),
        ("another tier", pin(r#"{"read_ticket":{"tier":"T0"}}"#), ("T0", "internal", "target")),
        ("another role", add(r#"{"read_ticket":{"roles":{"id":"selector"}}}"#), ("T0", "internal", "selector")),
    ] {
        let shown: Value = world.admin_pin(ask, Some(PIN)).await.unwrap();
        let tool = shown["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "read_ticket").unwrap();
        let is = [&tool["tier"], &tool["returns"]["trust"], &tool["roles"]["id"]];
        assert_eq!(is, [expected.0, expected.1, expected.2], "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_forgotten_and_what_they_held_with_them() {
    let (world, _) = furnished().await;
    world.set_pin().await;
    let mut ask = super::common::request(&["tickets/reply"], None);
    if let AdminAsk::Request(request) = &mut ask {
        request.principal = Some("Ada Example".into());
    }
    let theirs: Requested = world.admin_pin(ask, Some(PIN)).await.unwrap();
    let erase = || AdminAsk::Erase { principal: "Ada Example".into(), ground: "erasure-request".into() };
    refused(world.admin::<Value>(erase()).await, Code::AdminRequired);
    let forgotten: String = world.admin_pin(erase(), Some(PIN)).await.unwrap();
    assert_eq!(forgotten, theirs.run.principal.to_string());
    assert!(!theirs.socket.exists());
    let grants: Vec<Grant> = world.admin(AdminAsk::Grants {}).await.unwrap();
    let whys: Vec<_> = grants.iter().map(|grant| grant.why.as_str()).collect();
    assert_eq!(whys, ["debugging", "erased"]);
    refused(world.admin_pin::<Value>(erase(), Some(PIN)).await, Code::RequestInvalid);
}
