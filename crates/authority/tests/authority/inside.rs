//! What a process of a run tries: everything that the admin socket knows, with the right PIN, by the admin socket and by
//! its own; and the sockets of others. It is a real process, and so is its child.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::common::{GATEWAY, Key, LIST, MANIFEST, PIN, World, add_server, asked, request};
use remit_authority::issuer::{KeySource, Kind};
use remit_authority::socket::client::{self, ClientError};
use remit_authority::socket::wire::{
    AddIssuer, AdminAsk, Answer, GrantAsk, Line, RegistryAsk, Request, Requested, RunAsk, Status, TeamAsk, Whose, Word,
};
use remit_core::id::{GrantId, RunId, ServerName, ToolName};
use remit_core::rejection::Code;
use remit_core::revoked;
use serde_json::Value;

fn tickets() -> ServerName {
    ServerName::new("tickets").unwrap()
}

/// An issuer that would vouch for whatever a run says.
fn issuer() -> AddIssuer {
    let rules = "[[rule]]\nagent = \"support/triage\"\nclaims = { x = \"y\" }\n";
    let keys = KeySource::At("https://ci.example/jwks".into());
    super::federation::issuer("https://ci.example", Kind::Workload, rules, keys)
}

fn yes() -> Word {
    Word { id: "BBBB-BBBB".into(), allow: true, why: "x".into(), duration: String::new(), digest: None }
}

/// One of each thing that can be asked about grants.
fn of_grants() -> Vec<AdminAsk> {
    let (grant, id): (GrantId, _) = ("g-x".parse().unwrap(), || "BBBB-BBBB".to_owned());
    let (agent, asked) = ("support/triage".into(), asked(&["tickets/reply"]));
    let begin = Request { agent, asked, principal: None, pid: None, key: None, golden: false };
    [
        GrantAsk::List(remit_authority::held::Whose::default()),
        GrantAsk::Renew { grant: grant.clone(), duration: String::new() },
        GrantAsk::Return { grant },
        GrantAsk::Ask(Box::new(begin)),
        GrantAsk::Asked { id: id() },
        GrantAsk::Withdraw { id: id() },
    ]
    .map(AdminAsk::Grant)
    .into()
}

/// One of each thing that can be asked of the admin socket.
fn every(other: &RunId) -> Vec<AdminAsk> {
    let tools = || ["read_ticket", "reply", "delete_ticket"].map(|tool| ToolName::new(tool).unwrap()).to_vec();
    let (server, list) = (tickets(), LIST.replace("reads", "obeys"));
    let revoke = |kind, id: &str| AdminAsk::Revoke { kind, id: id.into(), why: "x".into() };
    let mut all = vec![
        AdminAsk::Status {},
        AdminAsk::SetPin { new: "000000".into() },
        AdminAsk::RegisterAgent { manifest: MANIFEST.replace("15m", "24h") },
        AdminAsk::Agents {},
        add_server(),
        AdminAsk::Servers {},
        AdminAsk::Server { name: server.clone() },
        AdminAsk::Diff { server: server.clone(), list: list.clone() },
        AdminAsk::Pin { server: server.clone(), list, tools: tools(), overrides: [].into() },
        AdminAsk::Menu { server, expose: tools(), hide: vec![] },
        request(&["tickets/reply"], None),
        AdminAsk::End { run: other.clone() },
        revoke(revoked::Kind::Team, "support"),
        revoke(revoked::Kind::Run, other.as_str()),
        revoke(revoked::Kind::Lockdown, "tickets"),
        revoke(revoked::Kind::Lift, "tickets/reply"),
        AdminAsk::Erase { principal: "Ada Example".into(), ground: "erasure-request".into() },
        AdminAsk::Runs {},
        AdminAsk::Grants {},
        AdminAsk::Revocations {},
        AdminAsk::RotateKeys {},
        AdminAsk::Reload {},
        AdminAsk::Approvals {},
        AdminAsk::Answer(yes()),
        AdminAsk::Secret { server: tickets(), rotate: false, whose: Whose::All },
        AdminAsk::AddGateway { name: "edge".parse().unwrap(), key: Key::new(9).public },
        AdminAsk::Gateways {},
        AdminAsk::RemoveGateway { name: "edge".parse().unwrap() },
        AdminAsk::Team(TeamAsk::Add { name: "b".parse().unwrap() }),
        AdminAsk::Team(TeamAsk::List {}),
        AdminAsk::Team(TeamAsk::Show { name: "support".parse().unwrap() }),
        AdminAsk::Team(TeamAsk::Remove { name: "support".parse().unwrap() }),
        AdminAsk::Team(TeamAsk::Roles {}),
        AdminAsk::Team(TeamAsk::Role { role: "platform".parse().unwrap(), person: "ada".into(), held: true }),
        AdminAsk::Team(TeamAsk::People {}),
        AdminAsk::Team(TeamAsk::AddPerson { name: "ada".into(), new: "000000".into() }),
        AdminAsk::Team(TeamAsk::RemovePerson { name: "ada".into() }),
        AdminAsk::Team(TeamAsk::OwnPin { new: "000000".into() }),
        AdminAsk::Registry(RegistryAsk::Standings { unused_days: 1 }),
        AdminAsk::Registry(RegistryAsk::Renew { agent: "support/triage".into() }),
        AdminAsk::Registry(RegistryAsk::Own { agent: "support/triage".into(), team: "support".parse().unwrap() }),
        AdminAsk::Registry(RegistryAsk::Veto { agent: "support/triage@1".into(), lift: false, why: "x".into() }),
        AdminAsk::Registry(RegistryAsk::Export { agent: "support/triage".into() }),
        AdminAsk::Registry(RegistryAsk::Import { statement: "x".into(), key: "x".into() }),
        AdminAsk::Confirmed { seq: 0 },
        AdminAsk::AddIssuer(Box::new(issuer())),
        AdminAsk::Issuers {},
        AdminAsk::RemoveIssuer { url: "https://ci.example".into() },
        AdminAsk::TakeSecret { server: tickets(), whose: Whose::Team("support".parse().unwrap()) },
        AdminAsk::Borrow { server: tickets() },
        AdminAsk::Connect { server: tickets() },
        AdminAsk::Connected { server: tickets(), code: "BBBB-BBBB".into() },
        AdminAsk::Disconnect { server: tickets() },
    ];
    all.extend(of_grants());
    all
}

