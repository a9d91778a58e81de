//! What is said to a child, and who hears the answer.

use super::*;

#[tokio::test]
async fn equal_ids_never_cross() {
    let world = world();
    let slow = |text: &str, s: f64| tool(json!("same"), "sleep", json!({"s": s, "text": text}));
    // Two roots, and two runs of one root that share its child; the later asked is the sooner answered.
    let calls = [("a", "1", 0.6), ("b", "2", 0.3), ("a", "3", 0.1), ("b", "4", 0.4)].map(|(root, text, s)| {
        let (world, message) = (&world, slow(text, s));
        async move { world.answer(root, &message).await }
    });
    let answers = futures_util::future::join_all(calls).await;
    for (answer, text) in answers.iter().zip(["1", "2", "3", "4"]) {
        assert_eq!((&answer["id"], &answer["result"]["text"]), (&json!("same"), &json!(text)));
    }
    assert_eq!(world.children.running(), 2);
    let (a, b) = (world.text("a", "pid", json!({})).await, world.text("b", "pid", json!({})).await);
    assert_ne!(a, b);
    assert_eq!(a[0], a[1], "it leads its own process group");
}

#[tokio::test]
async fn the_handshake_is_made_once() {
    let world = world();
    let initialize = |id: Value, version: &str| {
        json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": {"protocolVersion": version,
            "capabilities": {"sampling": {}, "roots": {}}, "clientInfo": {"name": "c", "version": "1"}}})
    };
    let reply = world.send("a", &initialize(json!("i"), "2025-06-18")).await.unwrap();
    let Reply::Json { body: bytes, .. } = &reply else { panic!("one message") };
    assert!(std::str::from_utf8(bytes).unwrap().contains("12345678901234567890123"), "as the child wrote it");
    assert_eq!(body(reply).1["id"], "i");
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    for _ in 0..2 {
        assert!(matches!(world.send("a", &initialized).await, Ok(Reply::Accepted)));
    }
    let again = world.answer("a", &initialize(json!(7), "2025-11-25")).await;
    assert_eq!((&again["id"], &again["result"]["protocolVersion"]), (&json!(7), &json!("2025-06-18")));
    let handshakes = world.heard("a", "initialize").await;
    assert_eq!(handshakes.len(), 1);
    assert_eq!(handshakes[0]["params"]["capabilities"], json!({}), "the client's capabilities are not the gateway's");
    assert_eq!(world.heard("a", "notifications/initialized").await.len(), 1);
    // A call without any handshake of the caller's finds a child that had one.
    assert_eq!(world.heard("b", "initialize").await.len(), 1);
}

#[tokio::test]
async fn eras() {
    let modern = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
    let message =
        |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "pid", "_meta": modern}});
    let legacy_only = world();
    let (status, answer) = body(legacy_only.send("a", &message("tools/call")).await.unwrap());
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(-32000)));
    let both = world_of(limits(), deadlines(), &["modern"]);
    let (status, answer) = body(both.send("a", &message("tools/call")).await.unwrap());
    assert!(status == StatusCode::OK && answer["result"].is_object(), "{answer}");
    assert!(both.heard("a", "server/discover").await.len() == 1);
    let (status, _) = body(both.send("a", &message("x/unknown")).await.unwrap());
    assert_eq!(status, StatusCode::NOT_FOUND);
    let mut listen = message("subscriptions/listen");
    listen["id"] = json!("l");
    let seen = messages(both.send("a", &listen).await.unwrap()).await;
    let of = |value: &Value| value["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    assert_eq!(
        [of(&seen[0]["params"]), of(&seen[1]["params"]), of(&seen[2]["result"])],
        [json!("l"), json!("l"), json!("l")]
    );
    assert_eq!((seen.len(), &seen[2]["id"]), (3, &json!("l")));
}

#[tokio::test]
async fn progress_reaches_its_own_request() {
    let world = world();
    let with_token = |id: &str, n: usize| {
        let mut message = tool(json!(id), "progress", json!({"n": n}));
        message["params"]["_meta"] = json!({"progressToken": "same"});
        message
    };
    let (one, two) = (with_token("i", 3), with_token("j", 2));
    let (one, two) = tokio::join!(world.send("a", &one), world.send("a", &two));
    for (reply, id, n) in [(one, "i", 3), (two, "j", 2)] {
        let seen = messages(reply.unwrap()).await;
        assert_eq!(seen.len(), n + 1);
        assert!(seen[..n].iter().all(|m| m["params"]["progressToken"] == "same"), "{seen:?}");
        assert_eq!(seen[n]["id"], id);
    }
}

