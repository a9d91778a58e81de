//! A permit is of one call that was permitted and recorded, and of no other.

use remit_audit::vault::{Kek, Vault};
use remit_audit::{Config, Log, LogKey};
use remit_core::bundle::{Bundle, Versioned};
use remit_core::call::Call;
use remit_core::decide::decide;
use remit_core::gate::Evidence;
use remit_core::id::TrustDomain;
use remit_core::input::Input;
use remit_core::plan::plan;
use remit_core::policy::{Compiled, compile};
use remit_core::revoked::Revoked;
use remit_core::snapshot::Snapshot;
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;

use super::*;
use crate::clock::Fixed;
use crate::record::Recorder;

const NOW: i64 = 1_795_250_400;
const AGENT: &str = "spiffe://acme.example/agent/support/triage/1";

struct World {
    recorder: Recorder,
    snapshot: Snapshot,
    _home: TempDir,
}

fn bundle() -> Arc<Compiled> {
    let tool = |name: &str| {
        json!({"name": name, "pin": format!("sha256:{}", "11".repeat(32)), "tier": "T0",
            "input": {"type": "object", "properties": {"id": {"type": "integer"}}},
            "returns": {"trust": "untrusted", "sensitivity": "confidential"}})
    };
    let bundle: Bundle = serde_json::from_value(json!({
        "issuer": "https://as.example", "gateway": "https://gw.example", "keys": [],
        "servers": [{"name": "tickets", "environment": "production", "resources": false, "prompts": [],
            "upstream": {"transport": "http", "url": "https://up.example/mcp"},
            "tools": [tool("read"), tool("erase")]}],
        "agents": [{"id": AGENT, "purpose": "p", "tags": [], "tier": "light", "environment": "production",
            "needs": ["tickets/read", "tickets/erase"], "calls_max": 9, "calls_per_minute_max": 9, "repeats_max": 9}],
        "floor": [{"name": "base", "text": "permit(principal, action == Action::\"tickets/read\", resource);"}],
        "teams": [],
    }))
    .unwrap();
    let versioned = Versioned { version: 1, not_after: NOW + 3_600, digest: [2; 32], bundle };
    Arc::new(compile(versioned, TrustDomain::new("acme.example").unwrap()).unwrap())
}

fn claims() -> Value {
    json!({
        "ver": 1, "iss": "https://as.example", "aud": ["https://gw.example/mcp/tickets"], "exp": NOW + 900, "iat": NOW,
        "jti": "t", "sub": "p-1", "sub_profile": "user", "client_id": AGENT,
        "act": {"sub": format!("{AGENT}/r1"), "iss": "https://as.example", "sub_profile": "ai_agent"},
        "authorization_details": [{"type": "mcp_tools", "locations": ["https://gw.example/mcp/tickets"],
            "tools": {"read": {}, "erase": {}}}],
        "task": {"id": "t", "purpose": "p", "why": "w", "trust": "verified"}, "run": "r1", "root": "r1", "root_at": 1, "root_until": NOW + 3_600, "gid": "g",
        "lin": [], "del_depth": 0, "del_max_depth": 0, "grant": {"until": NOW + 900, "by": "policy"},
    })
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let key = LogKey::load_or_create(&home.path().join("key")).unwrap();
        let (log, _) = Log::open(Config::new(home.path().join("log"), "acme.example", "gw1"), key).unwrap();
        let kek = Kek::load_or_create(&home.path().join("kek")).unwrap();
        let vault = Arc::new(Vault::open(&home.path().join("vault"), kek).unwrap());
        let recorder = Recorder::new(log, vault, "acme.example/log/gw1".into(), Arc::new(Fixed::at_ms(NOW * 1_000)));
        let snapshot = Snapshot { bundle: bundle(), revoked: Arc::new(Revoked::default()), as_of: NOW };
        Self { recorder, snapshot, _home: home }
    }

    fn decided(&self, tool: &str, id: u32) -> Decided {
        let body = format!(r#"{{"id":{id}}}"#);
        let input: Input = serde_json::from_value(json!({
            "now": NOW, "presented": {"token": {"claims": claims(), "credential": "dpop"}},
            "facts": {"revoked": null, "locked": false, "drifted": false},
            "server": "tickets", "action": {"call_tool": tool}, "arguments": body,
            "state": {"label": {"trust": "verified", "sensitivity": "public"}, "calls": 1, "calls_in_minute": 1,
                "repeats": 1, "spend": 0},
        }))
        .unwrap();
        let all = 0..body.len();
        let call = Call::new(input.server.clone(), input.action.clone(), body.into_bytes(), all).unwrap();
        let plan = plan(&self.snapshot.bundle, input);
        decide(&self.snapshot.bundle, call, plan, Evidence::default())
    }

    /// A decision, and the receipt of its record.
    async fn recorded(&self, tool: &str, id: u32) -> (Decided, Receipt) {
        let mut decided = self.decided(tool, id);
        let (_, receipt) = self.recorder.intent(&mut decided, &self.snapshot).await.unwrap();
        (decided, receipt)
    }
}

#[tokio::test]
async fn a_permit_owns_the_very_bytes_that_were_decided() {
    let world = World::new();
    let (decided, receipt) = world.recorded("read", 41).await;
    let index = receipt.index();
    let permit = Permit::new(decided, receipt).unwrap();
    assert_eq!((permit.index(), permit.decided().call().body()), (index, br#"{"id":41}"#.as_slice()));
}

#[tokio::test]
async fn a_record_of_another_call_is_none() {
    let world = World::new();
    let (one, of_one) = world.recorded("read", 41).await;
    let (two, of_two) = world.recorded("read", 42).await;
    let code = |permit: Result<Permit, Rejection>| permit.map(|_| ()).map_err(|rejection| rejection.code);
    assert_eq!(code(Permit::new(one, of_two)), Err(Code::Internal));
    // The same bytes again are another decision, with a record of its own.
    let (again, of_again) = world.recorded("read", 42).await;
    assert_eq!(code(Permit::new(again, of_one)), Err(Code::Internal));
    assert_eq!(code(Permit::new(two, of_again)), Err(Code::Internal));
}

#[tokio::test]
async fn a_decision_that_was_not_recorded_permits_nothing() {
    let world = World::new();
    let (_, receipt) = world.recorded("read", 41).await;
    assert_eq!(Permit::new(world.decided("read", 41), receipt).map(|_| ()).unwrap_err().code, Code::Internal);
}

#[tokio::test]
async fn what_is_forbidden_has_a_record_and_no_permit() {
    let world = World::new();
    let (decided, receipt) = world.recorded("erase", 41).await;
    let index = receipt.index();
    let rejection = Permit::new(decided, receipt).map(|_| ()).unwrap_err();
    assert_eq!((rejection.code, rejection.decision), (Code::PolicyForbid, Some(index)));
}

/// Break: leave the reader to guess which entry is meant.
#[tokio::test]
async fn a_refusal_names_its_own_entry() {
    let world = World::new();
    let _before = world.recorded("read", 40).await;
    let (decided, receipt) = world.recorded("erase", 41).await;
    let index = receipt.index();
    let refusal = Permit::new(decided, receipt).map(|_| ()).unwrap_err();
    assert_eq!((refusal.code, refusal.decision), (Code::PolicyForbid, Some(index)));
    assert_eq!(refusal.help, format!("see the whole reason: remit log show {index}"));
}