/// Number of things that can be asked. What is added to the socket does not compile here until it is tried too.
const VERBS: usize = 56;

fn grant_verb(ask: &GrantAsk) -> usize {
    match ask {
        GrantAsk::List(_) => 50,
        GrantAsk::Renew { .. } => 51,
        GrantAsk::Return { .. } => 52,
        GrantAsk::Ask(_) => 53,
        GrantAsk::Asked { .. } => 54,
        GrantAsk::Withdraw { .. } => 55,
    }
}

fn verb(ask: &AdminAsk) -> usize {
    match ask {
        AdminAsk::Status {} => 0,
        AdminAsk::SetPin { .. } => 1,
        AdminAsk::RegisterAgent { .. } => 2,
        AdminAsk::Agents {} => 3,
        AdminAsk::AddServer(_) => 4,
        AdminAsk::Servers {} => 5,
        AdminAsk::Server { .. } => 6,
        AdminAsk::Diff { .. } => 7,
        AdminAsk::Pin { .. } => 8,
        AdminAsk::Menu { .. } => 9,
        AdminAsk::Request(_) => 10,
        AdminAsk::End { .. } => 11,
        AdminAsk::Revoke { .. } => 12,
        AdminAsk::Erase { .. } => 13,
        AdminAsk::Runs {} => 14,
        AdminAsk::Grants {} => 15,
        AdminAsk::Revocations {} => 16,
        AdminAsk::RotateKeys {} => 17,
        AdminAsk::Reload {} => 18,
        AdminAsk::Approvals {} => 19,
        AdminAsk::Answer(_) => 20,
        AdminAsk::Secret { .. } => 21,
        AdminAsk::AddGateway { .. } => 22,
        AdminAsk::Gateways {} => 23,
        AdminAsk::RemoveGateway { .. } => 24,
        AdminAsk::Team(ask) => match ask {
            TeamAsk::Add { .. } => 25,
            TeamAsk::List {} => 26,
            TeamAsk::Show { .. } => 27,
            TeamAsk::Remove { .. } => 28,
            TeamAsk::Roles {} => 29,
            TeamAsk::Role { .. } => 30,
            TeamAsk::People {} => 31,
            TeamAsk::AddPerson { .. } => 32,
            TeamAsk::RemovePerson { .. } => 33,
            TeamAsk::OwnPin { .. } => 34,
        },
        AdminAsk::Registry(ask) => match ask {
            RegistryAsk::Standings { .. } => 35,
            RegistryAsk::Renew { .. } => 36,
            RegistryAsk::Own { .. } => 37,
            RegistryAsk::Veto { .. } => 38,
            RegistryAsk::Export { .. } => 39,
            RegistryAsk::Import { .. } => 40,
        },
        AdminAsk::Confirmed { .. } => 41,
        AdminAsk::AddIssuer(_) => 42,
        AdminAsk::Issuers {} => 43,
        AdminAsk::RemoveIssuer { .. } => 44,
        AdminAsk::TakeSecret { .. } => 45,
        AdminAsk::Borrow { .. } => 46,
        AdminAsk::Connect { .. } => 47,
        AdminAsk::Connected { .. } => 48,
        AdminAsk::Disconnect { .. } => 49,
        AdminAsk::Grant(ask) => grant_verb(ask),
    }
}

