//! What a child is sent, what it says to nobody in particular, and what it writes to its standard error: each has an end.

use super::*;

/// More than a pipe holds, in bytes.
const PIPE_AND_MORE: usize = 256 * 1024;

/// Break: queue without an end what a child does not read; or wait for it without an end.
#[tokio::test]
async fn a_child_that_does_not_read_is_waited_for_and_then_given_up() {
    let short = Deadlines { connect: Duration::from_secs(1), ..deadlines() };
    let world = world_of(limits(), short, &[]);
    let deaf = Program { command: "sleep".into(), args: vec!["600".into()], vars: vec![] };
    let pad = "x".repeat(PIPE_AND_MORE);
    let long = json!({"jsonrpc": "2.0", "method": "notifications/x", "params": {"pad": pad}});
    let mut taken = 0;
    let given_up = loop {
        match world.children.send(&key("a"), &deaf, "run", post(&long)).await {
            Ok(_) if taken < 200 => taken += 1,
            other => break other,
        }
    };
    assert_eq!(given_up.map(|_| ()), Err(UpstreamError::Timeout));
    // One is half written; the others wait.
    assert_eq!(taken, 1 + 64);
}

/// Break: keep all notices for a standing stream that nobody reads.
#[tokio::test]
async fn the_oldest_notices_are_forgotten() {
    let world = world();
    let opened = world.children.send(&key("a"), &world.program, "run", get()).await.unwrap();
    let Reply::Stream { mut frames, .. } = opened else { panic!("a stream, not {opened:?}") };
    world.text("a", "notices", json!({"n": 100})).await;
    world.children.end_root("a").await;
    let mut read = Vec::new();
    while let Some(frame) = frames.next().await {
        let message: Value = serde_json::from_str(frame.unwrap().data().unwrap()).unwrap();
        read.push(message["params"]["data"].as_u64().unwrap());
    }
    assert_eq!(read, (36..100).collect::<Vec<_>>());
}

/// Break: read a child's standard error only where there is a secret to be blotted out of it.
#[tokio::test]
async fn standard_error_is_read_whether_or_not_a_secret_could_be_in_it() {
    let world = world();
    for vars in [world.program.vars.clone(), vec![]] {
        let program = Program { vars, ..world.program.clone() };
        let much = tool(json!(1), "stderr", json!({"bytes": PIPE_AND_MORE}));
        let reply = world.children.send(&key("a"), &program, "run", post(&much)).await.unwrap();
        assert_eq!(body(reply).1["result"]["text"], "stderr");
    }
}
