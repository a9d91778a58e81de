//! Child runs: what a run may begin below itself, what its tokens say of it, and what ends it.

use std::path::PathBuf;

use super::common::{MANIFEST, NOW, PIN, World, asked, request};
use super::http::{bundle, page};
use remit_audit::verify::verify_dir;
use remit_authority::change::{Grant, Run};
use remit_authority::grant::Asked;
use remit_authority::socket::client::{self, ClientError};
use remit_authority::socket::wire::{AdminAsk, Requested, RunAsk, RunStatus, Spawn, Status, TokenGiven};
use remit_core::claims::Claims;
use remit_core::event::canon::Node;
use remit_core::event::{self, Kind as EventKind};
use remit_core::id::ServerName;
use remit_core::identify::verify;
use remit_core::label::Trust;
use remit_core::rejection::Code;
use remit_core::revoked::{Kind, Revocation, Revoked};
use serde_json::Value;

/// Most live runs below one root, and most links below it.
const CHILD_RUNS: usize = 32;
const LINKS: usize = 3;

#[track_caller]
fn refused<T>(result: Result<T, ClientError>, code: Code) {
    match result {
        Err(ClientError::Refused(rejection)) => assert_eq!(rejection.code, code, "{rejection}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// A manifest like that of the tests' agent, of another name, which needs these tools.
fn manifest(name: &str, tools: &[&str]) -> String {
    let (head, _) = MANIFEST.split_once("[[need]]").unwrap();
    let need = |tool: &&str| format!("[[need]]\ntool = \"tickets/{tool}\"\nreason = \"x\"\nlongest = \"15m\"\n");
    let needs: String = tools.iter().map(need).collect();
    format!("{}{needs}", head.replace("triage", name))
}

/// `reader` needs to read, `writer` to read and to answer; `triage` needs both too.
async fn furnished() -> World {
    let world = World::start().await;
    world.furnish().await;
    world.register(&manifest("reader", &["read_ticket"])).await.unwrap();
    world.register(&manifest("writer", &["read_ticket", "reply"])).await.unwrap();
    world
}

async fn ask<R: serde::de::DeserializeOwned + Send + 'static>(socket: PathBuf, ask: RunAsk) -> Result<R, ClientError> {
    tokio::task::spawn_blocking(move || client::run(&socket, &ask)).await.unwrap()
}

fn to_read(duration: &str) -> Asked {
    Asked { duration: duration.into(), ..asked(&["tickets/read_ticket"]) }
}

async fn spawn(parent: &Requested, agent: &str, asked: Asked) -> Result<Requested, ClientError> {
    let spawn = Spawn { agent: agent.into(), asked, pid: None };
    ask(parent.socket.clone(), RunAsk::Spawn(Box::new(spawn))).await
}

/// What a token of the run says, once its signature and its claims were checked as a gateway checks them.
async fn claims(world: &World, of: &Requested) -> Claims {
    let server = ServerName::new("tickets").unwrap();
    let given: TokenGiven = ask(of.socket.clone(), RunAsk::Token { server, grant: None }).await.unwrap();
    let keys = bundle(world).await.bundle.keys;
    Claims::clone(verify(&keys, &given.access_token).unwrap().claims())
}

async fn runs(world: &World) -> Vec<Run> {
    world.admin(AdminAsk::Runs {}).await.unwrap()
}

/// Break: judge by the child's manifest alone, by the ceiling alone, or by neither's time.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_holds_no_more_than_its_manifest_and_its_parents_ceiling() {
    let world = furnished().await;
    let root = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let wide = world.request(&["tickets/read_ticket", "tickets/reply"], None).await.unwrap();
    let before = runs(&world).await;

    let to_answer = || asked(&["tickets/reply"]);
    for (parent, agent, asked, code) in [
        (&root, "support/writer", to_answer(), Code::InsufficientScope),
        (&wide, "support/reader", to_answer(), Code::ScopeUndeclared),
        (&wide, "support/nobody", to_answer(), Code::AgentUnregistered),
        (&wide, "support/writer", Asked { why: " ".into(), ..to_answer() }, Code::GrantIncomplete),
        (&wide, "support/writer", Asked { duration: String::new(), ..to_answer() }, Code::GrantIncomplete),
        (&wide, "support/writer", Asked { duration: "16m".into(), ..to_answer() }, Code::GrantIncomplete),
    ] {
        refused(spawn(parent, agent, asked).await, code);
    }
    // The agent may have fifteen minutes, and its parent has ten left.
    world.clock.set(NOW + 300);
    refused(spawn(&root, "support/reader", to_read("11m")).await, Code::InsufficientScope);
    assert_eq!(runs(&world).await, before, "what is refused leaves nothing");
    assert_eq!(std::fs::read_dir(world.path("runs")).unwrap().count(), 2);

    let child = spawn(&root, "support/reader@1", to_read("10m")).await.unwrap();
    let run = &child.run;
    assert_eq!((run.parent.as_ref(), &run.root), (Some(&root.run.id), &root.run.id));
    assert_eq!(
        (&run.principal, run.until, run.agent.short()),
        (&root.run.principal, NOW + 900, "support/reader@1".into())
    );
    assert!(run.key != root.run.key && run.id != root.run.id && child.socket.exists());
    assert_eq!((child.grant.ceiling, &child.grant.details), (true, &root.grant.details));
    assert_eq!(child.spawned_by, [root.run.instance()]);
    let status: RunStatus = ask(child.socket.clone(), RunAsk::Status {}).await.unwrap();
    assert_eq!((&status.run, status.spawned_by), (run, vec![root.run.instance()]));
}

/// Break: let a child have every argument where its parent has one.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_of_a_limited_run_is_as_limited() {
    let world = furnished().await;
    let only = |id: u8| {
        let text = format!(r#"{{"argument":"id","constraint":{{"constraint_type":"exact","value":{id}}}}}"#);
        Asked { constraints: vec![serde_json::from_str(&text).unwrap()], ..to_read("5m") }
    };
    let mut limited = request(&[], None);
    if let AdminAsk::Request(request) = &mut limited {
        request.asked = only(4);
    }
    let root: Requested = world.admin(limited).await.unwrap();
    refused(spawn(&root, "support/reader", to_read("5m")).await, Code::InsufficientScope);
    refused(spawn(&root, "support/reader", only(5)).await, Code::InsufficientScope);
    let child = spawn(&root, "support/reader", only(4)).await.unwrap();
    // And its own child is below it, not below the root.
    refused(spawn(&child, "support/reader", to_read("1m")).await, Code::InsufficientScope);
}

/// Break: leave out a link, take it from the request, or cut what is too deep.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_name_the_whole_lineage_down_to_the_deepest_run_that_there_may_be() {
    let world = furnished().await;
    world.clock.set(NOW + 5);
    let mut chain = vec![world.request(&["tickets/read_ticket"], None).await.unwrap()];
    for depth in 0..=LINKS {
        world.clock.set(NOW + 10 + i64::try_from(depth).unwrap());
        let own = &chain[depth];
        let claims = claims(&world, own).await;
        let lineage: Vec<_> = chain.iter().rev().map(|run| run.run.instance()).collect();
        assert!(claims.coherent());
        assert_eq!(claims.lineage().cloned().collect::<Vec<_>>(), lineage);
        assert_eq!((&claims.run, &claims.root, claims.root_at), (&own.run.id, &chain[0].run.id, NOW + 5));
        assert_eq!((claims.sub, claims.client_id), (chain[0].run.principal.clone(), own.run.agent.clone()));
        assert_eq!((claims.del_depth as usize, claims.del_max_depth as usize), (depth, LINKS));
        assert_eq!((&claims.lin, claims.lin.len()), (&own.run.lin, depth));
        assert!(depth == 0 || own.run.lin.starts_with(&chain[depth - 1].run.lin));
        assert_eq!(claims.cnf.unwrap().jkt, own.run.key.thumbprint());
        let next = spawn(own, "support/reader", to_read(&format!("{}m", 9 - depth))).await;
        if depth == LINKS {
            refused(next, Code::InsufficientScope);
        } else {
            chain.push(next.unwrap());
        }
    }
    let mut ids: Vec<&String> = chain[LINKS].run.lin.iter().collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), LINKS, "one token for each delegation");
}