#[test]
fn everything_that_can_be_asked_is_tried() {
    let mut tried: Vec<usize> = every(&"r-x".parse().unwrap()).iter().map(verb).collect();
    tried.dedup();
    assert_eq!(tried, (0..VERBS).collect::<Vec<_>>());
}

/// This test is the process of a run: `child` below is what it does.
struct Agent {
    process: Child,
}

impl Agent {
    fn start(mark: Option<&str>) -> Self {
        Self::start_as("inside::child", mark)
    }

    /// With a mark, as whoever launches an agent by hand sets it, or without.
    fn start_as(part: &str, mark: Option<&str>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", part, "--ignored", "--nocapture"]).env_remove("REMIT_RUN");
        let process = command.envs(mark.map(|mark| ("REMIT_RUN", mark)));
        Self { process: process.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap() }
    }

    /// Tells it where the sockets are, and reads what it found.
    fn says(mut self, home: &Path, own: &Path, other: &Path, generation: u32) -> Vec<String> {
        let mut stdin = self.process.stdin.take().unwrap();
        writeln!(stdin, "{}\n{}\n{}\n{generation}", home.display(), own.display(), other.display()).unwrap();
        drop(stdin);
        let stdout = BufReader::new(self.process.stdout.take().unwrap());
        let lines = stdout.lines().map_while(Result::ok);
        let said = lines.filter_map(|line| line.split_once("AGENT ").map(|(_, said)| said.to_owned())).collect();
        self.process.wait().unwrap();
        said
    }
}

/// A line for the admin socket, on a run's.
fn misdirected(socket: &Path, ask: &AdminAsk) -> Result<Value, ClientError> {
    let mut text = serde_json::to_vec(&Line { person: None, pin: Some(PIN.into()), secrets: Vec::new(), ask }).unwrap();
    text.push(b'\n');
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(&text).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    match serde_json::from_str(&answer)? {
        Answer::Ok(value) => Ok(value),
        Answer::Error(rejection) => Err(rejection.into()),
    }
}

/// What an agent's process, or a child of it, tries. Run by the test below, never alone.
#[test]
#[ignore = "it is a part of the next test"]
#[expect(clippy::print_stdout, reason = "the other process reads it")]
fn child() {
    let mut lines = std::io::stdin().lines().map_while(Result::ok);
    let [home, own, other] = [(); 3].map(|()| PathBuf::from(lines.next().unwrap()));
    let generation: u32 = lines.next().unwrap().parse().unwrap();
    let say = |what: &str, result: Result<Value, ClientError>| match result {
        Ok(_) => println!("\nAGENT {generation} {what} done"),
        Err(ClientError::Refused(rejection)) => println!("\nAGENT {generation} {what} {}", rejection.code.name()),
        Err(error) => println!("\nAGENT {generation} {what} {error}"),
    };
    let id = other.parent().unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap();
    for ask in every(&id) {
        say(&format!("admin-{}", verb(&ask)), client::admin(&home, &ask, Some(PIN)));
        // A run has a status too, and that is its own.
        if !matches!(ask, AdminAsk::Status {}) {
            say(&format!("misdirected-{}", verb(&ask)), misdirected(&own, &ask));
        }
    }
    let url = format!("{GATEWAY}/mcp/tickets");
    let headers = RunAsk::Headers { url, method: "POST".into(), grant: None };
    let token = RunAsk::Token { server: tickets(), grant: None };
    let wider = RunAsk::Request { asked: asked(&["tickets/reply"]) };
    let narrower = RunAsk::Request { asked: asked(&["tickets/read_ticket"]) };
    say("own-token", client::run(&own, &token));
    say("own-wider", client::run(&own, &wider));
    for (what, ask) in
        [("status", &RunAsk::Status {}), ("token", &token), ("headers", &headers), ("request", &narrower)]
    {
        say(&format!("other-{what}"), client::run(&other, ask));
    }
    if generation == 0 {
        for line in Agent::start(None).says(&home, &own, &other, 1) {
            println!("\nAGENT {line}");
        }
    }
}

