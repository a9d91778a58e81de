//! The desk on the bare wire: streams that clients abandon, and who may talk to it at all.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::time::Duration;

use serde_json::{Value, json};
use ticketdesk::{Desk, Effect, Outcome, serve_http};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Far above what the desk needs to notice that a client is gone.
const PATIENCE: Duration = Duration::from_secs(15);

type Wire = BufReader<TcpStream>;

async fn start() -> (Desk, String) {
    let desk = Desk::open(None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(serve_http(listener, desk.clone(), std::future::pending()));
    (desk, address)
}

async fn send(address: &str, request: &str, headers: &[String], body: &str) -> Wire {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let headers = headers.join("\r\n");
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{headers}\r\n\r\n{body}"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    BufReader::new(socket)
}

/// The lines up to and with the first one that `wanted` accepts.
async fn read_until(wire: &mut Wire, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut lines = Vec::new();
    let reading = async {
        loop {
            let mut line = String::new();
            assert_ne!(wire.read_line(&mut line).await.unwrap(), 0, "ended after {lines:?}");
            lines.push(line.trim_end().to_owned());
            if wanted(line.trim_end()) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    lines
}

fn watch(meta: &Value) -> String {
    let mut meta = meta.clone();
    meta["progressToken"] = json!("p");
    json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
            "name": "watch_ticket", "arguments": {"id": 41, "seconds": 30}, "_meta": meta
        }
    })
    .to_string()
}

async fn assert_cancelled(desk: &Desk) {
    let noticed = async {
        loop {
            if let [Effect { tool, outcome, .. }] = desk.ledger().unwrap().as_slice() {
                assert_eq!((tool.as_str(), *outcome), ("watch_ticket", Outcome::Cancelled));
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.expect("nobody noticed");
}

#[tokio::test]
async fn stateless_disconnect_is_a_cancellation() {
    let (desk, address) = start().await;
    let headers = [
        format!("Host: {address}"),
        "MCP-Protocol-Version: 2026-07-28".to_owned(),
        "Mcp-Method: tools/call".to_owned(),
        "Mcp-Name: watch_ticket".to_owned(),
    ];
    let body = watch(&json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}
    }));
    let mut wire = send(&address, "POST /mcp", &headers, &body).await;
    read_until(&mut wire, |line| line.contains("notifications/progress")).await;
    assert_eq!(desk.ledger().unwrap(), []);
    drop(wire);
    assert_cancelled(&desk).await;
}

async fn legacy_session(address: &str) -> Vec<String> {
    let host = format!("Host: {address}");
    let initialize = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"}
        }
    });
    let mut wire = send(address, "POST /mcp", std::slice::from_ref(&host), &initialize.to_string()).await;
    let lines = read_until(&mut wire, |line| line.contains("serverInfo")).await;
    let session = lines.iter().find(|line| line.starts_with("mcp-session-id:")).unwrap().clone();
    let headers = vec![host, session, "MCP-Protocol-Version: 2025-11-25".to_owned()];
    let ready = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    expect_status(&mut send(address, "POST /mcp", &headers, ready).await, "202").await;
    headers
}

async fn expect_status(wire: &mut Wire, status: &str) {
    let head = read_until(wire, str::is_empty).await;
    assert_eq!(head[0].split(' ').nth(1), Some(status), "{head:?}");
}

async fn legacy_watch_ended_by(request: &str, body: &str) {
    let (desk, address) = start().await;
    let headers = legacy_session(&address).await;
    let mut wire = send(&address, "POST /mcp", &headers, &watch(&json!({}))).await;
    read_until(&mut wire, |line| line.contains("notifications/progress")).await;
    let mut ending = send(&address, request, &headers, body).await;
    read_until(&mut ending, str::is_empty).await;
    assert_cancelled(&desk).await;
}

#[tokio::test]
async fn legacy_cancellation_ends_a_watch() {
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    legacy_watch_ended_by("POST /mcp", cancel).await;
}

#[tokio::test]
async fn end_of_a_legacy_session_ends_its_watches() {
    legacy_watch_ended_by("DELETE /mcp", "").await;
}

#[tokio::test]
async fn ledger_is_readable_over_http() {
    let (desk, address) = start().await;
    let headers = legacy_session(&address).await;
    let delete = json!({
        "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": "delete_ticket", "arguments": {"id": 37}}
    });
    let mut wire = send(&address, "POST /mcp", &headers, &delete.to_string()).await;
    read_until(&mut wire, |line| line.contains("structuredContent")).await;

    let close = [format!("Host: {address}"), "Connection: close".to_owned()];
    let mut wire = send(&address, "GET /ledger", &close, "").await;
    expect_status(&mut wire, "200").await;
    let mut body = String::new();
    wire.read_to_string(&mut body).await.unwrap();
    let told: Vec<Effect> = serde_json::from_str(&body).unwrap();
    assert_eq!(told, desk.ledger().unwrap());
    assert_eq!(told[0].tool, "delete_ticket");
}

#[tokio::test]
async fn other_hosts_and_browsers_are_refused() {
    let (_desk, address) = start().await;
    let body = watch(&json!({}));
    let origin = [format!("Host: {address}"), "Origin: https://attacker.example".to_owned()];
    for headers in [&["Host: attacker.example".to_owned()][..], &origin] {
        let mut wire = send(&address, "POST /mcp", headers, &body).await;
        expect_status(&mut wire, "403").await;
    }
}

#[tokio::test]
async fn shutdown_ends_open_streams() {
    let desk = Desk::open(None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve_http(listener, desk.clone(), async {
        stopped.await.unwrap();
    }));
    let headers = legacy_session(&address).await;
    let mut wire = send(&address, "POST /mcp", &headers, &watch(&json!({}))).await;
    read_until(&mut wire, |line| line.contains("notifications/progress")).await;
    stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
    assert_cancelled(&desk).await;
}
