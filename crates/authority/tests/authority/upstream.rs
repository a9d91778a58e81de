//! A protected MCP server and its authorization server, on one port of this machine, as a test tells them to be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use remit_core::hash::{b64, sha256};
use remit_core::id::RunId;
use remit_core::lease::ASK_TYP;
use remit_core::secret::Reference;
use serde_json::{Value, json};

use super::brokered::{Asking, send_to};
use super::common::{Key, World, escape};

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Heard {
    /// A parameter of the form that was sent.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        let form: BTreeMap<String, String> = self
            .body
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (unescape(name), unescape(value)))
            .collect();
        form.get(name).cloned()
    }
}

fn unescape(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex: Vec<u8> = bytes.by_ref().take(2).collect();
            plain.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            plain.push(byte);
        }
    }
    String::from_utf8(plain).unwrap()
}

/// How they are. Everything that a test does not touch is as the standards want it.
#[derive(Clone)]
pub(crate) struct Manners {
    pub(crate) challenge: Option<String>,
    pub(crate) protected: Value,
    pub(crate) metadata: Value,
    /// What is issued: of a number that rises.
    pub(crate) expires_in: Option<i64>,
    /// Whether with a refresh token.
    pub(crate) refresh: bool,
    /// What the token endpoint answers instead.
    pub(crate) refuses: Option<(u16, &'static str)>,
    pub(crate) slow: Duration,
    /// Until then the token endpoint does not answer.
    pub(crate) hold: Option<Arc<tokio::sync::Notify>>,
}

struct Shared {
    manners: Mutex<Manners>,
    heard: Mutex<Vec<Heard>>,
}

/// Both of them.
pub(crate) struct Upstream {
    pub(crate) origin: String,
    shared: Arc<Shared>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let manners = Manners {
            challenge: Some(format!(r#"Bearer resource_metadata="{origin}/prm", scope="read""#)),
            protected: json!({ "resource": format!("{origin}/mcp"), "authorization_servers": [origin] }),
            metadata: json!({
                "issuer": origin,
                "token_endpoint": format!("{origin}/token"),
                "authorization_endpoint": format!("{origin}/authorize"),
                "registration_endpoint": format!("{origin}/register"),
                "revocation_endpoint": format!("{origin}/revoke"),
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": true,
            }),
            expires_in: Some(600),
            refresh: false,
            refuses: None,
            slow: Duration::ZERO,
            hold: None,
        };
        let shared = Arc::new(Shared { manners: Mutex::new(manners), heard: Mutex::default() });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { origin, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/mcp", self.origin)
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.shared.manners.lock().unwrap());
    }

    /// What was asked of one path.
    pub(crate) fn heard(&self, path: &str) -> Vec<Heard> {
        let heard = self.shared.heard.lock().unwrap();
        heard.iter().filter(|heard| heard.path.split('?').next() == Some(path)).cloned().collect()
    }

    /// Everything that was ever sent here.
    pub(crate) fn everything(&self) -> String {
        format!("{:?}", self.shared.heard.lock().unwrap())
    }

    /// The browser's way back, from where it was sent: with another `iss` or `state`, where one is named.
    pub(crate) fn back(&self, url: &str, changes: &[(&str, Option<&str>)]) -> String {
        let sent = |name: &str| {
            let pairs = url.split_once('?').unwrap().1.split('&').map(|pair| pair.split_once('=').unwrap());
            pairs.filter(|(known, _)| *known == name).map(|(_, value)| unescape(value)).next().unwrap()
        };
        let mut all = vec![("code", "c-1".to_owned()), ("state", sent("state")), ("iss", self.origin.clone())];
        for (name, value) in changes {
            all.retain(|(known, _)| known != name);
            all.extend(value.map(|value| (*name, value.to_owned())));
        }
        let pairs: Vec<String> = all.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let place = sent("redirect_uri").strip_prefix("https://as.example").unwrap().to_owned();
        format!("{place}?{}", pairs.join("&"))
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.to_string();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let count = {
        let mut heard = shared.heard.lock().unwrap();
        heard.push(Heard { path: path.clone(), headers: parts.headers, body });
        heard.iter().filter(|heard| heard.path == "/token").count()
    };
    let manners = shared.manners.lock().unwrap().clone();
    match path.as_str() {
        "/mcp" => match &manners.challenge {
            Some(challenge) => (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge.clone())]).into_response(),
            None => StatusCode::UNAUTHORIZED.into_response(),
        },
        "/prm" => axum::Json(manners.protected).into_response(),
        "/.well-known/oauth-authorization-server" => axum::Json(manners.metadata).into_response(),
        "/register" => {
            axum::Json(json!({ "client_id": "dcr-1", "client_secret": "dcr-secret-0123456789" })).into_response()
        }
        "/revoke" => StatusCode::OK.into_response(),
        "/token" => {
            tokio::time::sleep(manners.slow).await;
            if let Some(hold) = &manners.hold {
                hold.notified().await;
            }
            if let Some((status, error)) = manners.refuses {
                let said = json!({ "error": error, "error_description": "canary-description" });
                return (StatusCode::from_u16(status).unwrap(), axum::Json(said)).into_response();
            }
            let mut issued = json!({ "access_token": format!("at-{count}-0123456789"), "token_type": "Bearer" });
            if let Some(life) = manners.expires_in {
                issued["expires_in"] = life.into();
            }
            if manners.refresh {
                issued["refresh_token"] = format!("rt-{count}-0123456789").into();
            }
            axum::Json(issued).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// What the bundle says that a gateway has to ask for.
pub(crate) async fn references(world: &World) -> Vec<Reference> {
    let (_, _, bundle) = world.get("/fleet/bundle").await;
    let content = bundle.lines().find(|line| line.contains("\"servers\"")).unwrap();
    let content: Value = serde_json::from_str(content).unwrap();
    let servers = content.get("servers").or_else(|| content["bundle"].get("servers")).unwrap();
    let server = servers.as_array().unwrap().iter().find(|server| server["name"] == "tickets").unwrap();
    serde_json::from_value(server["secrets"].clone()).unwrap()
}

/// What is lent for a run's call, and the status where nothing is.
pub(crate) async fn lent(
    world: &World,
    gateway: &Key,
    run: Option<&RunId>,
    refused: Option<&str>,
) -> Result<Vec<String>, (u16, String)> {
    lent_of(world, gateway, references(world).await, run, refused).await
}

/// The same for a gateway whose bundle names these.
pub(crate) async fn lent_of(
    world: &World,
    gateway: &Key,
    known: Vec<Reference>,
    run: Option<&RunId>,
    refused: Option<&str>,
) -> Result<Vec<String>, (u16, String)> {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let jti = format!("b-{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    let mut asking = Asking::new(gateway, 0, &jti);
    asking.ask.secrets = known;
    asking.ask.run = run.cloned();
    asking.ask.refused = refused.map(|value| b64(&sha256(&[value.as_bytes()])));
    (asking.ask.iat, asking.ask.exp) = (world.clock.now(), world.clock.now() + 60);
    let (status, text) = send_to(world, "tickets", &asking.signed(gateway, ASK_TYP)).await;
    if status == 200 { Ok(asking.open(&text)) } else { Err((status, text)) }
}
