//! Delegation, as two programs on two machines do it: each keeps its own key, and the one gives the other less than it has.

use std::path::PathBuf;
use std::time::Instant;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use remit_core::hash::{b64, sha256};
use remit_core::jws::Jwk;
use serde_json::{Value, json};

use super::agent::{self, Agent, Answer};
use super::story::{REVOKED_WITHIN, WHY, command, short, step};
use super::world::{World, failed};
use super::{Step, millis};
use crate::error::CliError;
use crate::time::now;

const LEAD_ASKS: [&str; 5] = ["request", "tickets/list_tickets", "tickets/read_ticket", "--agent", "support/triage"];
const HELPER: &str = "support/digest/0.3.0";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A program with a key that nobody else has.
struct Party {
    key: Ed25519KeyPair,
    /// Who it is towards the authority.
    id: String,
    token: String,
}

/// The lead and its helper, each with a token.
pub(super) struct Pair {
    run: String,
    lead: Party,
    helper: Party,
    /// Where both call.
    to: Agent,
}

/// A run with a key of its own begins another one, which may do less.
pub(super) async fn steps(world: &World) -> Result<(Pair, Vec<Step>), CliError> {
    let key = generate()?;
    let file = world.home.join("lead.jwk");
    let public = serde_json::to_vec(&public(&key)).unwrap_or_default();
    remit_audit::durable::write(&file, &public, 0o600).map_err(|error| failed(error.to_string()))?;
    let file = file.display().to_string();
    let printed = world.remit(&[&LEAD_ASKS[..], &["--key", &file, "--for", "15m", "--why", WHY]].concat()).await?;
    let text = |path: &str| printed.json.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (run, id) = (text("/run/id"), format!("{}/{}", text("/run/agent"), text("/run/id")));
    let mut steps = vec![command("remit request … --agent support/triage --key lead.jwk", &printed, 0)];
    let mut lead = Party { key, id, token: String::new() };
    let first = lead.ask(world, &[("grant_type", "client_credentials")], true).await?;
    lead.token = said(&first, "access_token");

    let domain = lead.id.split("/agent/").next().unwrap_or_default().to_owned();
    let mut helper = Party { key: generate()?, id: format!("{domain}/agent/{HELPER}"), token: String::new() };
    let began = Instant::now();
    let wider = lead.hand(world, &helper, "issue_refund").await?;
    let refused = said(&wider.message, "error");
    let (text, ok) = (format!("{} — {refused}", wider.status), refused == "invalid_authorization_details");
    steps.push(step("its token, given for a helper's that could refund", text, ok, millis(began)));
    let began = Instant::now();
    let less = lead.hand(world, &helper, "list_tickets").await?.message;
    helper.token = said(&less, "access_token");
    let tools = less.pointer("/authorization_details/0/tools").map(ToString::to_string).unwrap_or_default();
    let text = format!("support/digest may {tools}, with its own key, for {} s", said(&less, "expires_in"));
    let ok = tools == r#"{"list_tickets":{}}"#;
    steps.push(step("its token, given for a helper's that may only list", text, ok, millis(began)));

    let to = Agent { socket: PathBuf::new(), endpoint: format!("{}/mcp/tickets", world.gateway) };
    let pair = Pair { run, lead, helper, to };
    for (who, party, tool, done) in [
        ("the helper", &pair.helper, "list_tickets", true),
        ("the helper", &pair.helper, "read_ticket", false),
        ("the lead", &pair.lead, "read_ticket", true),
    ] {
        let began = Instant::now();
        let answer = pair.call(party, tool).await?;
        let ok = answer.is_done() == done;
        steps.push(step(&format!("{who}: {tool}"), short(answer.text()), ok, millis(began)));
    }
    Ok((pair, steps))
}