#[tokio::test]
async fn whoever_leaves_cancels() {
    let world = world();
    let never = tool(json!("n"), "never", json!({}));
    tokio::time::timeout(Duration::from_secs(1), world.send("a", &never)).await.unwrap_err();
    let numbers: Vec<Value> = world.heard("a", "tools/call").await.iter().map(|m| m["id"].clone()).collect();
    let cancelled = world.heard("a", "notifications/cancelled").await;
    assert_eq!(cancelled.len(), 1);
    assert_eq!(cancelled[0]["params"]["requestId"], numbers[0]);
}

#[tokio::test]
async fn a_caller_cancels_only_its_own() {
    let world = world();
    world.text("a", "pid", json!({})).await;
    let never = tool(json!("n"), "never", json!({}));
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "n", "reason": "r"}});
    let cancelling = async {
        while world.heard("a", "tools/call").await.iter().all(|m| m["params"]["name"] != "never") {}
        world.children.send(&key("a"), &world.program, "other run", post(&cancel)).await.unwrap();
        assert!(world.heard("a", "notifications/cancelled").await.is_empty(), "another run's id is not its");
        world.send("a", &cancel).await.unwrap();
    };
    let (ended, ()) = tokio::join!(world.send("a", &never), cancelling);
    assert_eq!(ended.map(|_| ()), Err(UpstreamError::Closed));
    let cancelled = world.heard("a", "notifications/cancelled").await;
    assert_eq!((cancelled.len(), &cancelled[0]["params"]["reason"]), (1, &json!("r")));
    assert_ne!(cancelled[0]["params"]["requestId"], "n");
}

#[tokio::test]
async fn the_child_asks_and_is_answered() {
    let world = world();
    let reply = world.send("a", &tool(json!("x"), "ask", json!({}))).await.unwrap();
    let Reply::Stream { frames, voice, .. } = reply else { panic!("a stream, not {reply:?}") };
    // Whether there is life, the gateway says at once; the rest is for whoever reads the stream to decide.
    let heard = frames.map(|frame| {
        let text = frame.unwrap().data().unwrap().to_owned();
        voice.no(&text);
        serde_json::from_str(&text).unwrap()
    });
    let heard: Vec<Value> = heard.collect().await;
    let asked: Vec<&str> = heard.iter().filter_map(|m| m["method"].as_str()).collect();
    assert_eq!(asked, ["sampling/createMessage", "elicitation/create", "roots/list"]);
    let answers = &heard.last().unwrap()["result"]["text"];
    let of = |method: &str| answers.as_array().unwrap().iter().find(|m| m["id"] == format!("q-{method}")).unwrap();
    assert_eq!(of("ping")["result"], json!({}));
    for method in ["sampling/createMessage", "elicitation/create", "roots/list"] {
        assert_eq!(of(method)["error"]["code"], -32601, "{method}");
    }
}

#[tokio::test]
async fn notices_reach_standing_streams() {
    let world = world();
    let Reply::Stream { mut frames, .. } = world.children.send(&key("a"), &world.program, "run", get()).await.unwrap()
    else {
        panic!("a stream")
    };
    for _ in 0..2 {
        world.text("a", "notice", json!({})).await;
    }
    for _ in 0..2 {
        let frame = frames.next().await.unwrap().unwrap();
        assert!(frame.data().unwrap().contains("tools/list_changed"), "what is refused is not relayed: {frame:?}");
    }
    world.children.end_root("a").await;
    assert!(frames.next().await.is_none());
}

#[tokio::test]
async fn noise_does_no_harm_and_a_flood_ends_the_child() {
    let world = world();
    assert_eq!(world.text("a", "noise", json!({})).await, "noise");
    let flood = tool(json!(1), "huge", json!({"bytes": REPLY_BYTES_MAX + 1}));
    assert_eq!(world.send("a", &flood).await.map(|_| ()), Err(UpstreamError::Closed));
    let lines = Outgoing { body: Bytes::from_static(b"{\n}"), ..post(&flood) };
    let refused = world.children.send(&key("b"), &world.program, "run", lines).await;
    assert!(matches!(refused, Err(UpstreamError::Malformed(_))));
    assert_eq!(one_line(Bytes::from_static(b"{\r\n\"a\":\"\\n\"}")), Bytes::from_static(b"{  \"a\":\"\\n\"}"));
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let short = Deadlines { first_byte: Duration::from_millis(300), ..deadlines() };
    let world = world_of(limits(), short, &[]);
    assert_eq!(world.send("a", &tool(json!(1), "never", json!({}))).await.map(|_| ()), Err(UpstreamError::Timeout));
    assert_eq!(world.heard("a", "notifications/cancelled").await.len(), 1);
}
