//! An upstream that says nothing, or is not there: whoever asked is told, the log says what became of it, and nothing is
//! tried again.

use std::time::Duration;

use remit_core::event::Kind;
use remit_core::registry::Upstream;
use remit_gateway::upstream::Deadlines;
use tokio::net::TcpSocket;

use crate::bytes::{TOOLS, echo, raw};
use crate::client::{Reply, code_of};
use crate::stub::{self, Stub};
use crate::world::{Setup, World, http_server};

/// Short for a test that waits for one, long for a busy machine that must not meet one.
const PATIENT: Duration = Duration::from_secs(2);

/// Whether what was tried again would have been tried by now.
const AGAIN: Duration = Duration::from_millis(500);

async fn refused(reply: Reply) -> (u16, String, String) {
    let (status, answer) = (reply.status.as_u16(), reply.json().await);
    let help = answer["error"]["data"]["help"].as_str().unwrap_or_default();
    (status, code_of(&answer), help.split(':').next().unwrap_or_default().to_owned())
}

/// The calls of tools in the log, each with what became of it.
fn calls(world: &World) -> Vec<String> {
    let outcomes = world.of(Kind::CallOutcome);
    let became = |intent: u64| outcomes.iter().filter(move |e| e.int("intent").unsigned_abs() == intent);
    let told = |intent: u64| became(intent).map(|e| e.text("status")).collect::<Vec<_>>().join(" ");
    world.of(Kind::CallIntent).iter().map(|e| told(e.index)).collect()
}

/// Break: wait for ever, try again, leave the call without an outcome, or say that it was not made.
#[tokio::test(flavor = "multi_thread")]
async fn silence_is_a_timeout_and_is_not_tried_again() {
    let stub = Stub::start(TOOLS, |_| std::future::pending()).await;
    let servers = vec![http_server("raw", &stub.url, TOOLS)];
    let deadlines = Deadlines { first_byte: PATIENT, ..Deadlines::default() };
    let world = World::with(Setup { servers, deadlines, ..Setup::default() }).await;
    let run = world.run_at("raw", "r1", r#"{"echo":{}}"#);
    let told = refused(run.send(echo(&run, "{}")).await).await;
    assert_eq!(told, (504, "upstream_timeout".into(), "it may have had its effect".into()), "{}", world.story());
    assert_eq!(calls(&world), ["upstream_timeout"], "{}", world.story());
    tokio::time::sleep(AGAIN).await;
    assert_eq!((stub.of("tools/call").len(), calls(&world).len()), (1, 1), "{}", world.story());
}

/// Break: try again when the server is there, leave the call without an outcome, or say that it may have been made.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_told_at_once_and_nothing_is_kept_for_later() {
    let answering = |heard: stub::Heard| async move {
        stub::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, heard.id()))
    };
    let stub = Stub::start(TOOLS, answering).await;
    let (mut world, run) = raw(&stub).await;
    assert_eq!(code_of(&run.send(echo(&run, "{}")).await.json().await), "ok");
    // Nobody else gets the address, and nobody listens at it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/mcp", socket.local_addr().unwrap());
    let moved = |server: &mut remit_core::registry::Server| server.upstream = Upstream::Http { url: url.clone() };
    world.publish(2, |bundle| bundle.servers.iter_mut().filter(|s| s.name.as_str() == "raw").for_each(moved)).await;
    let told = refused(run.send(echo(&run, "{}")).await).await;
    assert_eq!(told, (502, "upstream_unreachable".into(), "nothing was sent".into()), "{}", world.story());
    assert_eq!(calls(&world), ["ok", "not_sent"], "{}", world.story());
    let there = Stub::at(socket.listen(16).unwrap(), TOOLS, answering);
    tokio::time::sleep(AGAIN).await;
    assert_eq!((there.heard.lock().unwrap().len(), calls(&world).len()), (0, 2), "{}", world.story());
    assert_eq!(code_of(&run.send(echo(&run, "{}")).await.json().await), "ok");
    assert_eq!((there.of("tools/call").len(), stub.of("tools/call").len()), (1, 1), "{}", world.story());
}