/// Break: believe the reason of whoever is asked on a run's socket.
#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_a_child_is_untrusted_like_all_that_it_asks() {
    let world = furnished().await;
    let mut golden = request(&["tickets/read_ticket"], None);
    if let AdminAsk::Request(request) = &mut golden {
        request.golden = true;
    }
    let root: Requested = world.admin(golden).await.unwrap();
    let said = claims(&world, &root).await;
    assert_eq!((said.task.trust, said.path.as_deref()), (Trust::Verified, Some("golden")));
    let child =
        spawn(&root, "support/reader", Asked { why: "my parent said so".into(), ..to_read("5m") }).await.unwrap();
    let own = claims(&world, &child).await;
    assert_eq!((own.task.trust, own.task.why.as_str()), (Trust::Untrusted, "my parent said so"));
    assert_eq!(own.path, None, "nor was it launched in the prescribed way");
    let narrowed: Requested = ask(child.socket.clone(), RunAsk::Request { asked: to_read("1m") }).await.unwrap();
    assert_eq!((narrowed.run.id, narrowed.spawned_by), (child.run.id, vec![root.run.instance()]));
}

/// Break: count for each parent, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_has_so_many_live_runs_and_no_more() {
    let world = furnished().await;
    let root = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let other = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let first = spawn(&root, "support/reader", to_read("10m")).await.unwrap();
    for n in 1..CHILD_RUNS {
        let parent = if n % 2 == 0 { &root } else { &first };
        let (agent, time) = if n % 3 == 0 { ("support/writer", "1m") } else { ("support/reader", "10m") };
        spawn(parent, agent, to_read(time)).await.unwrap();
    }
    refused(spawn(&root, "support/reader", to_read("1m")).await, Code::Overloaded);
    refused(spawn(&first, "support/reader", to_read("1m")).await, Code::Overloaded);
    spawn(&other, "support/reader", to_read("1m")).await.unwrap();
    // Those of one minute are over.
    world.clock.set(NOW + 60);
    spawn(&first, "support/reader", to_read("1m")).await.unwrap();
}

