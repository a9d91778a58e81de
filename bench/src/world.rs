//! A bundle and a caller in this process, of which the policies can be chosen: for what is measured function by function.

use std::io;

use remit_core::bundle::{Bundle, Versioned};
use remit_core::call::{Action, Call};
use remit_core::claims::TOKEN_TYPE;
use remit_core::id::{ServerName, ToolName, TrustDomain};
use remit_core::input::{Facts, Input, Presented, State};
use remit_core::policy::{Compiled, compile};
use serde_json::{Value, json};

use crate::key::{Key, now};
use crate::road::{Era, text};

/// The floor of every new home.
pub(crate) const FLOOR: &str = include_str!("../../policies/floor/base.cedar");
const DOMAIN: &str = "bench.example";
const ISSUER: &str = "https://as.example";
const GATEWAY: &str = "https://gw.example";
const PIN: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const KID: &str = "k1";

/// A bundle, the key that signs its tokens, and the key of its callers.
pub(crate) struct World {
    pub(crate) bundle: Compiled,
    signer: Key,
    pub(crate) caller: Key,
}

/// Whose call it is, and of which server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose {
    pub(crate) team: &'static str,
    pub(crate) server: &'static str,
}

/// The one whom no policy names.
pub(crate) const QUIET: Whose = Whose { team: "quiet", server: "quiet" };

impl World {
    /// Two teams and two servers, the floor, and what else stands in one file of it.
    pub(crate) fn new(policies: &str) -> io::Result<Self> {
        let (signer, caller) = (Key::generate()?, Key::generate()?);
        let mut key = signer.public();
        key.kid = Some(KID.to_owned());
        let server = |name: &str| {
            json!({ "name": name, "environment": "production", "upstream": { "transport": "http", "url": "https://up.example" },
                "tools": [{ "name": "echo", "pin": PIN, "tier": "T0",
                    "input": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
                    "returns": { "trust": "untrusted", "sensitivity": "internal" } }] })
        };
        let agent = |team: &str| {
            json!({ "id": agent(team), "purpose": "measures", "tags": [], "tier": "medium", "environment": "production",
                "needs": ["quiet/echo", "crowded/echo"], "calls_max": u32::MAX, "calls_per_minute_max": u32::MAX,
                "repeats_max": 10 })
        };
        let bundle = json!({
            "issuer": ISSUER, "gateway": GATEWAY, "keys": [key], "servers": [server("quiet"), server("crowded")],
            "agents": [agent("quiet"), agent("crowded")], "teams": [],
            "floor": [{ "name": "base", "text": FLOOR }, { "name": "more", "text": policies }],
        });
        let bundle: Bundle = serde_json::from_value(bundle)?;
        let versioned = Versioned { version: 1, not_after: now() + 86_400, digest: [7; 32], bundle };
        let domain = TrustDomain::new(DOMAIN).map_err(io::Error::other)?;
        Ok(Self { bundle: compile(versioned, domain).map_err(io::Error::other)?, signer, caller })
    }

    /// A token of the caller's.
    pub(crate) fn token(&self, whose: Whose) -> String {
        let header = json!({ "typ": TOKEN_TYPE, "alg": "EdDSA", "kid": KID });
        self.signer.sign(&header, &self.claims(whose))
    }

    fn claims(&self, whose: Whose) -> Value {
        let (now, agent) = (now(), agent(whose.team));
        json!({
            "ver": 1, "iss": ISSUER, "aud": [url(whose.server)], "exp": now + 900, "iat": now, "jti": "tok-1",
            "sub": "u-7f3a", "sub_profile": "user", "name": "Nobody", "client_id": agent,
            "act": { "sub": format!("{agent}/run-1"), "iss": ISSUER, "sub_profile": "ai_agent client_instance" },
            "cnf": { "jkt": self.caller.public().thumbprint() },
            "authorization_details": [{ "type": "mcp_tools", "locations": [url(whose.server)],
                "tools": { "echo": {} } }],
            "task": { "id": "g-1", "purpose": "measures", "why": "the benchmark" }, "run": "run-1", "root": "run-1",
            "root_at": now, "root_until": now + 1_800, "gid": "g-1", "lin": [], "del_depth": 0, "del_max_depth": 3,
            "grant": { "until": now + 1_800, "by": "policy" },
        })
    }

    /// What such a caller presents once token and proof were verified.
    pub(crate) fn presented(&self, whose: Whose) -> io::Result<Presented> {
        let token = json!({ "token": { "claims": self.claims(whose), "credential": "dpop" } });
        Ok(serde_json::from_value(token)?)
    }
}

/// Where the gateway of this world would serve the server.
pub(crate) fn url(server: &str) -> String {
    format!("{GATEWAY}/mcp/{server}")
}

/// The body of a call, as a client sends it.
pub(crate) fn body(number: u64) -> String {
    Era::Modern.call(number, "echo", &format!(r#"{{"text":"{}"}}"#, text(number)))
}

/// The call that the body is.
pub(crate) fn call(whose: Whose, body: &str) -> io::Result<Call> {
    let server = ServerName::new(whose.server).map_err(io::Error::other)?;
    let tool = ToolName::new("echo").map_err(io::Error::other)?;
    // The members of the call stand last in what this program writes.
    let start = body.find(r#"{"text""#).unwrap_or_default();
    let range = start..body.len().saturating_sub(2);
    let mut call =
        Call::new(server, Action::CallTool(tool), body.as_bytes().to_vec(), range).map_err(io::Error::other)?;
    Era::Modern.revision().clone_into(&mut call.revision);
    Ok(call)
}

/// All that the call is decided by.
pub(crate) fn input(presented: Presented, call: &Call) -> Input {
    Input::new(now(), presented, Facts::default(), call, State::FRESH)
}

fn agent(team: &str) -> String {
    format!("spiffe://{DOMAIN}/agent/{team}/caller/1")
}
