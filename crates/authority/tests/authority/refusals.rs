//! What is asked wrongly: each refusal says what is wrong with it, and the next step is a command that there is.

use super::common::{MANIFEST, PIN, World, add_server, asked, request};
use remit_authority::grant::Asked;
use remit_authority::socket::client::{self, ClientError};
use remit_authority::socket::wire::{AdminAsk, Requested, RunAsk};
use remit_authority::{Authority, AuthorityError, Config};
use remit_core::id::TrustDomain;
use remit_core::rejection::Rejection;
use remit_core::revoked::{Kind, Revocation};
use serde_json::Value;

async fn furnished() -> World {
    let world = World::start().await;
    world.set_pin().await;
    let _shown: Value = world.admin_pin(add_server(), Some(PIN)).await.unwrap();
    world.register(MANIFEST).await.unwrap();
    world
}

#[track_caller]
fn rejection<T>(result: Result<T, ClientError>) -> Rejection {
    match result {
        Err(ClientError::Refused(rejection)) => rejection,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[track_caller]
fn says(rejection: &Rejection, message: &str, help: &str) {
    let found = (rejection.message.contains(message), rejection.help.contains(help));
    assert_eq!(found, (true, true), "{rejection:?} for {message} / {help}");
}

fn revoke(kind: Kind, id: &str) -> AdminAsk {
    AdminAsk::Revoke { kind, id: id.into(), why: "x".into() }
}

/// Break: take any well-formed name for a thing that is registered.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_registered_is_not_taken_back() {
    let world = furnished().await;
    for (kind, id, message, help) in [
        (Kind::Lockdown, "nosuch", "no server or tool `nosuch`", "remit server list"),
        (Kind::Lockdown, "nosuch/reply", "no server or tool `nosuch/reply`", "remit server list"),
        (Kind::Lockdown, "tickets/nosuch", "no server or tool `tickets/nosuch`", "remit server list"),
        (Kind::Lift, "tickets", "`tickets` is not locked down", "remit status"),
        (Kind::Key, "nope", "no key `nope`", "remit status"),
        (Kind::Agent, "support/nope", "no agent `support/nope`", "remit agent list"),
        (Kind::Team, "nope", "no team `nope`", "remit agent list"),
        (Kind::Run, "r-nope", "no run `r-nope`", "remit status"),
        (Kind::Token, "nope", "no token `nope`", "remit log tail --log authority"),
    ] {
        says(&rejection(world.admin_pin::<Revocation>(revoke(kind, id), Some(PIN)).await), message, help);
    }
    // What is there is: a hidden tool, a server, a run's key; and what is locked is lifted.
    let run = world.request(&["tickets/reply"], None).await.unwrap().run;
    for (kind, id) in [
        (Kind::Lockdown, "tickets/delete_ticket"),
        (Kind::Lockdown, "tickets"),
        (Kind::Lift, "tickets"),
        (Kind::Key, &run.key.thumbprint()),
    ] {
        let _done: Revocation = world.admin_pin(revoke(kind, id), Some(PIN)).await.unwrap();
    }
}

/// Break: promise that another version helps where the name itself was revoked.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_says_how_far_it_reaches() {
    let world = furnished().await;
    let ask = || request(&["tickets/read_ticket"], None);
    let version = |version: &str| MANIFEST.replace("version = \"1\"", &format!("version = \"{version}\""));
    let _done: Revocation = world.admin_pin(revoke(Kind::Agent, "support/triage@1"), Some(PIN)).await.unwrap();
    let refused = rejection(world.admin::<Requested>(ask()).await);
    says(&refused, "this version of the agent, `support/triage@1`", "register the next version");
    world.register(&version("2")).await.unwrap();
    world.admin::<Requested>(ask()).await.unwrap();
    let _done: Revocation = world.admin_pin(revoke(Kind::Agent, "support/triage"), Some(PIN)).await.unwrap();
    world.register(&version("3")).await.unwrap();
    let refused = rejection(world.admin::<Requested>(ask()).await);
    says(&refused, "in all its versions, also those to come", "remit log tail --log authority --kind revocation");
    assert!(!refused.help.contains("version"), "{refused:?}");
}