/// What a run could have changed.
async fn state(world: &World) -> Vec<Value> {
    let mut state = Vec::new();
    for ask in [AdminAsk::Agents {}, AdminAsk::Servers {}, AdminAsk::Server { name: tickets() }] {
        state.push(world.admin(ask).await.unwrap());
    }
    for ask in [AdminAsk::Runs {}, AdminAsk::Grants {}, AdminAsk::Revocations {}] {
        state.push(world.admin(ask).await.unwrap());
    }
    let status: Status = world.admin(AdminAsk::Status {}).await.unwrap();
    state.push(serde_json::to_value(Status { log_size: 0, ..status }).unwrap());
    state
}

/// A process, and a child that it starts without the mark, each try everything: nothing changes, and nothing is told.
async fn check(world: &World, agent: Agent, own: &Requested, other: &Requested) {
    let before = state(world).await;
    let (home, socket, run) = (world.dir.path().to_owned(), own.socket.clone(), other.run.id.clone());
    let others = other.socket.clone();
    let said = tokio::task::spawn_blocking(move || agent.says(&home, &socket, &others, 0)).await.unwrap();
    for generation in 0..=1 {
        let mut expected = Vec::new();
        for verb in every(&run).iter().map(verb) {
            expected.push(format!("{generation} admin-{verb} admin_required"));
            if verb > 0 {
                expected.push(format!("{generation} misdirected-{verb} request_invalid"));
            }
        }
        for (what, code) in [
            ("own-token", "done"),
            ("own-wider", "insufficient_scope"),
            ("other-status", "insufficient_scope"),
            ("other-token", "insufficient_scope"),
            ("other-headers", "insufficient_scope"),
            ("other-request", "insufficient_scope"),
        ] {
            expected.push(format!("{generation} {what} {code}"));
        }
        let of = format!("{generation} ");
        let found: Vec<String> = said.iter().filter(|line| line.starts_with(&of)).cloned().collect();
        assert_eq!(found, expected);
    }
    assert_eq!(state(world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_a_run_is_refused_everything_but_its_own() {
    let world = World::start().await;
    world.furnish().await;
    let other = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let agent = Agent::start(None);
    let request = Request {
        agent: "support/triage".into(),
        asked: asked(&["tickets/read_ticket"]),
        principal: None,
        pid: Some(agent.process.id().try_into().unwrap()),
        key: None,
        golden: true,
    };
    let own: Requested = world.admin(AdminAsk::Request(Box::new(request.clone()))).await.unwrap();
    // A process that the asking one has not started is not its to name.
    let stranger = Request { pid: Some(1), ..request };
    let refused = world.admin::<Requested>(AdminAsk::Request(Box::new(stranger))).await;
    assert!(matches!(refused, Err(ClientError::Refused(r)) if r.code == Code::AdminRequired));
    check(&world, agent, &own, &other).await;
    world.admin_pin::<Value>(AdminAsk::RotateKeys {}, Some(PIN)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_started_with_a_runs_name_is_refused_the_same() {
    let world = World::start().await;
    world.furnish().await;
    let other = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let own = world.request(&["tickets/read_ticket"], None).await.unwrap();
    for mark in [own.run.id.to_string(), own.socket.display().to_string()] {
        check(&world, Agent::start(Some(&mark)), &own, &other).await;
    }
}

/// More connections than the admin socket serves at once, on which nothing is said.
#[test]
#[ignore = "it is a part of the next test"]
#[expect(clippy::print_stdout, reason = "the other process reads it")]
fn crowd() {
    let mut lines = std::io::stdin().lines().map_while(Result::ok);
    let socket = lines.next().unwrap();
    let crowd: Vec<UnixStream> = (0..640).map_while(|_| UnixStream::connect(&socket).ok()).collect();
    println!("\nAGENT {}", crowd.len());
    assert!(lines.next().is_none(), "until the other side is done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_crowds_the_admin_socket_keeps_nobody_from_it() {
    let world = World::start().await;
    world.furnish().await;
    let own = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let mut agent = Agent::start_as("inside::crowd", Some(own.run.id.as_str()));
    let mut stdin = agent.process.stdin.take().unwrap();
    let began = std::time::Instant::now();
    writeln!(stdin, "{}", world.path("admin.sock").display()).unwrap();
    let mut said = BufReader::new(agent.process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let crowd = said.find_map(|line| line.strip_prefix("AGENT ").map(ToOwned::to_owned));
    assert_eq!(crowd.as_deref(), Some("640"));
    let _status: Status = world.admin(AdminAsk::Status {}).await.unwrap();
    // Silent connections of somebody who may ask are waited for: two seconds for each 64 of them.
    assert!(began.elapsed() < std::time::Duration::from_secs(12), "{:?}", began.elapsed());
    drop(stdin);
    agent.process.wait().unwrap();
}
