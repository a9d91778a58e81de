//! How children begin and end, and what they are given.

use super::*;

/// Waits until a process of that number is gone, for as long as anything here may take.
async fn gone(pid: &Value) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid.as_i64().unwrap()).unwrap()).unwrap();
    let is_zombie = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
    };
    for _ in 0..500 {
        if rustix::process::test_kill_process(pid).is_err() || is_zombie() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{pid:?} still runs");
}

#[tokio::test]
async fn the_environment_does_not_leak() {
    let world = world();
    let env = world.text("a", "env", json!({})).await;
    let mut names: Vec<&str> = env.as_object().unwrap().keys().map(String::as_str).collect();
    names.retain(|name| *name != "LC_CTYPE"); // Python's own
    assert_eq!(names, ["HOME", "LANG", "PATH", "TOKEN"]);
    assert_eq!(env["TOKEN"], "tok_abcdef");
    let (a, b) = (world.text("a", "home", json!({})).await, world.text("b", "home", json!({})).await);
    assert_eq!((&a[0], &a[2]), (&a[1], &json!([])));
    assert_ne!(a[0], b[0]);
    world.children.shut_down().await;
    assert!(!std::path::Path::new(a[0].as_str().unwrap()).exists(), "the home goes with the child");
}

#[tokio::test]
async fn a_child_that_fails_is_started_again_after_a_while() {
    let world = world();
    let first = world.text("a", "pid", json!({})).await;
    let exit = tool(json!(1), "exit", json!({}));
    let began = tokio::time::Instant::now();
    assert_eq!(world.send("a", &exit).await.map(|_| ()), Err(UpstreamError::Closed));
    let pid = tool(json!(2), "pid", json!({}));
    assert_eq!(world.send("a", &pid).await.map(|_| ()), Err(UpstreamError::Busy), "not at once");
    let second = loop {
        match world.send("a", &pid).await {
            Err(UpstreamError::Busy) => tokio::time::sleep(Duration::from_millis(10)).await,
            reply => break body(reply.unwrap()).1["result"]["text"].clone(),
        }
    };
    assert_ne!(first, second);
    assert!(began.elapsed() >= limits().backoff, "{:?}", began.elapsed());
    let missing = Program { command: "/nowhere/server".into(), ..world.program.clone() };
    let reply = world.children.send(&key("b"), &missing, "run", post(&pid)).await;
    assert_eq!(reply.map(|_| ()), Err(UpstreamError::Unreachable));
}

#[tokio::test]
async fn the_whole_group_ends() {
    let world = world();
    let grandchild = world.text("a", "grandchild", json!({})).await;
    let other = world.text("b", "grandchild", json!({})).await;
    world.children.end_root("a").await;
    gone(&grandchild).await;
    assert_eq!(world.children.running(), 1);
    let exit = tool(json!(1), "exit", json!({}));
    assert!(world.send("b", &exit).await.is_err());
    gone(&other).await;
    let third = world.text("c", "pid", json!({})).await;
    drop(world.children);
    gone(&third[0]).await;
}

#[tokio::test]
async fn idle_children_are_reaped_and_busy_ones_are_not() {
    let world = world_of(ChildLimits { idle: Duration::from_millis(1200), ..limits() }, deadlines(), &[]);
    let pid = world.text("a", "pid", json!({})).await;
    assert_eq!(world.text("a", "sleep", json!({"s": 2.5})).await, "slept", "longer than the idle time");
    assert_eq!(world.text("a", "pid", json!({})).await, pid);
    gone(&pid[0]).await;
    assert_eq!(world.children.running(), 0);
    assert_ne!(world.text("a", "pid", json!({})).await, pid, "no failure, so no waiting");
}

#[tokio::test]
async fn there_are_no_more_than_the_cap() {
    let world = world_of(ChildLimits { children: 2, ..limits() }, deadlines(), &[]);
    let (one, two) = (world.text("a", "pid", json!({})).await, world.text("b", "pid", json!({})).await);
    let never = tool(json!(1), "never", json!({}));
    let busy = async { world.send("b", &never).await };
    let rest = async {
        while world.heard("b", "tools/call").await.iter().all(|m| m["params"]["name"] != "never") {}
        let third = world.text("c", "pid", json!({})).await;
        gone(&one[0]).await;
        let (_never, other) =
            tokio::join!(tokio::time::timeout(Duration::from_millis(600), world.send("c", &never)), async {
                while world.heard("c", "tools/call").await.iter().all(|m| m["params"]["name"] != "never") {}
                world.send("d", &never).await
            });
        assert_eq!(other.map(|_| ()), Err(UpstreamError::Busy), "all are busy");
        assert_eq!(world.children.running(), 2);
        third
    };
    tokio::select! { _ = busy => panic!("it never answers"), third = rest => assert_ne!(third, two) }
}

#[tokio::test]
async fn another_credential_is_another_child() {
    let world = world();
    let pid = world.text("a", "pid", json!({})).await;
    let vars = vec![("TOKEN".to_owned(), Zeroizing::new("tok_rotated".to_owned()))];
    let rotated = Program { vars, ..world.program.clone() };
    let message = tool(json!(1), "env", json!({}));
    let reply = world.children.send(&key("a"), &rotated, "run", post(&message)).await.unwrap();
    assert_eq!(body(reply).1["result"]["text"]["TOKEN"], "tok_rotated");
    gone(&pid[0]).await;
}