/// Break: let a run that proves possession of its key get a token that needs no proof, by way of a child.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_bound_to_a_key_begins_none_that_is_not() {
    let world = furnished().await;
    for name in ["carrier", "courier"] {
        let manifest = manifest(name, &["read_ticket"]).replace("purpose", "bearer = true\npurpose");
        let _new: Value = world.admin_pin(AdminAsk::RegisterAgent { manifest }, Some(PIN)).await.unwrap();
    }
    let bound = world.request(&["tickets/read_ticket"], None).await.unwrap();
    refused(spawn(&bound, "support/carrier", to_read("5m")).await, Code::PolicyForbid);
    let mut ask = request(&["tickets/read_ticket"], None);
    if let AdminAsk::Request(request) = &mut ask {
        request.agent = "support/courier".into();
    }
    let bearer: Requested = world.admin(ask).await.unwrap();
    let child = spawn(&bearer, "support/carrier", to_read("5m")).await.unwrap();
    assert_eq!(claims(&world, &child).await.cnf, None);
    let child = spawn(&bearer, "support/reader", to_read("5m")).await.unwrap();
    assert!(claims(&world, &child).await.cnf.is_some(), "whatever its parent is");
}

/// A root, its child, another child of the root, and a child of the first: with what their tokens said.
struct Tree {
    world: World,
    runs: [Requested; 4],
    claims: [Claims; 4],
}

