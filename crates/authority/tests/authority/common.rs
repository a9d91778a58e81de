//! An authority on a scratch home, served for real, and what its clients do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use remit_authority::grant::Asked;
use remit_authority::socket::client::{self, ClientError};
use remit_authority::socket::wire::{AddServer, AdminAsk, Request, Requested, ServerShown};
use remit_authority::{Authority, Clock, Config};
use remit_core::hash::b64;
use remit_core::id::{ServerName, ToolName, TrustDomain};
use remit_core::jws::Jwk;
use remit_core::registry::{Environment, Upstream};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) const NOW: i64 = 1_795_250_400;
pub(crate) const GATEWAY: &str = "https://gw.example";
pub(crate) const ISSUER: &str = "https://as.example";
pub(crate) const PIN: &str = "correct horse";

pub(crate) const MANIFEST: &str = r#"
[agent]
name = "triage"
version = "1"
team = "support"
purpose = "sorts tickets"
[harm]
writes = true
reversible = true
autonomous = true
[[need]]
tool = "tickets/read_ticket"
reason = "to read"
longest = "15m"
[[need]]
tool = "tickets/reply"
reason = "to answer"
longest = "15m"
"#;

pub(crate) const LIST: &str = r#"{"tools":[
    {"name":"read_ticket","description":"reads","annotations":{"readOnlyHint":true},"inputSchema":{"type":"object","properties":{"id":{"type":"integer"}}}},
    {"name":"reply","description":"answers","inputSchema":{"type":"object","properties":{"id":{"type":"integer"},"body":{"type":"string"}}}},
    {"name":"delete_ticket","inputSchema":{"type":"object"}}]}"#;

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Clock,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) internal_hosts: Vec<String>,
    pub(crate) gateway: String,
    pub(crate) token_seconds: i64,
    /// Where its relay listens.
    pub(crate) relay: std::net::SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_for(GATEWAY, remit_authority::config::TOKEN_SECONDS_MAX).await
    }

    /// With this gateway, and tokens of so many seconds.
    pub(crate) async fn start_for(gateway: &str, token_seconds: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let floor = dir.path().join("policies/floor");
        std::fs::create_dir_all(&floor).unwrap();
        put(&floor.join("base.cedar"), "permit(principal, action, resource);\n");
        let mut world = Self {
            dir,
            clock: Clock::stopped(NOW),
            address: ([127, 0, 0, 1], 0).into(),
            internal_hosts: vec![],
            gateway: gateway.into(),
            token_seconds,
            relay: ([127, 0, 0, 1], 0).into(),
            stop: None,
            served: None,
        };
        world.serve().await;
        world
    }

    pub(crate) async fn serve(&mut self) {
        let domain = TrustDomain::new("acme.example").unwrap();
        let mut config = Config::new(domain, ISSUER, &self.gateway);
        config.token_seconds = self.token_seconds;
        config.clock = self.clock.clone();
        config.internal_hosts.clone_from(&self.internal_hosts);
        // The same again after a restart, as a configuration has it.
        let relay = tokio::net::TcpListener::bind(self.relay).await.unwrap();
        self.relay = relay.local_addr().unwrap();
        let authority = Authority::open(self.dir.path(), config).unwrap().relay(relay).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        self.stop = Some(stop);
        self.served = Some(tokio::spawn(async move {
            let end = async { stopped.await.unwrap_or_default() };
            authority.serve(listener, end).await.unwrap();
        }));
        // The sockets are bound before HTTP answers.
        assert!(self.get("/healthz").await.0 < 600);
    }

    pub(crate) async fn stop(&mut self) {
        self.stop.take();
        self.served.take().unwrap().await.unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.serve().await;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Asks the admin socket without a PIN.
    pub(crate) async fn admin<R: DeserializeOwned + Send + 'static>(&self, ask: AdminAsk) -> Result<R, ClientError> {
        self.admin_pin(ask, None).await
    }

    pub(crate) async fn admin_pin<R: DeserializeOwned + Send + 'static>(
        &self,
        ask: AdminAsk,
        pin: Option<&'static str>,
    ) -> Result<R, ClientError> {
        let home = self.dir.path().to_owned();
        tokio::task::spawn_blocking(move || client::admin(&home, &ask, pin)).await.unwrap()
    }

    pub(crate) async fn set_pin(&self) {
        let ask = AdminAsk::SetPin { new: PIN.into() };
        let _done: Value = self.admin_pin(ask, Some(PIN)).await.unwrap();
    }

    /// Registers the server and the agent of the tests, as the person who has the PIN.
    pub(crate) async fn furnish(&self) {
        self.set_pin().await;
        let _shown: ServerShown = self.admin_pin(add_server(), Some(PIN)).await.unwrap();
        self.register(MANIFEST).await.unwrap();
    }

    pub(crate) async fn register(&self, manifest: &str) -> Result<Value, ClientError> {
        self.admin(AdminAsk::RegisterAgent { manifest: manifest.into() }).await
    }

    pub(crate) async fn request(&self, tools: &[&str], key: Option<&Key>) -> Result<Requested, ClientError> {
        self.admin(request(tools, key)).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, http::HeaderMap, String) {
        let request = http::Request::get(path).header("host", "as.example").body(Full::default()).unwrap();
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: http::Request<Full<bytes::Bytes>>) -> (u16, http::HeaderMap, String) {
        let stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(crate) async fn token(&self, form: &[(&str, &str)], proof: Option<&str>) -> (u16, Value) {
        self.post("/token", form, proof).await
    }

    /// What an OAuth endpoint answers; nothing where it answers with nothing.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)], proof: Option<&str>) -> (u16, Value) {
        let body: Vec<String> = form.iter().map(|(n, v)| format!("{n}={}", escape(v))).collect();
        let mut request = http::Request::post(path)
            .header("host", "as.example")
            .header("content-type", "application/x-www-form-urlencoded");
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        let (status, headers, text) = self.send(request.body(Full::from(body.join("&"))).unwrap()).await;
        assert_eq!(headers["cache-control"], "no-store");
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }
}

