//! One small registry and one caller for each of two teams, for what is judged beside a stranger's text.

use remit_core::bundle::{Bundle, Versioned};
use remit_core::id::TrustDomain;
use remit_core::input::Input;
use remit_core::plan::{Outcome, plan};
use remit_core::policy::{Compiled, PolicyError, compile};
use serde_json::{Value, json};

pub(crate) const NOW: i64 = 1_795_250_400;
pub(crate) const DOMAIN: &str = "acme.example";
pub(crate) const SUPPORT: &str = "spiffe://acme.example/agent/support/triage/1.4.2";
pub(crate) const SALES: &str = "spiffe://acme.example/agent/sales/quote/1";
pub(crate) const GATEWAY: &str = "https://gw.example";

/// The domain of trust.
pub(crate) fn domain() -> Option<TrustDomain> {
    TrustDomain::new(DOMAIN).ok()
}

fn tool(name: &str, input: &Value) -> Value {
    json!({"name": name, "pin": format!("sha256:{}", "11".repeat(32)), "tier": "T1", "input": input,
        "returns": {"trust": "untrusted", "sensitivity": "confidential"}})
}

/// A bundle of one server, whose tool `odd` has this schema.
pub(crate) fn bundle(floor: &str, team: &str, odd: &Value) -> Value {
    let agent = |id: &str| {
        json!({"id": id, "purpose": "sorts tickets", "tier": "medium", "environment": "production",
            "calls_max": 100, "calls_per_minute_max": 10, "repeats_max": 3})
    };
    let refund = json!({"type": "object", "properties": {"amount": {"type": "number"}, "to": {"type": "string"},
        "urgent": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": "string"}}}});
    let file = |text: &str| json!({"name": "own", "text": text});
    json!({
        "issuer": "https://as.example", "gateway": GATEWAY, "keys": [],
        "servers": [{"name": "tickets", "environment": "production", "resources": true, "prompts": ["greet"],
            "upstream": {"transport": "http", "url": "https://up.example/mcp"},
            "tools": [tool("refund", &refund), tool("odd", odd)]}],
        "agents": [agent(SUPPORT), agent(SALES)],
        "floor": [file(floor)],
        "teams": [{"team": "support", "files": [file(team)]}],
    })
}

/// Makes a bundle ready.
pub(crate) fn compiled(bundle: Value) -> Result<Compiled, PolicyError> {
    let wrong = |error: String| PolicyError::Registry(error);
    let bundle: Bundle = serde_json::from_value(bundle).map_err(|error| wrong(error.to_string()))?;
    let versioned = Versioned { version: 7, not_after: NOW + 3_600, digest: [0x22; 32], bundle };
    compile(versioned, domain().ok_or_else(|| wrong(String::new()))?)
}

/// The claims of an agent with a grant for everything.
pub(crate) fn claims(agent: &str) -> Value {
    let audience = format!("{GATEWAY}/mcp/tickets");
    json!({
        "ver": 1, "iss": "https://as.example", "aud": [audience], "exp": NOW + 900, "iat": NOW - 10,
        "jti": "tok-1", "sub": "u-7f3a", "sub_profile": "user", "client_id": agent,
        "act": {"sub": format!("{agent}/run-1"), "iss": "https://as.example", "sub_profile": "ai_agent client_instance"},
        "authorization_details": [{"type": "mcp_tools", "locations": [audience], "tools": {"*": {}}}],
        "task": {"id": "task-9", "purpose": "sorts tickets", "why": "because"},
        "run": "run-1", "root": "run-1", "root_at": 1, "root_until": NOW + 3_600, "gid": "g-5", "del_depth": 0, "del_max_depth": 2,
        "grant": {"until": NOW + 1_800, "by": "policy"},
    })
}

/// What a call of an agent with a grant for everything may do.
pub(crate) fn asked(bundle: &Compiled, agent: &str, tool: &str, arguments: &str) -> Option<Outcome> {
    judged(bundle, &claims(agent), tool, arguments)
}

/// What a call with these claims may do.
pub(crate) fn judged(bundle: &Compiled, claims: &Value, tool: &str, arguments: &str) -> Option<Outcome> {
    let input = json!({
        "now": NOW, "presented": {"token": {"claims": claims, "credential": "bearer"}},
        "facts": {"revoked": null, "locked": false, "drifted": false},
        "server": "tickets", "action": {"call_tool": tool}, "arguments": arguments,
        "state": {"label": {"trust": "verified", "sensitivity": "public"}, "calls": 1, "calls_in_minute": 1,
            "repeats": 1, "spend": 0},
    });
    let input: Input = serde_json::from_value(input).ok()?;
    let once = plan(bundle, input.clone());
    let again = plan(bundle, input);
    assert_eq!(again.outcome(), once.outcome(), "the same arguments, and another plan");
    Some(once.outcome().clone())
}
