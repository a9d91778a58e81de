//! Which processes may use which socket where a run has begun another: real processes, as far as the kernel tells.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::common::{MANIFEST, World, asked};
use remit_authority::grant::Asked;
use remit_authority::socket::client::{self, ClientError};
use remit_authority::socket::wire::{AdminAsk, Request, Requested, RunAsk, Spawn, Status};
use serde_json::Value;

/// Another process of this test, which does what it is told: each line is a command, and so is each answer.
struct Actor(Child);

impl Actor {
    fn start(mark: Option<&str>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "places::actor", "--ignored", "--nocapture"]).env_remove("REMIT_RUN");
        let command = command.envs(mark.map(|mark| ("REMIT_RUN", mark)));
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }

    /// What it answers to a command.
    fn told(&mut self, line: &str) -> String {
        writeln!(self.0.stdin.as_mut().unwrap(), "{line}").unwrap();
        let stdout = self.0.stdout.as_mut().unwrap();
        let mut answer = Vec::new();
        // Byte by byte, lest anything of the next answer be read.
        loop {
            let mut byte = [0];
            assert_eq!(std::io::Read::read(stdout, &mut byte).unwrap(), 1, "{line}");
            match (byte[0], answer.strip_prefix(b"ACTOR ")) {
                (b'\n', Some(said)) => return String::from_utf8(said.to_vec()).unwrap(),
                (b'\n', None) => answer.clear(),
                (other, _) => answer.push(other),
            }
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // At the end of its input it ends, and before that all that it started.
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

fn outcome<T>(result: Result<T, ClientError>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(ClientError::Refused(rejection)) => rejection.code.name().into(),
        Err(other) => other.to_string(),
    }
}

fn to_read() -> Asked {
    Asked { duration: "5m".into(), ..asked(&["tickets/read_ticket"]) }
}

fn spawn(socket: &str, pid: Option<i32>) -> Result<Requested, ClientError> {
    let spawn = Spawn { agent: "support/triage".into(), asked: to_read(), pid };
    client::run(&PathBuf::from(socket), &RunAsk::Spawn(Box::new(spawn)))
}

/// What such a process does. Run by the tests below, never alone.
#[test]
#[ignore = "it is a part of the next tests"]
#[expect(clippy::print_stdout, reason = "the other process reads it")]
fn actor() {
    let mut started: Vec<Actor> = Vec::new();
    for line in BufReader::new(std::io::stdin()).lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let said = match words.as_slice() {
            ["ask", socket] => outcome(client::run::<Value>(&PathBuf::from(socket), &RunAsk::Status {})),
            ["admin", home] => outcome(client::admin::<Status>(&PathBuf::from(home), &AdminAsk::Status {}, None)),
            ["spawn", socket, pid] => match spawn(socket, pid.parse().ok()) {
                Ok(child) => format!("{} {}", child.run.id, child.socket.display()),
                refused => outcome(refused),
            },
            ["start", mark] => {
                let next = Actor::start(Some(*mark).filter(|mark| !mark.is_empty()));
                let pid = next.pid().to_string();
                started.push(next);
                pid
            }
            // What the one that was started last is told.
            ["tell", rest @ ..] => started.last_mut().unwrap().told(&rest.join(" ")),
            other => panic!("{other:?}"),
        };
        println!("\nACTOR {said}");
    }
}

/// A root run: its process, bound or merely marked, and a run of somebody else.
struct Scene {
    world: World,
    actor: Actor,
    root: Requested,
    other: Requested,
}

async fn scene(bound: bool) -> Scene {
    let world = World::start().await;
    world.furnish().await;
    world.register(MANIFEST).await.unwrap();
    let other = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let mut request = Request {
        agent: "support/triage".into(),
        asked: asked(&["tickets/read_ticket"]),
        principal: None,
        pid: None,
        key: None,
        golden: false,
    };
    if bound {
        let actor = Actor::start(None);
        request.pid = Some(actor.pid());
        let root = world.admin(AdminAsk::Request(Box::new(request))).await.unwrap();
        return Scene { world, actor, root, other };
    }
    let root: Requested = world.admin(AdminAsk::Request(Box::new(request))).await.unwrap();
    let actor = Actor::start(Some(root.run.id.as_str()));
    Scene { world, actor, root, other }
}

/// What a process may ask: its own run, and neither its parent's, nor another one's, nor the administrators'.
#[track_caller]
fn only(mut tell: impl FnMut(&str) -> String, home: &str, own: &str, others: &[&str], what: &str) {
    assert_eq!(tell(&format!("ask {own}")), "ok", "{what}");
    for other in others {
        assert_eq!(tell(&format!("ask {other}")), "insufficient_scope", "{what}: {other}");
    }
    assert_eq!(tell(&format!("admin {home}")), "admin_required", "{what}");
}

