//! A whole small world: an authority, a real gateway that follows it, a real ticket desk behind it, and runs in front.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use remit_core::bundle::{Bundle, PolicyFile};
use remit_core::claims::{Actor, CLAIMS_VERSION, Claims, Confirmation, Decision, PROFILE_AGENT, PROFILE_USER, Task};
use remit_core::event::canon::Node;
use remit_core::event::{Kind, read};
use remit_core::grant::Detail;
use remit_core::id::{AgentId, GrantId, Instance, PrincipalId, RunId, ServerName, ToolName, TrustDomain};
use remit_core::label::{Label, Sensitivity, Trust};
use remit_core::registry::{Agent, ControlTier, Environment, Server, Tool, ToolTier, Upstream};
use remit_gateway::clock::Clock as _;
use remit_gateway::upstream::Deadlines;
use remit_gateway::{Config, Gateway};
use serde_json::Value;
use serde_json::value::RawValue;
use tempfile::TempDir;
use ticketdesk::{Desk, Effect};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::authority::{Authority, DOMAIN, ISSUER, TestClock, mint, token_keys};
use crate::client::{Ask, PATIENCE, Run, thumbprint};

/// The registered agent.
pub const AGENT: &str = "spiffe://acme.example/agent/support/triage/1.0.0";
/// Another one, of another team.
pub const OTHER: &str = "spiffe://acme.example/agent/billing/clerk/2.1.0";
/// A reason that must not be found in the log.
pub const WHY: &str = "canary-why-7f3a because the customer asked";
/// A name that must not be found in the log.
pub const NAME: &str = "Canary Person 91bd";

const BASE: &str = include_str!("../../../../policies/floor/base.cedar");

/// What a world is made of, before it starts.
pub struct Setup {
    pub floor: Vec<(&'static str, String)>,
    pub servers: Vec<Server>,
    pub agent: Agent,
    pub age_max: Duration,
    pub calls_max: usize,
    pub origins: Vec<String>,
    /// How long upstreams may take.
    pub deadlines: Deadlines,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            floor: Vec::new(),
            servers: Vec::new(),
            agent: agent(AGENT),
            age_max: Duration::from_mins(1),
            calls_max: 256,
            origins: Vec::new(),
            deadlines: Deadlines::default(),
        }
    }
}

/// A running gateway.
pub struct Running {
    pub gateway: Arc<Gateway>,
    pub addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
    following: JoinHandle<()>,
}

/// All of it.
pub struct World {
    pub home: TempDir,
    pub clock: Arc<TestClock>,
    pub authority: Arc<Authority>,
    pub desk: Desk,
    pub bundle: Bundle,
    pub running: Running,
    pub config: Config,
    deadlines: Deadlines,
}

/// An entry of the gateway's log.
pub struct Logged {
    pub index: u64,
    pub kind: Kind,
    pub node: Node,
}

impl Logged {
    /// A text below `unmapped.remit`.
    pub fn text(&self, path: &str) -> &str {
        let path: Vec<&str> = ["unmapped", "remit"].into_iter().chain(path.split('/')).collect();
        self.node.text(&path).unwrap_or("")
    }