/// What a revocation names.
type Id = fn(&Tree) -> String;

const ROOT: usize = 0;
const CHILD: usize = 1;
const OTHER: usize = 2;
const DEEP: usize = 3;

async fn tree() -> Tree {
    let world = furnished().await;
    let root = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let child = spawn(&root, "support/writer", to_read("10m")).await.unwrap();
    let other = spawn(&root, "support/reader", to_read("10m")).await.unwrap();
    let deep = spawn(&child, "support/reader", to_read("5m")).await.unwrap();
    let runs = [root, child, other, deep];
    let mut said = Vec::new();
    for run in &runs {
        said.push(claims(&world, run).await);
    }
    Tree { world, runs, claims: said.try_into().unwrap() }
}

impl Tree {
    async fn revoke(&self, kind: Kind, id: &str) {
        let ask = AdminAsk::Revoke { kind, id: id.into(), why: "x".into() };
        let _done: Revocation = self.world.admin_pin(ask, Some(PIN)).await.unwrap();
    }

    async fn entries(&self) -> u64 {
        self.world.admin::<Status>(AdminAsk::Status {}).await.unwrap().log_size
    }

    /// Exactly these are over: a gateway takes no token of theirs any more, and they can ask nothing.
    async fn over(&self, expected: &[usize], what: &str) {
        let mut all = Revoked::default();
        page(&self.world, 0).await.entries.into_iter().for_each(|entry| all.apply(entry).unwrap());
        let revoked: Vec<usize> = (0..4).filter(|n| all.token(&self.claims[*n]).is_some()).collect();
        assert_eq!(revoked, expected, "{what}: tokens that were minted before");
        let live = runs(&self.world).await;
        for (n, run) in self.runs.iter().enumerate() {
            let (over, lives) = (expected.contains(&n), live.iter().any(|live| live.id == run.run.id));
            assert_eq!((lives, run.socket.exists()), (!over, !over), "{what}: run {n}");
            if !over {
                claims(&self.world, run).await;
            }
        }
    }
}

/// Break: end a run and forget what it began, or match a token by its own run alone.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_takes_a_run_back_takes_back_all_that_it_began() {
    let all = [ROOT, CHILD, OTHER, DEEP];
    let below_child = [CHILD, DEEP];
    let cases: [(&str, Kind, Id, &[usize]); 11] = [
        ("the root as a run", Kind::Run, |tree| tree.runs[ROOT].run.id.to_string(), &all),
        ("the root", Kind::Root, |tree| tree.runs[ROOT].run.id.to_string(), &all),
        ("a child", Kind::Run, |tree| tree.runs[CHILD].run.id.to_string(), &below_child),
        ("its key", Kind::Key, |tree| tree.runs[CHILD].run.key.thumbprint(), &below_child),
        ("its ceiling", Kind::Grant, |tree| tree.runs[CHILD].grant.id.to_string(), &below_child),
        ("its delegation", Kind::Token, |tree| tree.runs[CHILD].run.lin[0].clone(), &below_child),
        ("a delegation by it", Kind::Token, |tree| tree.runs[DEEP].run.lin[1].clone(), &[DEEP]),
        ("the deepest", Kind::Run, |tree| tree.runs[DEEP].run.id.to_string(), &[DEEP]),
        ("an agent above", Kind::Agent, |_| "support/writer@1".into(), &below_child),
        ("an agent in two places", Kind::Agent, |_| "support/reader".into(), &[OTHER, DEEP]),
        ("the principal", Kind::Principal, |tree| tree.runs[ROOT].run.principal.to_string(), &all),
    ];
    // Each in a world of its own, side by side.
    let mut trials = tokio::task::JoinSet::new();
    for (what, kind, id, expected) in cases {
        let expected = expected.to_vec();
        trials.spawn(async move {
            let tree = tree().await;
            tree.over(&[], what).await;
            tree.revoke(kind, &id(&tree)).await;
            tree.over(&expected, what).await;
        });
    }
    trials.join_all().await;
}