/// Break: place a process by its nearest mark, or by the nearest process of a run alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_started_with_its_name_is_never_its_parent_again() {
    for bound in [true, false] {
        let Scene { world, mut actor, root, other } = scene(bound).await;
        let home = world.dir.path().display().to_string();
        let (parent, other) = (root.socket.display().to_string(), other.socket.display().to_string());
        tokio::task::spawn_blocking(move || {
            let begun = actor.told(&format!("spawn {parent} -"));
            let (id, child) = begun.split_once(' ').unwrap_or_else(|| panic!("{begun}"));
            only(|line| actor.told(line), &home, &parent, &[child, &other], "the parent");
            for mark in [id, child] {
                actor.told(&format!("start {mark}"));
                only(|line| actor.told(&format!("tell {line}")), &home, child, &[&parent, &other], "the child");
                // What it starts stays its own, whatever it is started with.
                for lie in ["", root.run.id.as_str(), &parent, &other] {
                    actor.told(&format!("tell start {lie}"));
                    only(|line| actor.told(&format!("tell tell {line}")), &home, child, &[&parent, &other], lie);
                }
                // And under a name that is no run's it is no run.
                actor.told("tell start nobody");
                for socket in [child, &parent, &other] {
                    assert_eq!(actor.told(&format!("tell tell ask {socket}")), "insufficient_scope", "{socket}");
                }
            }
        })
        .await
        .unwrap();
    }
}

/// Break: bind a child to any process that its parent names.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_bound_to_a_process_that_its_parent_has_started_and_no_other_run_has() {
    for bound in [true, false] {
        let Scene { world, mut actor, root, other } = scene(bound).await;
        let home = world.dir.path().display().to_string();
        let (parent, other) = (root.socket.display().to_string(), other.socket.display().to_string());
        let outside = Actor::start(None);
        tokio::task::spawn_blocking(move || {
            let started = actor.told("start ");
            for stranger in [1, std::process::id().try_into().unwrap(), outside.pid()] {
                assert_eq!(actor.told(&format!("spawn {parent} {stranger}")), "request_invalid");
            }
            if bound {
                let own = actor.pid();
                assert_eq!(actor.told(&format!("spawn {parent} {own}")), "request_invalid", "the parent's own");
            }
            let begun = actor.told(&format!("spawn {parent} {started}"));
            let (_, child) = begun.split_once(' ').unwrap_or_else(|| panic!("{begun}"));
            only(|line| actor.told(line), &home, &parent, &[child, &other], "the parent");
            only(|line| actor.told(&format!("tell {line}")), &home, child, &[&parent, &other], "the child");
            // It is that run's now, and so is what it starts: its parent cannot make another run of either.
            let below = actor.told("tell start ");
            for taken in [&started, &below] {
                assert_eq!(actor.told(&format!("spawn {parent} {taken}")), "request_invalid", "{taken}");
            }
            let deeper = actor.told(&format!("tell spawn {child} {below}"));
            let (_, deeper) = deeper.split_once(' ').unwrap_or_else(|| panic!("{deeper}"));
            only(
                |line| actor.told(&format!("tell tell {line}")),
                &home,
                deeper,
                &[child, &parent, &other],
                "the child's child",
            );
        })
        .await
        .unwrap();
    }
}

/// Break: let what a run that is over has started become its parent's.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_child_has_started_is_nobodys_when_the_child_is_over() {
    let Scene { world, mut actor, root, .. } = scene(true).await;
    let parent = root.socket.display().to_string();
    let (mut actor, id, child) = tokio::task::spawn_blocking(move || {
        let begun = actor.told(&format!("spawn {parent} -"));
        let (id, child) = begun.split_once(' ').unwrap_or_else(|| panic!("{begun}"));
        actor.told(&format!("start {id}"));
        assert_eq!(actor.told(&format!("tell ask {child}")), "ok");
        let (id, child) = (id.to_owned(), child.to_owned());
        (actor, id, child)
    })
    .await
    .unwrap();
    let _done: Value = world.admin(AdminAsk::End { run: id.parse().unwrap() }).await.unwrap();
    let parent = root.socket.display().to_string();
    tokio::task::spawn_blocking(move || {
        assert_eq!(actor.told(&format!("tell ask {parent}")), "insufficient_scope");
        assert!(actor.told(&format!("tell ask {child}")).contains("cannot be reached"));
        assert_eq!(actor.told(&format!("ask {parent}")), "ok");
    })
    .await
    .unwrap();
}
