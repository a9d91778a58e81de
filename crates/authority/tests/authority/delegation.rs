//! Runs whose keys are kept outside, and what they ask of the endpoints of OAuth.

use std::sync::atomic::{AtomicU64, Ordering};

use super::common::{ISSUER, Key, MANIFEST, NOW, PIN, World, asked, request};
use super::http::bundle;
use remit_authority::socket::wire::{AdminAsk, Requested};
use remit_core::claims::Claims;
use remit_core::identify::verify;
use serde_json::{Value, json};

pub(crate) const TOKEN_URL: &str = "https://as.example/token";
pub(crate) const TICKETS: &str = "https://gw.example/mcp/tickets";
pub(crate) const READER: &str = "spiffe://acme.example/agent/support/reader/1";
pub(crate) const WRITER: &str = "spiffe://acme.example/agent/support/writer/1";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Ids that were never used before.
fn next() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("n{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A run as it knows itself: its key, and its name.
pub(crate) struct Party {
    pub(crate) key: Key,
    pub(crate) id: String,
    /// The time by its own clock.
    pub(crate) now: i64,
}

impl Party {
    pub(crate) fn of(key: Key, requested: &Requested) -> Self {
        Self { id: requested.run.instance().to_string(), key, now: NOW }
    }

    /// The run that a token is of.
    pub(crate) fn child(key: Key, claims: &Claims) -> Self {
        Self { id: claims.act.sub.to_string(), key, now: claims.iat }
    }

    /// Time passes, for the run and for the authority.
    pub(crate) fn wait(&mut self, world: &World, now: i64) {
        self.now = now;
        world.clock.set(now);
    }

    fn assertion(&self) -> String {
        let id = &self.id;
        let payload =
            json!({"iss": id, "sub": id, "aud": ISSUER, "iat": self.now, "exp": self.now + 60, "jti": next()});
        self.key.sign(&json!({"alg": "EdDSA"}), &payload)
    }

    pub(crate) fn proof(&self) -> String {
        self.key.proof(TOKEN_URL, self.now, &next())
    }

    /// Asks an endpoint, authenticated.
    pub(crate) async fn ask(
        &self,
        world: &World,
        path: &str,
        more: &[(&str, &str)],
        proof: Option<&str>,
    ) -> (u16, Value) {
        let assertion = self.assertion();
        let base = [("client_assertion_type", ASSERTION), ("client_assertion", assertion.as_str())];
        let form: Vec<_> = base.into_iter().chain(more.iter().copied()).collect();
        world.post(path, &form, proof).await
    }

    /// A token of all that the run was granted.
    pub(crate) async fn token(&self, world: &World) -> String {
        let form = [("grant_type", "client_credentials")];
        let (status, answer) = self.ask(world, "/token", &form, Some(&self.proof())).await;
        assert_eq!(status, 200, "{answer}");
        text(&answer)
    }

    /// Exchanges a token, with a proof of its own key.
    pub(crate) async fn less(&self, world: &World, subject: &str, more: &[(&str, &str)]) -> (u16, Value) {
        self.exchange(world, subject, more, Some(&self.proof())).await
    }

    pub(crate) async fn exchange(
        &self,
        world: &World,
        subject: &str,
        more: &[(&str, &str)],
        proof: Option<&str>,
    ) -> (u16, Value) {
        let base = [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", ACCESS_TOKEN)];
        // What is named again stands for what is usual.
        let named = |name: &str| more.iter().any(|(other, _)| *other == name);
        let form: Vec<_> = base.into_iter().filter(|(name, _)| !named(name)).chain(more.iter().copied()).collect();
        self.ask(world, "/token", &form, proof).await
    }

    /// Hands a token on to whoever made the actor token.
    pub(crate) async fn hand(&self, world: &World, subject: &str, actor: &str, more: &[(&str, &str)]) -> (u16, Value) {
        let base = [("actor_token", actor), ("actor_token_type", JWT), ("why", "the reader looks")];
        let named = |name: &str| more.iter().any(|(other, _)| *other == name);
        let form: Vec<_> = base.into_iter().filter(|(name, _)| !named(name)).chain(more.iter().copied()).collect();
        self.exchange(world, subject, &form, None).await
    }
}

/// An actor token of an agent.
pub(crate) fn actor(key: &Key, agent: &str, now: i64) -> String {
    let header = json!({"alg": "EdDSA", "typ": "JWT", "jwk": key.public});
    let payload = json!({"iss": agent, "sub": agent, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": next()});
    key.sign(&header, &payload)
}

pub(crate) fn detail(tools: &str) -> String {
    format!(r#"[{{"type":"mcp_tools","locations":["{TICKETS}"],"tools":{tools}}}]"#)
}

pub(crate) fn text(answer: &Value) -> String {
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// What a token says, once a gateway would believe it.
pub(crate) async fn claims(world: &World, token: &str) -> Claims {
    Claims::clone(verify(&bundle(world).await.bundle.keys, token).unwrap().claims())
}

fn manifest(name: &str, tools: &[&str]) -> String {
    let (head, _) = MANIFEST.split_once("[[need]]").unwrap();
    let need = |tool: &&str| format!("[[need]]\ntool = \"tickets/{tool}\"\nreason = \"x\"\nlongest = \"15m\"\n");
    let needs: String = tools.iter().map(need).collect();
    format!("{}{needs}", head.replace("triage", name))
}

/// `reader` reads, `writer` reads and answers, and so does `triage`; `carrier` reads with tokens that need no proof.
pub(crate) async fn furnished() -> World {
    let world = World::start().await;
    world.furnish().await;
    world.register(&manifest("reader", &["read_ticket"])).await.unwrap();
    world.register(&manifest("writer", &["read_ticket", "reply"])).await.unwrap();
    let bearer = manifest("carrier", &["read_ticket"]).replace("purpose", "bearer = true\npurpose");
    let _new: Value = world.admin_pin(AdminAsk::RegisterAgent { manifest: bearer }, Some(PIN)).await.unwrap();
    world
}

/// A root run of `triage` with a key of its own, which may read and answer.
pub(crate) async fn root(world: &World, seed: u8) -> Party {
    let key = Key::new(seed);
    let requested = world.request(&["tickets/read_ticket", "tickets/reply"], Some(&key)).await.unwrap();
    Party::of(key, &requested)
}

/// The same of another agent, which may read.
pub(crate) async fn root_of(world: &World, seed: u8, agent: &str) -> Party {
    let key = Key::new(seed);
    let mut ask = request(&[], Some(&key));
    if let AdminAsk::Request(request) = &mut ask {
        (request.agent, request.asked) = (agent.into(), asked(&["tickets/read_ticket"]));
    }
    let requested: Requested = world.admin(ask).await.unwrap();
    Party::of(key, &requested)
}
