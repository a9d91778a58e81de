//! The desk seen through rmcp's own client: every revision, over HTTP and stdio.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use rmcp::model::{CallToolRequestParams, CallToolResult, ProtocolVersion};
use rmcp::service::RunningService;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::{Value, json};
use ticketdesk::{ATTACKER_IBAN, Desk, Outcome, serve_http};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

type Client = RunningService<RoleClient, rmcp::model::ClientConfig>;

const LEGACY: [ProtocolVersion; 3] =
    [ProtocolVersion::V_2025_03_26, ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25];

struct Served {
    desk: Desk,
    url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Served {
    async fn start() -> Self {
        let desk = Desk::open(None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve_http(listener, desk.clone(), async {
            stopped.await.ok();
        }));
        Self { desk, url, stop, task }
    }

    async fn client(&self, version: &ProtocolVersion) -> Client {
        let transport = StreamableHttpClientTransport::from_uri(self.url.clone());
        let (info, lifecycle) = client_of(version);
        info.serve_with_lifecycle(transport, lifecycle).await.unwrap()
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

fn client_of(version: &ProtocolVersion) -> (rmcp::model::ClientConfig, ClientLifecycleMode) {
    let mut info = rmcp::model::ClientConfig::default();
    if version.has_initialize() {
        info.protocol_version = version.clone();
        (info, ClientLifecycleMode::Initialize)
    } else {
        (info, ClientLifecycleMode::Discover { preferred_versions: vec![version.clone()] })
    }
}

fn call(tool: &'static str, arguments: &Value) -> CallToolRequestParams {
    CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone())
}

async fn play(client: &Client, version: &ProtocolVersion) {
    assert_eq!(&client.peer_info().unwrap().protocol_version, version);

    let tools = client.list_all_tools().await.unwrap();
    assert_eq!(tools.len(), 7);

    let ticket = client.call_tool(call("read_ticket", &json!({"id": 41}))).await.unwrap();
    assert!(text(&ticket).contains("SYSTEM NOTICE"), "{ticket:?}");

    let refund = json!({"id": 41, "amount_cents": 950_000, "iban": ATTACKER_IBAN});
    let refunded = client.call_tool(call("issue_refund", &refund)).await.unwrap();
    assert_eq!(refunded.is_error, Some(false), "{refunded:?}");

    let wrong = client.call_tool(call("read_ticket", &json!({"id": "41"}))).await.unwrap();
    assert_eq!(wrong.is_error, Some(true), "{wrong:?}");
    let missing = client.call_tool(call("delete_ticket", &json!({"id": 1}))).await.unwrap();
    assert_eq!(text(&missing), "there is no ticket 1");
    client.call_tool(call("drop_database", &json!({}))).await.unwrap_err();
}

fn text(result: &CallToolResult) -> String {
    result.content.iter().filter_map(|block| block.as_text()).map(|text| text.text.clone()).collect()
}

/// What `play` leaves behind: the two calls that were executed, and nothing of the refused ones.
fn check_ledger(desk: &Desk) {
    let ledger = desk.ledger().unwrap();
    let rows: Vec<_> =
        ledger.iter().map(|effect| (effect.tool.as_str(), effect.arguments["id"].clone(), effect.outcome)).collect();
    assert_eq!(rows, [("read_ticket", json!(41), Outcome::Read), ("issue_refund", json!(41), Outcome::Changed),]);
}

#[tokio::test]
async fn http_serves_every_revision() {
    for version in LEGACY.into_iter().chain([ProtocolVersion::V_2026_07_28]) {
        let served = Served::start().await;
        let client = served.client(&version).await;
        play(&client, &version).await;
        client.cancel().await.unwrap();
        check_ledger(&served.desk);
        served.end().await;
    }
}

#[tokio::test]
async fn stdio_serves_every_revision() {
    for version in LEGACY.into_iter().chain([ProtocolVersion::V_2026_07_28]) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("desk.db");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ticketdesk"));
        command.arg("--stdio").arg("--db").arg(&file);
        let (info, lifecycle) = client_of(&version);
        let transport = TokioChildProcess::new(command).unwrap();
        let client = info.serve_with_lifecycle(transport, lifecycle).await.unwrap();
        play(&client, &version).await;
        client.cancel().await.unwrap();
        check_ledger(&Desk::open(Some(&file)).unwrap());
    }
}

#[tokio::test]
async fn a_watch_that_runs_its_time_is_a_read() {
    let served = Served::start().await;
    let client = served.client(&ProtocolVersion::V_2026_07_28).await;
    let arguments = json!({"id": 38, "seconds": 1});
    let result = client.call_tool(call("watch_ticket", &arguments)).await.unwrap();
    assert_eq!(result.structured_content.unwrap()["id"], 38);
    let ledger = served.desk.ledger().unwrap();
    assert_eq!(ledger.iter().map(|effect| effect.outcome).collect::<Vec<_>>(), [Outcome::Read]);
    client.cancel().await.unwrap();
    served.end().await;
}