/// Break: send somebody to `agent.toml` for what no manifest can give.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_what_is_wrong_with_it() {
    let world = furnished().await;
    let one = |tool: &str| asked(&[tool]);
    let time = |text: &str| Asked { duration: text.into(), ..one("tickets/reply") };
    let constraint = |argument: &str| {
        let text = format!(r#"{{"argument":"{argument}","constraint":{{"constraint_type":"wildcard"}}}}"#);
        Asked { constraints: vec![serde_json::from_str(&text).unwrap()], ..one("tickets/reply") }
    };
    for (asked, message, help) in [
        (time("15"), "`15` is not a time", "--for 15m"),
        (time("1h30m"), "`1h30m` is not a time", "--for 15m"),
        (time("1d"), "`1d` is not a time", "--for 15m"),
        (time("0s"), "`0s` is not a time", "--for 15m"),
        (time(" "), "no end is given", "--for 15m"),
        (one("tickets"), "`tickets` names no tool", "tickets/TOOL"),
        (one("nope/x"), "no server `nope` is registered", "remit server list"),
        (one("tickets/nope"), "the server `tickets` has no tool `nope`", "remit server show tickets"),
        (one("tickets/delete_ticket"), "does not declare tickets/delete_ticket", "add to agent.toml"),
        (constraint("nope"), "`tickets/reply` has no argument `nope`", "body, id"),
    ] {
        let mut ask = request(&[], None);
        if let AdminAsk::Request(request) = &mut ask {
            request.asked = asked;
        }
        says(&rejection(world.admin::<Requested>(ask).await), message, help);
    }
    let mut ask = request(&[], None);
    if let AdminAsk::Request(request) = &mut ask {
        request.asked = constraint("body");
    }
    let given: Requested = world.admin(ask).await.unwrap();
    let run = given.run.id.to_string();
    let ask = |text: &str| serde_json::from_str::<RunAsk>(text).unwrap();
    for (ask, message, help) in [
        (
            ask(r#"{"op":"token","server":"tickets","grant":"g-nope"}"#),
            "has no grant `g-nope`",
            format!("remit status --run {run}"),
        ),
        // From inside a run nobody is told what else is registered.
        (RunAsk::Request { asked: one("nope/x") }, "does not declare nope/x", "add to agent.toml".into()),
    ] {
        let socket = given.socket.clone();
        let answer = tokio::task::spawn_blocking(move || client::run::<Value>(&socket, &ask)).await.unwrap();
        says(&rejection(answer), message, &help);
    }
}

/// Break: mint tokens that outlive the key that signed them.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_lives_no_longer_than_its_key_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let open = |seconds: i64| {
        let domain = TrustDomain::new("acme.example").unwrap();
        let mut config = Config::new(domain, "https://as.example", "https://gw.example");
        config.token_seconds = seconds;
        Authority::open(dir.path(), config).map(|_| ())
    };
    for given in [601, 86_400, 0, -1] {
        assert!(matches!(open(given), Err(AuthorityError::TokenLife { given: said }) if said == given), "{given}");
    }
    open(600).unwrap();
}

/// Break: start where no run can have its socket, and fail at the first request.
#[tokio::test(flavor = "multi_thread")]
async fn a_home_whose_path_is_too_long_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let open = |home: &std::path::Path| {
        let domain = TrustDomain::new("acme.example").unwrap();
        Authority::open(home, Config::new(domain, "https://as.example", "https://gw.example")).map(|_| ())
    };
    // `/runs/r-…/sock` has 33 bytes, and 107 are allowed.
    let room = 107 - 33 - dir.path().as_os_str().len() - 1;
    let (fits, too_long) = (dir.path().join("h".repeat(room)), dir.path().join("h".repeat(room + 1)));
    open(&fits).unwrap();
    assert!(matches!(open(&too_long), Err(AuthorityError::HomeTooLong { bytes: 108, .. })));
    assert!(!too_long.exists());
    std::os::unix::net::UnixListener::bind(fits.join("x".repeat(32))).unwrap();
    std::os::unix::net::UnixListener::bind(fits.join("x".repeat(33))).unwrap_err();
}