/// The helper's line in the log, and its end with the lead.
pub(super) async fn ended(world: &World, pair: &Pair) -> Result<Vec<Step>, CliError> {
    let tail = world.remit(&["log", "tail", "--lines", "200", "--kind", "call_intent"]).await?;
    let by_helper = |entry: &&Value| {
        let of = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        of("who") == "support/digest@0.3.0" && of("result") == "permit"
    };
    let index = tail.lines.iter().rfind(by_helper).and_then(|entry| entry.get("index")).map(ToString::to_string);
    let shown = world.remit(&["log", "show", &index.unwrap_or_default()]).await?;
    let lineage = shown.json.pointer("/event/unmapped/remit/lineage").and_then(Value::as_array);
    let links: Vec<&str> = lineage.into_iter().flatten().filter_map(Value::as_str).collect();
    let whole = links.len() == 2
        && links.first().is_some_and(|own| own.starts_with(&pair.helper.id))
        && links.last() == Some(&pair.lead.id.as_str());
    let mut steps = vec![step("remit log show … (the helper's line)", links.join(", for "), whole, shown.ms)];
    let began = Instant::now();
    let printed = world.remit(&["revoke", "run", &pair.run, "--why", "it is done"]).await?;
    steps.push(command("remit revoke run … (the lead's)", &printed, 0));
    for (who, party) in [("the lead", &pair.lead), ("the helper", &pair.helper)] {
        let mut answer = pair.call(party, "list_tickets").await?;
        // The gateway hears of it a moment after the command was typed.
        while answer.is_done() && began.elapsed() < REVOKED_WITHIN {
            answer = pair.call(party, "list_tickets").await?;
        }
        let text = format!("{} — {}", answer.status, short(answer.text()));
        let ok = answer.refused() == Some("revoked") && began.elapsed() < REVOKED_WITHIN;
        steps.push(step(&format!("{who}'s next call"), text, ok, millis(began)));
    }
    Ok(steps)
}

impl Pair {
    async fn call(&self, party: &Party, tool: &str) -> Result<Answer, CliError> {
        let arguments = if tool == "read_ticket" { json!({ "id": 38 }) } else { json!({}) };
        let proof = party.proof(&self.to.endpoint, Some(&party.token))?;
        let headers = vec![("authorization".into(), format!("DPoP {}", party.token)), ("dpop".into(), proof)];
        self.to.call_with(tool, arguments, &headers).await
    }
}

impl Party {
    /// Asks the token endpoint as this run (RFC 7523 section 2.2), with a proof of its key where the token is to be bound
    /// to that.
    async fn ask(&self, world: &World, form: &[(&str, &str)], bound: bool) -> Result<Value, CliError> {
        Ok(self.post(world, form, bound).await?.message)
    }

    async fn post(&self, world: &World, form: &[(&str, &str)], bound: bool) -> Result<Answer, CliError> {
        let url = format!("{}/token", world.authority);
        let assertion = self.says(&world.authority, &json!({ "alg": "EdDSA" }))?;
        let client = [("client_assertion_type", ASSERTION), ("client_assertion", assertion.as_str())];
        let body: Vec<String> =
            client.iter().chain(form).map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let proof = bound.then(|| self.proof(&url, None)).transpose()?;
        agent::post_form(&url, body.join("&"), proof.as_deref()).await
    }

    /// Gives a helper one tool of its own token (RFC 8693).
    async fn hand(&self, world: &World, to: &Party, tool: &str) -> Result<Answer, CliError> {
        let actor = to.says(&world.authority, &json!({ "alg": "EdDSA", "typ": "JWT", "jwk": public(&to.key) }))?;
        let location = format!("{}/mcp/tickets", world.gateway);
        let detail = json!([{ "type": "mcp_tools", "locations": [location], "tools": { tool: {} } }]).to_string();
        let form = [
            ("grant_type", EXCHANGE),
            ("subject_token", self.token.as_str()),
            ("subject_token_type", ACCESS_TOKEN),
            ("actor_token", &actor),
            ("actor_token_type", JWT),
            ("authorization_details", &detail),
            ("why", "to count the tickets"),
        ];
        self.post(world, &form, false).await
    }

    /// A statement of this party about itself, for minutes, used once.
    fn says(&self, audience: &str, header: &Value) -> Result<String, CliError> {
        let claims = json!({
            "iss": self.id, "sub": self.id, "aud": audience, "iat": now(), "exp": now().saturating_add(60), "jti": once()?,
        });
        Ok(self.sign(header, &claims))
    }

    fn proof(&self, url: &str, token: Option<&str>) -> Result<String, CliError> {
        let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": public(&self.key) });
        let mut claims = json!({ "htm": "POST", "htu": url, "iat": now(), "jti": once()? });
        if let (Some(token), Some(claims)) = (token, claims.as_object_mut()) {
            claims.insert("ath".into(), b64(&sha256(&[token.as_bytes()])).into());
        }
        Ok(self.sign(&header, &claims))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims.to_string().as_bytes()));
        format!("{text}.{}", b64(self.key.sign(text.as_bytes()).as_ref()))
    }
}

fn generate() -> Result<Ed25519KeyPair, CliError> {
    Ed25519KeyPair::generate().map_err(|_| failed("the system makes no key".into()))
}

fn public(key: &Ed25519KeyPair) -> Jwk {
    Jwk::ed25519(key.public_key().as_ref(), None)
}

fn once() -> Result<String, CliError> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| failed("the system gives no random bytes".into()))?;
    Ok(b64(&random))
}

fn said(answer: &Value, name: &str) -> String {
    match answer.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