/// Break: forget the token of a delegation once it has expired, or take any run for a root.
#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_can_be_revoked_for_as_long_as_it_lasts_and_a_child_is_no_root() {
    let tree = tree().await;
    let late = spawn(&tree.runs[ROOT], "support/reader", to_read("14m")).await.unwrap();
    tree.world.clock.set(NOW + 700);
    // With the next one that is minted those that have expired are forgotten.
    claims(&tree.world, &tree.runs[ROOT]).await;
    let ask = |kind, id: &str| AdminAsk::Revoke { kind, id: id.into(), why: "x".into() };
    let root = ask(Kind::Root, late.run.id.as_str());
    refused(tree.world.admin_pin::<Revocation>(root, Some(PIN)).await, Code::RequestInvalid);
    let jti = late.run.lin[0].clone();
    // One's own needs no PIN, which shows that the owner is found too.
    let _done: Revocation = tree.world.admin(ask(Kind::Token, &jti)).await.unwrap();
    assert!(!late.socket.exists() && tree.runs[ROOT].socket.exists());
}

/// Break: end the parent alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_not_outlive_its_parent() {
    let tree = tree().await;
    let [root, child, other, deep] = &tree.runs;
    let _done: Value = tree.world.admin(AdminAsk::End { run: child.run.id.clone() }).await.unwrap();
    assert!(!child.socket.exists() && !deep.socket.exists() && other.socket.exists());
    let live: Vec<_> = runs(&tree.world).await.into_iter().map(|run| run.id).collect();
    assert_eq!(live, [root.run.id.clone(), other.run.id.clone()]);
    // By its time, each is ended once, also where parent and child end in the same second.
    let late = spawn(root, "support/reader", to_read("15m")).await.unwrap();
    let before = tree.entries().await;
    tree.world.clock.set(NOW + 900);
    while [root, other, &late].iter().any(|run| run.socket.exists()) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(tree.entries().await - before, 3);

    // And where a revocation names all of them.
    let tree = self::tree().await;
    let before = tree.entries().await;
    tree.revoke(Kind::Root, tree.runs[ROOT].run.id.as_str()).await;
    assert_eq!(tree.entries().await - before, 1 + 4);
}

/// Break: look only at what the child would be, and not at whoever begins it, or the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_begins_nothing() {
    for (kind, id) in [(Kind::Agent, "support/reader@1"), (Kind::Agent, "support/reader"), (Kind::Team, "support")] {
        let world = furnished().await;
        let root = world.request(&["tickets/read_ticket"], None).await.unwrap();
        // The helpers are of another team: the root itself is not touched.
        let theirs = manifest("reader", &["read_ticket"]).replace("\"support\"", "\"other\"");
        world.register(&theirs).await.unwrap();
        let id = id.replace("support", "other");
        let ask = AdminAsk::Revoke { kind, id, why: "x".into() };
        let _done: Revocation = world.admin_pin(ask, Some(PIN)).await.unwrap();
        let entries = world.admin::<Status>(AdminAsk::Status {}).await.unwrap().log_size;
        refused(spawn(&root, "other/reader", to_read("5m")).await, Code::Revoked);
        let status: Status = world.admin(AdminAsk::Status {}).await.unwrap();
        assert_eq!((status.runs, status.log_size), (1, entries), "nor is anything written");
        spawn(&root, "support/reader", to_read("5m")).await.unwrap();
    }
}

