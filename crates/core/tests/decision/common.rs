//! What the tests of decisions share: one small registry, one caller, and what differs from it.

use std::collections::BTreeSet;

use remit_core::bundle::{Bundle, Versioned};
use remit_core::decide::{Verdict, replay};
use remit_core::gate::Evidence;
use remit_core::id::TrustDomain;
use remit_core::input::Input;
use remit_core::policy::{Compiled, PolicyError, compile};
use serde_json::{Value, json};

pub(crate) const NOW: i64 = 1_795_250_400;
pub(crate) const DOMAIN: &str = "acme.example";
pub(crate) const ISSUER: &str = "https://as.example";
pub(crate) const GATEWAY: &str = "https://gw.example";
pub(crate) const PIN: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
pub(crate) const AGENT: &str = "spiffe://acme.example/agent/support/triage/1.4.2";

/// Policies that permit everything that can be asked.
pub(crate) const ALL: &str = "permit(principal, action, resource);";

/// A bundle before its policies: one server with resources and a prompt, four tools, two teams.
pub(crate) fn registry() -> Value {
    let tool = |name: &str, tier: &str, input: Value| {
        json!({"name": name, "pin": PIN, "tier": tier, "input": input,
            "returns": {"trust": "untrusted", "sensitivity": "confidential"}})
    };
    let object = |properties: Value, required: &[&str]| json!({"type": "object", "properties": properties, "required": required});
    let agent = |id: &str, tier: &str| {
        json!({"id": id, "purpose": "sorts tickets", "tags": ["pilot"], "tier": tier, "environment": "production",
            "needs": ["tickets/read_ticket", "tickets/issue_refund", "prompt:tickets/part", "resource:tickets/file:///later",
                "client:tickets/sampling", "client:tickets/roots"],
            "calls_max": 100, "calls_per_minute_max": 10, "repeats_max": 3})
    };
    json!({
        "issuer": ISSUER, "gateway": GATEWAY, "keys": [],
        "servers": [{
            "name": "tickets", "environment": "production", "resources": true, "prompts": ["greet", "part"],
            "features": ["elicitation", "sampling"],
            "upstream": {"transport": "http", "url": "https://up.example/mcp"},
            "tools": [
                tool("read_ticket", "T0", object(json!({"id": {"type": "integer"}}), &["id"])),
                tool("issue_refund", "T3", object(json!({
                    "amount": {"type": "number"}, "count": {"type": "integer"}, "to": {"type": "string"},
                    "urgent": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": "string"}},
                    "why": {"type": "object"}}), &[])),
                tool("annotate", "T1", json!({"type": "object", "properties": {"note": {"type": "string"}},
                    "additionalProperties": true})),
            ],
        }],
        "agents": [
            agent(AGENT, "medium"),
            agent("spiffe://acme.example/agent/support/triage/2.0.0", "full"),
            agent("spiffe://acme.example/agent/support-eu/triage/1", "light"),
        ],
        "floor": [], "teams": [],
    })
}

/// Compiles the registry with these policies: the floor's, and each team's.
pub(crate) fn try_bundle(floor: &str, teams: &[(&str, &str)]) -> Result<Compiled, PolicyError> {
    let mut bundle = registry();
    bundle["floor"] = json!([{"name": "base", "text": floor}]);
    let team = |(team, text): &(&str, &str)| json!({"team": team, "files": [{"name": "own", "text": text}]});
    bundle["teams"] = teams.iter().map(team).collect();
    compile_value(bundle)
}

pub(crate) fn compile_value(bundle: Value) -> Result<Compiled, PolicyError> {
    let bundle: Bundle = serde_json::from_value(bundle).unwrap();
    let versioned = Versioned { version: 7, not_after: NOW + 3_600, digest: [0x22; 32], bundle };
    compile(versioned, TrustDomain::new(DOMAIN).unwrap())
}

#[track_caller]
pub(crate) fn bundle(floor: &str) -> Compiled {
    try_bundle(floor, &[]).unwrap()
}

/// Claims of a run that another spawned, with a grant for everything.
pub(crate) fn claims() -> Value {
    let profile = "ai_agent client_instance";
    json!({
        "ver": 1, "iss": ISSUER, "aud": [format!("{GATEWAY}/mcp/tickets")], "exp": NOW + 900, "iat": NOW - 10,
        "jti": "tok-2", "sub": "u-7f3a", "sub_profile": "user", "name": "Ada Example",
        "client_id": AGENT,
        "act": {"sub": format!("{AGENT}/run-2"), "iss": ISSUER, "sub_profile": profile,
            "act": {"sub": "spiffe://acme.example/agent/support/triage/2.0.0/run-1", "iss": ISSUER, "sub_profile": profile}},
        "cnf": {"jkt": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
        "authorization_details": [{"type": "mcp_tools", "locations": [format!("{GATEWAY}/mcp/tickets")],
            "tools": {"read_ticket": {}, "issue_refund": {}, "annotate": {}},
            "prompts": {"greet": {}, "part": {}},
            "resources": [{"constraint_type": "wildcard"}]}],
        "task": {"id": "task-9", "purpose": "sorts tickets", "why": "the customer asked for her money back"},
        "run": "run-2", "root": "run-1", "root_at": 1, "root_until": NOW + 3_600, "gid": "g-5", "lin": ["tok-1"], "del_depth": 1, "del_max_depth": 2,
        "grant": {"until": NOW + 1_800, "by": "policy"}, "path": "golden",
    })
}

/// The input of a call of `tool`, as JSON to change before it is read.
pub(crate) fn input_of(tool: &str, arguments: &str) -> Value {
    json!({
        "now": NOW, "presented": {"token": {"claims": claims(), "credential": "dpop"}},
        "facts": {"revoked": null, "locked": false, "drifted": false},
        "server": "tickets", "action": {"call_tool": tool}, "arguments": arguments,
        "state": {"label": {"trust": "verified", "sensitivity": "public"}, "calls": 1, "calls_in_minute": 1,
            "repeats": 1, "spend": 0},
    })
}

#[track_caller]
pub(crate) fn read(input: Value) -> Input {
    serde_json::from_value(input).unwrap()
}

/// What the decision on a tool call says.
#[track_caller]
pub(crate) fn ask(bundle: &Compiled, tool: &str, arguments: &str) -> (Verdict, Vec<String>) {
    decide(bundle, &read(input_of(tool, arguments)), &Evidence::default())
}

pub(crate) fn decide(bundle: &Compiled, input: &Input, evidence: &Evidence) -> (Verdict, Vec<String>) {
    let (verdict, policies): (Verdict, BTreeSet<String>) = replay(bundle, input, evidence);
    (verdict, policies.into_iter().collect())
}