pub(crate) fn add_server() -> AdminAsk {
    AdminAsk::AddServer(Box::new(AddServer {
        name: ServerName::new("tickets").unwrap(),
        environment: Environment::Staging,
        owner: None,
        upstream: Upstream::Http { url: "http://127.0.0.1:1/mcp".into() },
        list: LIST.into(),
        expose: ["read_ticket", "reply"].map(|t| ToolName::new(t).unwrap()).into(),
        overrides: BTreeMap::new(),
        prompts: vec![],
        resources: false,
        features: std::collections::BTreeSet::new(),
        oauth: None,
    }))
}

pub(crate) fn asked(tools: &[&str]) -> Asked {
    Asked {
        tools: tools.iter().map(ToString::to_string).collect(),
        constraints: vec![],
        duration: "15m".into(),
        why: "debugging".into(),
    }
}

pub(crate) fn request(tools: &[&str], key: Option<&Key>) -> AdminAsk {
    AdminAsk::Request(Box::new(Request {
        agent: "support/triage".into(),
        asked: asked(tools),
        principal: None,
        pid: None,
        key: key.map(|key| key.public.clone()),
        golden: false,
    }))
}

/// A run's key that is kept outside the authority.
pub(crate) struct Key {
    pair: Ed25519KeyPair,
    pub(crate) public: Jwk,
}

impl Key {
    pub(crate) fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = Jwk::ed25519(pair.public_key().as_ref(), None);
        Self { pair, public }
    }

    pub(crate) fn sign(&self, header: &Value, payload: &Value) -> String {
        let input = format!("{}.{}", b64(header.to_string().as_bytes()), b64(payload.to_string().as_bytes()));
        format!("{input}.{}", b64(self.pair.sign(input.as_bytes()).as_ref()))
    }

    pub(crate) fn assertion(&self, requested: &Requested, jti: &str) -> String {
        let id = format!("{}/{}", requested.run.agent, requested.run.id);
        let payload = json!({"iss": id, "sub": id, "aud": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": jti});
        self.sign(&json!({"alg": "EdDSA"}), &payload)
    }

    pub(crate) fn proof(&self, url: &str, iat: i64, jti: &str) -> String {
        let header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": self.public});
        self.sign(&header, &json!({"htm": "POST", "htu": url, "iat": iat, "jti": jti}))
    }
}

pub(crate) fn put(path: &std::path::Path, text: &str) {
    remit_audit::durable::write(path, text.as_bytes(), 0o600).unwrap();
}

pub(crate) fn escape(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