/// Break: keep what a child is in memory alone, or let the order of the log not fit the tables.
#[tokio::test(flavor = "multi_thread")]
async fn children_are_there_after_the_database_is_lost() {
    let Tree { mut world, runs: begun, claims: before } = tree().await;
    let (was, grants): (Vec<Run>, Vec<Grant>) = (runs(&world).await, world.admin(AdminAsk::Grants {}).await.unwrap());
    world.stop().await;
    for name in ["authority.db", "authority.db-wal", "authority.db-shm"] {
        std::fs::remove_file(world.path(name)).ok();
    }
    world.serve().await;
    assert_eq!(runs(&world).await, was);
    assert_eq!(world.admin::<Vec<Grant>>(AdminAsk::Grants {}).await.unwrap(), grants);
    for (run, before) in begun.iter().zip(&before) {
        let after = claims(&world, run).await;
        assert_eq!((after.act, after.lin, after.task), (before.act.clone(), before.lin.clone(), before.task.clone()));
        assert_ne!(after.cnf, before.cnf, "its key existed in the ended process's memory alone");
    }
    let again = spawn(&begun[DEEP], "support/reader", to_read("1m")).await.unwrap();
    let _done: Value = world.admin(AdminAsk::End { run: begun[ROOT].run.id.clone() }).await.unwrap();
    assert!(runs(&world).await.is_empty() && !again.socket.exists());
}

/// What the entries of the authority's log say, in clear, one after the other.
fn log(world: &World) -> Vec<(EventKind, Node)> {
    let mut epochs = std::fs::read_dir(world.path("log/authority")).unwrap().map(|epoch| epoch.unwrap().path());
    let epoch = epochs.find(|epoch| epoch.join("vkey").exists()).unwrap();
    let mut entries = Vec::new();
    verify_dir(&epoch, None, None, &mut |_, leaf, _| {
        entries.push(event::read(leaf).unwrap());
        Ok(())
    })
    .unwrap();
    entries
}

/// Break: name tokens that nobody minted, or begin a run that the log takes for one from outside.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_each_delegation_before_the_run_that_it_began() {
    let Tree { mut world, runs, .. } = tree().await;
    world.stop().await;
    let entries = log(&world);
    let at = |kind: EventKind, what: &str, member: &str, value: &str| {
        let text = |node: &Node, name| node.text(&["unmapped", "remit", name]).map(ToOwned::to_owned);
        let is =
            |node: &Node| text(node, "what").as_deref() == Some(what) && text(node, member).as_deref() == Some(value);
        let index = entries.iter().position(|(found, node)| *found == kind && is(node));
        index.map(|index| {
            let node = &entries[index].1;
            (index, ["run", "root", "why_trust"].map(|name| text(node, name)))
        })
    };
    let [root, child, _, deep] = &runs;
    let (ids, words) = (|run: &Requested| Some(run.run.id.to_string()), Some("untrusted".to_owned()));
    let (_, launched) = at(EventKind::Grant, "launch", "run", root.run.id.as_str()).unwrap();
    assert_eq!(launched, [ids(root), ids(root), None]);
    for (parent, own) in [(root, child), (child, deep)] {
        let (minted, said) = at(EventKind::Token, "mint", "id", own.run.lin.last().unwrap()).unwrap();
        assert_eq!(said, [ids(parent), ids(root), None], "of the parent, which delegates");
        let (begun, said) = at(EventKind::Grant, "spawn", "run", own.run.id.as_str()).unwrap();
        assert_eq!(said, [ids(own), ids(root), words.clone()]);
        assert!(minted < begun);
    }
}

/// Break: take what only a launch from outside may say.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_names_neither_a_principal_nor_a_key_nor_a_way_for_its_child() {
    let own =
        r#"{"op":"spawn","agent":"support/reader","asked":{"tools":["tickets/read_ticket"],"for":"5m","why":"x"}"#;
    assert!(serde_json::from_str::<RunAsk>(&format!("{own}}}")).is_ok());
    for more in [r#""principal":"Ada""#, r#""key":{"kty":"OKP"}"#, r#""golden":true"#, r#""parent":"r-1""#] {
        assert!(serde_json::from_str::<RunAsk>(&format!("{own},{more}}}")).is_err(), "{more}");
    }
}