    /// A number below `unmapped.remit`.
    pub fn int(&self, path: &str) -> i64 {
        let path: Vec<&str> = ["unmapped", "remit"].into_iter().chain(path.split('/')).collect();
        self.node.int(&path).unwrap_or(-1)
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::default());
        let authority = Authority::start(Arc::clone(&clock)).await;
        let desk = Desk::open(None).unwrap();
        let desk_url = serve_desk(desk.clone()).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut servers = vec![tickets(&desk_url).await];
        servers.extend(setup.servers);
        let bundle = Bundle {
            issuer: ISSUER.into(),
            gateway: url.clone(),
            keys: token_keys(),
            servers,
            agents: vec![setup.agent, agent(OTHER)],
            floor: std::iter::once(("base", BASE.to_owned()))
                .chain(setup.floor)
                .map(|(name, text)| PolicyFile { name: name.into(), text })
                .collect(),
            teams: vec![],
        };
        authority.publish(1, &bundle);
        let config = Config {
            home: home.path().to_owned(),
            trust_domain: TrustDomain::new(DOMAIN).unwrap(),
            instance: "gw1".into(),
            url,
            authority: authority.url.clone(),
            root: Authority::root_vkey(),
            snapshot_age_max: setup.age_max,
            origins: setup.origins,
            calls_max: setup.calls_max,
        };
        let deadlines = setup.deadlines;
        let running = start((&config, deadlines), &clock, listener).await;
        let world = Self { home, clock, authority, desk, bundle, running, config, deadlines };
        world.ready().await;
        world
    }

    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.running.gateway
    }

    pub fn addr(&self) -> SocketAddr {
        self.running.addr
    }

    /// What `/healthz` says.
    pub async fn health(&self) -> (u16, Value) {
        let ask =
            Ask { method: http::Method::GET, path: "/healthz".into(), headers: http::HeaderMap::new(), body: vec![] };
        let reply = ask.send(self.addr()).await;
        (reply.status.as_u16(), reply.json().await)
    }

    /// Waits until the gateway decides by a bundle of which it has heard.
    pub async fn ready(&self) {
        self.until("ready", async || self.health().await.0 == 200).await;
    }

    /// Waits until the gateway decides by this version.
    pub async fn loaded(&self, version: u64) {
        self.until("loaded", async || self.health().await.1["bundle"] == version).await;
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !holds().await {
            assert!(tokio::time::Instant::now() < end, "never: {what}\n{}", self.story());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The log, from its beginning.
    pub fn log(&self) -> Vec<Logged> {
        let entries = self.gateway().entries(0).map(|entry| {
            let (index, entry) = entry.unwrap();
            let (kind, node) = read(&entry.leaf).unwrap();
            Logged { index, kind, node }
        });
        entries.collect()
    }

    /// The log in one line per entry, for messages of failed tests.
    pub fn story(&self) -> String {
        let line = |e: &Logged| {
            let operation = e.node.text(&["api", "operation"]).unwrap_or("").to_owned();
            let (verdict, code) = (e.text("decision/verdict"), e.text("decision/code"));
            format!("{} {} {operation} {verdict} {code} {}", e.index, e.kind.name(), e.text("status"))
        };
        self.log().iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Entries of a kind.
    pub fn of(&self, kind: Kind) -> Vec<Logged> {
        self.log().into_iter().filter(|entry| entry.kind == kind).collect()
    }

    /// The newest entry of a kind.
    pub fn last(&self, kind: Kind) -> Logged {
        self.of(kind).pop().unwrap_or_else(|| panic!("no {}\n{}", kind.name(), self.story()))
    }

    /// The status of the outcome of the newest call; empty where there is none.
    pub fn outcome(&self) -> String {
        let intent = self.last(Kind::CallIntent).index;
        let outcomes = self.of(Kind::CallOutcome);
        let outcome = outcomes.iter().find(|e| u64::try_from(e.int("intent")).ok() == Some(intent));
        outcome.map_or_else(String::new, |e| e.text("status").to_owned())
    }

    /// Waits for the outcome of the newest call.
    pub async fn outcome_is(&self, status: &str) {
        self.until(status, async || !self.outcome().is_empty()).await;
        assert_eq!(self.outcome(), status, "{}", self.story());
    }

    /// What the desk really did.
    pub fn ledger(&self) -> Vec<Effect> {
        self.desk.ledger().unwrap()
    }

    /// A run of the agent that may call these tools of `tickets`, bound to a key.
    pub fn run(&self, run: &str, tools: &str) -> Run {
        self.run_at("tickets", run, tools)
    }

    /// A run at any server.
    pub fn run_at(&self, server: &str, run: &str, tools: &str) -> Run {
        let url = &self.config.url;
        let detail = format!(r#"{{"type":"mcp_tools","locations":["{url}/mcp/{server}"],"tools":{tools}}}"#);
        let seed = remit_core::hash::sha256(&[run.as_bytes()]);
        let claims = claims(&self.clock, url, server, run, &detail, seed);
        Run {
            token: mint(&claims),
            claims,
            seed: Some(seed),
            url: url.clone(),
            addr: self.addr(),
            clock: Arc::clone(&self.clock),
        }
    }

    /// The same run with a token that is bound to no key.
    pub fn bearer(&self, run: &str, tools: &str) -> Run {
        let mut run = self.run(run, tools).with(|claims| claims.cnf = None);
        run.seed = None;
        run
    }

    /// Publishes the bundle with a change, and waits until it is loaded.
    pub async fn publish(&mut self, version: u64, change: impl FnOnce(&mut Bundle)) {
        change(&mut self.bundle);
        self.authority.publish(version, &self.bundle);
        self.loaded(version).await;
    }

    /// Takes something back, and waits until the gateway knows.
    pub async fn revoke(&self, kind: remit_core::revoked::Kind, id: &str) {
        let seq = self.authority.revoke(kind, id);
        self.until("revoked", async || self.health().await.1["revocations"] == seq).await;
    }

    /// Ends the gateway: cleanly, or as a crash would.
    pub async fn stop(&mut self, cleanly: bool) {
        let running = &mut self.running;
        running.stop.take().map(|stop| stop.send(()));
        running.following.abort();
        if cleanly {
            tokio::time::timeout(PATIENCE, &mut running.serving).await.unwrap().unwrap().unwrap();
            Arc::clone(&running.gateway).close().await;
        } else {
            running.serving.abort();
        }
    }

    /// Ends the gateway, and starts one on the home as it is now: what a crash at this moment would leave.
    pub async fn crashed(&mut self) {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(self.home.path(), copy.path());
        self.stop(false).await;
        Arc::clone(&self.running.gateway).close().await;
        // Into the very same files: a log that is elsewhere would be a restored one.
        for path in files(self.home.path()) {
            let then = copy.path().join(path.strip_prefix(self.home.path()).unwrap());
            if !then.exists() {
                std::fs::remove_file(path).unwrap();
            }
        }
        copy_dir(copy.path(), self.home.path());
        self.restart().await;
    }

    /// Starts a gateway on a copy of the home as it is now: what a backup would bring back.
    pub async fn restored(&mut self) {
        let copy = tempfile::tempdir().unwrap();
        self.stop(true).await;
        copy_dir(self.home.path(), copy.path());
        self.config.home = copy.path().to_owned();
        self.home = copy;
        self.restart().await;
    }

    /// Starts a gateway where one has ended.
    pub async fn restart(&mut self) {
        self.start_again().await;
        self.ready().await;
    }

    /// The same, without waiting until it decides.
    pub async fn start_again(&mut self) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        // The new one speaks under the old one's URL, as behind a load balancer.
        self.running = start((&self.config, self.deadlines), &self.clock, listener).await;
    }
}

async fn start(
    (config, deadlines): (&Config, Deadlines),
    clock: &Arc<TestClock>,
    listener: tokio::net::TcpListener,
) -> Running {
    let gateway = Gateway::open_within(config.clone(), Arc::<TestClock>::clone(clock), deadlines).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let following = tokio::spawn(Arc::clone(&gateway).follow());
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(remit_gateway::server::serve(Arc::clone(&gateway), listener, async {
        stopped.await.ok();
    }));
    Running { gateway, addr, stop: Some(stop), serving, following }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = std::fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    // Files first: a gateway may be running, and `log.head` must not be newer than the log.
    entries.sort_by_key(|entry| entry.file_type().unwrap().is_dir());
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

async fn serve_desk(desk: Desk) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(ticketdesk::serve_http(listener, desk, std::future::pending()));
    url
}

/// A registered agent.
pub fn agent(id: &str) -> Agent {
    let need = |tool: &str| format!("tickets/{tool}").parse().unwrap();
    Agent {
        id: AgentId::parse(id).unwrap(),
        purpose: "answer customers".into(),
        tags: vec![],
        tier: ControlTier::Medium,
        environment: Environment::Production,
        needs: ["list_tickets", "read_ticket", "issue_refund", "watch_ticket"].map(need).into(),
        offline: vec![],
        calls_max: 1_000,
        calls_per_minute_max: 1_000,
        repeats_max: 100,
    }
}

fn claims(clock: &TestClock, url: &str, server: &str, run: &str, detail: &str, seed: [u8; 32]) -> Claims {
    let (now, agent) = (clock.now_s(), AgentId::parse(AGENT).unwrap());
    let detail: Detail = serde_json::from_str(detail).unwrap();
    let run = RunId::new(run).unwrap();
    Claims {
        ver: CLAIMS_VERSION,
        iss: ISSUER.into(),
        aud: vec![format!("{url}/mcp/{server}")],
        exp: now + 900,
        iat: now,
        jti: format!("t-{run}"),
        sub: PrincipalId::new("p-3f9a").unwrap(),
        sub_profile: PROFILE_USER.into(),
        name: Some(NAME.into()),
        client_id: agent.clone(),
        act: Actor {
            sub: Instance { agent, run: run.clone() },
            iss: ISSUER.into(),
            sub_profile: PROFILE_AGENT.into(),
            act: None,
        },
        cnf: Some(Confirmation { jkt: thumbprint(seed) }),
        authorization_details: vec![detail],
        task: Task { id: "t-1".into(), purpose: "answer customers".into(), why: WHY.into(), trust: Trust::Verified },
        root: run.clone(),
        root_at: now - 60,
        root_until: now + 86_400,
        gid: GrantId::new(format!("g-{run}")).unwrap(),
        run,
        lin: vec![],
        via: vec![],
        lin_jkt: vec![],
        del_depth: 0,
        del_max_depth: 3,
        grant: Decision { until: now + 3_600, by: "policy".into() },
        path: None,
    }
}

/// The ticket desk, with all its tools but `reply_to_customer` on the menu.
async fn tickets(url: &str) -> Server {
    let addr = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/mcp")).unwrap();
    let ask = Run::modern_bare("x", "tools/list", "{}");
    let reply = Ask { path: "/mcp".into(), ..ask }.send(addr.parse().unwrap()).await;
    let text = reply.json().await;
    let tools = serde_json::value::to_raw_value(&text["result"]["tools"]).unwrap();
    let mut server = http_server("tickets", url, tools.get());
    server.tools.retain(|tool| tool.name.as_str() != "reply_to_customer");
    for tool in &mut server.tools {
        (tool.tier, tool.returns) = match tool.name.as_str() {
            "issue_refund" | "delete_ticket" | "export_customers" => (ToolTier::T3, internal()),
            "list_tickets" => (ToolTier::T0, internal()),
            _ => (ToolTier::T0, Label { trust: Trust::Untrusted, sensitivity: Sensitivity::Confidential }),
        };
    }
    server
}

fn internal() -> Label {
    Label { trust: Trust::Internal, sensitivity: Sensitivity::Internal }
}

/// A server over HTTP with all the tools of this JSON array pinned.
pub fn http_server(name: &str, url: &str, tools: &str) -> Server {
    server(name, Upstream::Http { url: url.into() }, tools)
}

/// A server with all the tools of this JSON array pinned.
pub fn server(name: &str, upstream: Upstream, tools: &str) -> Server {
    let raws: Vec<&RawValue> = serde_json::from_str(tools).unwrap();
    let tools = raws.into_iter().map(|raw| {
        let value: Value = serde_json::from_str(raw.get()).unwrap();
        Tool {
            name: ToolName::new(value["name"].as_str().unwrap()).unwrap(),
            pin: remit_core::pin::pin(raw).unwrap(),
            tier: ToolTier::T0,
            returns: internal(),
            roles: BTreeMap::new(),
            input: value["inputSchema"].clone(),
        }
    });
    Server {
        name: ServerName::new(name).unwrap(),
        environment: Environment::Production,
        upstream,
        tools: tools.collect(),
        prompts: vec![],
        resources: false,
        features: std::collections::BTreeSet::new(),
        secrets: vec![],
        owner: None,
    }
}
